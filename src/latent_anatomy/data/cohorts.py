"""Who is trained on, who is tested, and whose labels are known: one way of using a data set's subjects.

A data set that can be split in several ways, or of which a part may be labelled, has

    folds                        names such as "published-0": fold 0 of the split "published"
    cohort(fold, labelled)       -> Cohort

where `labelled` is the part of the training subjects whose labels are known, in per cent, or another name
that the data set gives a meaning of its own ("mr-100-ct-12.5"). Its slices are the same file for all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEPARATOR = "."


@dataclass(frozen=True)
class Cohort:
    """Names of subjects; nobody is in two splits, and `labelled` are some of `train`. Others are not used."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    labelled: tuple[str, ...]

    def __post_init__(self) -> None:
        everybody = [*self.train, *self.val, *self.test]
        if len(set(everybody)) != len(everybody):
            raise ValueError("cohort: expected every subject in one split, found some in two")
        if not self.labelled or not set(self.labelled) <= set(self.train):
            raise ValueError(
                f"cohort: expected labelled subjects among those of training, found {self.labelled}"
            )


@dataclass(frozen=True)
class Replicate:
    """One of the repetitions that a result is a mean of: a seed and, of a cohort, a fold."""

    seed: int
    fold: int | None = None

    def __str__(self) -> str:
        return f"seed-{self.seed}" if self.fold is None else f"fold-{self.fold}.seed-{self.seed}"


REPLICATE = re.compile(r"(?:fold-(\d+)\.)?seed-(\d+)")


def replicate(name: str) -> Replicate:
    """The replicate of this name; ValueError for another form.

    >>> replicate("fold-2.seed-1")
    Replicate(seed=1, fold=2)
    """
    match = REPLICATE.fullmatch(name)
    if match is None:
        raise ValueError(f"expected seed-<n> or fold-<k>.seed-<n>, found {name!r}")
    return Replicate(int(match[2]), None if match[1] is None else int(match[1]))


def name_of(dataset: str, split: str, labelled: float | str) -> str:
    """A cohort's name, folds apart, in paths and tables.

    >>> name_of("acdc", "published", 12.5)
    'acdc.published.12.5'
    """
    return SEPARATOR.join((dataset, split, labelled if isinstance(labelled, str) else f"{labelled:g}"))


def dataset_of(name: str) -> str:
    """The data set of a cohort; a data set's name is its own."""
    return name.split(SEPARATOR)[0]


def labelled_of(name: str) -> str:
    """The labelled part of a cohort, also where no split is named; "" of a data set.

    >>> labelled_of("acdc.published.12.5"), labelled_of("acdc")
    ('12.5', '')
    """
    _, _, rest = name.partition(SEPARATOR)
    split, _, labelled = rest.partition(SEPARATOR)
    return labelled if labelled and not split.isdecimal() else rest


def draw(subjects: Sequence[str], percent: float, seed: int) -> tuple[str, ...]:
    """The first `percent` % of the subjects, rounded down, in an order that depends on `seed` alone.

    So that fewer labelled subjects are some of more. numpy's legacy generator, as SDNet's code draws.
    Raises ValueError when nobody is left, and for what is no number.

    >>> draw(("ann", "ben", "cleo", "dan"), 50, seed=1)
    ('dan', 'cleo')
    >>> draw(("ann", "ben", "cleo", "dan"), 25, seed=1)
    ('dan',)
    """
    if isinstance(percent, str):
        raise ValueError(
            f"labelled: expected per cent of the training subjects, found {percent!r}: give a number"
        )
    count = int(percent / 100 * len(subjects) + 1e-9)
    if not 0 < count <= len(subjects):
        raise ValueError(
            f"labelled: expected 1 to {len(subjects)} of {len(subjects)} training subjects, found {count}, "
            f"which is {percent:g} %: give another percentage"
        )
    order = np.random.RandomState(seed).permutation(len(subjects))
    return tuple(subjects[place] for place in order[:count])
