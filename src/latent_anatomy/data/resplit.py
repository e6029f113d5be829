"""Other splits of a data set's subjects, to see how much of a result is the split's."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import Slices, defect


def resplit(content: Slices, seed: int) -> Slices:
    """The same slices with the subjects of train, val and test dealt out anew.

    Among the subjects of one class, the splits that they have are permuted. So a subject stays in one
    split, and each split keeps the number of subjects of each class that it had; with one slice for a
    subject, also its slices. The class of a subject is its most frequent label (the lowest of several);
    without labels all subjects are of one. "unlabelled" slices stay where they are.

    >>> people = np.array(["ann", "ann", "ben", "cleo"])
    >>> split = np.array(["train", "train", "train", "test"])
    >>> content = Slices(np.zeros((4, 1, 8, 8)), people, np.arange(4), split, people, "people", "", 0)
    >>> resplit(content, seed=2).split.tolist()
    ['test', 'test', 'train', 'train']
    """
    subjects, first, membership = np.unique(content.subject, return_index=True, return_inverse=True)
    split, classes = content.split[first], _classes(content, membership, len(subjects))
    random = np.random.default_rng(seed)
    for each in np.unique(classes):
        chosen = np.flatnonzero((classes == each) & (split != "unlabelled"))
        split[chosen] = random.permutation(split[chosen])
    return replace(content, split=split[membership])


def resplits(content: Slices, count: int) -> list[Slices]:
    """`count` re-splits, by the seeds 1 to `count`; ValueError when two of them are the same."""
    re_splits = [resplit(content, seed) for seed in range(1, count + 1)]
    distinct = len({tuple(each.split.tolist()) for each in re_splits})
    if distinct < count:
        raise defect(content.dataset, f"{count} different splits of its subjects", f"only {distinct}",
                     "it has too few subjects for so many: ask for fewer")  # fmt: skip
    return re_splits


def _classes(content: Slices, membership: NDArray, subjects: int) -> NDArray:
    """The class of each subject (subjects,) int64."""
    if content.labels is None:
        return np.zeros(subjects, dtype=np.int64)
    counts = np.zeros((subjects, content.classes + 1), dtype=np.int64)
    np.add.at(counts, (membership, content.labels + 1), 1)  # column 0: label not known
    return counts.argmax(axis=1)
