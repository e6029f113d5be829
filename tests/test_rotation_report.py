"""The report of the rotation study runs on what the protocols measure of latents that are known."""

import copy
from pathlib import Path

import numpy as np
import pytest
import reporting
from proofs import named
from reporting import figures, shown_by, texts
from synthetic_latents import SHAPE, Reader, three_splits
from synthetic_results import write

from latent_anatomy.evaluation.protocols import consistency, survival
from latent_anatomy.ledger import papers
from latent_anatomy.methods import difference_svd, random_directions
from latent_anatomy.reports import figures_rotation

NOTEBOOK = reporting.notebook("rotation")
PAPER = papers.load(reporting.ROOT / "papers" / "rotation.yaml")
RUNS = {"entangled": (random_directions, {"rank": 0}), "rotation": (difference_svd, {"rank": 2})}
CLUSTERS = consistency.Params(clusters=(5, 8), codebooks=1, subcohorts=1)
PROFILES = survival.Params(clusters=3, repeats=1)


def given(root: Path, dataset: str) -> dict:
    """Parameters of the notebook for latents as they are, and rotated."""
    splits, contents, left = three_splits(), [], []
    for run, (module, params) in RUNS.items():
        method = module.Method(module.Method.Params(**params), SHAPE, on=Reader())
        method.fit(splits["train"])
        asked = [
            consistency.evaluate(method, splits, CLUSTERS, "multi-class", 0),
            survival.evaluate(method, splits, PROFILES, "multi-class", 0),
        ]
        left.append({key: value for each in asked for key, value in each.arrays.items()})
        contents.append(
            {
                "study": "rotation",
                "run": run,
                "dataset": dataset,
                "seed": 1,
                "metrics": {key: value for each in asked for key, value in each.metrics.items()},
                "params": copy.deepcopy(PAPER.runs[run].settings),
                "evaluation": {"consistency": CLUSTERS.model_dump(mode="json")},
                "job": "evaluate",
            }
        )
    metrics = write(root, *contents)
    for path, arrays in zip(metrics, left, strict=True):
        np.savez_compressed(path.with_name("arrays.npz"), **arrays)
    arrays_files = [named(path.with_name("arrays.npz")) for path in metrics]
    phantom = dataset.startswith("phantom-")
    return reporting.report("rotation", root, phantom, metrics, arrays_files, [], other="unoranic")


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_it_shows_directions_latents_survival_clusters_and_what_was_measured(tmp_path, monkeypatch):
    shown = shown_by(NOTEBOOK, given(tmp_path, "lgg-patches"), tmp_path, monkeypatch)
    text = texts(shown)
    for expected in (
        "by setting",
        "by class",
        "lgg-patches, entangled",
        "all runs",
        "cluster-2",
        "gain / ari",
    ):
        assert expected in text, expected
    assert figures(shown) == 5, "directions, latents twice, curves, C"
    assert "Only the abstract" in text and "bloodmnist" not in text


def test_on_phantoms_it_says_so(tmp_path, monkeypatch):
    shown = shown_by(NOTEBOOK, given(tmp_path, "phantom-kernels"), tmp_path, monkeypatch)
    assert "<b>Phantoms.</b>" in texts(shown)


def test_without_results_it_says_what_is_missing(tmp_path, monkeypatch):
    parameters = given(tmp_path, "lgg-patches") | {"metrics_files": [], "arrays_files": []}
    text = texts(shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch))
    for what in ("rotations", "latents", "survival"):
        assert f"No arrays of {what} were given." in text


# Figures


def test_directions_are_bars_of_their_shares_technical_ones_first():
    share = {"technical": np.array([0.6, 0.2]), "biological": np.array([0.15, 0.05])}
    none = {"technical": np.array([]), "biological": np.array([0.7, 0.3])}
    one, other = figures_rotation.spectrum({"rotation": share, "entangled": none}).axes
    assert [bar.get_height() for bar in one.patches] == [0.6, 0.2, 0.15, 0.05]
    assert one.get_title() == "rotation: 80% in 2 of 4" and other.get_title() == "entangled: 0% in 0 of 2"


def test_points_have_the_colour_of_their_name_in_every_panel():
    points = {"a": np.zeros((3, 2)), "b": np.ones((2, 2))}
    figure = figures_rotation.embedding(points, {"a": ["CT", "MR", "CT"], "b": ["MR", "MR"]})
    colours = [{line.get_label(): line.get_color() for line in panel.lines} for panel in figure.axes[:2]]
    assert colours[0] == colours[1] and len(set(colours[0].values())) == 2
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 1]
    with pytest.raises(ValueError, match="a: expected a name for each of 3 points, found 1"):
        figures_rotation.embedding(points, {"a": ["CT"], "b": ["MR", "MR"]})


def test_curves_fall_where_somebody_dies_and_ticks_are_those_censored():
    time, event = np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 1])
    [panel] = figures_rotation.survival(time, event, {"profile": np.array([0, 0, 1, 1])}).axes
    smaller, ticks, larger, none = panel.lines
    assert smaller.get_ydata().tolist() == [1, 0.5, 0.5] and smaller.get_xdata().tolist() == [0, 1, 2]
    assert larger.get_ydata().tolist() == [1, 0.5, 0, 0]
    assert (ticks.get_xdata().tolist(), ticks.get_ydata().tolist()) == ([2], [0.5])
    assert not len(none.get_xdata())


def test_each_c_has_its_interval_and_its_name():
    [axes] = figures_rotation.concordance({"a": (0.6, 0.5, 0.7), "b": (0.4, 0.3, 0.6)}).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert [line.get_xdata().tolist() for line in axes.lines[:3:2]] == [[0.5, 0.7], [0.3, 0.6]]
