"""Bias correction, normalisation and slices: each against what is known of a drawn head."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from latent_anatomy.imaging import bias, itk, normalisation, slab
from latent_anatomy.imaging.volume import FEWEST_VOXELS, Volume

GRID = (36, 44, 36)  # at 5 mm, the field of view of a head


def grid(shape=GRID, spacing=(5.0, 5.0, 5.0)) -> np.ndarray:
    """Affine of an upright grid whose middle is the world's origin."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -np.array(spacing) * (np.array(shape) - 1) / 2
    return affine


def coordinates(shape=GRID) -> np.ndarray:
    """(3, X, Y, Z), from -1 to 1 along each axis."""
    return np.stack(np.meshgrid(*[np.linspace(-1, 1, length) for length in shape], indexing="ij"))


def tissue(shape=GRID) -> np.ndarray:
    """An ellipsoid of two tissues in folds, and air."""
    folds = np.random.default_rng(3).normal(size=shape)
    folds = gaussian_filter(folds, 0.05 * np.array(shape))
    inside = (coordinates(shape) ** 2).sum(axis=0) < 0.7
    return np.where(inside, np.where(folds > 0, 900, 600), 0).astype(np.float32)


def field(shape=GRID) -> np.ndarray:
    """Logarithm of a smooth field, 0 on average within the head."""
    x, y, z = coordinates(shape)
    logarithm = 0.4 * x * y + 0.3 * z - 0.3 * y**2 + 0.1 * x
    return logarithm - logarithm[tissue(shape) > 0].mean()


def scan(shape=GRID, spacing=(5.0, 5.0, 5.0)) -> Volume:
    """The tissue under the field, with noise."""
    noise = np.random.default_rng(4).normal(0, 15, shape)
    values = np.abs(tissue(shape) * np.exp(field(shape)) + noise).astype(np.float32)
    return Volume(values, grid(shape, spacing))


def brain(shape=GRID) -> Volume:
    return Volume((tissue(shape) > 0).astype(np.float32), grid(shape))


# --- volumes in ITK


def test_a_volume_lies_at_the_same_place_in_itk():
    affine = grid()
    affine[:3, :3] = Rotation.from_euler("xyz", (7, -11, 23), degrees=True).as_matrix() @ affine[:3, :3]
    volume = Volume(tissue() + np.arange(GRID[2], dtype=np.float32), affine)
    image = itk.image(volume)
    for index in ((0, 0, 0), (35, 0, 3), (5, 43, 17), (12, 20, 35)):
        point = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        assert np.allclose(point, affine[:3, :3] @ index + affine[:3, 3])
        assert image[index] == volume.values[index]
    assert np.array_equal(itk.values(image), volume.values)


# --- bias


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((24, 30, 24), (7.0, 7.0, 7.0)), ((50, 56, 10), (3.4, 3.8, 17.0)), ((56, 28, 10), (3.0, 7.5, 17.0))],
    ids=["isotropic", "thick axial slices", "three spacings"],
)
def test_most_of_a_known_field_is_found(shape, spacing):
    image = scan(shape, spacing)
    corrected, numbers = bias.correct(image, bias.Params())
    head = tissue(shape) > 0
    left = field(shape)[head] - np.log(image.values[head] / corrected.values[head])
    assert left.std() < 0.4 * field(shape)[head].std()
    assert numbers["head_cv_after"] < numbers["head_cv_before"]
    assert numbers["field_cv"] == pytest.approx(field(shape)[head].std(), rel=0.35)
    assert numbers["head_ml"] == pytest.approx(head.sum() * np.prod(spacing) / 1000, rel=0.05)
    assert np.array_equal(corrected.affine, image.affine)


def test_the_same_bytes_twice_whatever_the_number_of_threads_was():
    found = []
    for threads in (1, 4):
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        corrected, numbers = bias.correct(scan(), bias.Params(iterations=(3, 3)))
        normalised, more = normalisation.normalise(corrected, brain(), normalisation.Params())
        found.append((corrected.values.tobytes(), normalised.values.tobytes(), numbers, more))
    assert found[0] == found[1]


def test_an_image_without_a_field_hardly_changes():
    flat = Volume(tissue(), grid())
    corrected, numbers = bias.correct(flat, bias.Params())
    head = flat.values > 0
    ratio = corrected.values[head] / flat.values[head]
    assert ratio.std() / ratio.mean() < 0.02 and numbers["field_cv"] < 0.02


def test_an_image_without_a_head_is_refused():
    with pytest.raises(ValueError, match="head"):
        bias.correct(Volume(-tissue() - 1, grid()), bias.Params())


