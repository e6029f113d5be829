"""The page docs/add-a-protocol.md, followed to the letter in a project that is as small as it gets."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_project
import yaml
from conftest import ROOT

from latent_anatomy.provenance.files import sha256_file

PAGE = (ROOT / "docs" / "add-a-protocol.md").read_text(encoding="utf-8")
[CODE], [LINE], [NUMBERS] = (
    re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL) for language in ("python", "yaml", "text")
)
[FILE] = re.findall(r"^`(src/\S+)`:$", PAGE, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The tiny project after every job of it, with the protocol of the page in its one study."""
    checkout, path = (tmp_path_factory.mktemp("protocol") / name for name in ("checkout", "project"))
    for name in ("src", "papers", "notebooks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (tiny_project.LOCK, "params.yaml"):
        shutil.copy(ROOT / name, checkout / name)
    (checkout / FILE).write_text(CODE, encoding="utf-8")
    content = tiny_project.parameters()
    content["studies"]["unoranic"]["evaluation"] = {"reconstruction": {}} | yaml.safe_load(LINE)
    content["studies"]["unoranic"]["runs"] = ["unoranic", "ae"]  # as the study has them
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_project, "ROOT", checkout)
        tiny_project.finish(path, content)
    return path


def of(project: Path, run: str, seed: int) -> tuple[Path, dict]:
    """The folder of a result, and its metrics."""
    folder = project / "results/unoranic" / tiny_project.DATASET / run / f"seed-{seed}"
    return folder, json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_page_gives_a_protocol_that_is_asked_and_by_which_runs_are_compared(project):
    means = {}
    for run in tiny_project.RUNS:
        errors = []
        for seed in tiny_project.SEEDS:
            folder, metrics = of(project, run, seed)
            with np.load(folder / "scores.npz") as scores:
                errors.append(scores["brightness/error"])
            assert metrics["brightness/error"] == errors[-1].mean() < metrics["brightness/worst"]
            assert metrics["reconstruction/psnr"] > 5
        means[run] = np.mean(errors)
    comparison = project / "results/unoranic/comparison" / tiny_project.DATASET / "metrics.json"
    compared = json.loads(comparison.read_text(encoding="utf-8"))
    [line] = NUMBERS.splitlines()
    stem, _, names = line.rpartition("/")
    numbers = {f"{stem}/{name}" for name in names.split(", ")}
    assert {key for key in compared if key.startswith("brightness/")} == numbers
    assert compared[f"{stem}/difference"] == pytest.approx(means["unoranic"] - means["ae"])


@pytest.mark.slow
def test_its_table_settings_and_sources_are_in_the_passport(project):
    folder, _ = of(project, "ae", 1)
    table = folder / "tables/brightness.worst.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [set(row) for row in rows] == [{"subject", "error"}] * 2
    passport = json.loads((folder / "passport.json").read_text(encoding="utf-8"))
    assert passport["outputs"]["tables/brightness.worst.csv"] == sha256_file(table)
    assert passport["job"]["evaluation"]["brightness"] == {"shown": 2}
    assert "latent_anatomy.evaluation.protocols.brightness" in passport["job"]["modules"]
    with np.load(folder / "arrays.npz") as arrays:
        assert len(arrays["brightness/error"]) == len(arrays["subject"])


@pytest.mark.slow
def test_the_audit_holds_its_table_to_the_passport(project):
    def audit() -> dict:
        command = [sys.executable, "-m", "latent_anatomy", "audit", "--json"]
        environment = os.environ | {"PYTHONPATH": str(project / "src")}
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        return json.loads(done.stdout)

    assert audit()["state"] == "holds"
    folder, _ = of(project, "unoranic", 2)
    table = folder / "tables/brightness.worst.csv"
    table.write_text(table.read_text(encoding="utf-8") + "nobody,0\n", encoding="utf-8")
    passport = (folder / "passport.json").relative_to(project).as_posix()
    [broken] = [link for link in audit()["artefacts"][passport]["links"] if link["state"] == "broken"]
    assert broken["check"] == "outputs" and "brightness.worst.csv" in broken["message"]
