"""Every command line that the documentation prints is one that works."""

import csv
import json
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterable
from statistics import fmean

import pytest
import snakemake.cli
import yaml
from conftest import ROOT
from dvc.cli import parse_args
from typer.main import get_command

from latent_anatomy.cli.main import app
from latent_anatomy.pipeline import params

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


# The columns of the table in README.md.
VERDICTS = ("reproduced", "better", "not reproduced", "undecided", "in kind", "not run")
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


@pytest.mark.parametrize("line", COMMANDS)
def test_a_printed_command_is_one_of_snakemake_for_a_collection_and_targets_that_are_there(line):
    """What collections and targets plan is asked below and in tests/dag/test_dry_runs.py."""
    _, arguments = snakemake.cli.parse_args(shlex.split(line)[1:])
    assert set(arguments.targets) <= {"all"} and arguments.cores in (8, None)
    config = dict(each.split("=") for each in arguments.config or ())
    assert config.keys() <= {"data", "runs", "protocols"}
    assert params.validate(PARAMS | config).data == config.get("data", PARAMS["data"])


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
    plans = [project.plan(*shlex.split(words)) for words in (made, "--cores 8 --resources gpu=1 -- all")]
    assert ("all",) in plans[0] and plans[0] == plans[1]
    assert {"snakemake --cores 8 --resources gpu=1", "snakemake --cores 8 --resources gpu=1 -- all"} < set(
        COMMANDS
    )


