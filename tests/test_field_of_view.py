"""What an image does not show is known in atlas space: by the grid, by planes of 0, and slice by slice."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from latent_anatomy.imaging import field_of_view
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume

SHAPE, MM = (18, 22, 16), 5.0
AFFINE = np.diag([MM, MM, MM, 1.0])
AFFINE[:3, 3] = (-45.0, -55.0, -40.0)
AXES = np.meshgrid(*[np.linspace(-1, 1, length) for length in SHAPE], indexing="ij")
BRAIN = Volume(np.float32(sum(axis**2 for axis in AXES) < 0.7), AFFINE)


def image(shape=SHAPE, affine=AFFINE) -> Volume:
    """Nowhere 0."""
    return Volume(np.random.default_rng(0).uniform(50, 900, shape).astype(np.float32), affine)


def cut(top: int) -> Volume:
    """An image whose planes from `top` on were not scanned."""
    return Volume(np.ascontiguousarray(image().values[..., :top]), AFFINE)


def padded(top: int) -> Volume:
    values = image().values.copy()
    values[..., top:] = 0
    return Volume(values, AFFINE)


def covered(scan: Volume, **words) -> Volume:
    return field_of_view.seen(scan, BRAIN, Transform.identity(), **words)


@settings(max_examples=40, deadline=None)
@given(
    degrees=st.tuples(*[st.floats(-30, 30)] * 3),
    shift=st.tuples(*[st.floats(-40, 40)] * 3),
    scale=st.floats(0.7, 1.3),
    shape=st.tuples(*[st.integers(8, 20)] * 3),
)
def test_it_is_where_resampling_finds_something(degrees, shift, scale, shape):
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    scan = image(shape)
    found = field_of_view.seen(scan, BRAIN, Transform(matrix)).values > 0
    there = resample(scan, BRAIN, Transform(matrix), "linear").values > 0
    # On the very border both round as they like.
    assert (found != there).mean() < 0.01


@pytest.mark.parametrize("top", [5, 8, 12, 16])
@pytest.mark.parametrize("scan", [cut, padded])
def test_a_scan_that_ends_in_mid_brain_shows_so_many_slices(top, scan):
    field = covered(scan(top))
    assert field.values[..., :top].all() and not field.values[..., top:].any()
    shares = field_of_view.by_slice(field, BRAIN)
    brain = (BRAIN.values > 0).any(axis=(0, 1))
    assert np.array_equal(np.isnan(shares), ~brain)
    assert (shares[:top][brain[:top]] == 100).all() and (shares[top:][brain[top:]] == 0).all()
    inside = BRAIN.values > 0
    expected = 100 * inside[..., :top].sum() / inside.sum()
    assert field_of_view.coverage(field, BRAIN) == pytest.approx(expected)


def test_a_slice_that_is_seen_by_half_is_covered_by_half():
    values = image().values.copy()
    values[: SHAPE[0] // 2] = 0
    shares = field_of_view.by_slice(covered(Volume(values, AFFINE)), BRAIN)
    assert np.allclose(shares[~np.isnan(shares)], 50)


def test_the_air_around_a_brain_alone_is_not_missing():
    alone = Volume(image().values * (sum(axis**2 for axis in AXES) < 0.3), AFFINE)
    assert covered(alone, padded=False).values.all()
    assert field_of_view.coverage(covered(alone), BRAIN) < 100


def test_planes_of_0_within_a_head_and_dark_voxels_are_seen():
    values = image().values.copy()
    values[..., 7], values[3:5, 4:9] = 0, 0
    assert covered(Volume(values, AFFINE)).values.all()


def test_an_image_of_nothing_shows_nothing():
    empty = replace(image(), values=np.zeros(SHAPE, np.float32))
    assert not covered(empty).values.any()


def test_the_table_has_a_row_for_each_slice_with_brain(tmp_path):
    field_of_view.write(tmp_path / "coverage.csv", covered(cut(8)), BRAIN)
    with (tmp_path / "coverage.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    slices = np.flatnonzero((BRAIN.values > 0).any(axis=(0, 1)))
    assert [int(row["slice"]) for row in rows] == slices.tolist()
    assert [float(row["z_mm"]) for row in rows] == (AFFINE[2, 3] + MM * slices).tolist()
    assert {float(row["covered_percent"]) for row in rows if int(row["slice"]) >= 8} == {0}
    total = sum(float(row["brain_ml"]) for row in rows)
    assert total == pytest.approx(BRAIN.values.sum() * MM**3 / 1000, rel=1e-6)
