"""The report of SDNet runs on made-up results, and its figures show the numbers that they were given."""

import json
from pathlib import Path

import numpy as np
import pytest
import reporting
from matplotlib.colors import to_rgb
from reporting import figures, shown_by, texts
from synthetic_results import write
from synthetic_sdnet import comparison, result, write_arrays, write_history

from latent_anatomy.reports import figures_factors, figures_segmentation

NOTEBOOK = reporting.notebook("sdnet")
METHODS = ("unet", "sdnet")


def given(root: Path, contents: list[dict], *comparisons: dict) -> dict:
    """Parameters of the notebook for these results."""
    for content in contents:
        content["params"] |= {"epochs": 40} if content["run"] == "unet" else {"frozen_prior": False}
    metrics = write(root, *contents, *comparisons)
    arrays = [write_arrays(*each) for each in zip(metrics, contents, strict=False)]
    name = contents[0]["dataset"]
    histories = [write_history(root, "sdnet", name)]
    return reporting.report(
        "sdnet", root, name.startswith("phantom-"), metrics, arrays, histories, other="baur"
    )


def test_the_stored_notebook_has_no_outputs_and_one_cell_of_parameters():
    reporting.assert_stored_clean(NOTEBOOK)


def test_on_real_data_it_shows_the_paper_beside_ours(tmp_path, monkeypatch):
    names = ("acdc-frames.published.100", "acdc-frames.published.6")
    contents = [result(run, name, fold) for name in names for run in METHODS for fold in range(2)]
    comparisons = [comparison(name, METHODS) for name in names]
    shown = shown_by(NOTEBOOK, given(tmp_path, contents, *comparisons), tmp_path, monkeypatch)
    text = texts(shown)
    for expected in (
        "U-Net, paper",
        "0.65 ± 0.13",  # the paper's, at 6 %
        "0.78 ± 0.09",
        "in place of acdc.published.6",
        "without the size of a pixel",
        "t-test",
        "0.0005",
        "never released",
        "mean of 2 folds",
        "<code>acdc-frames.published</code>, U-Net: shortened: 40 of 500 epochs.",
        "<code>acdc-frames.published</code>, SDNet: frozen_prior False, released True.",
    ):
        assert expected in text, expected
    assert "Phantoms." not in text and "tum-ms" not in text
    # Curves by part, slices of two cohorts, volumes, transfer, channels and exchanges, traversals,
    # variances, learning curves.
    assert figures(shown) == 2 + 2 + 1 + 1 + 3 + 1 + 1 + 1


def test_mixtures_of_modalities_have_a_table_of_both_and_what_each_adds(tmp_path, monkeypatch):
    parts = ("mr-100-ct-100", "mr-100-ct-12.5", "mr-100-ct-0")
    contents = [result("sdnet-mmwhs", f"mmwhs.given.{part}", 0) for part in parts]
    parameters = given(tmp_path, contents) | {"arrays_files": [], "history_files": []}
    text = texts(shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch))
    assert "MR, paper" in text and "0.78 ± 0.05" in text
    assert "mmwhs.given.mr-100-ct-0 to mmwhs.given.mr-100-ct-12.5" in text
    assert "+0.010" in text and "+0.01<" in text  # 0.75 to 0.76


def test_outlines_and_function_have_a_table_each_and_the_volume_its_baselines(tmp_path, monkeypatch):
    contents = [result(run, "sunnybrook.loo.100", 0) for run in METHODS]
    for content in contents:
        content["metrics"] |= {"surfaces/hd95_mm/average": 7.125, "surfaces/hd95_mm/average_sd": 1.5}
        content["metrics"] |= {f"ventricles/left/ejection-fraction/{key}": 0.0625 for key in ("mae", "bias")}
        content["metrics"] |= {f"ventricles/mass/{key}_g": 11.25 for key in ("mae", "bias")}
        content["metrics"] |= {"volume/mean/mean_ml": 203.0, "volume/mean/mae_ml": 29.5}
    shown = texts(shown_by(NOTEBOOK, given(tmp_path, contents), tmp_path, monkeypatch))
    for expected in ("average 7.125 ± 1.500", "0.062 (0.062)", "11.2 (11.2)", "203.0", "29.5"):
        assert expected in shown, expected


def test_without_arrays_it_says_so(tmp_path, monkeypatch):
    parameters = given(tmp_path, [result("unet", "acdc-frames.published.6", 0)])
    parameters |= {"arrays_files": [], "history_files": []}
    shown = shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch)
    assert "No arrays were given" in texts(shown) and figures(shown) == 0


def test_with_no_results_it_says_what_was_not_run(tmp_path, monkeypatch):
    parameters = reporting.report("sdnet", tmp_path, False, [], [], [], other="baur")
    text = texts(shown_by(NOTEBOOK, parameters, tmp_path, monkeypatch))
    assert "No results were given." in text and "never released" in text


