"""What a data set is known to have before any of it is read: which splits, masks and size.

Volumes tell it by their subjects. Images may say it in `has`, an `Outline`, a field or property of the data
set, where they know it without reading a pixel; of those that do not, only the files can tell.
"""

from collections.abc import Collection
from dataclasses import dataclass

from latent_anatomy.data.dataset import Volumes

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Outline:
    """Names of splits and of masks; pixels a side of square images, None where only the files can tell."""

    splits: frozenset[str]
    masks: frozenset[str]
    size: int | None = None


def of_three_splits(*masks: str) -> Outline:
    """What a data set has whose images train, validate and are tested, with these masks.

    >>> sorted(of_three_splits("head").splits)
    ['test', 'train', 'val']
    """
    return Outline(frozenset(SPLITS), frozenset(masks))


def together(members: Collection[Outline]) -> Outline:
    """What all slices of several data sets together have: the splits of any, the masks of all."""
    return Outline(
        frozenset().union(*(each.splits for each in members)),
        frozenset.intersection(*(each.masks for each in members)),
        next(iter(sizes)) if len(sizes := {each.size for each in members}) == 1 else None,
    )


def absent(dataset: object) -> tuple[str, ...]:
    """Masks of what nobody of a data set of volumes has, such as lesions of healthy people.

    They stand in its attribute `absent`, where it has one, and are empty in its slices, while a mask that a
    subject merely lacks is not delineated there.
    """
    return getattr(dataset, "absent", ())


def outline(dataset: object, excluded: Collection[str] = ()) -> Outline | None:
    """Of a data set, less the subjects that are left out; None where only its files can tell.

    Slices of volumes have the mask "brain" of everybody, given or made. None is the outline of images without
    `has`, and of a user's folder that is not here.
    """
    if hasattr(type(dataset), "to_slices"):
        return getattr(dataset, "has", None)
    if not (subjects := _subjects(dataset)):
        return None
    taken = [subject for subject in subjects if subject.name not in excluded]
    return Outline(
        frozenset(subject.split for subject in taken),
        frozenset(name for subject in taken for name in subject.masks) | {"brain", *absent(dataset)},
    )


def _subjects(dataset: Volumes) -> tuple:
    return getattr(dataset, "subjects", ())
