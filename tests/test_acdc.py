"""ACDC: the published splits and draws, the challenge's own layout, and the frames that are at hand."""

import re
from collections import Counter
from dataclasses import replace

import h5py
import nibabel
import numpy as np
import pytest
from skimage.measure import block_reduce
from tiny_hearts import (
    ACDC_SHAPE,
    ED,
    EMPTY,
    ES,
    FRAMES,
    acdc_labels,
    take_checksums,
    write_acdc_patient,
    write_nifti,
)

from latent_anatomy.data import slices_check, slices_file
from latent_anatomy.datasets import acdc_frames, acdc_patients
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.acdc_patients import FOLDS, PATIENTS, cohort, group
from latent_anatomy.imaging import cardiac

# Spec of SDNet, 5.2: whom its code labels, as a prefix of more at 3, 6, 12.5 and 25 % (and 50 %).
PERCENT = (1.5, 3, 6, 12.5, 25, 50)
DRAWN = {
    "published-0": "96 | 57 | 97 85 | 58 91 80 67 | 79 62 33 70 84 66 74 88 93 | "
    "83 86 78 82 65 52 90 34 69 64 89 41 46 50 71 55 39 48",
    "published-1": "93 | 34 | 94 75 | 35 84 67 45 | 65 39 4 49 72 44 56 81 88 | "
    "71 77 62 70 42 29 83 5 48 41 82 15 20 26 50 32 11 22",
    "published-2": "96 | 27 | 97 85 | 28 91 80 37 | 79 32 3 40 84 36 44 88 93 | "
    "83 86 63 82 35 22 90 4 39 34 89 11 16 20 41 25 9 18",
}


def numbers(patients) -> list[int]:
    return [int(patient.removeprefix("patient")) for patient in patients]


# ---- who is where


@pytest.mark.parametrize("fold", DRAWN)
def test_the_labelled_patients_are_those_of_the_released_code(fold):
    steps = DRAWN[fold].split("|")
    for index, percent in enumerate(PERCENT):
        expected = list(map(int, " ".join(steps[: index + 1]).split()))
        if (fold, percent) == ("published-1", 1.5):
            expected = [48]  # of its special seed
        assert numbers(cohort(fold, percent).labelled) == expected
    everybody = cohort(fold, 100)
    assert set(everybody.labelled) == set(everybody.train)


def test_published_splits_are_those_of_the_code_and_overlap():
    parts = [cohort(f"published-{fold}", 100) for fold in range(3)]
    assert [numbers(part.test) for part in parts[::2]] == [list(range(16, 31)), list(range(64, 79))]
    assert [numbers(part.val) for part in parts[::2]] == [list(range(1, 16)), list(range(47, 62))]
    assert numbers(parts[0].train) == list(range(31, 101))
    assert numbers(parts[2].train) == [*range(1, 47), 62, 63, *range(79, 101)]
    assert all((len(part.train), len(part.val), len(part.test)) == (70, 15, 15) for part in parts)
    tested = Counter(numbers(patient for part in parts for patient in part.test))
    assert len(tested) == 40
    assert {number for number, times in tested.items() if times > 1} == {24, 27, 64, 66, 76}
    assert "DCM" not in set(map(group, parts[0].train)) and set(map(group, parts[2].test)) == {"NOR"}


def test_disjoint_folds_test_nobody_twice_and_have_equal_shares_of_every_group():
    parts = {fold: cohort(fold, 100) for fold in FOLDS if fold.startswith("disjoint")}
    assert len(parts) == 6
    tested = [patient for part in parts.values() for patient in part.test]
    assert len(set(tested)) == len(tested) == 90
    for part in parts.values():
        assert {*part.train, *part.val, *part.test} == set(PATIENTS)
        for own, each in ((part.train, 14), (part.val, 3), (part.test, 3)):
            assert Counter(map(group, own)) == dict.fromkeys(acdc_patients.GROUPS, each)
    first, *others = parts.values()
    assert [part.val for part in parts.values()] == [part.test for part in (*others, first)]
    first = {cohort(fold, 6).labelled for fold in parts}
    assert len(set().union(*first)) > 12  # of 24: other people in other folds


def test_a_fold_that_is_not_there_and_a_part_of_nobody_are_refused():
    with pytest.raises(ValueError, match=r"expected one of published-0.*found 'published-3'"):
        cohort("published-3", 100)
    with pytest.raises(ValueError, match=r"found 0, which is 1 %"):
        cohort("published-0", 1)


