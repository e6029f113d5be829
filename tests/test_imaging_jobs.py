"""From raw volumes to slices, by the jobs of every step, on small heads whose anatomy is known."""

import csv
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from latent_anatomy.data import slices, slices_file
from latent_anatomy.data.dataset import RawFile, Subject
from latent_anatomy.data.pool import pooled
from latent_anatomy.data.slices import NOT_DELINEATED
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import atlas, pictures, registration, volume
from latent_anatomy.imaging import slab as slab_module
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.jobs.imaging import bias, coregister, gate, normalise, register, slab, strip
from latent_anatomy.jobs.imaging.step import Place
from latent_anatomy.pipeline import imaging_steps
from latent_anatomy.pipeline.params import Imaging
from latent_anatomy.pipeline.volume_files import PASSPORT, subject_of
from latent_anatomy.provenance import formats, passport
from latent_anatomy.provenance.files import canonical_json, hashes, sha256_file, write_json

SPACING_MM = 4.0
LESION = np.array([24.0, -30.0, 20.0])  # where it lies in the atlas
RADIUS_MM = 9.0
QUICK = {"angles_deg": [0], "shifts_mm": [0], "starts": 1, "iterations": [40, 20], "spacing_mm": 4}
STEPS = {
    "atlas": {"spacing_mm": SPACING_MM},
    "bias": {"iterations": [2]},
    "coregister": QUICK,
    "register": QUICK | {"transform": "affine"},
    "strip": {"spacing_mm": 6, "iterations": [5]},
    "slab": {"count": 12, "size": 64},
}
RUN = {"bias": bias, "coregister": coregister, "register": register, "strip": strip, "normalise": normalise}
SHAPES = {"flair": (58, 66, 52), "t1": (60, 68, 56)}


@dataclass(frozen=True)
class Made:
    """A data set as a user would bring it: real, with a checksum for every file."""

    files: tuple[RawFile, ...]
    subjects: tuple[Subject, ...]
    name: str = "made"
    family: str = "made"
    phantom: bool = False
    sliced: str = "flair"
    guide: str = "t1"
    prepared: bool = False
    modality: str = "MR FLAIR"
    may_have: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    how_to_get: str = "it is made here"


def movement(angles_deg: tuple, shift_mm: tuple) -> Transform:
    """About a point in the brain."""
    centre = np.array([0.0, -18.0, 10.0])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return Transform(matrix)


# From the atlas to the worlds of the images, which differ: the subject moved between the two.
TO = {"flair": movement((6, -4, 7), (5, -6, 4)), "t1": movement((2, 1, 3), (1, 0, -2))}


def grid(name: str) -> Volume:
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = np.array([0, -18, 10]) - SPACING_MM * (np.array(SHAPES[name]) - 1) / 2
    return Volume(np.zeros(SHAPES[name], np.float32), affine)


