"""Figures of structures that were delineated, and of how much had to be labelled (Chartsias et al. 2019).

As in `figures`: each function takes numbers and returns a matplotlib figure; none reads a file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.reports.figures import COLOURS, PANEL

STRUCTURES = ("#0072B2", "#D55E00", "#009E73", "#F0E442", "#CC79A7", "#56B4E9", "#E69F00")
OPACITY = 0.55  # of a structure's colour over the image
LIMITS = 1.96  # SDs between the mean difference and a limit of agreement


def delineations(image: NDArray, masks: Mapping[str, NDArray], structures: Sequence[str]) -> Figure:
    """Slices as several methods see them: a row for each, the bare image first, then a column for each mask.

    image (n, 1 or 3, H, W) uint8; masks: title -> planes (n, L, H, W), above 0 inside, L of at most seven
    `structures`, each in its own colour. Raises ValueError when shapes do not fit.
    """
    expected = (len(image), len(structures), *image.shape[2:])
    found = {title: planes.shape for title, planes in masks.items()}
    if any(shape != expected for shape in found.values()) or len(structures) > len(STRUCTURES):
        raise ValueError(
            f"expected masks of shape {expected}, at most {len(STRUCTURES)} planes, found {found}"
        )
    columns = {"image": _grey(image)} | {title: _coloured(image, planes) for title, planes in masks.items()}
    size = (PANEL * 0.6 * len(columns), PANEL * 0.6 * len(image) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(image), len(columns), squeeze=False)
    for (title, shown), column in zip(columns.items(), axes.T, strict=True):
        column[0].set_title(title, fontsize=9)
        for panel, picture in zip(column, shown, strict=True):
            panel.imshow(np.moveaxis(picture, 0, -1), interpolation="nearest")
            panel.set(xticks=[], yticks=[])
    for structure, colour in zip(structures, STRUCTURES, strict=False):
        axes[0, 0].plot([], [], "s", color=colour, label=structure.replace("-", " "))
    figure.legend(loc="outside lower center", ncols=min(len(structures), 4), fontsize=8)
    return figure


def _grey(image: NDArray) -> NDArray:
    """(n, C, H, W) uint8 as (n, 3, H, W) in [0, 1]."""
    return np.repeat(image.mean(axis=1, keepdims=True) / 255, 3, axis=1)


def _coloured(image: NDArray, planes: NDArray) -> NDArray:
    shown = _grey(image)
    for number, colour in enumerate(STRUCTURES[: planes.shape[1]]):
        inside = planes[:, number, None] > 0
        painted = (1 - OPACITY) * shown + OPACITY * np.array(to_rgb(colour))[:, None, None]
        shown = np.where(inside, painted, shown)
    return shown


def dice_by_labels(
    curves: Mapping[str, Mapping[float, tuple[float, float, float]]],
    paper: Mapping[str, Mapping[float, float]] | None = None,
    what: str = "Dice",
) -> Figure:
    """Dice against the labelled part of the training subjects (Table 1 as a picture), one line a method.

    curves: method -> per cent -> mean and both bounds, NaN where there is no interval; `paper`: method ->
    per cent -> printed mean, hollow. The axis is logarithmic.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    everywhere = sorted({percent for curve in curves.values() for percent in curve})
    for number, (method, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        percents = sorted(curve)
        mean, low, high = np.array([curve[percent] for percent in percents]).T
        shift = 1.03 ** (number - (len(curves) - 1) / 2)  # so that intervals do not hide each other
        places = np.array(percents) * shift
        axes.plot(places, mean, "o-", ms=4, color=colour, label=method)
        axes.vlines(places, low, high, lw=1, color=colour)
        printed = (paper or {}).get(method, {})
        known = [percent for percent in everywhere if percent in printed]
        if known:
            heights = [printed[percent] for percent in known]
            axes.plot(np.array(known) * shift, heights, "o", mfc="none", ms=8, color=colour)
    if paper:
        axes.plot([], [], "o", mfc="none", ms=8, color="#777777", label="paper")
    axes.set(xscale="log", xlabel="labelled training subjects (%)", ylabel=what)
    axes.set_xticks(everywhere, [f"{percent:g}" for percent in everywhere])
    axes.minorticks_off()
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def bland_altman(true: NDArray, predicted: Mapping[str, NDArray], unit: str = "ml") -> Figure:
    """Difference against mean of predicted and true values: a panel for each method, with its limits.

    true (V,); predicted: method -> (V,). The middle line is the bias, the outer ones the limits of
    agreement, 1.96 SD (n - 1) away. Raises ValueError for fewer than two values or other lengths.
    """
    shapes = {method: np.shape(values) for method, values in predicted.items()}
    if len(true) < 2 or any(shape != np.shape(true) for shape in shapes.values()):
        raise ValueError(f"expected two values or more, as many as {np.shape(true)}, found {shapes}")
    figure = Figure(figsize=(3.4 * len(predicted), 3), layout="constrained")
    axes = figure.subplots(1, len(predicted), squeeze=False, sharex=True, sharey=True)[0]
    for panel, (method, values) in zip(axes, predicted.items(), strict=True):
        difference = values - true
        bias, reach = difference.mean(), LIMITS * difference.std(ddof=1)
        panel.plot((values + true) / 2, difference, "o", ms=4, color=COLOURS[0], alpha=0.8)
        for height, style in ((bias, "-"), (bias - reach, "--"), (bias + reach, "--")):
            panel.axhline(height, ls=style, lw=1, color="black")
        panel.axhline(0, ls=":", lw=0.8, color="#777777")
        panel.set_title(f"{method}: {bias:+.1f} ± {reach:.1f} {unit}", fontsize=9)
    figure.supxlabel(f"mean of predicted and true ({unit})", fontsize=9)
    figure.supylabel(f"predicted - true ({unit})", fontsize=9)
    return figure
