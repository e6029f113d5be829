"""Figures show the numbers that they were given, refuse what does not fit, and are the same bytes again."""

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_results import paper, result, write

from latent_anatomy.ledger import build, results
from latent_anatomy.provenance import formats
from latent_anatomy.reports import figures
from latent_anatomy.reports import tables as report

PASSPORT = {"inputs": {"ledger": "0" * 64}, "job": {"job": "report", "study": "unoranic"}}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    shifts = {1: 0.0, 2: 0.001}
    paths = write(root, *(result("unoranic", "retinamnist", seed, shift) for seed, shift in shifts.items()))
    return build.build(paper(), results.read(paths, "unoranic", phantom=False))


@pytest.fixture(scope="module")
def phantom_rows(tmp_path_factory):
    paths = write(tmp_path_factory.mktemp("results"), result("unoranic", "phantom-retinamnist"))
    return build.build(paper(), results.read(paths, "unoranic", phantom=True))


def lines(axes):
    return {line.get_label(): np.asarray(line.get_ydata(), dtype=float) for line in axes.lines}


@pytest.mark.parametrize("channels", [1, 3])
def test_image_grid_shows_uint8_and_clipped_floats_alike(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 4), dtype=np.uint8)
    figure = figures.image_grid(
        {"original": images, "anatomy": images / 255.0, "beyond": images / 255.0 + 2}, ["a", "b"]
    )
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(shown) == 6
    np.testing.assert_allclose(shown[0], np.moveaxis(images[0], 0, -1).squeeze() / 255)
    np.testing.assert_array_equal(shown[0], shown[1])
    assert (shown[2] == 1).all()
    assert [axes.get_title() for axes in figure.axes[:3]] == ["original", "anatomy", "beyond"]


@pytest.mark.parametrize(
    ("columns", "labels"),
    [
        ({"a": np.zeros((2, 1, 4, 4)), "b": np.zeros((3, 1, 4, 4))}, ()),
        ({"a": np.zeros((2, 2, 4, 4))}, ()),
        ({"a": np.zeros((2, 1, 4, 4))}, ("one",)),
    ],
)
def test_image_grid_refuses_what_does_not_fit(columns, labels):
    with pytest.raises(ValueError, match="expected"):
        figures.image_grid(columns, labels)


def test_psnr_by_corruption_is_sorted_and_has_the_papers_points_only_where_given():
    series = {
        "input": {"blur": 24.0, "noise": 30.0, "invert": 4.0},
        "anatomy": {"blur": 26.0, "noise": 26.5, "invert": 26.7},
    }
    figure = figures.psnr_by_corruption(series, 26.9, {"anatomy": {"noise": 26.598}})
    found = lines(figure.axes[0])
    np.testing.assert_array_equal(found["input"], [4, 24, 30])
    np.testing.assert_array_equal(found["anatomy"], [26.7, 26, 26.5])
    np.testing.assert_array_equal(found["anatomy, paper's script"], [26.598])
    assert "input, paper's script" not in found
    with pytest.raises(ValueError, match="same corruptions"):
        figures.psnr_by_corruption(series | {"other": {"blur": 1.0}}, 26.9)


def test_auc_by_severity_has_a_panel_for_each_corruption_that_starts_at_clean():
    curves = {
        "unoranic": {"fog": [0.9, 0.8], "snow": [0.7, 0.6]},
        "ae": {"fog": [0.8, 0.7], "snow": [0.6, 0.5]},
    }
    figure = figures.auc_by_severity(curves, {"unoranic": 0.95, "ae": 0.85}, ncols=3)
    visible = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in visible] == ["fog", "snow"]
    np.testing.assert_array_equal(lines(visible[1])["ae"], [0.85, 0.6, 0.5])
    with pytest.raises(ValueError, match="same corruptions"):
        figures.auc_by_severity({**curves, "ae": {"fog": [0.1]}}, {"unoranic": 0.95, "ae": 0.85})
    with pytest.raises(ValueError, match="clean"):
        figures.auc_by_severity(curves, {"unoranic": 0.95})