def drawings() -> dict[str, Volume]:
    """T1 and FLAIR of a head in atlas space, its brain and a ball in it."""
    target = atlas.load("mni152", SPACING_MM)
    pad = 8
    affine = target.t1.affine.copy()
    affine[:3, 3] -= pad * affine[:3, :3].sum(1)
    t1, brain = (np.pad(one.values, pad) for one in (target.t1, target.brain))
    distance = ndimage.distance_transform_edt(brain == 0, sampling=SPACING_MM)
    scalp = (distance > 7) & (distance < 13)
    points = np.moveaxis(np.indices(t1.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    lesion = np.linalg.norm(points - LESION, axis=-1) < RADIUS_MM
    dark = np.where(brain > 0, 300 - t1, 0)
    flair = np.where(lesion, 400, np.where(scalp, 180, dark))
    drawn = {"flair": flair, "t1": np.where(scalp, 220, t1), "brain": brain, "lesion": lesion}
    return {name: Volume(np.asarray(values, np.float32), affine) for name, values in drawn.items()}


def written(folder: Path, drawn: dict[str, Volume], who: str, masks: list[str]) -> Subject:
    """A subject's raw files; the masks lie on the grid of FLAIR."""
    for name in ("flair", "t1", *masks):
        space = "t1" if name == "t1" else "flair"
        kind = "nearest" if name in masks else "linear"
        there = resample(drawn[name], grid(space), TO[space].inverse(), kind)
        volume.write(folder / who / f"{name}.nii.gz", there, "uint8" if name in masks else "float32")
    images, drawn_masks = (
        {name: f"{who}/{name}.nii.gz" for name in names} for names in (("flair", "t1"), masks)
    )
    return Subject(who, images, drawn_masks, "test" if masks else "train")


def with_checksums(folder: Path, subjects: list[Subject], **more) -> Made:
    names = [file for subject in subjects for file in subject.files if (folder / file).is_file()]
    files = tuple(RawFile(name, None, "sha256", sha256_file(folder / name)) for name in names)
    return Made(files, tuple(subjects), **more)


def write_jobs(folder: Path, dataset: Made) -> dict[str, Path]:
    """The files of a data set's jobs, as `job_files` writes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "DATASETS", (dataset,))
        left_out = {subject.name: "motion" for subject in dataset.subjects if subject.name == "who-moved"}
        imaging = Imaging(steps=STEPS, datasets={dataset.name: {"excluded": left_out}})
        jobs = imaging_steps.jobs(imaging, dataset.name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, job in jobs.items():
        (folder / f"{name}.json").write_text(canonical_json(job | {"source": "0" * 64}))
    return {name: folder / f"{name}.json" for name in jobs}


def prepare(dataset: Made, jobs: dict[str, Path], who: str, raw: Path, interim: Path) -> None:
    """All steps of a subject."""
    for name, path in jobs.items():
        if name in RUN:
            RUN[name].run(path, Place(dataset, subject_of(dataset, who), raw, interim))


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


@dataclass(frozen=True)
class Cohort:
    """A data set that went through all steps."""

    dataset: Made
    jobs: dict[str, Path]
    root: Path

    @property
    def places(self) -> tuple[Path, Path]:
        return self.root / "raw", self.root / "interim"

    def volume(self, who: str, step: str, name: str) -> Volume:
        return volume.read(self.root / "interim" / who / step / f"{name}.nii.gz")

    def finish(self, out: Path) -> slices.Slices:
        """The gate and the slices of everybody who was prepared."""
        subjects = sorted(path.name for path in (self.root / "interim").iterdir())
        steps = [name for name in self.jobs if name in RUN]
        gate.run(self.jobs["gate"], self.root / "interim", subjects, steps, out / "qc.csv", out / PASSPORT)
        slab.run(self.dataset, self.jobs["slab"], out / "qc.csv", self.root / "interim", out / "made.h5")
        return slices_file.read(out / "made.h5")


@pytest.fixture(scope="module", autouse=True)
def one_commit():
    """Passports name the commit, which must not change while they are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passport, "commit", lambda: {"commit": "0" * 40, "dirty": False})
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """Somebody with masks, somebody without; and somebody who was left out and never prepared."""
    root = tmp_path_factory.mktemp("cohort")
    drawn = drawings()
    subjects = [
        written(root / "raw", drawn, "ill", ["brain", "lesion"]),
        written(root / "raw", drawn, "well", []),
    ]
    left_out = replace(subjects[1], name="who-moved")
    dataset = with_checksums(root / "raw", [*subjects, left_out])
    found = Cohort(dataset, write_jobs(root / "jobs", dataset), root)
    for subject in subjects:
        prepare(dataset, found.jobs, subject.name, *found.places)
    return found


@pytest.mark.slow
def test_a_lesion_lands_where_it_lies_in_the_atlas(cohort):
    """Found by T1, and drawn on FLAIR, in whose world it lies 9 mm elsewhere."""
    lesion = cohort.volume("ill", "register", "lesion")
    voxels = np.argwhere(lesion.values > 0.5)
    found = (voxels @ lesion.affine[:3, :3].T + lesion.affine[:3, 3]).mean(0)
    assert np.linalg.norm(found - LESION) < 2.0
    assert np.linalg.norm(TO["flair"].points(LESION[None])[0] - LESION) > 4 * 2.0
    expected_ml = 4 / 3 * np.pi * (RADIUS_MM / 10) ** 3
    assert len(voxels) * SPACING_MM**3 / 1000 == pytest.approx(expected_ml, rel=0.3)
    flair = cohort.volume("ill", "register", "flair")
    assert np.median(flair.values[lesion.values > 0.5]) > 1.2 * np.percentile(flair.values, 95)


@pytest.mark.slow
def test_transforms_lead_from_the_atlas_to_flair_and_from_there_to_t1(cohort):
    points = np.array([LESION, [-30.0, 10.0, 0.0], [0.0, -60.0, 30.0]])
    interim = cohort.root / "interim" / "ill"
    to_flair = Transform.read(interim / "register" / "to_atlas.txt")
    to_t1 = Transform.read(interim / "coregister" / "t1.txt")
    assert np.abs(to_flair.points(points) - TO["flair"].points(points)).max() < 2.5
    between = TO["flair"].inverse().compose(TO["t1"])
    there = TO["flair"].points(points)
    assert np.abs(to_t1.points(there) - between.points(there)).max() < 2.5


@pytest.mark.slow
def test_a_mask_that_somebody_has_not_is_not_delineated(cohort, tmp_path):
    for name in ("brain", "lesion"):
        path = cohort.root / f"interim/well/register/{name}.nii.gz"
        assert (nibabel.load(path).get_fdata() == NOT_DELINEATED).all()
    content = cohort.finish(tmp_path)
    assert content.mask_names == ("brain", "lesion")
    planes = dict(zip(content.mask_names, np.moveaxis(content.masks, 1, 0), strict=True))
    well, ill = (content.subject == who for who in ("well", "ill"))
    assert (planes["lesion"][well] == NOT_DELINEATED).all()
    assert set(np.unique(planes["lesion"][ill])) == {0, 1}
    # The brain that was found, which everybody has.
    assert set(np.unique(planes["brain"])) == {0, 1}
    assert (content.images[:, 0][planes["brain"] == 0] == 0).all()


@pytest.mark.slow
def test_what_nobody_of_a_data_set_has_is_empty_there_so_that_it_is_a_pool_with_the_ill(cohort, tmp_path):
    def alone(who: str, **more) -> slices.Slices:
        (tmp_path / who / "interim").mkdir(parents=True)
        (tmp_path / who / "interim" / who).symlink_to(cohort.root / "interim" / who)
        own = [each for each in cohort.dataset.subjects if each.name == who]
        dataset = replace(cohort.dataset, subjects=tuple(own), **more)
        return replace(cohort, dataset=dataset, root=tmp_path / who).finish(tmp_path / who)

    ill, well = alone("ill"), alone("well", absent=("lesion",))
    assert well.mask_names == ill.mask_names == ("brain", "lesion")
    assert well.masks[:, 0].any() and not well.masks[:, 1].any()
    both = pooled("healthy__ill", {"healthy": well, "ill": ill})
    assert both.masks[:, 1].max() == 1 and set(both.split) == {"train", "test"}
    # What is drawn counts also where the data set says that nobody has it.
    assert np.array_equal(
        replace(cohort, dataset=replace(cohort.dataset, absent=("lesion",))).finish(tmp_path).masks[:12],
        ill.masks,
    )


@pytest.mark.slow
def test_slices_have_the_split_of_their_subject_and_a_position_in_the_atlas(cohort, tmp_path):
    content = cohort.finish(tmp_path)
    assert content.images.shape == (24, 1, 64, 64)
    assert content.images.min() >= 0 and content.images.max() <= 1
    split = dict(zip(content.subject.tolist(), content.split.tolist(), strict=True))
    assert split == {"ill": "test", "well": "train"}
    for who in split:
        assert content.slice[content.subject == who].tolist() == list(range(12))
    assert np.allclose(content.spacing_mm, SPACING_MM)


@pytest.mark.slow
def test_slices_have_the_site_of_their_subject_or_none(cohort, tmp_path):
    subjects = tuple(replace(each, site=f"by-{each.name}") for each in cohort.dataset.subjects)
    (tmp_path / "with").mkdir()
    content = replace(cohort, dataset=replace(cohort.dataset, subjects=subjects)).finish(tmp_path / "with")
    assert content.site.tolist() == [f"by-{who}" for who in content.subject]
    assert cohort.finish(tmp_path).site is None


@pytest.mark.slow
def test_who_is_left_out_stands_in_the_table_with_the_reason_and_in_no_slice(cohort, tmp_path):
    content = cohort.finish(tmp_path)
    with (tmp_path / "qc.csv").open(newline="") as stream:
        table = {row["subject"]: row for row in csv.DictReader(stream)}
    assert {who: row["passed"] for who, row in table.items()} == {
        "ill": "yes",
        "well": "yes",
        "who-moved": "no",
    }
    assert table["who-moved"]["reason"] == "excluded by hand: motion"
    assert "who-moved" not in content.subject
    proof = json.loads((tmp_path / PASSPORT).read_text())
    assert proof["outputs"] == {"qc": sha256_file(tmp_path / "qc.csv")}


@pytest.mark.slow
def test_nobody_who_passed_and_strangers_are_refused(cohort, tmp_path):
    cohort.finish(tmp_path)
    table = (tmp_path / "qc.csv").read_text()
    for text, complaint in (
        (table.replace(",yes,", ",no,"), "expected subjects that passed the gate, found none"),
        (table.replace("ill,yes", "stranger,yes"), r"expected one of its \d+ subjects, .*, found 'stranger'"),
    ):
        (tmp_path / "other.csv").write_text(text)
        proof = json.loads((tmp_path / PASSPORT).read_text())
        whole = {key: value for key, value in proof.items() if key not in ("seal", "outputs")}
        hashes = {"qc": sha256_file(tmp_path / "other.csv")}
        (tmp_path / PASSPORT).write_text(canonical_json(passport.sealed(whole, outputs=hashes)))
        with pytest.raises(ValueError, match=complaint):
            slab.run(
                cohort.dataset,
                cohort.jobs["slab"],
                tmp_path / "other.csv",
                cohort.root / "interim",
                tmp_path / "x",
            )
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_the_same_subject_twice_gives_the_same_bytes(cohort, tmp_path):
    prepare(cohort.dataset, cohort.jobs, "ill", cohort.root / "raw", tmp_path)
    assert contents(tmp_path / "ill") == contents(cohort.root / "interim" / "ill")
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        out.mkdir()
        cohort.finish(out)
    assert contents(first) == contents(second)


@pytest.mark.slow
def test_passports_name_what_each_step_was_made_of_and_what_it_made(cohort):
    raw, interim = cohort.places
    proofs = {name: json.loads((interim / "ill" / name / PASSPORT).read_text()) for name in RUN}
    made = {name: proof["outputs"] for name, proof in proofs.items()}
    for name, files in made.items():
        folder = interim / "ill" / name
        assert files == {path.name: sha256_file(path) for path in folder.iterdir() if path.name != PASSPORT}
    assert proofs["bias"]["inputs"] == {
        name: sha256_file(raw / f"ill/{name}.nii.gz") for name in ("flair", "t1")
    }
    assert proofs["register"]["inputs"] == {
        **{name: made["bias"][f"{name}.nii.gz"] for name in ("flair", "t1")},
        **{name: sha256_file(raw / f"ill/{name}.nii.gz") for name in ("brain", "lesion")},
        "t1.txt": made["coregister"]["t1.txt"],
    }
    assert proofs["normalise"]["inputs"] == {
        "image": made["register"]["flair.nii.gz"],
        "brain": made["strip"]["brain.nii.gz"],
    }
    for proof in proofs.values():
        assert str(cohort.root) not in json.dumps(proof)


@pytest.mark.slow
def test_what_the_publisher_prepared_is_only_brought_to_the_grid(tmp_path):
    drawn = drawings()
    brain = Volume(drawn["flair"].values * drawn["brain"].values, drawn["flair"].affine)
    volume.write(tmp_path / "raw/one/flair.nii.gz", brain)
    volume.write(tmp_path / "raw/one/lesion.nii.gz", drawn["lesion"], "uint8")
    one = Subject("one", {"flair": "one/flair.nii.gz"}, {"lesion": "one/lesion.nii.gz"}, "test")
    dataset = with_checksums(tmp_path / "raw", [one], guide="flair", prepared=True)
    jobs = write_jobs(tmp_path / "jobs", dataset)
    assert list(jobs) == ["register", "strip", "normalise", "gate", "slab"]
    prepare(dataset, jobs, "one", tmp_path / "raw", tmp_path / "interim")
    interim = tmp_path / "interim" / "one"
    assert np.array_equal(Transform.read(interim / "register/to_atlas.txt").matrix, np.eye(4))
    target = atlas.load("mni152", SPACING_MM)
    expected = resample(brain, target.t1, Transform.identity(), "linear").values
    assert np.array_equal(volume.read(interim / "register/flair.nii.gz").values, expected)
    assert np.array_equal(volume.read(interim / "strip/brain.nii.gz").values > 0.5, expected > 0)
    content = Cohort(dataset, jobs, tmp_path).finish(tmp_path / "out")
    lesion = content.masks[:, content.mask_names.index("lesion")]
    assert lesion.any() and content.images[:, 0][lesion == 1].mean() > content.images.max() / 2


def test_another_files_bytes_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    path = tmp_path / "raw/one/flair.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"what the publisher sent")
    one = Subject("one", {"flair": "one/flair.nii.gz"}, {}, "test")
    dataset = with_checksums(tmp_path / "raw", [one], guide="flair")
    jobs = write_jobs(tmp_path / "jobs", dataset)
    path.write_bytes(b"what somebody else sent")
    monkeypatch.setattr(volume, "read", lambda path: pytest.fail(f"{path} was parsed"))
    place = Place(dataset, one, tmp_path / "raw", tmp_path / "interim")
    with pytest.raises(
        ValueError, match=f"expected sha256 {hashlib.sha256(b'what the publisher sent').hexdigest()}"
    ):
        bias.run(jobs["bias"], place)
    with pytest.raises(ValueError, match="expected sha256"):
        register.run(write_jobs(tmp_path / "other", replace(dataset, prepared=True))["register"], place)
    assert not (tmp_path / "interim").exists()


def ending_at(z_mm: float, one: Volume) -> Volume:
    """The volume as a scan that ends at this height of its world."""
    heights = one.affine[2, 3] + one.affine[2, 2] * np.arange(one.values.shape[2])
    return Volume(np.ascontiguousarray(one.values[..., heights < z_mm]), one.affine)


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["flair", "t1"])
def test_a_scan_that_ends_in_mid_brain_is_seen_and_its_zeros_are_no_brain(tmp_path, monkeypatch, cut):
    drawn = drawings()
    whole = atlas.load("mni152", SPACING_MM)
    # Registered as it lies, so that only the field of view is at stake.
    monkeypatch.setattr(registration, "register", lambda *given: Transform.identity())
    for name in ("flair", "t1"):
        image = ending_at(10.0, drawn[name]) if name == cut else drawn[name]
        volume.write(tmp_path / f"raw/one/{name}.nii.gz", image)
    one = Subject("one", {name: f"one/{name}.nii.gz" for name in ("flair", "t1")}, {}, "test")
    dataset = with_checksums(tmp_path / "raw", [one])
    jobs = write_jobs(tmp_path / "jobs", dataset)
    prepare(dataset, jobs, "one", tmp_path / "raw", tmp_path / "interim")
    made = Cohort(dataset, jobs, tmp_path)
    numbers = json.loads((tmp_path / "interim/one/register/numbers.json").read_text())
    heights = whole.brain.affine[2, 3] + whole.brain.affine[2, 2] * np.arange(whole.brain.values.shape[2])
    below = (whole.brain.values > 0)[..., heights < 10].sum() / (whole.brain.values > 0).sum()
    assert numbers["coverage_percent"] == pytest.approx(100 * below, abs=4)
    brain = volume.read_mask(tmp_path / "interim/one/strip/brain.nii.gz").values > 0
    assert brain.any() and not brain[..., heights > 10].any()
    flair = volume.read(tmp_path / "interim/one/register/flair.nii.gz").values
    assert (flair[brain] == 0).mean() < 0.1
    with (tmp_path / "interim/one/register/coverage.csv").open(newline="") as stream:
        shares = {float(row["z_mm"]): float(row["covered_percent"]) for row in csv.DictReader(stream)}
    assert {share for z, share in shares.items() if z > 12} == {0} and shares[-10.0] > 90
    with pytest.raises(ValueError, match="expected subjects that passed the gate, found none"):
        made.finish(tmp_path / "out")
    reason = (tmp_path / "out/qc.csv").read_text()
    assert "one,no," in reason and "register/coverage_percent" in reason and "is below 90" in reason


