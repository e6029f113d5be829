"""What a change makes again, and why, is said before anything runs."""

import shutil
from pathlib import Path

import pytest
import tiny_project
import yaml
from tiny_project import DATASET, PAPERS, RUNS, SEEDS

from latent_anatomy.pipeline import job_files, params
from latent_anatomy.versions import plan

AE = [f"unoranic/{DATASET}/ae/seed-{seed}" for seed in SEEDS]
AFTER_AE = {
    *(f"paired-tests/unoranic/{DATASET}", "ledger", "report/index"),
    *(f"report/{Path(paper).stem}" for paper in PAPERS),
}


@pytest.fixture
def project(made_once, tmp_path, monkeypatch) -> Path:
    """A finished project of one phantom, which the test may change; the current folder."""
    folder = shutil.copytree(made_once("tiny", tiny_project.finish), tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def change(run: str, **parameters: object) -> params.Params:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["collections"]["phantom"]["studies"]["unoranic"]["changes"].append(
        {"runs": [run], "params": parameters}
    )
    Path("params.yaml").write_text(yaml.safe_dump(content))
    return params.load(Path("params.yaml"))


def test_of_a_finished_project_nothing_is_made_again(project):
    why = plan.plan(params.load(Path("params.yaml")))
    assert why == {} and plan.text(why).startswith("Nothing to make")


def test_a_changed_parameter_is_named_with_what_follows_even_after_a_dry_run_wrote_the_jobs_anew(project):
    changed = change("ae", epochs=2)
    before = plan.plan(changed)
    job_files.write(changed.without(()))
    why = plan.plan(changed)
    assert why == before
    own = {f"{kind}/{job}" for kind in ("train", "evaluate") for job in AE}
    assert {job for job, reasons in why.items() if reasons == ["params.epochs: 1 -> 2"]} == own
    assert {job for job, reasons in why.items() if reasons == [plan.MADE_OF_THESE]} == AFTER_AE
    assert why.keys() == own | AFTER_AE
    lines = plan.text(why).splitlines()
    assert lines[0] == "params.epochs: 1 -> 2" and lines[-1].endswith(f": {len(own) + len(AFTER_AE)}")
    assert lines.index(f"  train/{AE[0]}") < lines.index(plan.MADE_OF_THESE) < lines.index("  ledger")


def test_what_is_not_here_and_what_other_sources_made_is_named(project):
    Path("models/unoranic", DATASET, RUNS[0], "seed-1/history.csv").unlink()
    why = plan.plan(params.load(Path("params.yaml")))
    assert why[f"train/{AE[0]}"] == ["not here"]
    assert why[f"evaluate/{AE[0]}"] == [plan.MADE_OF_THESE] and f"train/{AE[1]}" not in why
    made = {"job": "train", "modules": ["latent_anatomy.jobs.train"], "source": "1"}
    assert list(plan.differences(made, made | {"source": "2"})) == ["sources of jobs.train"]
