"""What every threshold would give, over all voxels of a set: exact AUPRC and best Dice.

A float32 that is not negative has bits that, read as an unsigned integer, order like the number itself,
and its sign bit is free. So score and label of a voxel fit into one uint32, `bits * 2 + label`, and one
sort of these keys ranks 10^8 voxels in seconds. Only lesion voxels matter afterwards: precision and
Dice can rise at their scores alone, and how many voxels lie above each is one binary search.

Memory: 4 bytes for each voxel above 0 and twice that while they are joined; voxels at 0, such as those
outside of the brain, are counted only. Everything here is about voxels as scored, before small
components are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latent_anatomy.metrics.lesions.stacks import check_scores


class VoxelRanking:
    """Collects the voxels of one patient after another; their order does not matter.

    >>> voxels = VoxelRanking()
    >>> voxels.update(np.array([0.9, 0.8, 0.7, 0.0], np.float32), np.array([True, False, True, False]))
    >>> round(voxels.result().average_precision(), 4), voxels.result().dice([0.85, 0.5]).round(4)
    (0.8333, array([0.6667, 0.8   ]))
    """

    def __init__(self) -> None:
        self._keys: list[NDArray[np.uint32]] = []
        self._zeros = np.zeros(2, np.int64)

    def update(self, scores: NDArray, lesion: NDArray) -> None:
        """Add scores float32 >= 0 and whether each is lesion, bool, both of one shape.

        Give whole stacks: a lesion outside of the eroded brain mask has score 0 and counts as missed.
        """
        if scores.shape != lesion.shape or lesion.dtype != bool:
            raise ValueError(
                f"expected one boolean per score {scores.shape}, found {lesion.shape} {lesion.dtype}"
            )
        check_scores(scores)
        above = scores > 0
        self._keys.append(scores[above].view(np.uint32) * np.uint32(2) + lesion[above])
        self._zeros += np.bincount(lesion[~above], minlength=2)

    def result(self) -> "Ranking":
        """The ranking of all voxels so far; more may be added afterwards."""
        keys = np.concatenate([np.empty(0, np.uint32), *self._keys])
        keys.sort()
        self._keys = [keys]
        return Ranking(keys, int(self._zeros[0]), int(self._zeros[1]))


@dataclass(frozen=True, eq=False)
class Ranking:
    """Voxels above 0 as ascending keys (n,) uint32, and the numbers of normal and lesion voxels at 0."""

    keys: NDArray[np.uint32]
    normal_at_zero: int
    lesion_at_zero: int

    @cached_property
    def _lesion_keys(self) -> NDArray[np.uint32]:
        return self.keys[(self.keys & 1).astype(bool)]

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return len(self.keys) + self.normal_at_zero + self.lesion_at_zero

    @property
    def lesion_voxels(self) -> int:
        """Number of lesion voxels."""
        return len(self._lesion_keys) + self.lesion_at_zero

    def above(self, thresholds: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of lesion voxels and of voxels above each threshold >= 0.

        From them follow precision and recall, and, between the edges of bins, the histograms of normal
        and abnormal residuals.
        """
        thresholds = np.asarray(thresholds, np.float32) + np.float32(0)  # + 0 turns -0 into 0
        check_scores(thresholds)
        last = thresholds.view(np.uint32) * np.uint32(2) + np.uint32(1)
        return tuple(
            len(keys) - np.searchsorted(keys, last, "right") for keys in (self._lesion_keys, self.keys)
        )

    def dice(self, thresholds: ArrayLike) -> NDArray[np.float64]:
        """Dice coefficient over all voxels at each threshold >= 0."""
        hits, predicted = self.above(thresholds)
        return 2 * hits / (predicted + self._some_lesion())

    @cached_property
    def _levels(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Distinct scores of lesion voxels above 0 as keys, ascending; how many lesion voxels have each;
        and how many lesion voxels, and voxels, have at least each."""
        levels, counts = np.unique(self._lesion_keys, return_counts=True)
        hits = counts[::-1].cumsum()[::-1]
        return levels, counts, hits, len(self.keys) - np.searchsorted(self.keys, levels - np.uint32(1))

    def average_precision(self) -> float:
        """Area under the precision-recall curve: sum over thresholds of precision times rise in recall.

        As scikit-learn's average_precision_score, without interpolation; ties are one threshold.
        """
        total = self._some_lesion()
        _, counts, hits, predicted = self._levels
        area = (counts * (hits / predicted)).sum() + self.lesion_at_zero * (total / self.voxels)
        return float(area / total)

    def _some_lesion(self) -> int:
        if not self.lesion_voxels:
            raise ValueError(
                f"expected lesion voxels among the {self.voxels}, found none: "
                "precision and Dice are undefined; use a set with lesions"
            )
        return self.lesion_voxels


def best_dice(patients: Sequence[Ranking]) -> tuple[float, float]:
    """Threshold >= 0 with the highest mean Dice over patients, the highest of several, and this mean.

    Each patient needs lesions; of one ranking it is the best Dice over all its voxels. On the voxels that
    are then evaluated this is an oracle: name it so. It is the largest float32 below the score of a lesion
    voxel, since every score above it counts as lesion, and only there can a Dice rise. Where no lesion
    voxel scores above 0, it is the highest score, and nothing is called one.
    """
    for patient in patients:
        patient._some_lesion()
    scores = np.unique(np.concatenate([_scores(patient._lesion_keys) for patient in patients]))
    if not len(scores):
        return max(float(_scores(patient.keys[-1:]).max(initial=0)) for patient in patients), 0.0
    thresholds = np.nextafter(scores, np.float32(0))
    dice = sum(patient.dice(thresholds) for patient in patients) / len(patients)
    best = len(dice) - 1 - int(dice[::-1].argmax())
    return float(thresholds[best]), float(dice[best])


def _scores(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    return (keys >> np.uint32(1)).view(np.float32)
