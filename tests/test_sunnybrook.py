"""Sunnybrook: what is drawn, which frame is ED, and that millilitres survive resampling."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from raw_files import assert_checked_before_parsed
from tiny_hearts import take_checksums

from latent_anatomy.data import slices_check
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets import sunnybrook

POSITIONS, FRAMES = 4, 5
ED, ES = 4, 1  # indices of frames; positions 1 and 2 are drawn
MM = (1.2, 1.6)


def arrays(mm: tuple[float, float] = MM, **changes) -> dict[str, np.ndarray]:
    """A patient: a box for the left ventricle, smaller at ES, in a box for the heart."""
    shape = (POSITIONS, FRAMES, 128, 128)
    endo, epi = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    drawn = np.zeros(shape[:2], np.uint8)
    drawn[1:3, [ES, ED]] = 1
    endo[1:3, ED, 40:80, 50:80] = 1
    endo[1:3, ES, 50:70, 50:70] = 1
    epi[1:3, ED, 30:90, 40:90] = 1
    made = {
        "image": np.random.default_rng(0).integers(0, 900, shape).astype(np.int16),
        "endo_mask": endo,
        "epi_mask": epi,
        "has_endo": drawn,
        "has_epi": drawn * (np.arange(FRAMES) == ED).astype(np.uint8),
        "pixel_spacing": np.array(mm),
        "slice_thickness": np.float64(8),
        "patient": np.array("SCD"),
    }
    return made | changes


def stored(folder, monkeypatch, raw: dict, patients=sunnybrook.PATIENTS):
    """The data set whose registered files all hold `raw`."""
    for patient in patients:
        np.savez(folder / f"{patient}.npz", **raw)
    monkeypatch.setattr(sunnybrook, "MANIFEST", take_checksums(folder, "list", start=""))
    return replace(datasets.find("sunnybrook"))


def test_the_registered_files_are_those_of_four_patients():
    names = [file.name for file in datasets.find("sunnybrook").files]
    assert names == [f"{patient}.npz" for patient in sunnybrook.PATIENTS]


def test_planes_are_drawn_where_their_contours_are(tmp_path, monkeypatch):
    raw = arrays((1.37, 1.37))
    made = stored(tmp_path, monkeypatch, raw).to_slices(tmp_path)
    slices_check.check(made, "here")
    own = made.select("test")
    assert set(own.subject) == {"SCD0000101"} and own.mask_names == ("myocardium", "left-ventricle")
    assert Counter(own.phase.tolist()) == dict.fromkeys(
        ["ED", "ES", "frame-01", "frame-03", "frame-04"], POSITIONS
    )
    myocardium, ventricle = own.masks[:, 0], own.masks[:, 1]
    inside = (own.slice == 1) | (own.slice == 2)
    at_ed, at_es = inside & (own.phase == "ED"), inside & (own.phase == "ES")
    assert np.array_equal(ventricle[at_ed], raw["endo_mask"][1:3, ED])
    assert np.array_equal(ventricle[at_es], raw["endo_mask"][1:3, ES])
    assert np.array_equal(myocardium[at_ed], raw["epi_mask"][1:3, ED] - raw["endo_mask"][1:3, ED])
    assert (myocardium[~at_ed] == 255).all() and (ventricle[~(at_ed | at_es)] == 255).all()
    image = raw["image"].transpose(1, 0, 2, 3).reshape(-1, 128, 128)  # in the order of time
    low, high = np.percentile(image, (5, 95))
    expected = 255 * np.clip((image - low) / (high - low), 0, 1)
    assert np.abs(own.images[:, 0] - expected).max() <= 0.51


def test_millilitres_survive_resampling(tmp_path, monkeypatch):
    raw = arrays()
    made = stored(tmp_path, monkeypatch, raw).to_slices(tmp_path)
    assert np.allclose(made.spacing_mm[:, :2], 1.37, rtol=0.01)
    voxel_ml = np.prod(MM) * 8 / 1000
    for phase, frame in (("ED", ED), ("ES", ES)):
        rows = (made.subject == "SCD0000201") & (made.phase == phase)
        found = (made.masks[rows, 1] == 1).sum() * made.spacing_mm[rows][0].prod() / 1000
        assert found == pytest.approx(raw["endo_mask"][:, frame].sum() * voxel_ml, rel=0.06)


def test_every_patient_is_tested_once_and_nobody_is_in_two_splits():
    dataset = datasets.find("sunnybrook")
    cohorts = [dataset.cohort(fold, 100) for fold in dataset.folds]
    assert [part.test for part in cohorts] == [(patient,) for patient in sunnybrook.PATIENTS]
    assert len({part.val for part in cohorts}) == 4
    assert all(set(part.train) == set(part.labelled) and len(part.train) == 2 for part in cohorts)
    assert len(dataset.cohort("loo-2", 50).labelled) == 1
    with pytest.raises(ValueError, match=r"found 0, which is 25 %"):
        dataset.cohort("loo-0", 25)
    with pytest.raises(ValueError, match=r"expected one of loo-0.*found 'loo-4'"):
        dataset.cohort("loo-4", 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"has_endo": np.zeros((POSITIONS, FRAMES), np.uint8)}, "at two frames.*found 0 labelled frames"),
        ({"endo_mask": 3 * arrays()["endo_mask"]}, r"expected labels 0 and 1 in endo_mask, found \[3\]"),
        ({"epi_mask": arrays()["epi_mask"][:-1]}, "epi_mask of the grid of its image"),
        ({"image": arrays()["image"][..., :100]}, r"expected image \(positions, frames, 128, 128\)"),
        ({"image": 0 * arrays()["image"]}, "expected an image with contrast"),
        ({"pixel_spacing": np.array([1.2, 0.0])}, "expected positive distances in mm"),
        ({"slice_thickness": np.float64(np.nan)}, "expected positive distances in mm"),
        ({"has_epi": None}, "found no has_epi"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path, monkeypatch, change, message):
    raw = {name: values for name, values in (arrays() | change).items() if values is not None}
    with pytest.raises(ValueError, match=rf"SCD0000101\.npz.*{message}"):
        stored(tmp_path, monkeypatch, raw).to_slices(tmp_path)


def test_other_bytes_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    dataset = stored(tmp_path, monkeypatch, arrays())
    assert_checked_before_parsed(dataset, tmp_path / "SCD0000401.npz", monkeypatch)
