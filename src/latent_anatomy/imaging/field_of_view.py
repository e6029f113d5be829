"""Where an image shows something, in atlas space: zeros beyond its field of view are no healthy brain.

Resampling fills with 0 what a scan does not reach. So the field of view goes along with the images as a
mask: the brain mask is cut to it, and its coverage, the part of the atlas' brain that it shows, decides of a
head in the gate and of each slice in the slab. The atlas' brain and not the subject's, because whoever's scan
ends in mid-brain has no brain mask to be trusted there.

Some scanners and exports fill up a grid with planes of 0; those at its ends do not count.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.imaging.transform import Transform
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.provenance import csv_table

COLUMNS = ("slice", "z_mm", "brain_ml", "covered_percent")


def limits(image: Volume, padded: bool = True) -> list[tuple[int, int]]:
    """First and last index along each axis; with `padded`, without planes of 0 at the ends."""
    ends = []
    for axis, length in enumerate(image.values.shape):
        across = tuple({0, 1, 2} - {axis})
        shown = np.flatnonzero(image.values.any(axis=across)) if padded else range(length)
        ends.append((int(shown[0]), int(shown[-1])) if len(shown) else (0, -1))
    return ends


def seen(image: Volume, like: Volume, transform: Transform, padded: bool = True) -> Volume:
    """Mask on the grid of `like`: where `image` shows something; `transform` as in `transform.resample`."""
    voxels = np.linalg.inv(image.affine) @ transform.matrix @ like.affine
    indices = np.ogrid[tuple(slice(length) for length in like.values.shape)]
    inside = np.ones(like.values.shape, bool)
    for row, (first, last) in zip(voxels, limits(image, padded), strict=False):
        place = row[3] + sum(step * index for step, index in zip(row, indices, strict=False))
        inside &= (place >= first) & (place <= last)
    return Volume(inside.astype(np.float32), like.affine)


def coverage(field: Volume, brain: Volume) -> float:
    """Per cent of a brain that lies in the field of view."""
    inside = brain.values > 0.5
    return float(100 * (field.values[inside] > 0.5).mean())


def by_slice(field: Volume, brain: Volume) -> NDArray[np.float64]:
    """(Z,) `coverage` of each axial plane; NaN where it has no brain."""
    inside = brain.values > 0.5
    brain_area = inside.sum(axis=(0, 1))
    covered = (inside & (field.values > 0.5)).sum(axis=(0, 1))
    return np.where(brain_area > 0, 100 * covered / np.maximum(brain_area, 1), np.nan)


def write(path: Path, field: Volume, brain: Volume) -> None:
    """The table of all axial planes with brain, from bottom to top, as CSV."""
    volumes = (brain.values > 0.5).sum(axis=(0, 1)) * brain.spacing_mm.prod() / 1000
    heights = brain.affine[2, 3] + brain.affine[2, 2] * np.arange(len(volumes))
    shares = by_slice(field, brain)
    rows = [[int(z), float(heights[z]), float(volumes[z]), float(shares[z])] for z in np.flatnonzero(volumes)]
    csv_table.write(path, COLUMNS, rows)