def shown_only(interim: Path, field: Volume) -> None:
    """Write ill's field of view, with passports that say that the steps made and used just this."""
    path = interim / "ill/register/field.nii.gz"
    volume.write(path, field, "uint8")
    for step, part, role in (("register", "outputs", path.name), ("strip", "inputs", "field")):
        beside = interim / "ill" / step / PASSPORT
        proof = formats.read_passport(beside)
        proof[part][role] = sha256_file(path)
        del proof["seal"]
        write_json(beside, passport.sealed(proof))


def test_slices_that_are_hardly_shown_are_left_out_and_it_is_said(cohort, tmp_path, capsys):
    """The upper half of ill's field of view is taken away after all steps."""
    interim = shutil.copytree(cohort.root / "interim", tmp_path / "interim")
    field = volume.read_mask(interim / "ill/register/field.nii.gz")
    whole = replace(cohort, root=tmp_path).finish(tmp_path)
    brain, settings = atlas.load("mni152", SPACING_MM).brain, slab_module.Params(**STEPS["slab"])
    levels = slab_module.positions(brain, settings)
    field.values[..., levels[7] :] = 0
    shown_only(interim, field)
    capsys.readouterr()
    content = replace(cohort, root=tmp_path).finish(tmp_path)
    assert "ill: 5 of 12 slices left out: its images show less than 90 %" in capsys.readouterr().err
    ill = content.subject == "ill"
    assert content.slice[ill].tolist() == list(range(7))
    assert content.slice[~ill].tolist() == list(range(12))
    kept = [row for row, who in enumerate(whole.subject) if who == "well" or whole.slice[row] < 7]
    assert np.array_equal(content.images, whole.images[kept])
    assert np.array_equal(content.masks, whole.masks[kept])
    field.values[:] = 0
    shown_only(interim, field)
    with pytest.raises(ValueError, match="ill: expected slices with 90 % of the atlas' brain"):
        replace(cohort, root=tmp_path).finish(tmp_path)


