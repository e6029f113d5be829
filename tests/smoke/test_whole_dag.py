"""The whole DAG with its real commands, from a phantom's raw file to the report, as small as it gets."""

import json
import sys
from pathlib import Path

import pytest
from conftest import Project

DATASET = "phantom-pneumoniamnist"
COLLECTION = ("collections", "phantom")
PHANTOM = (*COLLECTION, "studies", "unoranic")
TINY = [
    {"runs": ["unoranic", "ae"], "params": {"epochs": 1, "width": 4, "latent": 8}},
    {"runs": ["resnet18", "resnet18-corruption"], "params": {"epochs": 1, "batch_size": 256}},
]


@pytest.mark.slow
def test_from_raw_file_to_report_and_then_nothing_to_do(clean, tmp_path):
    project = Project(clean.copy(tmp_path / "project").path, commands=Path(sys.executable).parent)
    project.choose(*PHANTOM, "datasets", value=[DATASET])
    project.choose(*PHANTOM, "changes", value=TINY)
    project.choose(*PHANTOM, "evaluation", value={
        "probing": {"epochs": 1, "draws": 1},
        "separation": {"draws": 1},
        "robustness": {"images": 8, "severities": [1, 2, 3, 4, 5], "probe_epochs": 1},
    })  # fmt: skip

    result = project.snakemake("--cores", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    for run in ("unoranic", "ae", "resnet18", "resnet18-corruption"):
        place = project.path / "results" / "unoranic" / DATASET / run / "seed-1"
        found = json.loads((place / "metrics.json").read_text())
        assert len(found) > 5
        assert json.loads((place / "passport.json").read_text())["job"]["run"] == run
        assert (place / "arrays.npz").is_file()
    report = (project.path / "reports" / "unoranic.html").read_text()
    assert "Phantoms" in report and str(project.path) not in report
    assert (project.path / "results" / "ledger.csv").is_file()
    assert DATASET in (project.path / "results" / "ledger-phantom.csv").read_text()
    assert project.plan() == set()
