"""phantom-acdc: the challenge's layout, the same bytes, known volumes, groups that show, no easy way out."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import nibabel
import numpy as np
import pytest
from conftest import hashes
from phantom_files import best_dice, drawn
from scipy.ndimage import binary_dilation

from latent_anatomy.data import slices, slices_check
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.acdc import Acdc
from latent_anatomy.datasets.acdc_patients import GROUPS, MASKS, PATIENTS
from latent_anatomy.datasets.phantoms.acdc import LABELS, PhantomAcdc

TINY = PhantomAcdc(patients=PATIENTS[:15], frames=3, pixels_mm=(2.6, 3.1))
raw = drawn(TINY)
RIGHT, MUSCLE, LEFT = 1, 2, 3  # values of ACDC's label maps


@pytest.fixture(scope="module")
def read(raw):
    return TINY.to_slices(raw)


def load(raw, patient: str, what: str):
    return nibabel.load(raw / "training" / patient / f"{patient}_{what}.nii.gz")


@dataclass(frozen=True)
class Person:
    """What the files of one patient hold: image at ED, label maps of both phases, mm of a voxel."""

    name: str
    image: np.ndarray
    labels: dict[str, np.ndarray]
    voxel: tuple[float, float, float]

    @property
    def group(self) -> str:
        return TINY.group(self.name)

    def ml(self, value: int, phase: str) -> float:
        """Volume of a structure by the voxels of its mask."""
        return (self.labels[phase] == value).sum() * np.prod(self.voxel) / 1000


@pytest.fixture(scope="module")
def people(raw):
    found = []
    for patient in TINY.patients:
        image = load(raw, patient, "frame01")
        labels = {
            phase: np.asarray(load(raw, patient, f"frame{number}_gt").dataobj)
            for phase, number in (("ED", "01"), ("ES", "02"))
        }
        voxel = tuple(float(size) for size in image.header.get_zooms())
        found.append(Person(patient, np.asarray(image.dataobj), labels, voxel))
    return found


def by_group(people, measure) -> dict[str, float]:
    """Mean of `measure(person)` in each group."""
    return {group: np.mean([measure(who) for who in people if who.group == group]) for group in GROUPS}


def test_its_files_lie_as_those_of_the_challenge(raw):
    assert set(hashes(raw)) == {file.name for file in TINY.files}
    files = [file.name for file in PhantomAcdc().files if "patient007" in file.name]
    ends = ("patient007_4d.nii.gz", "patient007_frame01.nii.gz", "patient007_frame01_gt.nii.gz",
            "patient007_frame04.nii.gz", "patient007_frame04_gt.nii.gz")  # fmt: skip
    assert files == [f"training/patient007/{end}" for end in ("Info.cfg", *ends)]
    for patient in TINY.patients:
        text = (raw / "training" / patient / "Info.cfg").read_text()
        number = r"\d+\.\d"
        pattern = rf"ED: 1\nES: 2\nGroup: (\w+)\nHeight: {number}\nNbFrame: 3\nWeight: {number}\n"
        assert re.fullmatch(pattern, text)[1] == TINY.group(patient)


def test_a_cine_its_labelled_frames_and_their_masks_are_one_grid(raw):
    for patient in TINY.patients:
        cine = load(raw, patient, "4d")
        assert cine.shape[3] == TINY.frames and cine.get_data_dtype() == np.int16
        pixel, other, distance, seconds = (float(size) for size in cine.header.get_zooms())
        assert 2.6 <= pixel == other <= 3.1 and 9 <= distance <= 10 and seconds == pytest.approx(0.3)
        for frame in (1, 2):
            image, mask = (load(raw, patient, f"frame{frame:02d}{end}") for end in ("", "_gt"))
            assert np.array_equal(image.dataobj, np.asarray(cine.dataobj)[..., frame - 1])
            assert mask.get_data_dtype() == np.uint8 and image.shape == mask.shape
            np.testing.assert_array_equal(image.affine, mask.affine)
            assert set(np.unique(mask.dataobj)) == {0, *LABELS.values()}
    spacings = {load(raw, patient, "4d").header.get_zooms()[:3] for patient in TINY.patients}
    assert len(spacings) == len(TINY.patients)


def test_the_same_bytes_every_time_whoever_else_is_drawn(raw, tmp_path):
    replace(TINY, patients=PATIENTS[:5]).generate(tmp_path)  # one of each group
    everybody = hashes(raw)
    for name, content in hashes(tmp_path).items():
        assert (everybody[name] == content) == ("patient001" in name)
    other = replace(TINY, seed=1)
    assert all(other.heart(patient).ml != TINY.heart(patient).ml for patient in TINY.patients)


def test_volumes_are_those_of_the_anatomy(people):
    """Within what counting voxels can err by.

    A pixel is counted wrongly only within h / sqrt(2) of the outline, so that a slice's area errs by at most
    sqrt(2) h times its perimeter, plus pi h^2 / 2; summing areas d apart errs by d / 2 times their variation,
    which is twice the largest.
    """
    error = []
    for person in people:
        heart, (pixel, _, distance) = TINY.heart(person.name), person.voxel
        radius = heart.radius * (1 + abs(heart.oval))
        rounding = np.sqrt(2) * pixel * 2 * np.pi * radius + np.pi * pixel**2 / 2
        bound = distance * np.pi * radius**2 + (heart.length / distance + 1) * distance * rounding
        for phase, e in (("ED", 0), ("ES", 1)):
            difference = person.ml(LEFT, phase) - heart.volume_ml(e)
            assert abs(difference) < bound / 1000
            error.append(difference / heart.ml)
    assert np.abs(error).max() < 0.1 and abs(np.mean(error)) < 0.02  # and in fact by much less


def test_the_groups_show_in_the_masks(people):
    def ejection(who):
        return 1 - who.ml(LEFT, "ES") / who.ml(LEFT, "ED")

    def thickness(who):
        """Of the wall, as if slices in the middle were circles."""
        plane = who.labels["ED"]
        middle = plane[..., plane.shape[2] // 2 - 1 : plane.shape[2] // 2 + 1]
        inner, outer = (middle == LEFT).sum(), np.isin(middle, (LEFT, MUSCLE)).sum()
        return (np.sqrt(outer) - np.sqrt(inner)) * who.voxel[0]

    for who in people:
        assert who.ml(LEFT, "ED") > who.ml(LEFT, "ES")
        assert who.ml(RIGHT, "ED") > who.ml(RIGHT, "ES")
    found = by_group(people, ejection)
    assert found["DCM"] < found["MINF"] < 0.45 < 0.55 < found["NOR"] < found["HCM"]
    wall = by_group(people, thickness)
    assert max(wall, key=wall.get) == "HCM" and wall["HCM"] > 1.4 * wall["NOR"] > 1.4 * wall["DCM"]
    right = by_group(people, lambda who: who.ml(RIGHT, "ED") / who.ml(LEFT, "ED"))
    assert max(right, key=right.get) == "RV" and right["RV"] > 1.4 * right["NOR"]
    left = by_group(people, lambda who: who.ml(LEFT, "ED"))
    assert max(left, key=left.get) == "DCM"


def test_the_wall_encloses_the_cavity_from_the_first_slice_to_the_last(people):
    for person in people:
        for labels in person.labels.values():
            depths = np.flatnonzero((labels == LEFT).any((0, 1)))
            assert np.array_equal(depths, np.arange(depths[0], depths[-1] + 1))
            assert depths[0] > 0  # there is a slice above the base, so that nothing of it is missed
            for depth in depths:
                cavity, muscle = labels[..., depth] == LEFT, labels[..., depth] == MUSCLE
                assert (cavity | muscle)[binary_dilation(cavity)].all()
            edge = np.ones(labels.shape[:2], bool)
            edge[1:-1, 1:-1] = False
            assert not np.isin(labels, (LEFT, MUSCLE))[edge].any()


def test_no_threshold_finds_a_structure(people):
    for person in people[::2]:
        levels = range(0, person.image.max() + 1, 6)
        for value in LABELS.values():
            assert best_dice(person.labels["ED"] == value, person.image, levels) < 0.75


def test_the_real_reader_reads_it(people, read):
    slices_check.check(read, "phantom-acdc")
    assert isinstance(TINY, Acdc) and read.dataset == "phantom-acdc" and read.mask_names == MASKS
    assert read.images.shape[1:] == (1, 64, 64) and read.images.dtype == np.uint8
    assert set(read.phase) == {"ED", "ES", "frame-03"} and set(read.modality) == {"MR cine"}
    drawn = (read.masks != slices.NOT_DELINEATED).all((1, 2, 3))
    assert np.array_equal(drawn, np.isin(read.phase, ("ED", "ES")))
    np.testing.assert_allclose(read.spacing_mm[:, :2], 2.25, rtol=0.02)
    left = MASKS.index("left-ventricle")
    for person in people:
        rows = (read.subject == person.name) & (read.phase == "ED")
        volume = (read.masks[rows, left].sum((1, 2)) * read.spacing_mm[rows].prod(axis=1)).sum() / 1000
        assert volume == pytest.approx(person.ml(LEFT, "ED"), rel=0.06)
        assert set(read.split[read.subject == person.name]) <= {"train", "val", "test"}


def test_folds_are_stratified_and_test_nobody_twice():
    full = PhantomAcdc()
    assert full in datasets.DATASETS and full.phantom and full.stands_for is None
    folds = [full.cohort(fold, 100) for fold in full.folds]
    for cohort in folds:
        assert (len(cohort.train), len(cohort.val), len(cohort.test)) == (10, 5, 5)
        for part, each in ((cohort.train, 2), (cohort.val, 1), (cohort.test, 1)):
            assert sorted(map(full.group, part)) == sorted(GROUPS * each)
        assert set(cohort.train + cohort.val + cohort.test) == set(full.patients)
        assert set(cohort.labelled) == set(cohort.train)
    assert not set(folds[0].test) & set(folds[1].test)


def test_fewer_labelled_patients_are_some_of_more():
    parts = [PhantomAcdc().cohort("fold-0", percent).labelled for percent in (10, 25, 50, 100)]
    assert [len(part) for part in parts] == [1, 2, 5, 10]
    for fewer, more in pairwise(parts):
        assert set(fewer) < set(more)
    with pytest.raises(ValueError, match=r"expected 1 to 10 of 10 training subjects, found 0"):
        PhantomAcdc().cohort("fold-0", 6)
    with pytest.raises(ValueError, match=r"expected one of fold-0, fold-1, found 'published-0'"):
        PhantomAcdc().cohort("published-0", 100)
