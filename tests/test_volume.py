"""Volumes: every orientation and number type reads as the same head, and what is none is refused."""

import gzip
import itertools
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from latent_anatomy.imaging import volume
from latent_anatomy.imaging.volume import Volume

SHAPE = (12, 10, 9)  # small, of large voxels: the extent is that of a head
SPACING = (8.0, 9.25, 10.125)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = (-45.5, -63.25, -36.0)
ORIENTATIONS = [
    np.array([axes, signs]).T
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((-1, 1), repeat=3)
]


def head(shape=SHAPE, seed=0) -> np.ndarray:
    """Whole numbers that every type of at least 16 bit holds."""
    return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.float32)


def save(path, values, affine=AFFINE):
    """Write a file with nibabel."""
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def patched(path, position: int, field: bytes):
    """Write a .nii whose header has other bytes at a position; nibabel would set them right."""
    content = bytearray(nibabel.Nifti1Image(head(), AFFINE).to_bytes())
    content[position : position + len(field)] = field
    path.write_bytes(content)
    return path


def turned(rotation: Rotation, affine=AFFINE) -> np.ndarray:
    """The affine with its grid rotated about the world's origin."""
    oblique = np.eye(4)
    oblique[:3, :3] = rotation.as_matrix()
    return oblique @ affine


@pytest.mark.parametrize(
    "orientation", ORIENTATIONS, ids=lambda o: "".join(nibabel.orientations.ornt2axcodes(o))
)
def test_each_of_the_48_orientations_reads_as_the_same_head(tmp_path, orientation):
    upright = nibabel.Nifti1Image(head(), AFFINE)
    path = tmp_path / "head.nii"
    nibabel.save(upright.as_reoriented(orientation), path)
    found = volume.read(path)
    assert np.array_equal(found.values, head())
    assert np.allclose(found.affine, AFFINE, atol=1e-4)
    assert np.allclose(found.spacing_mm, SPACING)
    assert found.values.dtype == np.float32 and found.affine.dtype == np.float64
    assert found.values.flags.c_contiguous


@settings(max_examples=40, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1),
    degrees=st.floats(0, 40),
    orientation=st.sampled_from(ORIENTATIONS),
    shape=st.tuples(*[st.integers(8, 12)] * 3),
    spacing=st.tuples(*[st.floats(8, 15)] * 3),
    place=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_oblique_grids_keep_every_voxel_where_it_was(
    tmp_path_factory, axis, degrees, orientation, shape, spacing, place
):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = place
    affine = turned(
        Rotation.from_rotvec(degrees * np.array(axis) / np.linalg.norm(axis), degrees=True), affine
    )
    path = tmp_path_factory.getbasetemp() / "oblique.nii"
    nibabel.save(nibabel.Nifti1Image(head(shape), affine).as_reoriented(orientation), path)
    found = volume.read(path)
    assert np.array_equal(found.values, head(shape))
    assert np.allclose(found.affine, affine, atol=1e-3)
    assert np.allclose(found.spacing_mm, spacing, rtol=1e-5)


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "<i4", "<f4", ">f8"])
def test_formats_byte_orders_and_types_read_alike(tmp_path, name, kind, dtype):
    image = kind(head().astype(dtype), AFFINE)
    if dtype[0] == ">":
        image = kind(head().astype(dtype), AFFINE, image.header.as_byteswapped(">"))
    nibabel.save(image, tmp_path / name)
    assert np.array_equal(volume.read(tmp_path / name).values, head())


def test_the_content_decides_whether_it_is_gzipped(tmp_path):
    plain = save(tmp_path / "head.nii", head())
    packed = tmp_path / "packed.nii"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    unpacked = tmp_path / "unpacked.nii.gz"
    unpacked.write_bytes(plain.read_bytes())
    for path in (plain, packed, unpacked):
        assert np.array_equal(volume.read(path).values, head())


def test_slope_and_intercept_are_applied(tmp_path):
    stored = head()
    for slope, intercept in ((0.25, -7.5), (-2, 0), (1, 100)):
        image = nibabel.Nifti1Image(stored.astype(np.int16), AFFINE)
        content = bytearray(image.to_bytes())
        content[112:120] = struct.pack("<2f", slope, intercept)
        path = tmp_path / "scaled.nii.gz"
        path.write_bytes(gzip.compress(content))
        assert np.array_equal(volume.read(path).values, stored * np.float32(slope) + np.float32(intercept))


