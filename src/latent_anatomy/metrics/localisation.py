"""Is what is marked by boxes found? RA's Tables 1 and 2, of maps (N, H, W) float32 that are not negative.

A box is found if more than a tenth of its pixels score at least the threshold (and not 0). Its false
positives are a ratio of masses, not a count of boxes: what scores that much on tissue outside of all boxes of
the image, over what does in this box, rounded down. So one box is one unit, with

    F1 = 2 / (2 + false positives) if it is found, else 0

As released, the mass in the box counts as at least 1, so that maps of small values have few false positives;
the scale-free kind does not. For wrists the release counts at most 10.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVE_RATE = 0.05
PART = 0.1  # of a box, of which more must be found
GRID = np.arange(1000) / 1000  # the thresholds that the release tries


class Boxes(NamedTuple):
    """Of each box (B,): whether it is found, and its false positives, as released and free of scale."""

    found: NDArray[np.bool_]
    false_positives: NDArray[np.float64]
    scale_free: NDArray[np.float64]

    def f1(self, scale_free: bool = False, most: float = np.inf) -> NDArray[np.float64]:
        """F1 of each box, with at most so many false positives: (B,)."""
        counted = np.minimum(self.scale_free if scale_free else self.false_positives, most)
        return np.where(self.found, 2 / (2 + counted), 0.0)


def threshold(maps: NDArray[np.float32], rate: float = FALSE_POSITIVE_RATE) -> float:
    """The smallest value of healthy maps above which at most the part `rate` of all their pixels lies."""
    values = np.sort(_some(maps).ravel())
    return float(values[max(int(np.ceil((1 - rate) * len(values) - 1e-9)) - 1, 0)])


def threshold_on_grid(maps: NDArray[np.float32], rate: float = FALSE_POSITIVE_RATE) -> float | None:
    """The same among 0, 0.001, ..., 0.999, as released; None if more than that lies above all of them."""
    values = np.sort(_some(maps).ravel()).astype(np.float64)
    above = len(values) - np.searchsorted(values, GRID, side="right")
    few = np.flatnonzero(above / len(values) <= rate)
    return float(GRID[few[0]]) if len(few) else None


def score(
    maps: NDArray[np.float32], boxes: NDArray[np.integer], tissue: NDArray[np.bool_], level: float
) -> Boxes:
    """Score boxes (B, 6), as of `Slices`, on maps and tissue (N, H, W) at a threshold."""
    found, false_positives, scale_free = (np.zeros(len(boxes), kind) for kind in (bool, float, float))
    for row in np.unique(boxes[:, 0]):
        own = np.flatnonzero(boxes[:, 0] == row)
        kept = np.where(maps[row] >= level, maps[row], 0).astype(np.float64)
        elsewhere = tissue[row].copy()
        for box in own:
            elsewhere[_place(boxes[box])] = False
        outside = kept[elsewhere].sum()
        for box in own:
            inside = kept[_place(boxes[box])]
            found[box] = np.count_nonzero(inside) > PART * inside.size
            false_positives[box] = np.floor(outside / max(inside.sum(), 1))
            scale_free[box] = np.floor(outside / inside.sum()) if inside.any() else np.inf
    return Boxes(found, false_positives, scale_free)


def _place(box: NDArray[np.integer]) -> tuple[slice, slice]:
    _, left, top, wide, high, _ = box
    return slice(top, top + high), slice(left, left + wide)


def _some(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    if not maps.size:
        raise ValueError("expected maps of healthy images, found none: a threshold needs some")
    return maps
