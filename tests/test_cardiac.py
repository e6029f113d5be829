"""Preprocessing of hearts: against scikit-image, explicit small cases, and properties for all sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import AffineTransform, warp

from latent_anatomy.data import cohorts, slices_file
from latent_anatomy.data.cohorts import Cohort
from latent_anatomy.imaging import cardiac


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


# ---- resampling


@pytest.mark.parametrize("mm", [(1.37, 1.37), (0.7, 0.9), (1.5625, 1.5625), (2.5, 1.1)])
def test_images_are_interpolated_as_by_scikit_image(mm):
    """skimage.transform.warp between the same pixel centres, its own interpolation: constant 0 outside."""
    volume = noise(2, 23, 31)
    found, pixel = cardiac.resampled(volume, mm, order=1)
    height, width = (int(np.round(size / 1.37 * length)) for size, length in zip(mm, (23, 31), strict=True))
    assert found.shape == (2, height, width) and found.dtype == np.float32
    assert np.allclose(np.multiply(pixel, (height, width)), np.multiply(mm, (23, 31)))  # the field of view
    x, y = 31 / width, 23 / height
    back = AffineTransform(scale=(x, y), translation=(x / 2 - 0.5, y / 2 - 0.5))
    for image, expected in zip(found, volume, strict=True):
        oracle = warp(expected, back, output_shape=(height, width), order=1, mode="constant", cval=0)
        assert np.abs(image - oracle).max() < 1e-5


def test_labels_are_those_of_the_nearest_pixel():
    labels = np.random.default_rng(1).integers(0, 4, (2, 17, 29)).astype(np.uint8)
    found, _ = cardiac.resampled(labels, (2.0, 0.9), order=0)
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(found.shape[1:], labels.shape[1:], strict=True)
    )
    assert found.dtype == np.uint8 and np.array_equal(found, labels[:, rows][:, :, columns])


def test_nothing_is_smoothed_before_and_the_rim_is_mixed_with_zero():
    picture = noise(1, 9, 9)
    third, _ = cardiac.resampled(picture, (1.37 / 3, 1.37 / 3), order=1)
    assert np.allclose(third, picture[:, 1::3, 1::3])  # the pixel in the middle of each nine, not their mean
    double, _ = cardiac.resampled(np.ones((1, 4, 4)), (2.74, 2.74), order=1)
    assert np.allclose(double[0, :2, :2], [[0.75**2, 0.75], [0.75, 1]])


def test_a_grid_of_the_right_size_is_left_as_it_is():
    volume = noise(3, 20, 24)
    found, pixel = cardiac.resampled(volume, (1.37, 1.37), order=1)
    assert np.array_equal(found, volume) and pixel == pytest.approx((1.37, 1.37))


# ---- intensities and labels


def test_a_volume_is_clipped_to_its_percentiles_and_scaled():
    volume = np.arange(101, dtype=np.int16).reshape(1, 1, 101)
    found = cardiac.unit_range(volume, "here")
    assert found.dtype == np.float32
    assert np.allclose(found[0, 0], np.clip((np.arange(101) - 5) / 90, 0, 1))
    assert np.allclose(cardiac.unit_range(volume, "here", (0, 100))[0, 0], np.arange(101) / 100)


@given(st.floats(0.01, 1e4), st.floats(-1e4, 1e4))
def test_brightness_and_contrast_of_a_scanner_make_no_difference(gain, offset):
    volume = np.random.default_rng(0).random((2, 8, 8))
    expected = cardiac.unit_range(volume, "here")
    found = cardiac.unit_range(gain * volume + offset, "here")
    assert np.allclose(found, expected, atol=1e-5)
    assert found.min() == 0 and found.max() == 1


@pytest.mark.parametrize("volume", [np.full((1, 4, 4), 3.0), np.full((1, 4, 4), np.nan)])
def test_an_image_without_contrast_is_refused(volume):
    with pytest.raises(ValueError, match="scan 7: expected an image with contrast"):
        cardiac.unit_range(volume, "scan 7")


def test_quantised_is_the_nearest_of_256_levels():
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    found = cardiac.quantised(values)
    assert found.dtype == np.uint8 and found[0] == 0 and found[-1] == 255
    assert np.abs(found / 255 - values).max() <= 0.5 / 255 + 1e-6


def test_planes_hold_their_values_and_no_other():
    labels = np.array([[[0, 0, 2], [420, 421, 0]]])
    found = cardiac.planes(labels, {"a": (2,), "b": (420, 421)}, "here")
    assert found.dtype == np.uint8
    assert found.tolist() == [[[[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0]]]]


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match=r"map 3: expected labels among 0, 2, 420, found 1, 7: check"):
        cardiac.planes(np.array([[[0, 1, 2, 7]]]), {"a": (2,), "b": (420,)}, "map 3")


# ---- crop and pad


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, [0, 1, 2, 3]),
        (3, [0, 1, 2, 2]),  # one to pad: at the end
        (2, [0, 0, 1, 1]),
        (1, [0, 0, 0, 0]),
        (5, [1, 2, 3, 3]),  # one to crop: from both ends, and the last is repeated
        (6, [1, 2, 3, 4]),
        (7, [2, 3, 4, 4]),
        (8, [2, 3, 4, 5]),
    ],
)
def test_crop_and_pad_as_in_the_code_of_sdnet(length, expected):
    line = np.arange(length)
    assert cardiac.square(np.tile(line, (4, 1)), 4)[0].tolist() == expected
    assert cardiac.square(np.tile(line[:, None], (1, 4)), 4)[:, 0].tolist() == expected


@given(st.integers(1, 60), st.integers(1, 60), st.integers(4, 40))
@settings(max_examples=50)
def test_a_square_is_centred_and_made_of_pixels_of_the_image(height, width, size):
    index = np.arange(height * width).reshape(1, height, width)
    found = cardiac.square(index, size)
    assert found.shape == (1, size, size)
    assert np.array_equal(cardiac.square(found, size), found)
    turned = cardiac.square(index.transpose(0, 2, 1), size).transpose(0, 2, 1)
    assert np.array_equal(turned, found)
    for axis, length in ((1, height), (2, width)):
        places = (found // width if axis == 1 else found % width).astype(int)
        steps = np.diff(places, axis=axis)
        assert set(np.unique(steps)) <= {0, 1}  # in order, nothing left out
        middle = np.take(places, size // 2, axis=axis)
        assert np.abs(middle - length / 2).max() <= 1


# ---- the table of slices


def test_stacks_become_slices_and_what_is_not_drawn_is_255(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    masks = (images[:, None] > 99).astype(np.uint8)
    stacks = [
        cardiac.Stack("b", "MR cine", images[:2], masks[:2], "ED", (1.0, 2.0, 3.0)),
        cardiac.Stack("b", "MR cine", images, None, "frame-02", (1.0, 2.0, 3.0)),
        cardiac.Stack("a", "MR cine", images, masks, "ED", (4.0, 5.0, 6.0)),
        cardiac.Stack("c", "MR cine", images[1:], masks[1:], "ED", (4.0, 5.0, 6.0)),
    ]
    made = cardiac.table(stacks, Cohort(("a",), ("b",), ("c",), ("a",)), "hearts", ("wall",))
    slices_file.write(tmp_path / "x.h5", made, {})
    read = slices_file.read(tmp_path / "x.h5")
    assert read.subject.tolist() == ["b"] * 5 + ["a"] * 3 + ["c"] * 2
    assert read.split.tolist() == ["val"] * 5 + ["train"] * 3 + ["test"] * 2
    assert read.slice.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0, 1]
    assert np.array_equal(read.images[:, 0], np.concatenate([images[:2], images, images, images[1:]]))
    assert (read.masks[2:5] == 255).all()
    assert np.array_equal(read.masks[[0, 1, 5, 6, 7]], masks[[0, 1, 0, 1, 2]])
    assert read.phase.tolist() == ["ED"] * 2 + ["frame-02"] * 3 + ["ED"] * 5
    assert read.spacing_mm[[0, -1]].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_unknown_phase_and_spacing_are_left_out():
    stack = cardiac.Stack("a", "CT", np.ones((1, 16, 16), np.uint8), None)
    others = [cardiac.Stack(name, "CT", stack.images, None, "ED", (1.0, 1.0, 1.0)) for name in "bc"]
    made = cardiac.table([stack, *others], Cohort(("a",), ("b",), ("c",), ("a",)), "hearts", ("wall",))
    assert made.phase is None and made.spacing_mm is None


def test_a_part_that_is_no_number_is_refused_where_it_must_be_one():
    with pytest.raises(ValueError, match="per cent of the training subjects, found 'mr-100'"):
        cohorts.draw(["a", "b"], "mr-100", 1)
