"""What the files are called that the steps of `imaging` leave of a subject, in the folder of each step.

Apart from `layout_of_volumes`, so that the sources of a step do not depend on the list of all data sets.
"""

from latent_anatomy.data.dataset import Subject, Volumes

PICTURE, NUMBERS, PASSPORT = "picture.png", "numbers.json", "passport.json"
TO_ATLAS = "to_atlas.txt"


def volume_name(name: str) -> str:
    """The file of an image or mask in a step's folder."""
    return f"{name}.nii.gz"


def transform_name(image: str) -> str:
    """The file of the transform from the world of the sliced image to that of another."""
    return f"{image}.txt"


def masks_of(dataset: Volumes) -> list[str]:
    """The masks that any subject of a data set has, by name."""
    return sorted({name for subject in dataset.subjects for name in subject.masks})


def subject_of(dataset: Volumes, name: str) -> Subject:
    """The subject; ValueError when the data set has none of this name."""
    for each in dataset.subjects:
        if each.name == name:
            return each
    raise ValueError(f"{dataset.name}: expected one of its subjects, found {name!r}")