@pytest.mark.slow
def test_the_outline_of_a_lesion_is_in_the_picture_of_whom_it_was_drawn_in(cohort):
    def coloured(who: str) -> int:
        picture = Image.open(cohort.root / "interim" / who / "register/picture.png").convert("RGB")
        return int((np.abs(np.int16(np.array(picture)) - pictures.BLUE).max(-1) < 12).sum())

    assert coloured("ill") > 100 and coloured("well") == 0
    numbers = json.loads((cohort.root / "interim/ill/register/numbers.json").read_text())
    assert numbers["lesion_ml"] == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.3)
    assert numbers["lesion_outside_percent"] == 0


def proven(place: Place, step: str, inputs: dict[str, str], outputs: dict[str, str]) -> None:
    """Write the passport that a step would have left."""
    job = {"job": step, "dataset": place.dataset.name}
    proof = passport.sealed({"inputs": inputs, "job": job}, subject=place.subject.name, outputs=outputs)
    write_json(place.step(step) / PASSPORT, proof)


ELSEWHERE = {
    "no affine": lambda affine: np.eye(4),
    "mirrored": lambda affine: np.diag([-1.0, 1, 1, 1]) @ affine,
    "two slices off": lambda affine: (
        affine @ np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]])
    ),
}


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_mask_that_lies_elsewhere_is_refused_before_anything_is_registered(
    tmp_path, monkeypatch, case, prepared
):
    monkeypatch.setattr(registration, "register", lambda *given: pytest.fail("it was registered"))
    [one] = [written(tmp_path / "raw", drawings(), "one", ["lesion"])]
    path = tmp_path / "raw/one/lesion.nii.gz"
    mask = nibabel.load(path)
    values, affine = np.uint8(mask.dataobj), ELSEWHERE[case](mask.affine)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    dataset = with_checksums(tmp_path / "raw", [one], prepared=prepared)
    place = Place(dataset, one, tmp_path / "raw", tmp_path / "raw/interim")
    if not prepared:
        shutil.copytree(tmp_path / "raw/one", place.step("bias"))
        place.step("coregister").mkdir()
        Transform.identity().write(place.step("coregister") / "t1.txt")
        images = hashes({name: place.volume("bias", name) for name in one.images})
        proven(place, "bias", {}, {f"{name}.nii.gz": value for name, value in images.items()})
        proven(place, "coregister", images, hashes({"t1.txt": place.step("coregister") / "t1.txt"}))
    with pytest.raises(ValueError, match=r"lesion\.nii\.gz: expected the (place|grid) of flair\.nii\.gz"):
        register.run(write_jobs(tmp_path / "jobs", dataset)["register"], place)
    assert not place.step("register").exists()


def killed_after_one_volume(job: Path, place: Place) -> None:
    """Bias correction in a process that is killed while the second volume is written."""
    write = volume.write

    def once(*words):
        if list(place.step("bias").glob("*.nii.gz")):
            os.kill(os.getpid(), signal.SIGKILL)
        write(*words)

    volume.write = once
    bias.run(job, place)


@pytest.mark.slow
def test_a_step_that_is_killed_leaves_no_passport_and_ends_well_the_next_time(cohort, tmp_path):
    place = Place(cohort.dataset, subject_of(cohort.dataset, "ill"), cohort.root / "raw", tmp_path)
    process = multiprocessing.get_context("fork").Process(
        target=killed_after_one_volume, args=(cohort.jobs["bias"], place)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert {path.name for path in place.step("bias").iterdir()} == {"flair.nii.gz"}
    bias.run(cohort.jobs["bias"], place)
    assert contents(tmp_path / "ill/bias") == contents(cohort.root / "interim/ill/bias")
