"""Every command line that the documentation prints is one that works."""

import csv
import json
import re
import shlex
import subprocess

import pytest
import yaml
from conftest import ROOT
from dvc.cli import parse_args
from typer.main import get_command

from latent_anatomy.cli.main import app

PAGES = ("README.md", "docs/workflow.md")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
REAL = PARAMS["collections"]["real"]["images"]


def printed(page: str, tool: str = "snakemake") -> list[str]:
    """The lines in ```sh blocks that begin with `tool`, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(f"{tool} ")]


ALL_PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def of_tool(tool: str) -> list[str]:
    """The lines of all pages that begin with `tool`."""
    return sorted({line for page in ALL_PAGES for line in printed(page, tool)})


COMMANDS = sorted({line for page in PAGES for line in printed(page)})


@pytest.fixture(scope="module")
def project(clean, tmp_path_factory):
    """A project with the raw files of the papers' data sets, so that no command asks the network."""
    project = clean.copy(tmp_path_factory.mktemp("readme") / "project")
    project.give_raw_files(*REAL)
    return project


@pytest.mark.parametrize("page", PAGES)
def test_the_page_prints_commands(page):
    assert printed(page)


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_a_printed_command_plans_jobs(project, line):
    assert ("all",) in project.plan(*shlex.split(line)[1:])


@pytest.mark.parametrize("line", of_tool("latent-anatomy"))
def test_a_printed_verb_has_the_options_that_are_printed(line, tmp_path, monkeypatch):
    command, context, words = get_command(app), None, shlex.split(re.sub("<.*?>", "x", line))[1:]
    (tmp_path / words[-1].partition("=")[2]).touch()  # the file that some verbs want to exist
    monkeypatch.chdir(tmp_path)
    while hasattr(command, "commands"):
        name, *words = words
        context, command = command.context_class(command, context, name), command.commands[name]
    command.make_context(command.name, words, context).close()


@pytest.mark.parametrize("line", of_tool("dvc"))
def test_a_printed_command_of_dvc_is_one(line):
    assert parse_args(shlex.split(line)[1:]).func


@pytest.mark.slow
def test_make_run_does_what_the_readme_says(project):
    recipe = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old=environment", "run", "CORES=8"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=True,
    )
    made = recipe.stdout.splitlines()[-1].split("snakemake ")[1]
    plans = [
        project.plan(*shlex.split(words))
        for words in (made, "--cores 8 --resources gpu=1", "--cores 8 --resources gpu=1 -- all")
    ]
    assert plans[0] == plans[1] == plans[2]
    assert {"snakemake --cores 8 --resources gpu=1", "snakemake --cores 8 --resources gpu=1 -- all"} < set(
        COMMANDS
    )


def test_the_table_of_results_is_the_ledger():
    """Each row of the README's table: data set, run, metric, paper, ours, verdict."""
    with (ROOT / "results" / "ledger.csv").open(newline="") as stream:
        ledger = {
            (row["dataset"], row["method"], row["metric"]): (row["paper"], row["ours_mean"], row["verdict"])
            for row in csv.DictReader(stream)
            if row["table"].startswith("Table ")
        }
    row = r"^\| `(.*)` \| `(.*)` \| `(.*)` \| (.*) \| (.*) \| (.*) \|$"
    lines = re.findall(row, (ROOT / "README.md").read_text(), re.MULTILINE)
    assert lines
    for dataset, run, metric, paper, ours, verdict in lines:
        printed, mean, judged = ledger[dataset, run, metric]
        assert (float(paper), verdict) == (float(printed), judged)
        assert float(ours) == pytest.approx(float(mean), abs=0.00051)


def test_the_table_of_lesions_is_that_of_the_metrics():
    """Each row: run, AUPRC, Dice at the training threshold with its SD, at validation's, the oracle's, FP."""
    row = r"^\| `(.*)` \| ([\d.]+) \| ([\d.]+) ± ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"
    names = ("auprc", "training/dice", "training/dice_sd", "validation/dice", "oracle/dice")
    names = (*names, "training/false_positives_per_volume")
    lines = re.findall(row, (ROOT / "README.md").read_text(), re.MULTILINE)
    folder = ROOT / "results" / "baur" / "lgg-flair"
    assert {run for run, *_ in lines} == {path.name for path in folder.iterdir()}
    for run, *printed_values in lines:
        metrics = json.loads((folder / run / "seed-1" / "metrics.json").read_text())
        found = [metrics[f"lesions/{name}"] for name in names]
        assert [float(value) for value in printed_values] == pytest.approx(found, abs=0.051)
        assert [float(value) for value in printed_values[:-1]] == pytest.approx(found[:-1], abs=0.00051)