@pytest.mark.parametrize("slope", [0, np.nan])
def test_a_slope_of_0_or_nan_means_none(tmp_path, slope):
    path = patched(tmp_path / "head.nii", 112, struct.pack("<2f", slope, 5))
    assert np.array_equal(volume.read(path).values, head())


def test_values_that_are_not_finite_become_0_and_are_counted(tmp_path):
    values = head().astype(np.float64)
    values[0, 0, :4] = np.nan, np.inf, -np.inf, 1e300
    found = volume.read(save(tmp_path / "nan.nii", values))
    assert found.replaced == 4
    assert (found.values[0, 0, :4] == 0).all()
    assert np.array_equal(found.values[1:], values[1:].astype(np.float32))
    assert volume.read(save(tmp_path / "whole.nii", head())).replaced == 0


def test_trailing_axes_of_size_1_are_dropped(tmp_path):
    for extra in ((1,), (1, 1)):
        path = save(tmp_path / "one.nii", head().reshape(*SHAPE, *extra))
        assert np.array_equal(volume.read(path).values, head())


def sheared():
    affine = AFFINE.copy()
    affine[0, 1] = 3
    return affine


COLOUR = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
REFUSED = {
    "several frames": (lambda p: save(p, np.stack([head(), head()], -1)), "several frames"),
    "a time axis behind a singleton": (
        lambda p: save(p, np.stack([head(), head()], -1)[..., None, :]),
        "several frames",
    ),
    "one plane": (lambda p: save(p, head((12, 10))), "8 voxels"),
    "seven slices": (lambda p: save(p, head((12, 10, 7))), "8 voxels"),
    "a mouse": (lambda p: save(p, head(), np.diag([2.0, 2, 2, 1])), "24 x 20 x 18"),
    "in metres": (lambda p: save(p, head(), np.diag([0.016, 0.018, 0.02, 1])), "0.016 x 0.018 x 0.02"),
    "a whole body": (lambda p: save(p, head((60, 12, 9)), np.diag([8.0, 8, 14, 1])), "480 x 96 x 126"),
    "constant": (lambda p: save(p, np.full(SHAPE, 7, np.int16)), "constant 7"),
    "wholly NaN": (lambda p: save(p, np.full(SHAPE, np.nan)), "finite"),
    "no affine": (lambda p: save(p, head(), None), "sform or qform"),
    "neither code": (lambda p: patched(p, 252, struct.pack("<2h", 0, 0)), "sform or qform"),
    "singular": (lambda p: patched(p, 296, struct.pack("<4f", *AFFINE[0])), "inverted"),
    "an axis of length 0": (lambda p: patched(p, 312, bytes(16)), "inverted"),
    "affine with NaN": (lambda p: patched(p, 280, struct.pack("<f", np.nan)), "inverted"),
    "sheared": (lambda p: save(p, head(), sheared()), "right angles"),
    "complex": (lambda p: save(p, head().astype(np.complex64)), "complex64"),
    "colour": (lambda p: save(p, COLOUR), "one real number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_brain_volume_is_refused_with_its_reason(tmp_path, case):
    make, reason = REFUSED[case]
    path = tmp_path / "odd.nii"
    make(path)
    with pytest.raises(ValueError, match=reason) as refusal:
        volume.read(path)
    assert str(refusal.value).startswith(str(path))  # says which file


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"not an image", bytes(400), b"\x1f\x8b\x08" + bytes(90)]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "head.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a"):
        volume.read(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.nii"):
        volume.read(tmp_path / "none.nii")


def test_an_analyze_pair_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(head(), AFFINE), tmp_path / "head.img")
    with pytest.raises(ValueError, match="another format"):
        volume.read(tmp_path / "head.hdr")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), packed=st.booleans())
def test_a_file_cut_short_anywhere_is_refused(tmp_path_factory, data, packed):
    whole = nibabel.Nifti1Image(head(), AFFINE).to_bytes()
    whole = gzip.compress(whole, mtime=0) if packed else whole
    path = tmp_path_factory.getbasetemp() / "cut.nii"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError):
        volume.read(path)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_flipped_bit_in_a_gzip_file_never_gives_other_values(tmp_path_factory, data):
    whole = bytearray(gzip.compress(nibabel.Nifti1Image(head(), AFFINE).to_bytes(), mtime=0))
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.nii.gz"
    path.write_bytes(whole)
    try:
        found = volume.read(path)
    except ValueError:
        return
    assert np.array_equal(found.values, head())  # the bit was in gzip's own header, such as its time


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 351), field=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_gives_a_volume_or_a_reason(tmp_path_factory, position, field):
    path = patched(tmp_path_factory.getbasetemp() / "header.nii", position, field)
    try:
        found = volume.read(path)
    except ValueError:
        return
    assert np.isfinite(found.values).all() and np.linalg.det(found.affine) != 0


