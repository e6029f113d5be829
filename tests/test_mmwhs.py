"""MM-WHS: axial slices whatever the file's axes, seven structures, and the mixtures of Table 3."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from nibabel.orientations import apply_orientation as turned
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from tiny_hearts import take_checksums, write_nifti

from latent_anatomy.data import slices_file
from latent_anatomy.datasets import mmwhs
from latent_anatomy.datasets import registry as datasets

NUMBERS = (1001, 1015, 1018)  # train, val, test
SHAPE = (40, 30, 12)  # right, front, top
MM = (1.0, 1.0, 1.2)
SIZE = 64
VALUES = (500, 600, 420, 421, 550, 205, 820, 850)


def hearts(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and label map (X, Y, Z), RAS+: eight boxes."""
    random = np.random.default_rng(number)
    labels = np.zeros(SHAPE, np.int16)
    for place, value in enumerate(VALUES):
        labels[4 * place + 2 : 4 * place + 5, 5 + place : 12 + place, 3:9] = value
    return (random.normal(100, 20, SHAPE) + labels / 10).astype(np.float32), labels


def write(folder, modality: str, number: int, axes: str = "RAS", mm=MM) -> None:
    """Both files of a heart, its axes flipped and swapped to `axes`."""
    plain = np.diag([*mm, 1.0])
    transform = ornt_transform(io_orientation(plain), axcodes2ornt(axes))
    for kind, values in zip(("image", "label"), hearts(number), strict=True):
        affine = plain @ inv_ornt_aff(transform, values.shape)
        path = folder / f"{modality}_train" / f"{modality}_train_{number}_{kind}.nii.gz"
        write_nifti(path, turned(values, transform), mm, affine)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for modality, axes in (("mr", "LIP"), ("ct", "RAS")):
        for number in NUMBERS:
            write(tmp_path / "mmwhs", modality, number, axes)
    take_checksums(tmp_path / "mmwhs")
    return tmp_path / "mmwhs"


def tiny():
    """The data set of these hearts, as a new process would see it."""
    return replace(datasets.find("mmwhs"), numbers=NUMBERS, train=1, validation=1, size=SIZE)


def test_axial_slices_have_seven_structures_whatever_the_axes_of_the_file(folder):
    made = tiny().to_slices(folder)
    slices_file.write(folder / "x.h5", made, {})
    assert made.images.shape == (2 * 3 * SHAPE[2], 1, SIZE, SIZE) and made.images.dtype == np.uint8
    assert made.mask_names == (
        *("left-ventricle", "right-ventricle", "left-atrium", "right-atrium"),
        *("myocardium", "aorta", "pulmonary-artery"),
    )
    split = dict(zip(made.subject.tolist(), made.split.tolist(), strict=True))
    assert split == {
        f"{kind}-{number}": split
        for kind in ("mr", "ct")
        for number, split in zip(NUMBERS, ("train", "val", "test"), strict=True)
    }
    assert made.phase is None and np.allclose(made.spacing_mm, (1, 1, 1.2))
    image, labels = (values.T[:, ::-1, ::-1] for values in hearts(1015))  # front and right first
    low, high = np.percentile(image.astype(float), (1, 99))
    for modality in ("MR", "CT"):
        own = (made.subject == f"{modality.lower()}-1015") & (made.modality == modality)
        centre = (slice(None), slice(17, 47), slice(12, 52))
        assert own.sum() == SHAPE[2] and made.slice[own].tolist() == list(range(SHAPE[2]))
        masks = made.masks[own]
        for plane, value in enumerate(mmwhs.LABELS.values()):
            assert np.array_equal(masks[:, plane][centre], np.isin(labels, value))
        expected = 255 * np.clip((image - low) / (high - low), 0, 1)
        assert np.abs(made.images[own, 0][centre] - expected).max() <= 0.51
    assert masks[:, 2].sum() == 2 * masks[:, 0].sum()  # 420 and 421


def test_positions_are_thinned_to_those_of_the_paper_and_volumes_stay(folder):
    write(folder, "ct", 1015, mm=(1.0, 1.0, 0.6))
    take_checksums(folder)
    made = tiny().to_slices(folder)
    own = made.subject == "ct-1015"
    assert own.sum() == SHAPE[2] / 2 and np.allclose(made.spacing_mm[own], (1, 1, 1.2))
    ml = made.masks[own].sum((0, 2, 3)) * made.spacing_mm[own][0].prod()
    _, labels = hearts(1015)
    assert np.allclose(ml, [np.isin(labels, value).sum() * 0.6 for value in mmwhs.LABELS.values()])


# Table 3 of the paper: per cent of MR and CT, hearts by int(14 f).
HEARTS = {0: 0, 12.5: 1, 25: 3, 37.5: 5, 50: 7, 62.5: 8, 75: 10, 87.5: 12, 100: 14}
ROWS = [(100, 100), (100, 12.5), (12.5, 100), (12.5, 0), (0, 12.5), (100, 0), (0, 100)]
ROWS += [(part, 100 - part) for part in (87.5, 75, 62.5, 50, 37.5, 25, 12.5)]