@pytest.mark.parametrize("page", ALL_PAGES)
def test_every_relative_link_leads_to_a_file_and_to_a_heading_in_it(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.is_file(), f"{page}: expected a file where {link} leads, found none"
        assert not heading or heading in headings(path.read_text()), f"{page}: no heading for {link}"


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub forms them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_files_of_the_package_that_pages_name_are_there():
    """Paths that begin with a room of the package, src/latent_anatomy/ before it or not.

    Not on pages named add-a-...: they tell to write a file.
    """
    package = ROOT / "src/latent_anatomy"
    for page in ALL_PAGES:
        for path in re.findall(r"(?:src/latent_anatomy/)?((?:\w+/)+\w+\.py)", (ROOT / page).read_text()):
            if (package / path.split("/")[0]).is_dir() and not page.startswith("docs/add-a-"):
                assert (package / path).is_file(), f"{page}: expected {path} in the package, found none"


with (ROOT / "results/ledger.csv").open(newline="") as stream:
    LEDGER = list(csv.DictReader(stream))


def rows(page: str, pattern: str) -> list[tuple[str, ...]]:
    """The cells of the rows of a page's table; at least one row."""
    cells = re.findall(pattern, (ROOT / page).read_text(), re.MULTILINE)
    assert cells
    return cells


def metrics(place: str, replicate: str = "seed-1") -> dict[str, float]:
    return json.loads((ROOT / "results" / place / replicate / "metrics.json").read_text())


def numbers(cells: Iterable[str]) -> list[float]:
    return [float(cell) for cell in cells]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_table_of_verdicts_counts_the_ledger_and_each_study_has_a_number_of_it():
    """Each row of the README: study, rows by verdict, metric of run on data set, in print, ours."""
    row = (
        r"^\| \[`(.*)`\]\(.*\)"
        + r" \| (\d+)" * len(VERDICTS)
        + r" \| `(.*)` of `(.*)` on `(.*)` \| (.*) \| (.*) \|$"
    )
    studies = set()
    for study, *counts, metric, run, dataset, paper, ours in rows("README.md", row):
        of_study = [each for each in LEDGER if each["study"] == study]
        verdicts = Counter(each["verdict"] for each in of_study)
        assert [int(count) for count in counts] == [verdicts.pop(name, 0) for name in VERDICTS]
        assert not verdicts
        wanted = (metric, run, dataset)
        number = next(
            each for each in of_study if (each["metric"], each["method"], each["dataset"]) == wanted
        )
        assert (number["paper"] or "none") == paper
        if number["ours_mean"]:
            assert float(ours) == pytest.approx(float(number["ours_mean"]), abs=0.00051)
        else:
            assert ours == "not run"
        studies.add(study)
    assert studies == {each["study"] for each in LEDGER}


def test_that_all_is_of_one_training_is_said_as_long_as_it_is_so():
    once = {each["n_seeds"] for each in LEDGER} <= {"0", "1"}
    assert ("one training each" in " ".join((ROOT / "README.md").read_text().split())) == once


def test_the_table_of_results_is_the_ledger():
    """Each row: data set, run, metric, paper, ours, verdict."""
    ledger = {
        (each["dataset"], each["method"], each["metric"]): (each["paper"], each["ours_mean"], each["verdict"])
        for each in LEDGER
        if each["table"].startswith("Table ")
    }
    row = r"^\| `(.*)` \| `(.*)` \| `(.*)` \| (.*) \| (.*) \| (.*) \|$"
    for dataset, run, metric, paper, ours, verdict in rows("docs/results.md", row):
        printed_value, mean, verdict_of_ledger = ledger[dataset, run, metric]
        assert (float(paper), verdict) == (float(printed_value), verdict_of_ledger)
        assert float(ours) == pytest.approx(float(mean), abs=0.00051)


def test_the_table_of_lesions_is_that_of_the_metrics():
    """Each row: run, trainings, AUPRC, Dice by three thresholds (of one least, most), FP, positive, L1."""
    names = (
        "auprc",
        "training/dice",
        "validation/dice",
        "oracle/dice",
        "training/false_positives_per_volume",
    )
    row = (
        r"^\| `(.*)` \| (\d+) \| ([\d.]+) \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \| ([\d.]+) \| ([\d.]+)"
        r" \| ([\d.]+) \| ([\d.]+|none) \| ([\d.]+|none) \|$"
    )
    lines = rows("docs/results.md", row)
    made = ROOT / "results/baur/lgg-flair-128"
    assert {run for run, *_ in lines} == {path.name for path in made.iterdir()}
    for run, trainings, auprc, dice, least, most, *others in lines:
        found = [json.loads(path.read_text()) for path in sorted((made / run).glob("*/metrics.json"))]
        assert len(found) == int(trainings)
        means = [fmean(each[f"lesions/{name}"] for each in found) for name in names]
        assert numbers([auprc, dice, *others[:2]]) == pytest.approx(means[:4], abs=0.00051)
        assert float(others[2]) == pytest.approx(means[4], abs=0.051)
        spread = [each["lesions/training/dice"] for each in found]
        assert numbers([least, most]) == pytest.approx([min(spread), max(spread)], abs=0.00051)
        for cell, name in zip(others[3:], ("positive/training/dice", "l1/test"), strict=True):
            assert (cell == "none") == (f"lesions/{name}" not in found[0])
            if cell != "none":
                ours = fmean(each[f"lesions/{name}"] for each in found)
                assert float(cell) == pytest.approx(ours, abs=0.00051)


def test_the_table_of_hearts_is_that_of_the_metrics():
    """Each row: % labelled, run, slice Dice: average ± SD, three structures; volume Dice; the paper's.

    All are means over folds, and there is a row for each run.
    """
    slice_dice = ("average", "average_sd", "myocardium", "left-ventricle", "right-ventricle")
    names = (*(f"slice-dice/{name}" for name in slice_dice), "volume-dice/average")
    row = r"^\| ([\d.]+) % \| `(.*)` \| ([\d.]+) ± ([\d.]+)" + r" \| ([\d.]+)" * 4 + r" \| ([\d.]+|none) \|$"
    lines = re.findall(row, (ROOT / "docs/results.md").read_text(), re.MULTILINE)
    made = (ROOT / "results/sdnet").glob("acdc-frames-96.published.*/*")
    shown = {(f"acdc-frames-96.published.{labelled}", run) for labelled, run, *_ in lines}
    assert shown == {(path.parent.name, path.name) for path in made}
    for labelled, run, *cells, _ in lines:
        folds = (ROOT / f"results/sdnet/acdc-frames-96.published.{labelled}/{run}").glob("*/metrics.json")
        measured = [json.loads(fold.read_text()) for fold in folds]
        ours = [fmean(fold[f"segmentation/{name}"] for fold in measured) for name in names]
        assert numbers(cells) == pytest.approx(ours, abs=0.00051)


def of_anomalies(dataset: str, row: str) -> dict[str, tuple[int, list[str]]]:
    """Run -> how many trainings, and the cells, of the table of a data set in docs/results.md."""
    lines = re.findall(row, (ROOT / "docs/results.md").read_text(), re.MULTILINE)
    assert {run for run, *_ in lines} == {path.name for path in (ROOT / "results/ra" / dataset).iterdir()}
    return {run: (int(count), re.findall(r"[\d.-]+|none", cells)) for run, count, cells in lines}


@pytest.mark.parametrize(
    ("dataset", "columns", "spread"),
    [
        (
            "lgg-t1",
            [
                "anomalies/detection/auc",
                "anomalies/hospital/auc",
                "anomalies/hospital/detection_auc",
                "anomalies/validation/total/recall",
                "anomalies/validation/total/f1",
                "formulas/own-absolute/f1",
                "formulas/own-perceptual/f1",
                "formulas/mean-own/f1",
                "formulas/mean-absolute/f1",
                "anomalies/healthy/ssim",
            ],
            (0, 4, 6),
        ),
        (
            "kermany-130.turns.100",
            [
                "anomalies/detection/auc",
                "anomalies/detection/auprc",
                "anomalies/detection/fpr95",
                "formulas/own-perceptual/auc",
                "formulas/mean-own/auc",
                "formulas/own-ssim/auc",
                "formulas/gap/auc",
                "anomalies/healthy/ssim",
                "lpips/squeezenet-keras/healthy",
            ],
            (0,),
        ),
    ],
)
def test_the_tables_of_anomalies_are_those_of_the_metrics(dataset, columns, spread):
    """Each row: run, trainings, means over them; of some columns least and most too."""
    number = r"(?:-?[\d.]+|none)"
    cells = " \\| ".join(
        rf"(?:{number} \({number} to {number}\)|none)" if place in spread else number
        for place in range(len(columns))
    )
    table = of_anomalies(dataset, rf"^\| `(.*)` \| (\d+) \| ({cells}) \|$")
    for run, (count, printed_cells) in table.items():
        files = sorted((ROOT / "results/ra" / dataset / run).glob("*/metrics.json"))
        assert len(files) == count
        measured = [json.loads(file.read_text()) for file in files]
        expected = []
        for place, column in enumerate(columns):
            values = [each[column] for each in measured if column in each]
            if not values:
                expected.append("none")
                continue
            expected += [fmean(values), *((min(values), max(values)) if place in spread else ())]
        assert len(printed_cells) == len(expected)
        for cell, value in zip(printed_cells, expected, strict=True):
            assert (cell == "none") == (value == "none")
            if value != "none":
                assert float(cell) == pytest.approx(value, abs=0.00051)


HOSPITALS = (
    *(
        "consistency/ari",
        "consistency/retrieval",
        "consistency/technical/linear",
        "consistency/technical/mlp",
    ),
    *("consistency/biology/linear", "consistency/biology/mlp"),
    *("survival/profile/c", "survival/both/c", "survival/both/c_hospital"),
)


def test_the_table_of_hospitals_is_that_of_the_metrics():
    """Each row: run, trainings, means over them; of the first, third and eighth column least and most too."""
    text = (ROOT / "docs/results.md").read_text()
    section = text[text.index("## Rotation on real hospitals") :]
    lines = re.findall(r"^\| `(.*)` \| (\d+) \| (.*) \|$", section, re.MULTILINE)
    folder = ROOT / "results/rotation/lgg-patches"
    assert {run for run, *_ in lines} == {path.name for path in folder.iterdir()}
    for run, count, cells in lines:
        measured = [json.loads(file.read_text()) for file in (folder / run).glob("*/metrics.json")]
        assert len(measured) == int(count)
        expected = []
        for place, column in enumerate(HOSPITALS):
            values = [each[column] for each in measured]
            expected += [fmean(values), *((min(values), max(values)) if place in (0, 2, 7) else ())]
        assert numbers(re.findall(r"[\d.]+", cells)) == pytest.approx(expected, abs=0.00051)


EXPECTED = re.compile(
    r"^  # (?P<metric>\S+): (?:(?P<paper>[\d.]+) in print on (?P<printed_on>\S+)|not in print),"
    r" ours (?:(?P<ours>[\d.]+) on (?P<ours_on>\S+)|not measured); (?P<time>.*)\n  (?P<run>[\w-]+): ",
    re.MULTILINE,
)


def test_what_params_yaml_expects_of_each_run_is_in_print_and_was_measured():
    expected = list(EXPECTED.finditer((ROOT / "params.yaml").read_text()))
    assert [each["run"] for each in expected] == list(PARAMS["methods"])
    in_print = {(each["method"], each["dataset"], each["metric"], each["paper"]) for each in LEDGER}
    speed = (ROOT / "docs/speed.md").read_text()
    for each in expected:
        run, metric = each["run"], each["metric"]
        if each["paper"]:
            assert (run, each["printed_on"], metric, each["paper"]) in in_print
        if each["ours"]:
            files = (ROOT / "results").glob(f"*/{each['ours_on']}/{run}/*/metrics.json")
            ours = fmean(json.loads(file.read_text())[metric] for file in files)
            assert float(each["ours"]) == pytest.approx(ours, abs=0.00051)
        assert each["time"] == "time not measured" or f" {each['time'].split()[0]} " in speed
