"""The page docs/add-a-study.md, followed to the letter in a copy of the project: without and with a paper."""

import re
import sys
from itertools import product
from pathlib import Path

import forked
import pytest
import reporting
import yaml
from conftest import ROOT, Project

from latent_anatomy.ledger import build, table

PAGE = (ROOT / "docs/add-a-study.md").read_text(encoding="utf-8")
BLOCK, PAPER = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
[COMMAND] = re.findall(r"```sh\nsnakemake (.*?)\n```", PAGE)
DATASET, RUNS, REPORT = "phantom-breastmnist", ("ae", "ae-narrow"), "reports/narrow.html"


@pytest.fixture
def project(clean, tmp_path) -> Project:
    """The project with the page's block, and the real verbs instead of stand-ins."""
    (commands := tmp_path / "commands").mkdir()
    forked.stand_in(commands / "latent-anatomy", "latent_anatomy", sys.executable)
    project = Project(clean.copy(tmp_path / "project").path, commands)
    for key, block in yaml.safe_load(BLOCK).items():
        for name, value in block.items():
            project.choose(key, name, value=value)
    return project


@pytest.mark.slow
def test_the_page_gives_a_study_without_a_paper_and_then_with_one(project, monkeypatch):
    planned = project.plan(*COMMAND.split())
    verbs, seeds = ("train", "evaluate"), ("seed-1", "seed-2")
    jobs = {(verb, "narrow", DATASET, run, seed) for verb, run, seed in product(verbs, RUNS, seeds)}
    ends = {("paired_tests", "narrow", DATASET), ("report", "narrow")}
    assert planned == jobs | ends | {(f"raw-{DATASET}",), ("slice", DATASET)}, "and no ledger"

    [short] = re.findall(r"`changes: (\[.*?\])`", PAGE)
    chosen = {"datasets": [DATASET], "seeds": [1], "changes": yaml.safe_load(short)}
    project.choose("collections", "narrow", "studies", "narrow", value=chosen)
    project.choose("studies", "narrow", "evaluation", value={"reconstruction": {}})
    made = project.snakemake(*COMMAND.replace("--cores 8", "--cores 2").split())
    assert made.returncode == 0, made.stdout + made.stderr
    page = (project.path / REPORT).read_text(encoding="utf-8")
    assert "Phantoms." in page and "reconstruction/psnr" in page and str(project.path) not in page
    assert all(f">{run}</td>" in page for run in RUNS)
    assert page.count("data:image/png") >= 2 + 4, "learning curves, and what all see and each run makes of it"

    (project.path / "papers/narrow.yaml").write_text(PAPER, encoding="utf-8")
    assert project.plan(*COMMAND.split()) == {("ledger",), ("report", "narrow")}
    monkeypatch.chdir(project.path)
    files = sorted(map(str, Path("results/narrow").glob("*/**/metrics.json")))
    ledger = "results/ledger-phantom.csv"
    build.write([Path("papers/narrow.yaml")], map(Path, files), Path("results/ledger.csv"), Path(ledger))
    rows = table.read(Path(ledger))
    assert {row.method for row in rows if row.metric == "reconstruction/psnr"} == set(RUNS)
    parameters = {"study": "narrow", "metrics_files": files}
    parameters |= {"papers_file": "papers/narrow.yaml", "ledger_file": ledger}
    shown = reporting.shown_by(reporting.notebook("study"), parameters, project.path, monkeypatch)
    text = reporting.texts(shown)
    assert "The title of the paper" in text and "Claim: wider is better" in text and "narrow AE" in text
