"""Axial slices of volumes in atlas space, at the same positions for every subject.

Baur et al. 2018 (section 3.1) take "20 consecutive axial slices around the midline" at 256 x 256; they do not
say what the midline of an axial stack is. Here the slices are where lesions of multiple sclerosis lie: in
the consensus masks of 29 patients of MSLUB in MNI space, the 20 mm from 12 to 31 mm hold 45 % of all lesion
voxels and 43 % of a patient's on average, those around the middle of the atlas brain (-4 to 15 mm) 30 % and
39 %; no 20 mm hold clearly more of both. A level taken from each subject's own brain would move with how
much of the cerebellum its mask holds.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging.volume import Volume

TILT = 1e-3  # of the atlas, as the cosine between its rows and the world's vertical


class Params(BaseModel):
    """Which slices, and the square that they are padded to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: PositiveInt = 20
    step: PositiveInt = 1  # voxels of the atlas grid between slices
    centre_mm: float | None = 21.5  # height in the atlas world; None: the middle of the atlas brain
    coverage_percent: float = Field(
        90, ge=0, le=100
    )  # a slice that shows less of the atlas brain is left out
    size: PositiveInt = 256  # pixels; 197 x 233 at 1 mm fits in 256, 99 x 117 at 2 mm in 128


def positions(atlas_brain: Volume, params: Params) -> NDArray[np.int64]:
    """(count,) voxel indices along z, from bottom to top, each with some brain of the atlas.

    Raises ValueError for an empty or tilted atlas and for slices beyond its brain.
    """
    affine = atlas_brain.affine
    levels = np.flatnonzero((atlas_brain.values > 0.5).any(axis=(0, 1)))
    if len(levels) == 0:
        raise defect("atlas brain", "a mask with a brain", "an empty one", "look at the atlas")
    if np.abs(affine[2, :2] / atlas_brain.spacing_mm[:2]).max() > TILT:
        raise defect("atlas brain", "axial planes along its grid", affine.tolist(), "choose an upright atlas")
    middle = (levels[0] + levels[-1]) / 2
    if params.centre_mm is not None:
        middle = (params.centre_mm - affine[2, 3]) / affine[2, 2]
    lowest = int(np.floor(middle - params.step * (params.count - 1) / 2 + 0.5))
    chosen = lowest + params.step * np.arange(params.count)
    if not np.isin(chosen, levels).all():
        expected = f"slices between {levels[0]} and {levels[-1]}, where the atlas has brain"
        found = f"{chosen[0]} to {chosen[-1]}"
        raise defect("slab", expected, found, "lower `count` or `step`, or change `centre_mm`")
    return chosen


def slab(volume: Volume, positions: NDArray[np.int64], params: Params) -> NDArray[np.float32]:
    """(count, size, size) slices as radiologists view them, in the middle of a square of zeros.

    Rows run from anterior to posterior and columns from the patient's right to the left, so that the left
    side is on the right of the picture. A grid wider than `size` is cropped where it holds only zeros; where
    it does not, ValueError is raised.
    """
    planes = volume.values[::-1, ::-1, positions].transpose(2, 1, 0)
    missing = [max(params.size - length, 0) for length in planes.shape[1:]]
    padded = np.pad(planes, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
    top, left = ((length - params.size) // 2 for length in padded.shape[1:])
    square = padded[:, top : top + params.size, left : left + params.size]
    if np.count_nonzero(square) != np.count_nonzero(planes):
        expected = f"an image that fits into {params.size} x {params.size}"
        found = f"one of {planes.shape[1]} x {planes.shape[2]} that is not 0 at its border"
        raise defect("slab", expected, found, "raise `size`")
    return np.ascontiguousarray(square)