# ---- the challenge's layout

SOME = ("patient020", "patient035", "patient085")  # val, train and train of published-0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A mirror folder with three patients."""
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for patient in SOME:
        write_acdc_patient(tmp_path / "acdc", patient, group(patient))
    take_checksums(tmp_path / "acdc")
    return tmp_path / "acdc"


def tiny():
    """The data set of these three, as a new process would see it."""
    return replace(datasets.find("acdc"), patients=SOME)


def centred(image: np.ndarray) -> np.ndarray:
    """(..., 16, 20) out of (..., 224, 224)."""
    return image[..., 104:120, 102:122]


def test_labelled_frames_have_masks_and_phases_and_the_others_none(folder):
    made = tiny().to_slices(folder)
    slices_file.write(folder / "x.h5", made, {})
    count, positions = FRAMES - 1, ACDC_SHAPE[2]  # the empty frame is left out
    assert made.images.shape == (len(SOME) * count * positions, 1, 224, 224) and made.images.dtype == np.uint8
    assert made.mask_names == ("myocardium", "left-ventricle", "right-ventricle")
    own = made.subject == "patient035"
    assert Counter(made.phase[own].tolist()) == dict.fromkeys(
        ["ED", "ES", "frame-02", "frame-03", "frame-05"], positions
    )
    drawn = np.isin(made.phase, ["ED", "ES"])
    assert (made.masks[~drawn] == 255).all() and made.masks[drawn].max() == 1
    labels = acdc_labels().T
    for plane, value in enumerate((2, 3, 1)):
        for phase in ("ED", "ES"):
            masks = made.masks[own & (made.phase == phase), plane]
            assert np.array_equal(centred(masks), labels == value)
            assert masks.sum() == (labels == value).sum()
    split = dict(zip(made.subject.tolist(), made.split.tolist(), strict=True))
    assert split == {"patient020": "test", "patient035": "train", "patient085": "train"}
    assert set(made.modality) == {"MR cine"} and made.slice.max() == positions - 1


def test_exactly_the_labelled_frames_are_left_out_and_normalised_by_themselves(folder, tmp_path):
    cine = write_acdc_patient(tmp_path / "again", "patient035", "HCM").T
    made = tiny().to_slices(folder)

    def images(phase):
        return centred(made.images[(made.subject == "patient035") & (made.phase == phase), 0])

    def normalised(values, reference):
        low, high = np.percentile(reference.astype(float), (5, 95))
        return np.round(255 * np.clip((values - low) / (high - low), 0, 1))

    for number, phase in ((ED, "ED"), (ES, "ES")):
        assert np.abs(images(phase) - normalised(cine[number - 1], cine[number - 1])).max() <= 1
    for number in (2, 3, 5):
        assert np.abs(images(f"frame-{number:02d}") - normalised(cine[number - 1], cine)).max() <= 1
    assert not cine[EMPTY - 1].any() and f"frame-{EMPTY:02d}" not in made.phase


def test_millilitres_survive_resampling(tmp_path, monkeypatch):
    """A left ventricle of 4 x 4 x 2 voxels, 5.48 x 2.74 x 8 mm each: whole pixels of the fine grid."""
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(tmp_path))
    write_acdc_patient(tmp_path / "acdc", SOME[0], "DCM", mm=(5.48, 2.74, 8.0))
    take_checksums(tmp_path / "acdc")
    made = replace(tiny(), patients=SOME[:1]).to_slices(tmp_path / "acdc")
    assert np.allclose(made.spacing_mm, (1.37, 1.37, 8))
    ml = made.masks[made.phase == "ED", 1].sum() * made.spacing_mm[0].prod() / 1000
    assert ml == pytest.approx(4 * 4 * 2 * 5.48 * 2.74 * 8 / 1000, rel=1e-5)


def test_files_beginning_with_a_dot_are_ignored_and_an_unlisted_one_is_not(folder):
    (folder / "training" / "patient020" / "._patient020_4d.nii.gz").write_bytes(b"left by an archiver")
    expected = 3 * 6 + 1
    assert len(tiny().files) == expected
    take_checksums(folder)
    assert len(tiny().files) == expected and tiny().to_slices(folder)
    write_nifti(folder / "training/patient020/patient020_frame05_gt.nii.gz", acdc_labels(), (1, 1, 1))
    with pytest.raises(ValueError, match=r"expected every file of this folder, found not .*frame05_gt"):
        _ = tiny().files