@pytest.mark.parametrize(("mr", "ct"), ROWS)
def test_a_mixture_uses_so_many_hearts_of_each_and_no_other(mr, ct):
    part = datasets.find("mmwhs").cohort("given-0", f"mr-{mr:g}-ct-{ct:g}")
    for kind, percent in (("mr", mr), ("ct", ct)):
        own = [[who for who in split if who.startswith(kind)] for split in (part.train, part.val, part.test)]
        others = 3 if percent else 0
        assert list(map(len, own)) == [HEARTS[percent], others, others]
    assert part.labelled == part.train


def test_a_smaller_mixture_is_part_of_a_larger_one():
    smaller, larger = (set(mmwhs.cohort("given-0", f"mr-{part}-ct-100").train) for part in ("12.5", "50"))
    assert smaller < larger


def test_in_three_folds_nobody_is_tested_twice():
    folds = [datasets.find("mmwhs").cohort(fold, "mr-100-ct-100") for fold in datasets.find("mmwhs").folds]
    tested = [who for fold in folds for who in fold.test]
    assert len(folds) == 3 and len(tested) == len(set(tested)) == 18
    assert {(len(fold.train), len(fold.val), len(fold.test)) for fold in folds} == {(28, 6, 6)}


@pytest.mark.parametrize(
    ("fold", "labelled", "message"),
    [
        ("given-0", "mr-0-ct-0", "expected some hearts of a modality"),
        ("given-0", "mr-100-ct-5", "found 0, which is 5 %"),
        ("given-0", "mr-100-ct-200", "expected 1 to 14"),
        ("given-0", "mr-100", "expected a name such as mr-100-ct-12.5, found 'mr-100'"),
        ("given-0", 100, "expected a name such as"),
        ("given-3", "mr-100-ct-100", "expected one of given-0, given-1, given-2, found 'given-3'"),
    ],
)
def test_a_mixture_of_nobody_is_refused(fold, labelled, message):
    with pytest.raises(ValueError, match=message):
        mmwhs.cohort(fold, labelled)


def test_a_missing_modality_is_one_clear_error(folder):
    for path in (folder / "ct_train").iterdir():
        path.unlink()
    take_checksums(folder)
    with pytest.raises(ValueError, match=r"expected 12 files .*found not ct_train/.* and 3 more"):
        _ = tiny().files


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("label", lambda values: np.where(values == 205, 206, values), r"label.*found 206: check"),
        ("label", lambda values: values[:-1], r"label.*expected the grid of .*image"),
        ("label", lambda values: 0 * values, "label map with a heart, found an empty one"),
        ("label", lambda values: np.where(values, 0, 500), "found labels in all corners"),
        ("image", lambda values: values[..., None][..., [0, 0]], "expected an image of 3 axes"),
        ("image", lambda values: 0 * values, "expected an image with contrast"),
        ("image", lambda values: values * np.nan, "expected finite intensities"),
    ],
)
def test_what_is_not_as_published_is_refused(folder, kind, change, message):
    values = dict(zip(("image", "label"), hearts(1001), strict=True))[kind]
    path = folder / "ct_train" / f"ct_train_1001_{kind}.nii.gz"
    write_nifti(path, change(values).astype(values.dtype), MM)
    take_checksums(folder)
    with pytest.raises(ValueError, match=message):
        tiny().to_slices(folder)


def moved(positions: float) -> np.ndarray:
    affine = np.diag([*MM, 1.0])
    affine[2, 3] = positions * MM[2]
    return affine


@pytest.mark.parametrize(
    "affine",
    [np.diag([-1.0, 1.0, 1.2, 1.0]), moved(1), moved(-3)],
    ids=["mirrored", "a slice", "three slices"],
)
def test_a_label_map_that_lies_elsewhere_is_refused(folder, affine):
    _, labels = hearts(1001)
    write_nifti(folder / "ct_train" / "ct_train_1001_label.nii.gz", labels, MM, affine)
    take_checksums(folder)
    with pytest.raises(ValueError, match=r"label.*expected the place of .*image.*found \[\["):
        tiny().to_slices(folder)


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_heart_whose_header_contradicts_itself_is_refused(folder, kind):
    """A unit sform beside the true size of a voxel: spacing by the one, directions by the other."""
    path = folder / "ct_train" / f"ct_train_1001_{kind}.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:328] = np.eye(4, dtype="<f4")[:3].tobytes()
    path.write_bytes(gzip.compress(content))
    take_checksums(folder)
    with pytest.raises(
        ValueError, match=rf"{kind}\.nii\.gz: expected an sform with the voxel sizes of pixdim"
    ):
        tiny().to_slices(folder)
