"""Reports have every run of their study; one notebook shows a study without its own, or a paper."""

import json
from pathlib import Path

import numpy as np
import pytest
import reporting
import synthetic_baur
import synthetic_results
import synthetic_sdnet
from proofs import named
from reporting import figures, shown_by, texts
from synthetic_results import write

from latent_anatomy.pipeline import reports
from latent_anatomy.reports import run_sections, study

NOTEBOOK = reporting.notebook("study")
NAUGHTY = "<b>mine"  # a name that would be HTML


def result(run: str, seed: int, psnr: float, dataset: str = "phantom-bloodmnist") -> dict:
    """Job and metrics of a run of a study without a paper."""
    metrics = {"reconstruction/psnr": psnr, "data/test/images": 40, "made-up/depth/of/a/key": 0.5}
    place = {"study": "mine", "run": run, "dataset": dataset, "seed": seed}
    return {**place, "metrics": metrics, "params": {}, "evaluation": {}, "job": "evaluate"}


def comparison(dataset: str = "phantom-bloodmnist") -> dict:
    """Job and metrics of paired tests, one of them certain over trainings."""
    metrics = {}
    for metric, p in (("reconstruction/psnr", 0.01), ("reconstruction/ssim", 0.4)):
        stem = f"{metric}/{NAUGHTY}-minus-ae"
        values = {"difference": 0.25, "ci_low": 0.1, "ci_high": 0.4, "p_value": 0.001, "p_value_holm": 0.002}
        values |= {"trainings_low": 0.05, "trainings_high": 0.45, "p_value_trainings": p / 2}
        values["p_value_trainings_holm"] = p
        metrics |= {f"{stem}/{key}": value for key, value in values.items()}
    return {"study": "mine", "dataset": dataset, "metrics": metrics, "job": "paired-tests"}


def pictures(metrics: Path, value: int) -> Path:
    """An arrays.npz with an image that all runs see, one of their own, and masks of five structures."""
    path = metrics.with_name("arrays.npz")
    arrays = {
        "figure/group/seen": np.full((6, 1, 4, 5), 9),
        "figure/group/made": np.full((6, 3, 4, 5), value),
        "figure/masks/five": np.full((2, 5, 4, 5), value),
        "figure/input/alone": np.full((6, 1, 4, 5), 9),
    }
    np.savez(path, **{name: images.astype(np.uint8) for name, images in arrays.items()})
    return named(path)


def history(root: Path, run: str, text: str) -> Path:
    """A history.csv of a run."""
    path = root / "models/mine/phantom-bloodmnist" / run / "seed-1" / "history.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def parameters(tmp_path) -> dict:
    """Those of the notebook for two runs with two seeds each."""
    contents = [result(run, seed, 20.0 + seed) for run in ("ae", NAUGHTY) for seed in (1, 2)]
    metrics = write(tmp_path, *contents, comparison())
    files = {
        "metrics_files": metrics,
        "arrays_files": [pictures(path, 10 * place) for place, path in enumerate(metrics[:-1])],
        "history_files": [
            history(tmp_path, "ae", "epoch,rate/all,train/loss\n1,0.1,1\n2,0.1,0.5\n"),
            history(tmp_path, NAUGHTY, "epoch\n1\n"),
        ],
    }
    relative = {name: [str(path.relative_to(tmp_path)) for path in paths] for name, paths in files.items()}
    return {"study": "mine", "phantom": True, **relative}


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_without_a_paper_it_shows_runs_metrics_tests_curves_and_pictures(tmp_path, monkeypatch, parameters):
    shown = shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch)
    text = texts(shown)
    assert "# mine" in text and "<b>Phantoms.</b>" in text
    assert "21.5 ± 0.71" in text, "mean and standard deviation over the seeds 1 and 2"
    assert "depth / of / a / key" in text and "test images 40" in text
    certain, folded = text.split("1 differences of which nothing is certain")
    assert "+0.25 [+0.1, +0.4]" in certain and "0.0100" in certain and "0.4000" in folded
    assert "for these trainings" in certain and "[+0.05, +0.45]" in certain
    assert figures(shown) == 1, "the learning curve of the run that was not fitted in one go"
    # Seen by all, then of each run; five masks each; no group in which nobody has anything of its own.
    assert text.count("<img ") == 1 + 2 + 2
    assert "<summary>group</summary>" in text and "<summary>input</summary>" not in text
    assert NAUGHTY not in text and "&lt;b&gt;mine" in text
    assert "None was decided" not in text and "paper beside ours" not in text


