"""The report of the study runs on made-up results, and its figures show the numbers that they were given."""

from pathlib import Path

import numpy as np
import pytest
import reporting
from matplotlib.colors import to_rgb
from reporting import figures, shown_by, texts
from synthetic_baur import (
    BASELINES,
    KINDS,
    MODELS,
    arrays,
    comparison,
    result,
    write_arrays,
    write_history,
)
from synthetic_results import write

from latent_anatomy.reports import figures_lesions

NOTEBOOK = reporting.notebook("baur")
PICTURES = "figure/lesions/"


def given(root: Path, dataset: str, runs: tuple[str, ...], kinds: tuple[str, ...] = KINDS) -> dict:
    """Parameters of the notebook for made-up results of these runs."""
    contents = [result(run, dataset, kinds=kinds) for run in runs]
    contents[0]["params"]["epochs"] = 40
    metrics = write(root, *contents, comparison(dataset, runs))
    arrays_files = [write_arrays(path, path.parts[-3]) for path in metrics[:-1]]
    histories = [write_history(root, run, dataset) for run in ("sae3", "chance")]
    phantom = dataset.startswith("phantom-")
    return reporting.report("baur", root, phantom, metrics, arrays_files, histories, other="unoranic")


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_on_real_data_it_shows_the_paper_the_baselines_and_that_nothing_is_a_reproduction(
    tmp_path, monkeypatch
):
    parameters = given(tmp_path, "lgg-flair", (*MODELS, *BASELINES))
    shown = shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch)
    text = texts(shown)
    for expected in (
        "No row here is a reproduction",
        "0.58558 ± 0.19845",  # the paper's, in a column that says of what
        "paper, on tum-ms",
        "chance",
        "not in the paper",
        "after Holm",
        "not data of the paper: low-grade gliomas",
        "<code>lgg-flair</code>, dAE: shortened: 40 of 150 epochs.",
    ):
        assert expected in text, expected
    assert "reproduced" not in text.replace("not reproduced", "")
    assert "bloodmnist" not in text
    assert figures(shown) == 1 + 1 + 1 + 1  # tests, Figure 5, Figure 6, curves of sAE3 alone


def test_on_phantoms_it_says_so_and_shows_no_number_of_the_paper(tmp_path, monkeypatch):
    """Here without patients with lesions in the validation split, so without that threshold."""
    parameters = given(tmp_path, "phantom-brain", ("dae", "sae3", "chance"), kinds=("training", "oracle"))
    shown = shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch)
    assert "<b>Phantoms.</b>" in texts(shown)
    assert not any(number in texts(shown) for number in ("0.58558", "+0.013", "tum-ms"))
    assert figures(shown) == 4


# Figures


def pictures(run: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix(PICTURES): images[1]
        for key, images in arrays(run).items()
        if key.startswith(PICTURES)
    }


def test_delineations_show_what_is_found_false_and_missed():
    images = {"original": np.full((1, 2, 2), 102, np.uint8), "residual": np.zeros((1, 2, 2), np.uint8)}
    images["segmentation"] = np.array([[[255, 255], [0, 0]]], np.uint8)
    images["reference"] = np.array([[[255, 0], [255, 0]]], np.uint8)
    panels = figures_lesions.delineations({"chance": images}).axes
    assert [panel.get_title() for panel in panels] == list(figures_lesions.COLUMNS)
    assert not panels[1].images  # nothing is reconstructed
    shown = np.asarray(panels[3].images[0].get_array()) / 255
    colours = [figures_lesions.FOUND, figures_lesions.WRONG, figures_lesions.MISSED]
    expected = [*map(to_rgb, colours), (0.4, 0.4, 0.4)]
    np.testing.assert_allclose(shown.reshape(4, 3), expected, atol=1 / 255)


def test_delineations_have_a_row_for_each_run_and_refuse_what_does_not_fit():
    rows = {run: pictures(run) for run in ("sae3", "intensity")}
    figure = figures_lesions.delineations(rows)
    assert len(figure.axes) == 10 and figure.axes[5].get_ylabel() == "intensity"
    del rows["sae3"]["residual"]
    with pytest.raises(ValueError, match="sae3: expected original"):
        figures_lesions.delineations(rows)
    with pytest.raises(ValueError, match="of one size"):
        figures_lesions.delineations({"a": pictures("sae3") | {"residual": np.zeros((1, 3, 3), np.uint8)}})


def test_histograms_are_densities_and_thresholds_lie_where_they_are():
    content = {"edges": np.array([0, 0.5, 1.5]), "lesion": np.array([0, 0])}  # of no lesion, nothing
    content |= {"healthy_training": np.array([3, 1]), "healthy_test": np.array([10, 30])}
    cuts = {"training": 0.25, "oracle": 0.5}
    [panel] = figures_lesions.residual_histograms({"a": content}, {"a": cuts}).axes
    drawn = {patch.get_label(): patch.get_data().values.tolist() for patch in panel.patches}
    assert drawn == {"healthy, training": [1.5, 0.25], "healthy, test": [0.5, 0.75], "lesion": [0, 0]}
    lines = {line.get_label(): line.get_xdata()[0] for line in panel.lines}
    assert lines == {"threshold, training": 0.25, "threshold, oracle": 0.5}


def test_paired_differences_are_row_minus_column_whichever_way_they_come():
    differences = {("a", "b"): (0.1, 0.2), ("a", "c"): (-0.3, 0.01), ("c", "b"): (0.4, 0.04)}
    figure = figures_lesions.paired_differences(["a", "b", "c"], differences, "t")
    [axes] = figure.axes
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "-0.100", (0, 1): "+0.300*", (1, 1): "+0.400*"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c"]
    with pytest.raises(KeyError):
        figures_lesions.paired_differences(["a", "b", "d"], differences, "t")
