"""What the files are called that the steps of `imaging` leave of a subject, in the folder of each step.

Apart from `layout_of_volumes`, so that the sources of a step do not depend on the list of all data sets.
"""

from latent_anatomy.data.dataset import Subject, Volumes

PICTURE, NUMBERS, PASSPORT = "picture.png", "numbers.json", "passport.json"
BESIDE = (PICTURE, NUMBERS, PASSPORT)  # what every step leaves beside its volumes and transforms
TO_ATLAS = "to_atlas.txt"
FIELD, COVERAGE = (
    "field",
    "coverage.csv",
)  # where images show something: the mask, and its share of each slice


def files_of(dataset: Volumes, step: str) -> list[str]:
    """The volumes and transforms that a step leaves of every subject, by their names in its folder."""
    images = list(dataset.subjects[0].images)
    return {
        "bias": [volume_name(name) for name in images],
        "coregister": [transform_name(name) for name in images if name != dataset.sliced],
        "register": [TO_ATLAS, *map(volume_name, [*images, *registered_masks(dataset), FIELD]), COVERAGE],
        "strip": [volume_name("brain")],
        "normalise": [volume_name(dataset.sliced)],
    }[step]


def volume_name(name: str) -> str:
    """The file of an image or mask in a step's folder."""
    return f"{name}.nii.gz"


def transform_name(image: str) -> str:
    """The file of the transform from the world of the sliced image to that of another."""
    return f"{image}.txt"


def masks_of(dataset: Volumes) -> list[str]:
    """The masks that any subject of a data set has, by name."""
    return sorted({name for subject in dataset.subjects for name in subject.masks})


def registered_masks(dataset: Volumes) -> list[str]:
    """The masks of which every subject has a file in atlas space, drawn or not delineated."""
    return sorted({*masks_of(dataset), *dataset.may_have})


def subject_of(dataset: Volumes, name: str) -> Subject:
    """The subject; ValueError when the data set has none of this name."""
    for each in dataset.subjects:
        if each.name == name:
            return each
    if not dataset.subjects:
        raise ValueError(f"{dataset.name}: expected its files, found none: {dataset.how_to_get}")
    first, last = dataset.subjects[0].name, dataset.subjects[-1].name
    known = f"one of its {len(dataset.subjects)} subjects, {first} to {last}"
    raise ValueError(f"{dataset.name}: expected {known}, found {name!r}: check its spelling")
