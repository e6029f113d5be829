"""Masks that somebody drew: on the grid of their image and of a possible meaning, or refused."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_anatomy.imaging import masks, volume

SHAPE, MM = (50, 60, 45), 3.5
AFFINE = np.diag([MM, MM, MM, 1.0])
AFFINE[:3, 3] = (-85.0, -110.0, -70.0)
AXES = np.meshgrid(*[np.linspace(-1, 1, length) for length in SHAPE], indexing="ij")
RADIUS = sum(axis**2 for axis in AXES)
BRAIN, LESION = RADIUS < 0.4, (RADIUS < 0.3) & (AXES[0] > 0.3)


def read(path, values, affine=AFFINE, kind="lesion"):
    image = path.with_name("flair.nii.gz")
    if not image.exists():
        nibabel.save(nibabel.Nifti1Image(np.float32(BRAIN), AFFINE), image)
    nibabel.save(nibabel.Nifti1Image(np.asarray(values), affine), path)
    return masks.read(path, kind, image)


def shifted(voxels, axis=2):
    affine = AFFINE.copy()
    affine[axis, 3] += voxels * MM
    return affine


ELSEWHERE = {
    "no affine": np.eye(4),
    "the spacing alone": np.diag([MM, MM, MM, 1]),
    "mirrored": np.diag([-1.0, 1, 1, 1]) @ AFFINE,
    "upside down": np.diag([1.0, 1, -1, 1]) @ AFFINE,
    "a slice off": shifted(1),
    "some slices off": shifted(-4),
    "a column off": shifted(1, 0),
    "other voxels": AFFINE @ np.diag([1.1, 1, 1, 1]),
}


@pytest.mark.parametrize("kind", ["lesion", "brain"])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_mask_that_lies_elsewhere_is_refused(tmp_path, case, kind):
    path = tmp_path / "mask.nii.gz"
    with pytest.raises(
        ValueError, match=r"expected the (place|grid) of flair\.nii\.gz.*: fetch both"
    ) as refusal:
        read(path, np.uint8(BRAIN), ELSEWHERE[case], kind)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


def test_a_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected the grid of flair.*\(50, 60, 45\) voxels .*, found \(50, 60, 44\)"
    ):
        read(tmp_path / "mask.nii.gz", np.uint8(LESION[..., 1:]))


@settings(max_examples=40, deadline=None)
@given(
    shift=st.tuples(*[st.integers(-5, 5)] * 3).filter(any),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_no_shift_and_no_mirror_image_is_taken(tmp_path_factory, shift, signs):
    affine = np.diag([*signs, 1.0]) @ AFFINE
    affine[:3, 3] += MM * np.array(shift)
    with pytest.raises(ValueError, match="expected the place"):
        read(tmp_path_factory.getbasetemp() / "mask.nii", np.uint8(LESION), affine)


def test_a_mask_whose_axes_run_otherwise_is_refused_though_its_grid_covers_the_same_place(tmp_path):
    """In the middle of the world; whether its header or its values are mirrored, nobody knows."""
    middle = AFFINE.copy()
    middle[0, 3] = -MM * (SHAPE[0] - 1) / 2
    image = nibabel.Nifti1Image(np.float32(BRAIN), middle)
    nibabel.save(image, tmp_path / "flair.nii.gz")
    with pytest.raises(ValueError, match="expected the place of flair"):
        read(tmp_path / "mask.nii.gz", np.uint8(LESION), np.diag([-1.0, 1, 1, 1]) @ middle)


def test_a_rounded_affine_is_the_same_place(tmp_path):
    assert np.array_equal(read(tmp_path / "mask.nii", np.uint8(LESION), shifted(0.01)).values, LESION)


MEANINGLESS = {
    "minus one": (np.int16(0) - LESION, "positive whole number, found -1"),
    "half": (0.5 * LESION, "positive whole number, found 0.5"),
    "all ones": (np.ones(SHAPE, np.uint8), "every voxel is marked"),
    "all 255": (np.full(SHAPE, 255, np.uint8), "every voxel is marked"),
    "one and two": (1 + np.uint8(LESION), "one other value, found 2 other"),
    "inverted": (np.uint8(~LESION), "marks all corners of its grid"),
    "the brain without the lesion": (np.uint8(BRAIN & ~LESION), "mask of a lesion, found one of 6.. ml"),
    "the head": (np.uint8(RADIUS < 0.9), "mask of a lesion, found one of .* ml, where 0 to 600 are possible"),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_a_mask_that_can_mean_nothing_is_refused(tmp_path, case):
    values, reason = MEANINGLESS[case]
    with pytest.raises(ValueError, match=reason) as refusal:
        read(tmp_path / "mask.nii.gz", values)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("values", [np.zeros(SHAPE), RADIUS < 0.1, ~BRAIN, RADIUS < 1.5])
def test_a_brain_of_no_possible_volume_is_refused(tmp_path, values):
    with pytest.raises(ValueError, match="expected a mask of a brain"):
        read(tmp_path / "mask.nii.gz", np.uint8(values), kind="brain")


@pytest.mark.parametrize("mark", [1, 2, 255, 1.0000001])
def test_possible_masks_are_read_as_0_and_1(tmp_path, mark):
    for kind, values in (("lesion", LESION), ("lesion", np.zeros(SHAPE)), ("brain", BRAIN)):
        found = read(tmp_path / "mask.nii.gz", (mark * values).astype(np.float32), kind=kind)
        assert np.array_equal(found.values, values) and isinstance(found, volume.Volume)