@given(
    shape=st.tuples(*[st.integers(8, 400)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 9)] * 3),
    grid_mm=st.floats(1, 12),
)
@settings(max_examples=50, deadline=None)
def test_no_axis_is_shrunk_beyond_the_grid_or_to_a_few_voxels(shape, spacing, grid_mm):
    volume = Volume(np.broadcast_to(np.float32(0), shape), np.diag([*spacing, 1.0]))
    for factor, length, distance in zip(bias.shrink_factors(volume, grid_mm), shape, spacing, strict=True):
        assert factor == 1 or (
            length // factor >= FEWEST_VOXELS and factor * distance <= grid_mm * (1 + 1e-9)
        )
        # and the next larger factor would not do
        assert length // (factor + 1) < FEWEST_VOXELS or (factor + 1) * distance > grid_mm * (1 - 1e-9)


# --- normalisation


@pytest.mark.parametrize("whole", [True, False])
def test_without_denoising_it_is_clipping_and_scaling(whole):
    params = normalisation.Params(
        iterations=0, scaled_by="percentiles", percentiles_of="volume" if whole else "brain"
    )
    found, numbers = normalisation.normalise(scan(), brain(), params)
    masked = scan().values * brain().values
    upper = np.percentile(masked if whole else masked[masked > 0], 99.8)
    assert np.allclose(found.values, np.minimum(masked, upper) / upper, atol=1e-6)
    assert numbers["scale"] == pytest.approx(upper)
    above = (masked > upper).sum() / brain().values.sum()
    assert numbers["clipped_percent"] == pytest.approx(100 * above, abs=1e-6)
    assert numbers["brain_ml"] == pytest.approx(brain().values.sum() * 0.125)


def test_the_tissue_of_any_scan_lies_at_one_level():
    """A field of view with more or less air, and bright voxels, move nothing."""
    params = normalisation.Params(iterations=0)
    found, numbers = normalisation.normalise(scan(), brain(), params)
    inside = brain().values > 0
    assert np.median(found.values[inside]) == pytest.approx(0.4, abs=1e-6)
    assert numbers["scale"] == pytest.approx(2.5 * np.median(scan().values[inside]))
    spotted = scan().values.copy()
    spotted[18, 20:22, 18] = 1e5
    other, _ = normalisation.normalise(Volume(spotted, grid()), brain(), params)
    assert other.values.max() == 1
    assert np.allclose(other.values[spotted < 1e5], found.values[spotted < 1e5], atol=1e-3)


def test_denoising_flattens_noise_and_keeps_what_is_already_flat():
    fine = grid(spacing=(1.0, 1.0, 1.0))  # the defaults are for 1 mm
    steps = np.where(coordinates()[0] > 0, 900, 600).astype(np.float32)
    everywhere = Volume(np.ones(GRID, np.float32), fine)
    noise = np.random.default_rng(5).normal(0, 20, GRID).astype(np.float32)
    spread = {}
    for iterations in (0, 3):
        params = normalisation.Params(iterations=iterations)
        noisy, numbers = normalisation.normalise(Volume(steps + noise, fine), everywhere, params)
        spread[iterations] = (noisy.values * numbers["scale"] - steps)[5:-5].std()
        clean, _ = normalisation.normalise(Volume(steps, fine), everywhere, params)
        scale = 2.5 * np.median(steps)
        assert np.allclose(clean.values, steps / scale, atol=1e-6)  # a plane has no curvature
    assert spread[3] < 0.7 * spread[0]


@settings(max_examples=15, deadline=None)
@given(
    factor=st.floats(1e-3, 1e3),
    lower=st.floats(0, 40),
    upper=st.floats(95, 100),
    percentiles_of=st.sampled_from(["volume", "brain"]),
    scaled_by=st.sampled_from(["tissue", "percentiles"]),
)
def test_the_result_is_in_the_unit_interval_0_outside_and_blind_to_the_unit(
    factor, lower, upper, percentiles_of, scaled_by
):
    params = normalisation.Params(
        lower_percentile=lower,
        upper_percentile=upper,
        percentiles_of=percentiles_of,
        scaled_by=scaled_by,
        iterations=1,
    )
    first, _ = normalisation.normalise(scan(), brain(), params)
    scaled = Volume(scan().values * np.float32(factor), grid())
    second, _ = normalisation.normalise(scaled, brain(), params)
    for found in (first, second):
        assert found.values.dtype == np.float32
        assert found.values.min() == 0 and found.values.max() <= 1
        assert scaled_by == "tissue" or found.values.max() == 1
        assert not found.values[brain().values == 0].any()
    assert np.allclose(first.values, second.values, atol=1e-4)


