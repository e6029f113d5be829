"""From slices back to the atlas and to a patient's own grid, on grids whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from latent_anatomy.imaging import slab
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.prediction.space import Grid, Slab

SHAPE = (18, 22, 16)
ATLAS = Grid(SHAPE, np.diag([4.0, 4, 4, 1]))
ASKEW = np.eye(4)
ASKEW[:3, :3] = Rotation.from_euler("xyz", (9, -5, 12), degrees=True).as_matrix()
ASKEW[:3, 3] = (3, -5, 4)


def cut(values: np.ndarray, levels: np.ndarray, size: int) -> np.ndarray:
    return slab.slab(Volume(values, ATLAS.affine), levels, slab.Params(size=size))


@pytest.mark.parametrize("size", [32, 23, 22, 21, 20])
def test_slices_are_put_back_where_they_were_cut(size):
    values = np.zeros(SHAPE, np.float32)
    values[2:-2, 3:-3] = np.random.default_rng(0).uniform(1, 2, (14, 16, 16))
    levels = np.array([4, 5, 6, 7])
    back = Slab(ATLAS, levels, np.arange(4)).filled(cut(values, levels, size))
    known = np.isfinite(back)
    assert back.shape == (18, 22, 4)
    assert known.all() == (size >= 22)
    assert np.array_equal(back[known], values[:, :, 4:8][known])
    assert not values[:, :, 4:8][~known].any()


def test_a_map_lies_in_the_world_where_its_voxels_do():
    """Each voxel's value is its own height above the atlas' floor, so that every place tells what it is."""
    levels = np.arange(4, 12)
    heights = np.broadcast_to(np.arange(16, dtype=np.float32) * 4 + 1, SHAPE).copy()
    grid = Grid((20, 20, 20), np.linalg.inv(ASKEW) @ np.diag([3.0, 3, 3, 1]))
    own = Slab(ATLAS, levels, np.arange(8)).on(grid, Transform(ASKEW), cut(heights, levels, 22), "linear")
    points = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    there = Transform(ASKEW).points(points)
    expected = there[..., 2]
    inside = ((there[..., :2] >= 0) & (there[..., :2] <= (68, 84))).all(-1)
    inside &= (expected >= 16) & (expected <= 44)
    assert inside.sum() > 500
    assert np.allclose(own[inside], expected[inside] + 1, atol=1e-3)


@pytest.mark.parametrize("how", ["linear", "nearest"])
def test_what_was_not_modelled_is_nan_and_no_more_than_that(how):
    """A level that is left out, and all that is half a voxel beyond the outermost levels."""
    levels, kept = np.array([4, 6, 8, 10]), np.array([0, 1, 3])
    planes = np.ones((3, 24, 24), np.float32)
    fine = Grid((18, 22, 64), np.diag([4.0, 4, 1, 1]))
    own = Slab(ATLAS, levels, kept).on(fine, Transform.identity(), planes, how)
    known = np.isfinite(own)
    z = np.arange(64) / 4
    expected = ((z > 3) & (z < 7)) | ((z > 9) & (z < 11))
    edge = np.isin(z, (3, 7, 9, 11))
    assert (known[:, :, expected & ~edge]).all() and not known[:, :, ~expected & ~edge].any()
    assert np.allclose(own[known], 1)


def test_there_and_back_again_is_what_resampling_alone_does():
    values = np.random.default_rng(1).uniform(0, 1, SHAPE).astype(np.float32)
    grid = Grid((20, 24, 20), np.linalg.inv(ASKEW) @ np.diag([4.0, 4, 4, 1]))
    whole = Slab(ATLAS, np.arange(16), np.arange(16))
    own = whole.on(grid, Transform(ASKEW), cut(values, np.arange(16), 22), "linear")
    like = Volume(np.zeros(grid.shape, np.float32), grid.affine)
    there = resample(Volume(values, ATLAS.affine), like, Transform(ASKEW), "linear").values
    inside = np.isfinite(own) & (there > 0)
    assert inside.sum() > 1000
    assert np.allclose(own[inside], there[inside], atol=1e-5)