def rewrite(name: str, change):
    """A defect: the array of a NIfTI file of patient020 changed."""

    def apply(own):
        path = own / f"patient020_{name}.nii.gz"
        write_nifti(path, change(np.asanyarray(nibabel.load(path).dataobj)), (1.37, 1.37, 10))

    return apply


def edit(old: str, new: str):
    """A defect: Info.cfg changed."""
    return lambda own: (own / "Info.cfg").write_text((own / "Info.cfg").read_text().replace(old, new))


def drop(*names: str):
    """A defect: files that are missing."""
    return lambda own: [(own / f"patient020_{name}.nii.gz").unlink() for name in names]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            rewrite("frame01_gt", lambda v: np.where(v == 3, np.uint8(7), v)),
            "1_gt.*labels among 0, 1, 2, 3, found 7",
        ),
        (
            rewrite("frame04_gt", lambda v: v[:-1]),
            r"4_gt.*the grid of .*20, 16, 2.*found \(19, 16, 2\)",
        ),
        (rewrite("frame01", lambda v: np.full(v.shape, np.nan, np.float32)), "expected finite intensities"),
        (rewrite("frame01", lambda v: v * 0), "expected an image with contrast"),
        (rewrite("4d", lambda v: v[..., :3]), r"4d.*ED and ES among its frames, \[1, 4\], found 3 frames"),
        (rewrite("4d", lambda v: v[..., 0]), r"4d.*expected an image of 4 axes"),
        (drop("frame01_gt", "frame04_gt"), r"patient020: expected masks of its frames 1 and 4.*found none"),
        (drop("frame04_gt"), r"patient020: expected masks of its frames 1 and 4.*found those of 1"),
        (drop("4d"), r"expected \d+ files of this data set, found not training/patient020/patient020_4d"),
        (edit("DCM", "NOR"), r"Info\.cfg: expected Group DCM.*found NOR"),
        (edit("ES: 4", "ES: 1"), r"Info\.cfg: expected two frames, ED and ES"),
        (edit("ED: 1\n", ""), r"Info\.cfg: expected ED with a frame's number, found none"),
    ],
)
def test_what_is_not_as_published_is_one_clear_error(folder, spoil, message):
    spoil(folder / "training" / "patient020")
    take_checksums(folder)
    with pytest.raises(ValueError, match=message):
        tiny().to_slices(folder)


def test_other_bytes_are_refused_before_they_are_parsed(folder):
    (folder / "training/patient035/patient035_frame01.nii.gz").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"frame01.*expected sha256"):
        tiny().to_slices(folder)


def test_without_the_folder_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    reason = datasets.unavailable(tiny(), tmp_path, None)
    assert "acdc/training/patient001/Info.cfg" in reason and "heart-data" in reason


# ---- the frames that are at hand


def test_the_frames_are_two_of_each_of_the_hundred_patients():
    for name, stands_for in (("acdc-frames", "acdc"), ("acdc-frames-96", None)):
        dataset = datasets.find(name)
        assert dataset.stands_for == stands_for and "not resampled" in dataset.note
        names = [re.fullmatch(r"(patient\d{3})_frame\d{2}\.h5", file.name)[1] for file in dataset.files]
        assert Counter(names) == dict.fromkeys(PATIENTS, 2)
        assert all(re.fullmatch("[0-9a-f]{64}", file.checksum) for file in dataset.files)
        assert dataset.cohort("published-1", 1.5) == cohort("published-1", 1.5)


def frame(shape=(2, 250, 200), **changes) -> dict[str, np.ndarray]:
    """The arrays of a file."""
    random = np.random.default_rng(int(np.prod(shape)))
    label = np.zeros(shape, np.uint8)
    label[:, 90:130, 60:140] = random.integers(0, 4, (shape[0], 40, 80))
    arrays = {
        "image_index": random.integers(0, 50, shape).astype(np.uint16),
        "image_values": np.linspace(0, 1, 50, dtype=np.float32),
        "label": label,
    }
    return arrays | changes


def stored(folder, monkeypatch, files: dict[str, dict], name="acdc-frames"):
    """The data set whose registered files are these."""
    for file, arrays in files.items():
        with h5py.File(folder / file, "w") as stream:
            for key, values in arrays.items():
                stream[key] = values
    monkeypatch.setattr(acdc_frames, "MANIFEST", take_checksums(folder, "list", start=""))
    return replace(datasets.find(name))


