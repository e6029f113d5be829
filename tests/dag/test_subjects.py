"""A BIDS folder that grows and changes: each subject's jobs are that subject's own."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import Project
from tiny_hearts import take_checksums

from latent_anatomy.data.dataset import MIRROR_VARIABLE
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, volume_files

DATASET = "bids-mine"
SPLITS = {"sub-01": "train", "sub-02": "val", "sub-03": "test"}
COLLECTING = {(f"raw-{DATASET}-rest",), ("gate", DATASET), ("slab", DATASET)}
TARGETS = (f"results/imaging/{DATASET}/qc.csv", f"data/slices/{DATASET}.h5")


def own_jobs(*subjects: str) -> set[tuple[str, ...]]:
    steps = {(f"{step}-{DATASET}", who) for step in imaging_steps.OF_SUBJECT for who in subjects}
    return steps | {(f"raw-{DATASET}-{who}",) for who in subjects}


@dataclass(frozen=True)
class Study:
    """A project whose heads are those of a BIDS folder in the mirror folder."""

    project: Project
    mirror: Path

    @property
    def folder(self) -> Path:
        return self.mirror / DATASET

    def write(self, splits: dict[str, str], *masks: str) -> None:
        """Images of these subjects, lesion masks of some, the table and SHA256SUMS."""
        for who in splits:
            for suffix in ("FLAIR", "T1w"):
                self.put(f"{who}/anat/{who}_{suffix}.nii.gz", f"{suffix} of {who}")
        for who in masks:
            self.put(f"derivatives/me/{who}/anat/{who}_label-lesion_mask.nii.gz", f"lesions of {who}")
        lines = ["participant_id\tsplit", *(f"{who}\t{split}" for who, split in splits.items())]
        self.put("participants.tsv", "\n".join(lines) + "\n")
        take_checksums(self.folder)

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def run(self) -> None:
        result = self.project.snakemake("--cores", "2", "--quiet", "--", *TARGETS, mirror=self.mirror)
        assert result.returncode == 0, result.stdout + result.stderr

    def plan(self) -> set[tuple[str, ...]]:
        return self.project.plan("--", *TARGETS, mirror=self.mirror)


@pytest.fixture(scope="module")
def prepared(clean, tmp_path_factory) -> Study:
    """Three subjects who went through all steps, fetched by the real verb. Not to be changed: see `study`."""
    root = tmp_path_factory.mktemp("bids")
    project = Project(clean.copy(root / "project").path, shutil.copytree(clean.commands, root / "commands"))
    project.choose("collections", "mine", value={"volumes": [DATASET], "studies": {}})
    studies = {"unoranic": {"datasets": [], "seeds": [1]}, "baur": {"datasets": [DATASET], "seeds": [1]}}
    project.choose("collections", "mine", "studies", value=studies)
    project.choose("data", value="mine")
    study = Study(project, root / "mirror")
    study.write(SPLITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MIRROR_VARIABLE, str(study.mirror))
        source = datasets.find(DATASET)
        names = json.loads((project.commands / "names.json").read_text())
        for step in imaging_steps.OF_SUBJECT:
            names[step][DATASET] = [*volume_files.files_of(source, step), *volume_files.BESIDE]
    (project.commands / "names.json").write_text(json.dumps(names))
    verbs = project.commands / "latent-anatomy"
    verbs.write_text(verbs.read_text().replace('== "sync"', 'in ("sync", "fetch")'))
    assert study.plan() == own_jobs(*SPLITS) | COLLECTING
    study.run()
    return study


@pytest.fixture
def study(prepared, tmp_path) -> Study:
    mirror = shutil.copytree(prepared.mirror, tmp_path / "mirror")
    return replace(prepared, project=prepared.project.copy(tmp_path / "project"), mirror=mirror)


@pytest.mark.slow
def test_a_prepared_folder_has_nothing_to_do(study):
    assert study.plan() == set()


@pytest.mark.slow
@pytest.mark.parametrize("masks", [(), ("sub-04",)], ids=["no mask", "the first mask of all"])
def test_a_new_subject_makes_its_own_jobs_run_and_those_that_collect(study, masks):
    study.write(SPLITS | {"sub-04": "test"}, *masks)
    assert study.plan() == own_jobs("sub-04") | COLLECTING
    before = {path: path.stat().st_mtime_ns for path in study.project.path.glob("data/*/*/sub-0[123]/**/*.*")}
    study.run()
    assert before and before == {path: path.stat().st_mtime_ns for path in before}
    fetched = study.project.path / "data/raw" / DATASET
    for name in ("SHA256SUMS", "participants.tsv", "sub-04/anat/sub-04_FLAIR.nii.gz"):
        assert (fetched / name).read_text() == (study.folder / name).read_text()
    assert study.plan() == set()


@pytest.mark.slow
def test_another_image_under_an_older_time_is_brought_once_its_checksum_is_listed(study):
    path = study.put("sub-02/anat/sub-02_FLAIR.nii.gz", "another scan")
    os.utime(path, (0, 0))
    take_checksums(study.folder)
    assert study.plan() == own_jobs("sub-02") | COLLECTING
    study.run()
    fetched = study.project.path / "data/raw" / DATASET / "sub-02/anat/sub-02_FLAIR.nii.gz"
    assert fetched.read_text() == "another scan" and study.plan() == set()


@pytest.mark.slow
def test_a_folder_that_lies_in_the_project_alone_is_taken_as_it_is_and_never_deleted(study):
    raw = study.project.path / "data/raw" / DATASET
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    assert study.project.plan("--", *TARGETS) == set()
    (raw / "sub-02/anat/sub-02_FLAIR.nii.gz").write_text("another scan")
    take_checksums(raw)
    planned = study.project.plan("--", *TARGETS)
    assert not any(job[0].startswith("raw-") for job in planned)
    assert {job for job in planned if job[0].endswith(DATASET)} <= own_jobs("sub-02")
    result = study.project.snakemake("--cores", "2", "--quiet", "--", *TARGETS)
    assert result.returncode == 0, result.stdout + result.stderr
    assert before.keys() == {path for path in raw.rglob("*") if path.is_file()}
