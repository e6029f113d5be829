"""From the planes of a slab back to a volume of the atlas, and from there onto the patient's own grid.

The way back of `imaging.slab.slab` and of `imaging.transform.resample`: with the transform that registration
found, inverted, each map is interpolated once. What was not modelled is NaN, in every space: planes above and
below the slab, planes that the images do not show, and what lies beside the square.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from latent_anatomy.imaging.transform import Transform


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels lie: their number along each axis, and (4, 4) float64 from indices to mm, RAS+.

    Other than in a `Volume` the axes may run anywhere, as they do in the file that somebody brings.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) distance in millimetres between neighbours along each axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)


@dataclass(frozen=True, eq=False)
class Slab:
    """Where the slices of a stack lie in the atlas.

    atlas   its grid; levels (L,) int64, evenly spaced planes of it that a model may see, from the bottom
    kept    (S,) which of the levels the stack has
    """

    atlas: Grid
    levels: NDArray[np.int64]
    kept: NDArray[np.int64]

    @property
    def grid(self) -> Grid:
        """That of the levels alone, (X, Y, L)."""
        step = self.levels[1] - self.levels[0] if len(self.levels) > 1 else 1
        planes = np.diag([1.0, 1.0, step, 1.0])
        planes[2, 3] = self.levels[0]
        return Grid((*self.atlas.shape[:2], len(self.levels)), self.atlas.affine @ planes)

    def filled(self, planes: NDArray) -> NDArray[np.float32]:
        """Planes (S, H, W) of the stack as voxels (X, Y, L) of `grid`, NaN where it has none."""
        size, shape = planes.shape[1:], self.grid.shape
        canvas = [max(length, side) for length, side in zip(shape[1::-1], size, strict=True)]
        whole = np.full((len(self.levels), *canvas), np.nan, np.float32)
        top, left = ((length - side) // 2 for length, side in zip(canvas, size, strict=True))
        whole[self.kept, top : top + size[0], left : left + size[1]] = planes
        above, before = ((length - side) // 2 for length, side in zip(canvas, shape[1::-1], strict=True))
        whole = whole[:, above : above + shape[1], before : before + shape[0]]
        return np.ascontiguousarray(whole.transpose(2, 1, 0)[::-1, ::-1])

    def on(
        self, grid: Grid, to_atlas: Transform, planes: NDArray, interpolation: Literal["linear", "nearest"]
    ) -> NDArray[np.float32]:
        """Planes (S, H, W) on another grid, NaN where they say nothing; `to_atlas` leads from its world.

        A voxel is modelled where the nearest voxel of the slab is; what is linear between a voxel that is and
        one that is not has the value of the first.
        """
        own = self.filled(planes)
        known = np.isfinite(own)
        voxels = np.linalg.inv(self.grid.affine) @ to_atlas.matrix @ grid.affine

        def carried(values: NDArray, order: int) -> NDArray[np.float32]:
            return ndimage.affine_transform(
                np.where(known, values, 0).astype(np.float32),
                voxels[:3, :3],
                voxels[:3, 3],
                output_shape=grid.shape,
                order=order,
                mode="grid-constant",
            )

        modelled = carried(known, 0) > 0.5
        if interpolation == "nearest":
            return np.where(modelled, carried(own, 0), np.float32(np.nan))
        weight = carried(known, 1)
        return np.where(modelled, carried(own, 1) / np.where(weight > 0, weight, 1), np.float32(np.nan))