TWO = ("patient040_frame01.h5", "patient040_frame13.h5")


def test_a_patient_has_ed_first_and_es_second_in_native_pixels(tmp_path, monkeypatch):
    files = {name: frame((positions, 250, 200)) for name, positions in zip(TWO, (2, 3), strict=True)}
    made = stored(tmp_path, monkeypatch, files).to_slices(tmp_path)
    slices_check.check(made, "here")
    assert made.phase.tolist() == ["ED"] * 2 + ["ES"] * 3 and made.spacing_mm is None
    assert set(made.subject) == {"patient040"} and set(made.split) == {"train"}
    assert made.slice.tolist() == [0, 1, 0, 1, 2]
    raw = files[TWO[1]]
    inside = (slice(None), slice(13, 237))  # of 250 rows
    assert np.array_equal(made.masks[2:, 1, :, 12:212], raw["label"][inside] == 3)
    image = raw["image_values"][raw["image_index"]]
    low, high = np.percentile(image.astype(float), (5, 95))
    expected = 255 * np.clip((image[inside] - low) / (high - low), 0, 1)
    assert np.abs(made.images[2:, 0, :, 12:212] - expected).max() <= 0.51
    assert np.array_equal(made.images[2:, 0, :, :12], made.images[2:, 0, :, 12:13].repeat(12, axis=2))


def test_half_the_resolution_is_the_mean_of_the_image_and_the_most_frequent_label():
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, (2, 12, 10))
    planes = np.stack([labels == value for value in (1, 2, 3)], axis=1).astype(np.uint8)
    images = random.random((2, 12, 10)).astype(np.float32)
    small, masks = acdc_frames.half(images, planes)
    assert np.allclose(small, block_reduce(images, (1, 2, 2), np.mean))
    for index in np.ndindex(2, 6, 5):
        position, row, column = index
        four = labels[position, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel().tolist()
        most = max(map(four.count, four))
        winner = four[0] if four.count(four[0]) == most else next(v for v in four if four.count(v) == most)
        assert masks[position, :, row, column].tolist() == [int(winner == value) for value in (1, 2, 3)]


def test_the_small_data_set_is_half_the_middle_of_the_large_one(tmp_path, monkeypatch):
    files = {name: frame() for name in TWO}
    large = stored(tmp_path, monkeypatch, files).to_slices(tmp_path)
    small = stored(tmp_path, monkeypatch, files, "acdc-frames-96").to_slices(tmp_path)
    assert small.images.shape == (4, 1, 96, 96) and small.dataset == "acdc-frames-96"
    slices_check.check(small, "here")
    middle = large.images[:, 0, 16:208, 16:208]
    assert np.abs(block_reduce(middle, (1, 2, 2), np.mean) - small.images[:, 0]).max() <= 1
    area = large.masks[..., 16:208, 16:208].sum((0, 2, 3)) / 4
    assert np.allclose(small.masks.sum((0, 2, 3)), area, rtol=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.zeros((2, 250, 199), np.uint8)}, r"a label map on the grid of its image"),
        ({"label": np.full((2, 250, 200), 4, np.uint8)}, r"labels among 0, 1, 2, 3, found 4"),
        ({"image_values": np.linspace(0, 1, 20, dtype=np.float32)}, "expected indices below 20"),
        ({"image_values": np.zeros(50, np.float32)}, "expected an image with contrast"),
        ({"image_index": np.zeros((2, 250, 200))}, "expected image_index uint16 of 3 axes, found float64"),
        ({"spacing": np.ones(3)}, "found .*spacing"),
    ],
)
def test_a_frame_of_another_layout_is_refused(tmp_path, monkeypatch, change, message):
    files = {TWO[0]: frame(), TWO[1]: frame(**change)}
    with pytest.raises(ValueError, match=rf"frame13\.h5.*{message}"):
        stored(tmp_path, monkeypatch, files).to_slices(tmp_path)


def test_a_patient_without_a_second_frame_and_other_bytes_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="patient040: expected two frames, found 1"):
        stored(tmp_path, monkeypatch, {TWO[0]: frame()}).to_slices(tmp_path)
    dataset = stored(tmp_path, monkeypatch, {name: frame() for name in TWO})
    (tmp_path / TWO[0]).write_bytes(b"no frame")
    monkeypatch.setattr(cardiac, "planes", lambda *_: pytest.fail("parsed"))
    with pytest.raises(ValueError, match="expected sha256"):
        dataset.to_slices(tmp_path)