def test_a_header_that_claims_more_voxels_than_memory_is_refused_first(tmp_path):
    path = patched(tmp_path / "huge.nii", 40, struct.pack("<4h", 3, 32767, 32767, 32767))
    with pytest.raises(ValueError, match="140,724"):
        volume.read(path)


def test_masks_may_be_empty_and_become_0_and_1(tmp_path):
    mask = head() > 1500
    for mark in (1, 255):
        found = volume.read_mask(save(tmp_path / "mask.nii", (mark * mask).astype(np.uint8)))
        assert np.array_equal(found.values, mask) and found.values.dtype == np.float32
    assert not volume.read_mask(save(tmp_path / "empty.nii", np.zeros(SHAPE, np.uint8))).values.any()


def test_label_maps_and_masks_with_nan_are_refused(tmp_path):
    labels = (head() // 1000).astype(np.uint8)
    broken = (head() > 1500).astype(np.float32)
    broken[0, 0, 0] = np.nan
    for values in (labels, broken):
        with pytest.raises(ValueError, match="one other value"):
            volume.read_mask(save(tmp_path / "labels.nii", values))


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_what_is_written_is_read_by_us_and_by_nibabel(tmp_path, kind):
    values = head() % 2 if kind == "uint8" else head() / 7
    affine = turned(Rotation.from_euler("xyz", (4, -7, 11), degrees=True))
    path = tmp_path / "a" / "head.nii.gz"
    volume.write(path, Volume(values, affine), kind)
    found, oracle = volume.read(path), nibabel.load(path)
    assert np.array_equal(found.values, values)
    assert np.array_equal(oracle.get_fdata(dtype=np.float32), values)
    assert oracle.get_data_dtype() == kind
    for stored in (found.affine, oracle.get_sform(), oracle.get_qform()):
        assert np.allclose(stored, affine, atol=1e-4)
    assert oracle.header["sform_code"] == oracle.header["qform_code"] == 2


def test_the_same_volume_gives_the_same_bytes_whatever_its_name_and_layout(tmp_path):
    one, other = tmp_path / "one.nii.gz", tmp_path / "other.nii.gz"
    volume.write(one, Volume(head(), AFFINE))
    volume.write(other, Volume(np.asfortranarray(head()), AFFINE, replaced=3))
    content = one.read_bytes()
    assert content == other.read_bytes()
    assert content[3] == 0 and content[4:8] == bytes(4)  # gzip: no name, no time
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.nii.gz", "other.nii.gz"]


def test_reading_what_was_written_and_writing_it_changes_nothing(tmp_path):
    affine = turned(Rotation.from_euler("xyz", (4, -7, 11), degrees=True))
    volume.write(tmp_path / "one.nii.gz", Volume(head(), affine))
    volume.write(tmp_path / "two.nii.gz", volume.read(tmp_path / "one.nii.gz"))
    first, second = (volume.read(tmp_path / name) for name in ("one.nii.gz", "two.nii.gz"))
    assert np.array_equal(first.values, second.values) and np.array_equal(first.affine, second.affine)


def test_writing_refuses_what_it_would_change(tmp_path):
    with pytest.raises(ValueError, match="uint8"):
        volume.write(tmp_path / "mask.nii.gz", Volume(head() / 3000, AFFINE), "uint8")
    with pytest.raises(ValueError, match="uint8"):
        volume.write(tmp_path / "mask.nii.gz", Volume(head(), AFFINE), "uint8")
    with pytest.raises(ValueError, match=r"\.nii\.gz"):
        volume.write(tmp_path / "head.nii", Volume(head(), AFFINE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "affine"),
    [
        (head().astype(np.float64), AFFINE),
        (head()[0], AFFINE),
        (np.full(SHAPE, np.nan, np.float32), AFFINE),
        (head(), AFFINE.astype(np.float32)),
        (head(), AFFINE[:3]),
        (head(), np.full((4, 4), np.inf)),
    ],
)
def test_a_volume_is_finite_float32_with_an_affine(values, affine):
    with pytest.raises(ValueError, match="volume, "):
        Volume(values, affine)
