"""Figures of the factors that images are taken apart into: traversals, posterior variances.

As in `figures`: each function takes numbers and returns a matplotlib figure; none reads a file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.reports.figures import COLOURS, PANEL

DIVERGING = "PuOr_r"


def traversals(rows: Mapping[str, Mapping[str, NDArray]], values: Sequence[float]) -> Figure:
    """One image, decoded with one dimension at each of several values (SDNet, Figure 8): a row for each.

    rows: dimension -> "images" (steps, H, W), at `values` (steps,); "correlation" (H, W), of the intensity
    of each pixel with the value; "difference" (H, W), last image minus first. All are uint8; the latter two
    -1 to 1, stored as 0 to 255. Differences have one scale, so that rows compare. Raises ValueError when a
    row has not one image for each value.
    """
    steps = {name: len(row["images"]) for name, row in rows.items()}
    if set(steps.values()) != {len(values)}:
        raise ValueError(f"expected an image for each of {len(values)} values, found {steps}")
    columns = len(values) + 2
    figure = Figure(figsize=(PANEL * 0.5 * columns, PANEL * 0.5 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    largest = max(np.abs(_signed(row["difference"])).max() for row in rows.values())
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        for panel, image in zip(line, row["images"], strict=False):
            panel.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        correlated = line[-2].imshow(_signed(row["correlation"]), cmap=DIVERGING, vmin=-1, vmax=1)
        differing = line[-1].imshow(_signed(row["difference"]), cmap=DIVERGING, vmin=-largest, vmax=largest)
        line[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
        for panel in line:
            panel.set(xticks=[], yticks=[])
    titles = [*(f"{value:+g}" for value in values), "correlation", "difference"]
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title, fontsize=8)
    for shown, title in ((correlated, "correlation"), (differing, "difference")):
        bar = figure.colorbar(shown, ax=axes, location="right", fraction=0.02)
        bar.ax.tick_params(labelsize=6)
        bar.set_label(title, fontsize=7)
    return figure


def _signed(stored: NDArray) -> NDArray:
    """0 to 255 as -1 to 1."""
    return stored / 127.5 - 1


def posterior_variances(
    variances: Mapping[str, NDArray], paper: Mapping[str, Sequence[float]] | None = None
) -> Figure:
    """Posterior variance of every dimension of z, the most informative first, one line for each size of z.

    variances: label -> (nz,), in any order; `paper`: label -> the two least and the mean of the others,
    hollow, the last one in the middle of the dimensions that it is the mean of.
    """
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, (label, values) in enumerate(variances.items()):
        colour = COLOURS[number % len(COLOURS)]
        ranks = np.arange(1, len(values) + 1)
        axes.plot(ranks, np.sort(values), "o-", ms=3, lw=1, color=colour, label=label)
        if paper and label in paper:
            middle = np.sqrt(3 * len(values))  # on a logarithmic axis
            axes.plot([1, 2, middle], paper[label], "o", mfc="none", ms=8, color=colour)
    if paper:
        axes.plot([], [], "o", mfc="none", ms=8, color="#777777", label="paper")
    axes.axhline(1, ls=":", lw=0.8, color="#777777")  # of the prior: a dimension that says nothing
    axes.set(xscale="log", xlabel="dimension of z, by rank", ylabel="posterior variance")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
