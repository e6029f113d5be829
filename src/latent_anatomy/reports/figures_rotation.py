"""Figures of latents before and after a rotation, and of survival.

As in `figures`: each function takes numbers and returns a matplotlib figure; none reads a file.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.metrics.survival import kaplan_meier
from latent_anatomy.reports.figures import COLOURS, PANEL

NCOLS = 4


def spectrum(runs: Mapping[str, Mapping[str, NDArray]]) -> Figure:
    """Share of the partners' squared differences along each direction, a panel for each run.

    runs: name -> "technical" (r,) and "biological" (d - r,), which add up to 1; the former in colour.
    """
    figure, panels = _panels(len(runs), sharey=True)
    for panel, (name, share) in zip(panels, runs.items(), strict=True):
        rank, width = len(share["technical"]), len(share["biological"])
        panel.bar(np.arange(rank), share["technical"], color=COLOURS[1], label="technical")
        panel.bar(rank + np.arange(width), share["biological"], color=COLOURS[0], label="biological")
        panel.set_title(f"{name}: {share['technical'].sum():.0%} in {rank} of {rank + width}", fontsize=8)
    figure.supxlabel("direction", fontsize=8)
    figure.supylabel("share of the differences", fontsize=8)
    if panels:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=7)
    return figure


def embedding(points: Mapping[str, NDArray], names: Mapping[str, Sequence[object]]) -> Figure:
    """Test rows on two principal components of each run's latents, coloured by what `names` has of them.

    points: run -> (n, 2); names: run -> n settings or classes. ValueError where there are more or fewer.
    """
    known = sorted({str(each) for values in names.values() for each in values})
    figure, panels = _panels(len(points))
    for panel, (run, where) in zip(panels, points.items(), strict=True):
        own = np.array([str(each) for each in names[run]])
        if len(own) != len(where):
            raise ValueError(f"{run}: expected a name for each of {len(where)} points, found {len(own)}")
        for number, name in enumerate(known):
            chosen = where[own == name]
            colour = COLOURS[number % len(COLOURS)]
            panel.plot(chosen[:, 0], chosen[:, 1], ".", ms=2.5, color=colour, label=name)
        panel.set(xticks=[], yticks=[])
        panel.set_title(run, fontsize=8)
    handles = {line.get_label(): line for panel in panels for line in panel.lines}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def survival(time: NDArray, event: NDArray, halves: Mapping[str, NDArray]) -> Figure:
    """Kaplan-Meier curves of the half with the larger risk and of the other, a panel for each model.

    time (n,) in days and event (n,) of all persons; halves: model -> (n,) 0 or 1. Ticks are those censored.
    """
    figure, panels = _panels(len(halves), sharey=True)
    for panel, (model, high) in zip(panels, halves.items(), strict=True):
        for side, (label, colour) in enumerate((("smaller risk", COLOURS[0]), ("larger risk", COLOURS[1]))):
            own = high == side
            moments, share = kaplan_meier(time[own], event[own])
            last = time[own].max(initial=0.0)
            panel.step([*moments, last], [*share, share[-1]], where="post", color=colour, label=label)
            censored = time[own & (event == 0)]
            at = share[np.searchsorted(moments, censored, side="right") - 1]
            panel.plot(censored, at, "|", ms=4, color=colour)
        panel.set(ylim=(0, 1.02))
        panel.set_title(model, fontsize=8)
    figure.supxlabel("days", fontsize=8)
    figure.supylabel("share alive", fontsize=8)
    if panels:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=7)
    return figure


def concordance(rows: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Harrell's C of each row, with its interval: name -> C, low, high; 0.5 is chance."""
    figure = Figure(figsize=(6, 0.8 + 0.2 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for height, (value, low, high) in enumerate(rows.values()):
        axes.plot([low, high], [height, height], lw=1.5, color=COLOURS[4])
        axes.plot(value, height, "o", ms=4, color=COLOURS[0])
    axes.axvline(0.5, ls=":", lw=0.8, color="#777777")
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("Harrell's C", fontsize=8)
    return figure


def _panels(count: int, **shared: bool) -> tuple[Figure, list]:
    """A figure with so many panels in rows of four."""
    nrows, ncols = -(-count // NCOLS), min(count, NCOLS)
    figure = Figure(figsize=(PANEL * 1.2 * max(ncols, 1), PANEL * nrows + 0.6), layout="constrained")
    panels = list(figure.subplots(nrows, ncols, squeeze=False, **shared).flat) if count else []
    for panel in panels[count:]:
        panel.set_axis_off()
    for panel in panels:
        panel.tick_params(labelsize=6)
    return figure, panels[:count]
