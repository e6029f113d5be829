"""Distances between the surfaces of two masks, in the unit of their spacing.

The surface of a mask are its pixels with a side that is not in it, at the border of the image too. Distances
are from each surface pixel of one mask to the nearest one of the other, in both directions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PERCENTILE = 95


def distances(one: NDArray, other: NDArray, spacing: Sequence[float]) -> tuple[NDArray, NDArray]:
    """Of two masks (H, W) or (S, H, W), neither empty: those of the surface of each to the other's.

    spacing: size of a pixel along each axis. ValueError for an empty mask, which has no surface.

    >>> one, other = np.zeros((5, 5)), np.zeros((5, 5))
    >>> one[2, 1], other[2, 4] = 1, 1
    >>> distances(one, other, spacing=(1.0, 2.0))
    (array([6.]), array([6.]))
    """
    masks = [np.asarray(mask, dtype=bool) for mask in (one, other)]
    if not all(mask.any() for mask in masks):
        raise ValueError("expected two masks with a pixel each, found an empty one: it has no surface")
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in masks]
    fields = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    return fields[1][surfaces[0]], fields[0][surfaces[1]]


def hausdorff_95(one: NDArray, other: NDArray) -> float:
    """The larger of the 95th percentiles of both directions of `distances` (HD95)."""
    return float(max(np.percentile(one, PERCENTILE), np.percentile(other, PERCENTILE)))


def average(one: NDArray, other: NDArray) -> float:
    """The mean of the distances of both directions together (average symmetric surface distance)."""
    return float(np.concatenate([one, other]).mean())
