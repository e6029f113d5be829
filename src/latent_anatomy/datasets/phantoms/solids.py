"""Ellipsoids and tubes: which points of space are inside."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ellipsoid(points: Array, centre: tuple, half_axes: tuple) -> Array:
    """About the depth (N,) in mm of `points` (D, N) below the surface of an ellipsoid; negative outside."""
    squares = [((p - c) / r) ** 2 for p, c, r in zip(points, centre, half_axes, strict=True)]
    return (1 - np.sqrt(sum(squares))) * min(half_axes)


def tube(points: Array, path: Array, radius: float) -> Array:
    """Depth (N,) of `points` (3, N) below the surface of a tube along the corners `path` (P, 3)."""
    nearest = np.full(points.shape[1], np.inf)
    for start, end in pairwise(path):
        along = end - start
        share = np.clip(along @ (points - start[:, None]) / (along @ along), 0, 1)
        nearest = np.minimum(nearest, ((points - start[:, None] - along[:, None] * share) ** 2).sum(axis=0))
    return radius - np.sqrt(nearest)
