"""phantom-mmwhs: MM-WHS' layout and labels, the same bytes, seven structures in two contrasts that differ."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from conftest import hashes
from phantom_files import best_dice, drawn

from latent_anatomy.data import slices_check
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.mmwhs import LABELS, MASKS, Mmwhs
from latent_anatomy.datasets.phantoms.mmwhs import PhantomMmwhs

TINY = PhantomMmwhs(
    numbers=(1001, 1002, 1003), train=1, shape=(32, 32, 16), voxel_mm=(4.8, 4.8, 7.0), size=32, spacing_mm=4.8
)
raw = drawn(TINY)
VALUES = {value for values in LABELS.values() for value in values}


@pytest.fixture(scope="module")
def read(raw):
    return TINY.to_slices(raw)


def load(raw, modality: str, number: int, what: str) -> np.ndarray:
    folder = f"{modality}_train"
    return np.asarray(nibabel.load(raw / folder / f"{folder}_{number}_{what}.nii.gz").dataobj)


def test_its_files_lie_as_those_of_the_challenge(raw):
    assert set(hashes(raw)) == {file.name for file in TINY.files}
    assert [file.name for file in TINY.files if "1002" in file.name] == [
        "mr_train/mr_train_1002_image.nii.gz",
        "mr_train/mr_train_1002_label.nii.gz",
        "ct_train/ct_train_1002_image.nii.gz",
        "ct_train/ct_train_1002_label.nii.gz",
    ]
    full = PhantomMmwhs()
    assert full in datasets.DATASETS and full.phantom and full.stands_for is None
    assert len(full.files) == 2 * 2 * 6


def test_the_same_bytes_every_time_whoever_else_is_drawn(raw, tmp_path):
    replace(TINY, numbers=(1002,)).generate(tmp_path / "one")
    everybody = hashes(raw)
    one = hashes(tmp_path / "one")
    assert one == {name: content for name, content in everybody.items() if "1002" in name}
    other = replace(TINY, numbers=(1002,), seed=1, shape=(16, 16, 8))
    other.generate(tmp_path / "other")
    replace(other, seed=0).generate(tmp_path / "same")
    assert not set(hashes(tmp_path / "other").values()) & set(hashes(tmp_path / "same").values())


def test_labels_are_the_challenges_with_its_slip_in_some_mr(raw):
    for number in TINY.numbers:
        for modality in ("mr", "ct"):
            found = set(np.unique(load(raw, modality, number, "label")))
            slip = {421} if modality == "mr" and number % 2 == 0 else set()
            assert found == (VALUES - {421}) | {0} | slip


def test_the_real_reader_reads_it(read):
    slices_check.check(read, "phantom-mmwhs")
    assert isinstance(TINY, Mmwhs) and read.dataset == "phantom-mmwhs" and read.mask_names == MASKS
    assert read.images.shape == (2 * 3 * 16, 1, 32, 32) and read.phase is None
    assert set(read.modality) == {"MR", "CT"}
    assert set(read.subject) == {f"{kind}-{number}" for kind in ("mr", "ct") for number in TINY.numbers}
    np.testing.assert_allclose(read.spacing_mm, np.tile([4.8, 4.8, 7.0], (len(read), 1)), rtol=0.06)
    for subject in np.unique(read.subject):
        volume = read.masks[read.subject == subject]
        assert volume.any((0, 2, 3)).all() and volume.max() == 1
        assert volume.sum(axis=1).max() == 1  # they do not overlap
        middle = np.argwhere(volume[:, MASKS.index("left-ventricle")]).mean(axis=0)
        right = np.argwhere(volume[:, MASKS.index("right-ventricle")]).mean(axis=0)
        assert right[2] < middle[2] and right[1] < middle[1]  # towards the patient's right and front
        aorta = np.argwhere(volume[:, MASKS.index("aorta")]).mean(axis=0)
        assert aorta[0] > middle[0]  # above


def test_mr_and_ct_are_told_apart_by_brightness_and_show_different_people(raw, read):
    muscle, left, right = (
        read.masks[:, MASKS.index(name), :, :] > 0
        for name in ("myocardium", "left-ventricle", "right-ventricle")
    )
    means = {}
    for subject in np.unique(read.subject):
        own = read.subject == subject
        image = read.images[own, 0] / 255
        means[subject] = [image[mask[own]].mean() for mask in (muscle, left, right)]
    ratio = {subject: wall / blood for subject, (wall, blood, _) in means.items()}
    assert min(ratio[who] for who in ratio if who.startswith("ct")) > 1.3 * max(
        ratio[who] for who in ratio if who.startswith("mr")
    )
    for number in TINY.numbers:
        image = {modality: load(raw, modality, number, "image") for modality in ("mr", "ct")}
        assert image["ct"].min() < -700 < 0 <= image["mr"].min()
        masks = [load(raw, modality, number, "label") for modality in ("mr", "ct")]
        assert (masks[0] != masks[1]).mean() > 0.02


def test_no_threshold_finds_the_left_ventricle(raw):
    for modality in ("mr", "ct"):
        for number in TINY.numbers:
            image = load(raw, modality, number, "image")
            mask = load(raw, modality, number, "label") == LABELS["left-ventricle"][0]
            assert best_dice(mask, image, np.quantile(image, np.linspace(0, 1, 100))) < 0.75


def test_cohorts_are_those_of_mm_whs_with_fewer_hearts():
    full = PhantomMmwhs()
    fold = full.folds[0]
    both = full.cohort(fold, "mr-100-ct-100")
    assert both.train == tuple(f"{kind}-{number}" for kind in ("mr", "ct") for number in range(1001, 1005))
    assert both.val == ("mr-1005", "ct-1005") and both.test == ("mr-1006", "ct-1006")
    less = full.cohort(fold, "mr-100-ct-25")
    assert [who[:2] for who in less.train] == ["mr"] * 4 + ["ct"] and less.labelled == less.train
    assert {who[:2] for who in full.cohort(fold, "mr-0-ct-50").test} == {"ct"}
    with pytest.raises(ValueError, match="expected 1 to 4 of 4 training subjects, found 0"):
        full.cohort(fold, "mr-100-ct-12.5")