def test_on_phantoms_it_says_so_and_shows_no_number_of_the_paper(tmp_path, monkeypatch):
    contents = [result(run, "phantom-acdc.fold.25", 0) for run in METHODS]
    contents.append(result("sdnet-mmwhs", "phantom-mmwhs.given.mr-100-ct-25", 0))
    text = texts(shown_by(NOTEBOOK, given(tmp_path, contents), tmp_path, monkeypatch))
    assert "<b>Phantoms.</b>" in text and "mr-100-ct-25" in text
    for number in ("paper</td>", "138.57", "0.84 ±", "qmri"):
        assert number not in text, number


# Figures


def test_delineations_paint_each_structure_on_the_image():
    image = np.full((1, 1, 2, 2), 102, np.uint8)
    truth = np.zeros((1, 2, 2, 2), np.uint8)
    truth[0, 0, 0, 0] = truth[0, 1, 1, 1] = 255
    figure = figures_segmentation.delineations(image, {"drawn": truth}, ["myocardium", "left-ventricle"])
    plain, drawn = (np.asarray(panel.images[0].get_array()) for panel in figure.axes)
    np.testing.assert_allclose(plain, 0.4)
    np.testing.assert_allclose(drawn[0, 1], 0.4)
    for (row, column), colour in zip(((0, 0), (1, 1)), figures_segmentation.STRUCTURES, strict=False):
        np.testing.assert_allclose(drawn[row, column], 0.45 * 0.4 + 0.55 * np.array(to_rgb(colour)))
    with pytest.raises(ValueError, match="expected masks of shape"):
        figures_segmentation.delineations(image, {"drawn": truth[:, :1]}, ["a", "b"])


def test_dice_by_labels_draws_means_intervals_and_the_paper():
    curves = {"U-Net": {6.0: (0.6, 0.5, 0.7), 100.0: (0.8, 0.7, 0.9)}}
    figure = figures_segmentation.dice_by_labels(curves, {"U-Net": {6.0: 0.65}})
    [axes] = figure.axes
    [line, paper, _] = axes.lines
    assert line.get_xydata().tolist() == [[6.0, 0.6], [100.0, 0.8]]
    assert paper.get_xydata().tolist() == [[6.0, 0.65]]
    ends = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert ends == [[0.5, 0.7], [0.7, 0.9]]


def test_bland_altman_has_the_bias_and_196_sds_around_it():
    rng = np.random.default_rng(0)
    true, error = rng.normal(140, 20, 12), rng.normal(3, 5, 12)
    [panel] = figures_segmentation.bland_altman(true, {"frozen": true + error}).axes
    points, bias, low, high, zero = panel.lines
    np.testing.assert_allclose(points.get_xydata(), np.stack([true + error / 2, error], 1))
    reach = 1.96 * error.std(ddof=1)
    heights = [line.get_ydata()[0] for line in (bias, low, high, zero)]
    np.testing.assert_allclose(heights, [error.mean(), error.mean() - reach, error.mean() + reach, 0])
    with pytest.raises(ValueError, match="two values or more"):
        figures_segmentation.bland_altman(true[:1], {"frozen": true[:1]})


def test_traversals_have_one_scale_of_differences():
    def row(difference):
        return {
            "images": np.zeros((3, 2, 2), np.uint8),
            "correlation": np.full((2, 2), 255, np.uint8),
            "difference": np.full((2, 2), difference, np.uint8),
        }

    figure = figures_factors.traversals({"z0": row(255), "z3": row(0)}, [-3, 0, 3])
    titles = [panel.get_title() for panel in figure.axes[:5]]
    assert titles == ["-3", "+0", "+3", "correlation", "difference"]
    assert [figure.axes[place].get_ylabel() for place in (0, 5)] == ["z0", "z3"]
    for place, value in ((4, 1.0), (9, -1.0)):
        [shown] = figure.axes[place].images
        assert shown.get_clim() == (-1, 1)
        np.testing.assert_allclose(shown.get_array(), value)
    np.testing.assert_allclose(figure.axes[3].images[0].get_array(), 1)
    with pytest.raises(ValueError, match="an image for each of 2"):
        figures_factors.traversals({"z0": row(0)}, [-3, 3])


def test_posterior_variances_are_ranked_beside_the_paper():
    figure = figures_factors.posterior_variances({"a": np.array([0.9, 0.5, 0.7])}, {"a": (0.6, 0.7, 0.8)})
    ours, paper, *_ = figure.axes[0].lines
    assert ours.get_ydata().tolist() == [0.5, 0.7, 0.9]
    assert paper.get_xydata().tolist() == [[1, 0.6], [2, 0.7], [3, 0.8]]
    assert json.dumps([label.get_text() for label in figure.legends[0].get_texts()]) == '["a", "paper"]'