def test_with_a_paper_and_no_notebook_of_its_own_its_ledger_stands_on_top(tmp_path, monkeypatch):
    contents = [synthetic_results.result(run, "retinamnist") for run in ("unoranic", "ae")]
    given = reporting.report("unoranic", tmp_path, False, write(tmp_path, *contents), [], [], other="baur")
    text = texts(shown_by(NOTEBOOK, given, tmp_path, monkeypatch))
    assert 0 < text.index("paper 36.309") < text.index("Claims") < text.index("trainings")
    assert "No arrays were given" in text and "No histories" in text


@pytest.mark.parametrize(
    ("name", "other", "like"),
    [
        ("unoranic", "baur", synthetic_results.result("ae", "retinamnist")),
        ("baur", "unoranic", synthetic_baur.result("dae", "lgg-flair")),
        ("sdnet", "baur", synthetic_sdnet.result("unet", "acdc-frames.published.100", 0)),
    ],
)
def test_a_run_that_is_added_to_a_study_is_in_the_tables_of_its_report(
    tmp_path, monkeypatch, name, other, like
):
    metrics = write(tmp_path, like, like | {"run": "added"})
    given = reporting.report(name, tmp_path, False, metrics, [], [], other)
    shown = shown_by(reporting.notebook(name), given, tmp_path, monkeypatch)
    tables = [each.data for each in shown if isinstance(each.data, str) and ">added</td>" in each.data]
    protocols = {key.split("/")[0] for key in like["metrics"]} - {"data"}
    assert protocols and all(any(f"<h4>{each}</h4>" in table for table in tables) for each in protocols)


def test_the_spread_is_that_over_folds_and_seeds(tmp_path):
    contents = [
        result("ae", seed, psnr, "phantom-acdc.fold.25") | {"fold": fold}
        for seed, fold, psnr in ((1, 0, 20), (1, 1, 22), (2, 0, 24), (2, 1, 26))
    ]
    found = study.read("mine", True, write(tmp_path, *contents), [], [])
    [table] = run_sections.metrics(found)
    assert f"23 ± {np.std([20, 22, 24, 26], ddof=1):.2g}" in table


def test_a_notebook_and_a_paper_are_taken_by_their_names(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/own.ipynb").write_text("{}")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/own.yaml").write_text("")
    assert reports.notebook("own", tmp_path) == "notebooks/own.ipynb"
    assert reports.notebook("other", tmp_path) == "notebooks/study.ipynb"
    assert (reports.paper("own", tmp_path), reports.paper("other", tmp_path)) == ("papers/own.yaml", None)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [(None, "expected a notebook, found none"), (["%magic"], "expected Python in its")],
)
def test_a_notebook_whose_imports_cannot_be_read_is_one_line(tmp_path, cells, complaint):
    if cells:
        content = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
        (tmp_path / "own.ipynb").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"^own.ipynb: {complaint}"):
        reports.modules("own.ipynb", tmp_path)


def test_the_modules_of_a_notebook_are_those_that_it_imports(tmp_path):
    source = ["import numpy as np\n", "from latent_anatomy.statistics import inference"]
    cells = [{"cell_type": "markdown", "source": "no Python"}, {"cell_type": "code", "source": source}]
    (tmp_path / "own.ipynb").write_text(json.dumps({"cells": cells}))
    assert "latent_anatomy.statistics.inference" in reports.modules("own.ipynb", tmp_path)
    assert not any("numpy" in name or "figures" in name for name in reports.modules("own.ipynb", tmp_path))