def test_what_cannot_be_normalised_is_refused():
    empty = Volume(np.zeros(GRID, np.float32), grid())
    moved = Volume(brain().values, grid() + np.eye(4)[3] * [[1], [0], [0], [0]])
    one_voxel = empty.values.copy()
    one_voxel[18, 20:22, 18] = 1
    constant = Volume(brain().values * 7, grid())
    standardised = Volume((scan().values - 700) / 100, grid())
    for image, mask, reason in (
        (scan(), empty, "empty"),
        (scan(), moved, "grid"),
        (scan(), Volume(brain().values[:-1], grid()), "grid"),
        (constant, brain(), "constant 7"),
        (standardised, brain(), "negative"),
        (scan(), Volume(one_voxel, grid()), "percentiles of the brain"),
    ):
        with pytest.raises(ValueError, match=reason):
            normalisation.normalise(image, mask, normalisation.Params(scaled_by="percentiles"))
    few = np.arange(GRID[0])[:, None, None] < GRID[0] // 3
    dark = Volume(np.where(few, scan().values, 0).astype(np.float32), grid())
    with pytest.raises(ValueError, match="a median intensity above 0"):
        normalisation.normalise(dark, brain(), normalisation.Params())


# --- slab


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(1, 20),
    step=st.integers(1, 3),
    lowest=st.integers(0, 20),
    height=st.integers(8, 60),
    spacing=st.sampled_from([1.0, 2.0]),
    shift=st.one_of(st.none(), st.integers(-30, 30)),
)
def test_positions_are_even_and_around_the_centre_or_refused(count, step, lowest, height, spacing, shift):
    values = np.zeros((8, 8, 100), np.float32)
    values[3, 4, lowest : lowest + height] = 1
    atlas = Volume(values, grid((8, 8, 100), (spacing,) * 3))
    middle = (lowest + lowest + height - 1) / 2 + (shift or 0)
    centre_mm = None if shift is None else spacing * middle + atlas.affine[2, 3]
    params = slab.Params(count=count, step=step, centre_mm=centre_mm)
    half = step * (count - 1) / 2
    try:
        found = slab.positions(atlas, params)
    except ValueError as refusal:
        assert "where the atlas has brain" in str(refusal)
        assert middle - half < lowest + 0.5 or middle + half > lowest + height - 1.5
        return
    assert found.shape == (count,) and (np.diff(found) == step).all()
    assert abs(found.mean() - middle) <= 0.5
    assert lowest <= found[0] and found[-1] < lowest + height


def test_an_atlas_without_brain_or_upright_planes_is_refused():
    empty = Volume(np.zeros(GRID, np.float32), grid())
    tilted = grid()
    tilted[:3, :3] = Rotation.from_euler("x", 10, degrees=True).as_matrix() @ tilted[:3, :3]
    for atlas, reason in ((empty, "empty"), (Volume(brain().values, tilted), "upright")):
        with pytest.raises(ValueError, match=reason):
            slab.positions(atlas, slab.Params(count=3))


def cut(values: np.ndarray, positions: list[int], size: int) -> np.ndarray:
    return slab.slab(
        Volume(values, grid(values.shape)), np.array(positions), slab.Params(count=len(positions), size=size)
    )


def test_the_front_is_up_and_the_right_side_left():
    values = np.zeros((9, 11, 8), np.float32)
    values[8, 10, 2] = 1  # right, anterior
    values[0, 10, 2] = 2  # left, anterior
    values[8, 0, 5] = 3  # right, posterior
    found = cut(values, [2, 5], 13)
    assert found.shape == (2, 13, 13) and found.dtype == np.float32
    assert found[0, 1, 2] == 1 and found[0, 1, 10] == 2 and found[1, 11, 2] == 3
    assert np.count_nonzero(found) == 3


@pytest.mark.parametrize(("shape", "size"), [((197, 233, 8), 256), ((99, 117, 8), 128), ((40, 40, 8), 40)])
def test_padding_is_central_and_loses_nothing(shape, size):
    values = np.random.default_rng(0).uniform(0.1, 1, shape).astype(np.float32)
    found = cut(values, [3], size)[0]
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    for filled in (rows, columns):
        assert abs(filled[0] - (size - 1 - filled[-1])) <= 1
    assert np.array_equal(
        found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], values[::-1, ::-1, 3].T
    )


def test_only_zeros_are_cropped():
    values = np.zeros((30, 41, 8), np.float32)
    values[6:24, 6:35, 4] = 1
    assert cut(values, [4], 32).sum() == values.sum()
    values[15, 0, 4] = 1
    with pytest.raises(ValueError, match=r"32 x 32.*raise `size`"):
        cut(values, [4], 32)


@pytest.mark.parametrize("params", [bias.Params, normalisation.Params, slab.Params])
def test_a_misspelt_parameter_is_refused(params):
    with pytest.raises(ValueError, match="iteratoins"):
        params(iteratoins=3)
