"""The report of RA's study runs on what the protocols measure of methods whose answers are known."""

import copy
from pathlib import Path

import numpy as np
import pytest
import reporting
from proofs import named
from reporting import figures, shown_by, texts
from synthetic_results import write
from test_evaluation_anomalies import Flat, OneByOne, splits

from latent_anatomy.evaluation.protocols import anomalies, formulas
from latent_anatomy.ledger import papers
from latent_anatomy.reports import figures_anomalies

NOTEBOOK = reporting.notebook("ra")
PAPER = papers.load(reporting.ROOT / "papers" / "ra.yaml")
RUNS = {"ra": Flat(), "mkd": OneByOne()}


def given(root: Path, dataset: str) -> dict:
    """Parameters of the notebook for RA, and for MKD, which redraws nothing."""
    contents, left = [], {}
    for run, method in RUNS.items():
        asked = [anomalies] + ([formulas] if hasattr(method, "reconstruct") else [])
        results = [each.evaluate(method, splits(), each.Params(), "", 0) for each in asked]
        left[run] = {key: value for each in results for key, value in each.arrays.items()}
        seen = {"lpips/squeezenet-keras/healthy": 0.4321} if hasattr(method, "reconstruct") else {}
        contents.append(
            {
                "study": "ra",
                "run": run,
                "dataset": dataset,
                "seed": 1,
                "metrics": seen | {key: value for each in results for key, value in each.metrics.items()},
                "params": copy.deepcopy(PAPER.runs[run].settings) | {"epochs": 3},
                "evaluation": {"anomalies": anomalies.Params().model_dump(mode="json")},
                "job": "evaluate",
            }
        )
    metrics = write(root, *contents)
    for path, arrays in zip(metrics, left.values(), strict=True):
        np.savez_compressed(path.with_name("arrays.npz"), **arrays)
    arrays_files = [named(path.with_name("arrays.npz")) for path in metrics]
    phantom = dataset.startswith("phantom-")
    return reporting.report("ra", root, phantom, metrics, arrays_files, [], other="unoranic")


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_it_shows_classes_detection_formulas_and_cases(tmp_path, monkeypatch):
    shown = shown_by(NOTEBOOK, given(tmp_path, "lgg-t1"), tmp_path, monkeypatch)
    text = texts(shown)
    for expected in (
        "boxes of 2 classes",
        "cyst (",
        "threshold as released",
        "F1, scale-free",
        "AUROC",
        "LPIPS, squeezenet-keras",
        "0.4321",
        "mean, |x - r|",
        "blurred, the method&#x27;s",
        "shortened: 3 of 1500 epochs",
        "0.8464",
    ):
        assert expected in text, expected
    assert figures(shown) == 1
    assert "MKD" in text and "bloodmnist" not in text


def test_on_phantoms_it_says_so_and_shows_no_number_of_the_paper(tmp_path, monkeypatch):
    shown = shown_by(NOTEBOOK, given(tmp_path, "phantom-fastmri"), tmp_path, monkeypatch)
    assert "<b>Phantoms.</b>" in texts(shown) and "0.8464" not in texts(shown)


def test_without_results_it_says_what_is_missing(tmp_path, monkeypatch):
    parameters = given(tmp_path, "lgg-t1") | {"metrics_files": [], "arrays_files": []}
    text = texts(shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch))
    assert "No boxes were given." in text and "No arrays were given" in text


# Figures


def planes(value: int, count: int = 2) -> np.ndarray:
    return np.full((count, 1, 6, 5), value, np.uint8)


def test_a_case_has_a_row_for_what_is_redrawn_its_map_and_what_is_cut():
    boxes = planes(0)
    boxes[1, 0, 1:4, 1:4] = 255
    found = {
        "RA": {"reconstruction": planes(10), "map": planes(20), "segmentation": planes(255)},
        "MKD": {"map": planes(30), "segmentation": planes(0)},
    }
    figure = figures_anomalies.cases(planes(5), boxes, found)
    axes = np.array(figure.axes).reshape(6, 3)
    assert [each.get_title() for each in axes[0]] == ["input", "RA", "MKD"]
    values = [[each.images[0].get_array().max() if each.images else None for each in row] for row in axes]
    assert values == [[5, 10, None], [None, 20, 30], [None, 255, 0]] * 2
    assert [len(axes[row, 0].collections) for row in (0, 3)] == [0, 1], "a box on the second case alone"


def test_cases_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="MKD: expected reconstruction, map, segmentation of 2 cases"):
        figures_anomalies.cases(planes(5), planes(0), {"MKD": {"map": planes(1)}})
    with pytest.raises(ValueError, match="MKD: expected"):
        few = {"map": planes(1, 1), "segmentation": planes(1)}
        figures_anomalies.cases(planes(5), planes(0), {"MKD": few})
