"""What others plan while a workflow runs does not move it, and what they planned is not forgotten."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from conftest import Project

MODEL = "models/unoranic/phantom-breastmnist/ae/seed-1/model.safetensors"
JOB = ".params/train/unoranic/phantom-breastmnist/ae/seed-1.json"
WAITING = """#!/bin/sh
if [ "$1" = train ]; then
    touch begun
    while [ ! -e go ]; do sleep 0.05; done
fi
exec {commands}/latent-anatomy "$@"
"""
PATIENCE_S = 120


@pytest.fixture
def running(clean, tmp_path):
    """A project in which a training waits, before it reads its job, until the file `go` is there."""
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "latent-anatomy").write_text(WAITING.format(commands=clean.commands))
    (commands / "latent-anatomy").chmod(0o755)
    project = Project(clean.copy(tmp_path / "project").path, commands)
    others = {study: {"seeds": [1]} for study in ("baur", "sdnet")}
    others["unoranic"] = {"datasets": ["breastmnist"], "seeds": [1]}
    project.choose("imaging", "datasets", "ms-lesion-mni", value=None)  # which no collection has then
    project.choose("collections", "at-hand", value={"images": ["breastmnist"], "studies": others})
    project.give_raw_files("breastmnist")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(project.snakemake, "--cores", "1", "--", MODEL)
        try:
            until = time.monotonic() + PATIENCE_S
            while not (project.path / "begun").exists():
                assert time.monotonic() < until and not run.done(), run.result()
                time.sleep(0.05)
            yield project, run
        finally:
            (project.path / "go").touch()


def with_epochs(project: Project, epochs: int) -> None:
    path = project.path / "params.yaml"
    content = yaml.safe_load(path.read_text())
    study = content["collections"]["phantom"]["studies"]["unoranic"]
    study["changes"] = [*study.get("changes", []), {"runs": ["ae"], "params": {"epochs": epochs}}]
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_a_running_job_goes_on_with_what_it_began_with_and_is_made_again_afterwards(running):
    project, run = running
    begun_with = (project.path / JOB).read_text()
    with_epochs(project, 77)
    project.plan("--", MODEL)
    assert json.loads((project.path / JOB).read_text())["params"]["epochs"] == 77
    (project.path / "go").touch()
    assert run.result().returncode == 0, run.result().stderr
    made = (project.path / MODEL).read_text()
    assert begun_with in made and json.loads(begun_with)["params"]["epochs"] != 77
    assert ("train", "unoranic", "phantom-breastmnist", "ae", "seed-1") in project.plan("--", MODEL)


def test_a_plan_for_another_collection_takes_no_job_file_away(running):
    project, run = running
    before = {path: path.read_bytes() for path in Path(project.path, ".params").rglob("*.json")}
    copies = {path: path.read_bytes() for path in Path(project.path, ".scratch/jobs").glob("*.json")}
    project.plan("--config", "data=at-hand")
    kept = {path for path in before if path.is_file() and path.read_bytes() == before[path]}
    shared = {path for path in before if path.parent.name == "report" or path.name == "written.json"}
    assert len(before) > 20 and kept >= set(before) - shared
    assert copies and all(path.read_bytes() == content for path, content in copies.items())
    (project.path / "go").touch()
    assert run.result().returncode == 0, run.result().stderr