def test_learning_curves():
    history = {"epoch": np.arange(1, 4), "train/loss": np.array([1.0, 0.5, 0.02])}
    other = {"epoch": np.arange(1, 3), "train/loss": np.array([1.0, -0.5])}
    figure = figures.learning_curves({"a": history, "b": other}, ["train/loss"])
    np.testing.assert_array_equal(lines(figure.axes[0])["a"], [1, 0.5, 0.02])
    assert figure.axes[0].get_yscale() == "linear"  # a logarithm would hide what is below zero
    assert figures.learning_curves({"a": history}, ["train/loss"]).axes[0].get_yscale() == "log"
    assert figures.learning_curves({"b": {**history, "val/auc": [0.5, 0.6, 0.7]}}, ["val/auc"]).axes[
        0
    ].get_yscale() == ("linear")
    with pytest.raises(ValueError, match="column val/loss"):
        figures.learning_curves({"a": history}, ["val/loss"])


def test_the_dot_plot_has_both_numbers_and_the_interval(rows):
    [row] = [
        row
        for row in rows
        if (row.table, row.metric, row.dataset) == ("Table 2", "reconstruction/psnr", "retinamnist")
        and row.method == "unoranic"
    ]
    drawn = [
        np.asarray(line.get_xdata(), dtype=float)
        for line in figures.paper_against_ours([row], "t").axes[0].lines
    ]
    drawn = [values.tolist() for values in drawn if values.size]
    assert [float(row.paper)] in drawn
    assert [float(row.ours_mean)] in drawn
    assert [float(row.ours_ci_low), float(row.ours_ci_high)] in drawn


def test_the_dot_plot_refuses_rows_without_both_numbers(rows, phantom_rows):
    missing = next(row for row in rows if row.verdict == "not run")
    for row in (missing, phantom_rows[0], next(row for row in rows if row.metric == "claim")):
        with pytest.raises(ValueError, match="two numbers"):
            figures.paper_against_ours([row], "t")


def test_the_same_figure_is_the_same_bytes():
    images = {"a": np.random.default_rng(1).random((1, 3, 4, 4))}
    one, other = (figures.png(figures.image_grid(images), PASSPORT) for _ in range(2))
    assert one == other
    assert one.startswith(b"\x89PNG")


def test_a_saved_picture_can_be_traced(tmp_path):
    picture = tmp_path / "figure-4.png"
    picture.write_bytes(figures.png(figures.image_grid({"a": np.zeros((1, 1, 4, 4))}), PASSPORT))
    assert formats.read_passport(picture)["inputs"] == PASSPORT["inputs"]


def test_grid_has_every_number_of_a_table(rows):
    chosen = [row for row in rows if row.table == "Table 2"]
    html = report.grid(chosen)
    assert all(f"paper {row.paper}" in html for row in chosen)
    assert all(f"<b>{row.ours_mean}" in html for row in chosen if row.ours_mean)
    assert html.count("<tr>") == 1 + 4
    with pytest.raises(ValueError, match="repetitions"):
        report.grid([*chosen, chosen[0]])


def test_a_grid_of_phantoms_shows_nothing_of_the_paper(phantom_rows):
    html = report.grid([row for row in phantom_rows if row.table == "Table 2"])
    assert "paper" not in html
    assert "phantom-retinamnist" in html


def test_tables_escape_what_they_show(rows):
    html = report.plain(["<script>"], [["a & b"]])
    assert "<script>" not in html
    assert "a &amp; b" in html
    row = replace(rows[0], method="<b>", ours_mean="1", reason='"><script>')
    assert not {"<script>", "<b><"} & set(re.findall("<script>|<b><", report.grid([row])))


def test_summary_counts_every_row(rows):
    html = report.summary(rows)
    numbers = map(int, re.findall(r">(\d+)</td>", html))
    assert sum(numbers) == len(rows)
