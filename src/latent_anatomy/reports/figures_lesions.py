"""Figures of lesions that were delineated from anomaly maps (Baur et al. 2018, Figures 5 and 6).

As in `figures`: each function takes numbers and returns a matplotlib figure; none reads a file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.reports.figures import COLOURS, PANEL

COLUMNS = ("original", "reconstruction", "residual", "segmentation", "reference")
MAPS = {"residual": "inferno"}  # of colour; the others are grey
FOUND, WRONG, MISSED = COLOURS[2], COLOURS[1], COLOURS[4]
CURVES = {"healthy_training": COLOURS[0], "healthy_test": COLOURS[2], "lesion": COLOURS[1]}
THRESHOLDS = {"training": "-", "validation": "--", "oracle": ":"}
LEVEL = 0.05  # of a p-value


def delineations(rows: Mapping[str, Mapping[str, NDArray]]) -> Figure:
    """One slice as several runs see it (Figure 5): a row for each, a column for each of COLUMNS.

    rows: run -> column -> image (1 or 3, H, W) uint8; a run that reconstructs nothing has no
    "reconstruction". The segmentation is drawn on the original: what is right, false and missed.
    Raises ValueError when another column is missing or shapes differ.
    """
    for run, images in rows.items():
        missing = set(COLUMNS) - {"reconstruction"} - images.keys()
        if missing or len({np.shape(image)[1:] for image in images.values()}) != 1:
            shapes = {name: np.shape(image) for name, image in images.items()}
            raise ValueError(f"{run}: expected {', '.join(COLUMNS)} of one size, found {shapes}")
    size = (PANEL * 0.6 * len(COLUMNS) + 0.8, PANEL * 0.6 * len(rows) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False)
    for line, (run, images) in zip(axes, rows.items(), strict=True):
        judged = _judged(images["original"], images["segmentation"], images["reference"])
        shown = {**images, "segmentation": judged}
        for panel, column in zip(line, COLUMNS, strict=True):
            panel.set(xticks=[], yticks=[])
            if column in shown:
                image = np.moveaxis(shown[column], 0, -1).squeeze()
                panel.imshow(image, cmap=MAPS.get(column, "gray"), vmin=0, vmax=255, interpolation="nearest")
            else:
                panel.set_frame_on(False)
        line[0].set_ylabel(run, fontsize=8, rotation=0, ha="right", va="center")
    for panel, column in zip(axes[0], COLUMNS, strict=True):
        panel.set_title(column, fontsize=9)
    for label, colour in (("found", FOUND), ("false", WRONG), ("missed", MISSED)):
        axes[0, 0].plot([], [], "s", color=colour, label=label)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _judged(original: NDArray, segmentation: NDArray, reference: NDArray) -> NDArray[np.uint8]:
    """The original (C, H, W) uint8 in grey, (3, H, W), with found, false and missed pixels in colour."""
    drawn = np.repeat(original.mean(axis=0, keepdims=True), 3, axis=0).astype(np.uint8)
    predicted, lesion = segmentation[0] > 0, reference[0] > 0
    for colour, pixels in (
        (FOUND, predicted & lesion),
        (WRONG, predicted & ~lesion),
        (MISSED, lesion & ~predicted),
    ):
        drawn[:, pixels] = np.round(255 * np.array(to_rgb(colour)))[:, None]
    return drawn


def residual_histograms(
    histograms: Mapping[str, Mapping[str, NDArray]],
    thresholds: Mapping[str, Mapping[str, float]],
    ncols: int = 4,
) -> Figure:
    """Residuals of healthy and of abnormal voxels, and where they are cut (Figure 6): a panel for each run.

    histograms: run -> "edges" (n + 1,) and the counts (n,) of each of CURVES, drawn as densities;
    thresholds: run -> kind -> value, kinds as in THRESHOLDS.
    """
    nrows = -(-len(histograms) // ncols)
    figure = Figure(figsize=(3 * min(ncols, len(histograms)), 2.4 * nrows + 0.5), layout="constrained")
    axes = figure.subplots(nrows, min(ncols, len(histograms)), squeeze=False)
    for panel in axes.flat[len(histograms) :]:
        panel.set_axis_off()
    for panel, (run, content) in zip(axes.flat, histograms.items(), strict=False):
        edges = content["edges"]
        for name, colour in CURVES.items():
            density = content[name] / max(content[name].sum(), 1) / np.diff(edges)
            panel.stairs(density, edges, color=colour, label=name.replace("_", ", "))
        for kind, value in thresholds[run].items():
            panel.axvline(value, ls=THRESHOLDS[kind], lw=1, color="black", label=f"threshold, {kind}")
        panel.set(yscale="log", xlim=(edges[0], edges[-1]))
        panel.set_title(run, fontsize=9)
        panel.tick_params(labelsize=7)
    figure.supxlabel("residual after the filter", fontsize=9)
    figure.supylabel("density", fontsize=9)
    entries = {}
    for panel in axes.flat:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=6, fontsize=8)
    return figure


def paired_differences(
    runs: Sequence[str], differences: dict[tuple[str, str], tuple[float, float]], title: str
) -> Figure:
    """Mean difference of each pair of runs, row minus column; bold and starred where p < 0.05.

    differences: (run, other) -> difference, adjusted p-value; each pair once, in either order.
    Raises KeyError for a pair of `runs` that is not there.
    """
    both = differences | {(other, one): (-each, p) for (one, other), (each, p) in differences.items()}
    values = np.full((len(runs), len(runs)), np.nan)
    for row, column in zip(*np.tril_indices(len(runs), -1), strict=True):
        values[row, column] = both[runs[row], runs[column]][0]
    largest = max(np.nanmax(np.abs(values)), 1e-9)
    figure = Figure(figsize=(0.7 * len(runs) + 1.6, 0.36 * len(runs) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values[1:, :-1], cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        value, p = both[runs[row], runs[column]]
        certain = p < LEVEL
        axes.text(
            column,
            row - 1,
            f"{value:+.3f}" + ("*" if certain else ""),
            ha="center",
            va="center",
            fontsize=8,
            weight="bold" if certain else "normal",
            color="white" if abs(value) > 0.6 * largest else "black",
        )
    axes.set_xticks(range(len(runs) - 1), runs[:-1], fontsize=8, rotation=30, ha="right")
    axes.set_yticks(range(len(runs) - 1), runs[1:], fontsize=8)
    axes.set_title(title, fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure
