"""Headers that contradict themselves are refused in one line, for heads and for hearts alike."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_anatomy.imaging import headers, nifti, volume

SHAPE, MM = (20, 24, 16), (8.0, 7.5, 9.0)
AFFINE = np.diag([*MM, 1.0])
AFFINE[:3, 3] = (-80.0, -90.0, -60.0)
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE
PIXDIM, UNITS = 76, 123  # bytes of a NIfTI-1 header
VALUES = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)


def write(path, sform=AFFINE, qform=AFFINE, codes=(1, 1), patches=()):
    """A file with these forms, and with bytes that nibabel would not write: (position, format, value)."""
    header = nibabel.Nifti1Image(VALUES, AFFINE).header  # an image would bring its forms into agreement
    header.set_sform(sform, codes[0])
    header.set_qform(qform, codes[1])
    header["pixdim"][1:4] = MM
    header["vox_offset"] = 352
    content = bytearray(header.binaryblock + bytes(4) + VALUES.tobytes(order="F"))
    for position, form, value in patches:
        struct.pack_into(form, content, position, value)
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


def read_heart(path):
    """As MM-WHS is read, with the file itself as its label map."""
    image = nifti.read(path, 3)
    nifti.same_place(path, image, path, image)


def moved(voxels: float) -> np.ndarray:
    """The affine with its grid moved along z."""
    affine = AFFINE.copy()
    affine[2, 3] += voxels * MM[2]
    return affine


def pixdim(axis: int, value: float):
    return [(PIXDIM + 4 * axis, "<f", value)]


REFUSED = {
    "pixdim 0": ({"patches": pixdim(2, 0)}, "expected positive voxel sizes .*found 8 x 0 x 9"),
    "pixdim 0, no sform": ({"patches": pixdim(3, 0), "codes": (0, 1)}, "found 8 x 7.5 x 0"),
    "negative pixdim": ({"patches": pixdim(1, -8)}, "found -8 x 7.5 x 9"),
    "pixdim NaN": ({"patches": pixdim(1, np.nan)}, "found nan x"),
    "pixdim infinite": ({"patches": pixdim(3, np.inf)}, "x inf|damaged"),
    "hair-thin": ({"patches": pixdim(1, 0.008)}, "of 0.1 to 15 mm, found 0.008 x"),
    "a thick slab": ({"patches": pixdim(3, 90)}, "found 8 x 7.5 x 90"),
    "unit sform": (
        {"sform": np.eye(4)},
        "sform with the voxel sizes of pixdim, 8 x 7.5 x 9, found 1 x 1 x 1",
    ),
    "unit sform alone": ({"sform": np.eye(4), "codes": (1, 0)}, "found 1 x 1 x 1: write the right ones"),
    "sform a third larger": ({"sform": AFFINE * 4 / 3, "codes": (2, 0)}, "found 10.67 x 10 x 12"),
    "left and right": ({"sform": MIRRORED}, "same axes, found axes towards LAS and RAS: find out"),
    "left and right, other space": ({"qform": MIRRORED, "codes": (4, 1)}, "axes towards RAS and LAS"),
    "front and back": ({"qform": np.diag([1.0, -1, 1, 1]) @ AFFINE}, "axes towards RAS and RPS"),
    "turned by two axes": ({"qform": np.diag([-1.0, -1, 1, 1]) @ AFFINE}, "axes towards RAS and LPS"),
    "elsewhere": ({"qform": moved(3)}, "at the same place, found corners 3.6 voxels apart"),
    "qfac": ({"patches": pixdim(0, 0.5)}, "qfac .* found 0.5"),
    "metres": ({"patches": [(UNITS, "<B", 1)]}, "in mm .*found metres"),
    "micrometres": ({"patches": [(UNITS, "<B", 3 + 8)]}, "in mm .*found micrometres"),
    "no rotation": ({"patches": [(256, "<f", 0.9), (260, "<f", 0.9)]}, "qform that is a rotation|damaged"),
    "neither form": ({"codes": (0, 0)}, "expected an orientation"),
}


@pytest.mark.parametrize("read", [volume.read, volume.read_mask, read_heart])
@pytest.mark.parametrize("case", REFUSED)
def test_a_header_that_contradicts_itself_is_refused_in_one_line(tmp_path, case, read):
    words, reason = REFUSED[case]
    path = write(tmp_path / "odd.nii.gz", **words)
    with pytest.raises(ValueError, match=reason) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: expected ") and "\n" not in str(refusal.value)


SOUND = {
    "both": {},
    "sform alone": {"codes": (1, 0), "qform": moved(5)},
    "qform alone": {"codes": (0, 1), "sform": np.zeros((4, 4))},
    "a rounded quaternion": {"qform": moved(0.01)},
    "another space, as supplied": {"qform": moved(5), "codes": (4, 1)},
    "a qfac of 0": {"patches": pixdim(0, 0)},
    "unknown units": {"patches": [(UNITS, "<B", 0)]},
    "mm and seconds": {"patches": [(UNITS, "<B", 2 + 8)]},
}


@pytest.mark.parametrize("case", SOUND)
def test_a_header_that_agrees_with_itself_is_read(tmp_path, case):
    path = write(tmp_path / "sound.nii.gz", **SOUND[case])
    found = volume.read(path)
    assert np.allclose(found.affine, AFFINE, atol=0.1) and np.array_equal(found.values, VALUES)
    read_heart(path)


@settings(max_examples=80, deadline=None)
@given(
    axis=st.sampled_from([1, 2, 3]),
    size=st.floats(width=32).filter(lambda size: not 0.1 <= size <= 15),
    codes=st.sampled_from([(1, 1), (1, 0), (0, 1)]),
)
def test_no_impossible_voxel_size_is_ever_repaired(tmp_path_factory, axis, size, codes):
    path = write(tmp_path_factory.getbasetemp() / "size.nii.gz", codes=codes, patches=pixdim(axis, size))
    with pytest.raises(ValueError, match=r"voxel sizes|damaged"):
        volume.read(path)


@settings(max_examples=60, deadline=None)
@given(signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3), codes=st.tuples(*[st.integers(1, 4)] * 2))
def test_forms_that_disagree_about_an_axis_are_never_chosen_between(tmp_path_factory, signs, codes):
    """Whatever spaces they say they mean."""
    path = write(
        tmp_path_factory.getbasetemp() / "forms.nii.gz", qform=np.diag([*signs, 1]) @ AFFINE, codes=codes
    )
    if signs == (1, 1, 1):
        assert np.allclose(volume.read(path).affine, AFFINE)
    else:
        with pytest.raises(ValueError, match="same axes"):
            volume.read(path)


def test_corners_are_as_far_apart_as_the_grid_was_moved():
    assert headers.apart(SHAPE, AFFINE, moved(2)) == pytest.approx(2 * MM[2] / min(MM))
    assert headers.apart(SHAPE, AFFINE, MIRRORED) == pytest.approx(160 / min(MM))
    assert headers.apart(SHAPE, AFFINE, AFFINE) == 0
