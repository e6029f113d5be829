"""The page docs/add-a-data-set.md, followed to the letter in a copy of the project."""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from conftest import ROOT

from latent_anatomy.data import slices_file

PAGE = (ROOT / "docs" / "add-a-data-set.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_gives_a_data_set_that_is_fetched_sliced_and_planned(clean, tmp_path):
    code, block = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "yaml"))
    project = clean.copy(tmp_path / "project")
    folder = project.path / "src" / "latent_anatomy" / "datasets"
    project.choose("collections", "mine", value=yaml.safe_load(block)["mine"])

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    random = np.random.default_rng(0)
    np.savez(
        mirror / "mine.npz",
        images=random.integers(0, 256, (6, 1, 28, 28), dtype=np.uint8),
        labels=np.arange(6) % 2,
        patient=np.array([f"patient-{i}" for i in range(6)]),
        split=np.array(["train", "train", "val", "val", "test", "test"]),
    )
    checksum = hashlib.sha256((mirror / "mine.npz").read_bytes()).hexdigest()
    code = code.replace("<sha256sum mine.npz>", checksum)
    (folder / "mine.py").write_text(code, encoding="utf-8")
    planned = project.plan("--config", "data=mine", mirror=mirror)
    assert ("train", "unoranic", "mine", "unoranic", "seed-3") in planned

    environment = os.environ | {
        "PYTHONPATH": str(project.path / "src"),
        "LATENT_ANATOMY_MIRROR": str(mirror),
    }
    for words in (
        ["fetch", "mine", "--out=data/raw/mine"],
        ["slice", "mine", "--raw=data/raw/mine", "--params=.params/slice/mine.json", "--out=mine.h5"],
    ):
        command = [sys.executable, "-m", "latent_anatomy", *words]
        subprocess.run(command, cwd=project.path, env=environment, capture_output=True, check=True)
    assert slices_file.read(project.path / "mine.h5", split="test").subject.tolist() == [
        "patient-4",
        "patient-5",
    ]


@pytest.mark.slow
def test_the_page_gives_a_data_set_of_volumes_whose_steps_are_planned(clean, tmp_path):
    code, block = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "yaml"))
    project = clean.copy(tmp_path / "project")
    folder = project.path / "src" / "latent_anatomy" / "datasets"
    mirror = tmp_path / "mirror"
    files = ("anna/t1.nii.gz", "anna/brain.nii.gz", "ben/t1.nii.gz", "carl/t1.nii.gz", "dora/t1.nii.gz")
    for name in files:
        (mirror / "heads" / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / "heads" / name).write_bytes(b"a head")
    code = code.replace("<sha256sum>", hashlib.sha256(b"a head").hexdigest())
    (folder / "heads.py").write_text(code, encoding="utf-8")
    project.choose("imaging", value=yaml.safe_load(block)["imaging"])
    studies = {
        "unoranic": {"datasets": [], "seeds": [1]},
        "baur": {"datasets": ["heads"], "external": [], "seeds": [1]},
    }
    project.choose("collections", "mine", value={"volumes": ["heads"], "studies": studies})
    project.choose("collections", "phantom", "volumes", value=[])
    project.choose("collections", "phantom", "studies", "baur", "datasets", value=[])
    project.choose("collections", "phantom", "studies", "baur", "changes", value=[])
    project.choose("data", value="mine")
    planned = project.plan(mirror=mirror)
    used = ("anna", "carl", "dora")
    steps = {job for job in planned if "-heads" in job[0]}
    assert steps == {(f"raw-heads-{name}",) for name in used} | {
        (f"{step}-heads", name) for step in ("bias", "register", "strip", "normalise") for name in used
    }
    assert {("gate", "heads"), ("slab", "heads"), ("train", "baur", "heads", "svae", "seed-1")} < planned


def test_the_page_s_folds_test_everybody_once_and_label_a_part():
    first, *_, last = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found = {}
    exec(compile(first + last, "mine.py", "exec"), found)
    dataset = found["MineInTurns"]()
    cohorts = [dataset.cohort(fold, 50) for fold in dataset.folds]
    assert sorted(who for cohort in cohorts for who in cohort.test) == sorted(dataset.people)
    for cohort in cohorts:
        assert {*cohort.train, *cohort.val, *cohort.test} == set(dataset.people)
        assert len(cohort.labelled) == 1 and set(cohort.labelled) < set(cohort.train)
