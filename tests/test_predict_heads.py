"""Heads that a model has never seen: in their own space, judged, and each by itself when broken."""

import csv
import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from conftest import hashes
from scipy import ndimage
from test_imaging_jobs import LESION, TO, drawings, grid
from tiny_models import ANYTHING, bids, export_of_volumes, imaging, know_the_fits, lesion_of

from latent_anatomy.imaging import atlas, volume
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.prediction import predict
from latent_anatomy.prediction.predict import run
from latent_anatomy.provenance import formats, verify

TISSUE, BRIGHT = 150.0, 300.0  # the most of all else, and the lesion, below what is clipped
RADIUS_MM = 15.0
ALONE = PostProcessing(median=1, erosion_iterations=1, minimum_voxels=1)  # nothing but the eroded brain
WHOLE = {"value": 1.8, "post": None}
FILTERED = {"value": 1.8, "post": ALONE.model_dump(mode="json")}
THRESHOLDS = {"anomalies/validation": WHOLE, "lesions/training": FILTERED}


def ill() -> dict[str, Volume]:
    """A head with a ball in it that is brighter than all else."""
    drawn = drawings()
    affine = drawn["brain"].affine
    points = np.moveaxis(np.indices(drawn["brain"].values.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    ball = np.linalg.norm(points - LESION, axis=-1) < RADIUS_MM
    flair = np.where(ball, np.float32(BRIGHT), np.minimum(drawn["flair"].values, np.float32(TISSUE)))
    return drawn | {"flair": Volume(flair, affine), "lesion": Volume(np.float32(ball), affine)}


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        return {row["subject"]: row for row in csv.DictReader(stream)}


def values(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.fixture
def quick(monkeypatch):
    """Heads whose fits are known."""
    know_the_fits(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A BIDS folder with one ill person; not to be changed."""
    path = tmp_path_factory.mktemp("heads") / "bids"
    bids(path, "sub-01", ill())
    return path


@pytest.fixture(scope="module")
def asked(folder, tmp_path_factory) -> Path:
    """What a model says of it, all steps being the real ones."""
    root = tmp_path_factory.mktemp("asked")
    model = export_of_volumes(root / "model.safetensors", thresholds=THRESHOLDS)
    assert run(model, folder, root / "out", "cpu") == 0
    return root / "out"


@pytest.mark.slow
def test_a_lesion_comes_back_where_it_was_drawn(asked, folder):
    """Nearly as well as a mask that is only resampled there and back, with the same transform."""
    drawn, anat = lesion_of(folder, "sub-01"), asked / "sub-01/anat"
    lesion = drawn.values > 0
    to_atlas = Transform.read(anat / "sub-01_from-orig_to-mni152_mode-image_xfm.txt")
    there = resample(drawn, atlas.load("mni152", 4.0).t1, to_atlas, "linear")
    there = Volume(np.float32(there.values > 0.5), there.affine)
    back = resample(there, grid("flair"), to_atlas.inverse(), "nearest").values > 0
    ceiling = dice(back, lesion)
    found = values(anat / "sub-01_desc-anomaliesValidation_mask.nii.gz") > 0
    assert ceiling > 0.8 and lesion.sum() > 100
    assert dice(found, lesion) >= 0.9 * ceiling
    row = rows(asked)["sub-01"]
    expected_ml = lesion.sum() * 4**3 / 1000
    assert float(row["desc-anomaliesValidation_ml"]) == pytest.approx(expected_ml, rel=0.15)
    assert np.abs(to_atlas.points(LESION[None]) - TO["flair"].points(LESION[None])).max() < 2.5


@pytest.mark.slow
def test_maps_lie_on_the_grid_that_was_given_and_are_nan_where_nothing_was_modelled(asked, folder):
    given = nibabel.load(folder / "sub-01/anat/sub-01_FLAIR.nii.gz")
    path = asked / "sub-01/anat/sub-01_desc-anomaly_map.nii.gz"
    image, own = nibabel.load(path), values(path)
    assert image.shape == given.shape and np.allclose(image.affine, given.affine, atol=1e-4)
    in_atlas = values(asked / "sub-01/anat/sub-01_space-mni152_desc-anomaly_map.nii.gz")
    known = np.isfinite(in_atlas)
    levels = np.flatnonzero(known.all(axis=(0, 1)))
    assert len(levels) == 12 and levels[-1] - levels[0] == 11 and known.any(axis=(0, 1)).sum() == 12
    row = rows(asked)["sub-01"]
    assert 0.3 < float(row["covers"]) < 0.7 and np.isnan(own).any()
    assert row["status"] == "done" and row["qc"] == "passed" and row["warnings"] == ""
    # The brain of the atlas, as far as its twelve levels go.
    brain = atlas.load("mni152", 4.0).brain.values
    assert float(row["covers"]) == pytest.approx(brain[:, :, levels].sum() / brain.sum(), abs=0.03)


@pytest.mark.slow
def test_everything_is_in_the_passport_and_nothing_else_lies_there(asked, folder):
    made = {name: asked / name for name in hashes(asked) if name != "passport.json"}
    passport = verify.beside(asked / "passport.json", made)
    assert passport["outputs"].keys() == made.keys()
    assert passport["inputs"].keys() == {"model", "sub-01/flair", "sub-01/t1"}
    assert str(folder) not in (asked / "passport.json").read_text()
    assert "sub-01/figures/sub-01_desc-overview.png" in made and "dataset_description.json" in made
    assert formats.read_passport(asked / "passport.json")["job"]["licence"]


def test_a_threshold_is_applied_as_its_protocol_does(quick, folder, tmp_path):
    """Above it, on the filtered map inside of the eroded brain; and nothing above what nothing reaches."""
    rules = THRESHOLDS | {"lesions/validation": FILTERED | {"value": 99.0}}
    run(export_of_volumes(tmp_path / "m.safetensors", thresholds=rules), folder, tmp_path / "out", "cpu")
    found = {
        name: values(tmp_path / f"out/sub-01/anat/sub-01_space-mni152_desc-{name}_mask.nii.gz") > 0
        for name in ("anomaliesValidation", "lesionsTraining", "lesionsValidation")
    }
    own = values(tmp_path / "out/sub-01/anat/sub-01_space-mni152_desc-anomaly_map.nii.gz")
    assert np.array_equal(found["anomaliesValidation"], np.nan_to_num(own) >= np.float32(1.8))
    assert not found["lesionsValidation"].any() and found["lesionsTraining"].any()
    planes = ndimage.generate_binary_structure(2, 1)[:, :, None]
    eroded = ndimage.binary_erosion(atlas.load().brain.values > 0, planes)
    inside = eroded & np.isfinite(own)
    assert np.array_equal(found["lesionsTraining"], inside & (np.nan_to_num(own) > np.float32(1.8)))


def test_a_method_that_reconstructs_and_one_that_segments(quick, folder, tmp_path):
    small = {"latent": 2, "width": 2, "blocks": 2}
    redraws = export_of_volumes(tmp_path / "m.safetensors", "baur_autoencoder", params=small)
    assert run(redraws, folder, tmp_path / "redrawn", "cpu") == 0
    maps = [
        values(tmp_path / f"redrawn/sub-01/anat/sub-01_desc-{name}_map.nii.gz")
        for name in ("anomaly", "reconstruction")
    ]
    assert np.array_equal(*map(np.isnan, maps)) and (maps[0][np.isfinite(maps[0])] >= 0).all()
    small = {"width": 2, "depth": 2}
    segments = export_of_volumes(tmp_path / "s.safetensors", "unet", params=small)
    assert run(segments, folder, tmp_path / "segmented", "cpu") == 0
    row = rows(tmp_path / "segmented")["sub-01"]
    for name in ("brain", "lesion"):
        drawn = values(tmp_path / f"segmented/sub-01/anat/sub-01_label-{name}_mask.nii.gz")
        assert float(row[f"label-{name}_ml"]) == pytest.approx(drawn.sum() * 64 / 1000)
    assert "score_mean" not in row


def test_the_same_heads_twice_give_the_same_bytes(quick, folder, tmp_path):
    model = export_of_volumes(tmp_path / "m.safetensors", thresholds=THRESHOLDS)
    for name in ("one", "two"):
        run(model, folder, tmp_path / name, "cpu")
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_an_image_of_another_kind_is_a_warning(quick, folder, tmp_path):
    """Other intensities, other voxels, no guide, a contrast agent; and what is alike is none."""
    dark = {"levels": {name: dict.fromkeys(("lowest", "median", "highest"), 0.02) for name in ANYTHING}}
    fine = {"native_mm": {"finest": [1.0] * 3, "coarsest": [1.0] * 3}, "modalities": ["MR FLAIR"]}
    model = export_of_volumes(tmp_path / "m.safetensors", images=dark | fine)
    people = tmp_path / "bids"
    anat = people / "sub-02/anat"
    anat.mkdir(parents=True)
    image = (folder / "sub-01/anat/sub-01_FLAIR.nii.gz").read_bytes()
    (anat / "sub-02_ce-gadolinium_FLAIR.nii.gz").write_bytes(image)
    assert run(model, people, tmp_path / "out", "cpu") == 0
    warnings = rows(tmp_path / "out")["sub-02"]["warnings"]
    for said in ("below 0.38: training has 0.02", "voxels of 4 x 4 x 4 mm: training has 1 x 1 x 1 to 1"):
        assert said in warnings
    assert "registered and stripped by flair, as there is no t1" in warnings
    assert "flair has ce-gadolinium" in warnings


def test_a_single_file_says_what_it_is_by_its_name_and_is_not_called_by_it(quick, folder, tmp_path):
    model = export_of_volumes(tmp_path / "m.safetensors")
    image = (folder / "sub-01/anat/sub-01_FLAIR.nii.gz").read_bytes()
    for name, said in (("Erika_flair.nii.gz", ""), ("Erika.nii.gz", "not stated: taken for MR FLAIR")):
        (tmp_path / name).write_bytes(image)
        out = tmp_path / f"{name}.out"
        assert run(model, tmp_path / name, out, "cpu") == 0
        row = rows(out)["sub-001"]
        assert said in row["warnings"] and bool(said) == ("stated" in row["warnings"])
        assert not any("Erika" in name for name in hashes(out)) and row["file"] == ""
    (tmp_path / "Erika_T1w.nii.gz").write_bytes(image)
    assert run(model, tmp_path / "Erika_T1w.nii.gz", tmp_path / "t1", "cpu") == 1
    assert "expected MR FLAIR (flair), found t1" in rows(tmp_path / "t1")["sub-001"]["reason"]


def test_a_head_that_is_stored_along_other_axes_has_the_same_map(quick, folder, tmp_path):
    """Turned and mirrored in the file, at the same place in the world: so are its map and mask."""
    image = nibabel.load(folder / "sub-01/anat/sub-01_FLAIR.nii.gz")
    turned = image.as_reoriented(nibabel.io_orientation(np.diag([-1, 1, 1, 1])[[2, 0, 1, 3]]))
    assert nibabel.aff2axcodes(turned.affine) != nibabel.aff2axcodes(image.affine)
    nibabel.save(image, tmp_path / "one_FLAIR.nii.gz")
    nibabel.save(turned, tmp_path / "two_FLAIR.nii.gz")
    model = export_of_volumes(tmp_path / "m.safetensors", thresholds=THRESHOLDS)
    for name in ("one", "two"):
        assert run(model, tmp_path / f"{name}_FLAIR.nii.gz", tmp_path / name, "cpu") == 0
    for end in ("desc-anomaly_map", "desc-anomaliesValidation_mask"):
        one, two = (
            nibabel.load(tmp_path / f"{name}/sub-001/anat/sub-001_{end}.nii.gz") for name in ("one", "two")
        )
        assert two.shape == turned.shape and np.allclose(two.affine, turned.affine, atol=1e-4)
        back = nibabel.as_closest_canonical(two)
        assert np.allclose(np.asarray(back.dataobj), np.asarray(one.dataobj), atol=1e-4, equal_nan=True)


def test_what_a_publisher_has_prepared_is_only_brought_to_the_grid(folder, tmp_path):
    """A brain in atlas space, for a model that was trained on such: no fit, and its own place again."""
    steps = imaging(prepared=True, guide="flair")
    model = export_of_volumes(tmp_path / "m.safetensors", imaging=steps)
    target = atlas.load("mni152", 4.0)
    brain = Volume(target.t1.values * target.brain.values, target.t1.affine)
    volume.write(tmp_path / "one_FLAIR.nii.gz", brain)
    assert run(model, tmp_path / "one_FLAIR.nii.gz", tmp_path / "out", "cpu") == 0
    anat = tmp_path / "out/sub-001/anat"
    own, there = (values(anat / f"sub-001_{space}desc-anomaly_map.nii.gz") for space in ("", "space-mni152_"))
    assert np.array_equal(own, there, equal_nan=True) and np.isfinite(own).any()


def test_sessions_are_apart(quick, folder, tmp_path):
    for session in ("ses-a", "ses-b"):
        anat = tmp_path / "bids/sub-01" / session / "anat"
        anat.mkdir(parents=True)
        image = (folder / "sub-01/anat/sub-01_FLAIR.nii.gz").read_bytes()
        (anat / f"sub-01_{session}_FLAIR.nii.gz").write_bytes(image)
    assert run(export_of_volumes(tmp_path / "m.safetensors"), tmp_path / "bids", tmp_path / "out", "cpu") == 0
    assert rows(tmp_path / "out").keys() == {"sub-01_ses-a", "sub-01_ses-b"}
    assert (tmp_path / "out/sub-01/ses-b/anat/sub-01_ses-b_desc-anomaly_map.nii.gz").is_file()


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_bytes(quick, folder, tmp_path, monkeypatch):
    """Who was finished is not asked again, unless the image is another one now."""
    people, image = tmp_path / "bids", (folder / "sub-01/anat/sub-01_FLAIR.nii.gz").read_bytes()
    for number in (1, 2):
        anat = people / f"sub-0{number}/anat"
        anat.mkdir(parents=True)
        (anat / f"sub-0{number}_FLAIR.nii.gz").write_bytes(image)
    model, asked, real = export_of_volumes(tmp_path / "m.safetensors"), [], predict.volume_of
    run(model, people, tmp_path / "whole", "cpu")

    def killed(given_model, one, *more):
        asked.append(one.name)
        real(given_model, one, *more)
        if len(asked) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(predict, "volume_of", killed)
    with pytest.raises(KeyboardInterrupt):
        run(model, people, tmp_path / "out", "cpu")
    assert not (tmp_path / "out/cohort.csv").exists()
    other = export_of_volumes(tmp_path / "other.safetensors", left_out="thresholds")
    with pytest.raises(ValueError, match="found the unfinished prediction of another model"):
        run(other, people, tmp_path / "out", "cpu")
    run(model, people, tmp_path / "out", "cpu")
    assert asked == ["sub-01", "sub-02", "sub-02"]
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_folder_with_files_is_not_written_into(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder, found files"):
        run(export_of_volumes(tmp_path / "m.safetensors"), folder, tmp_path / "out", "cpu")
    assert hashes(tmp_path / "out").keys() == {"notes.txt"}


def test_volume_files_are_read_as_they_are_where_they_are_not_compressed(quick, folder, tmp_path):
    content = gzip.decompress((folder / "sub-01/anat/sub-01_FLAIR.nii.gz").read_bytes())
    (tmp_path / "one_FLAIR.nii").write_bytes(content)
    assert (
        run(export_of_volumes(tmp_path / "m.safetensors"), tmp_path / "one_FLAIR.nii", tmp_path / "o", "cpu")
        == 0
    )
    assert (
        volume.parse(tmp_path / "o/sub-001/anat/sub-001_desc-anomaly_map.nii.gz").shape
        == grid("flair").values.shape
    )
