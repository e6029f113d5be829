"""Figures of the reports. Each function takes numbers and returns a matplotlib figure; none reads a file.

Drawn without a display and without pyplot's global state (Agg is what a bare `Figure` saves with), in
one palette that colour-blind readers can tell apart.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latent_anatomy.ledger.table import Row
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.passport import sealed

# Okabe and Ito's palette
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
VERDICT_COLOURS = {"reproduced": "#009E73", "better": "#0072B2", "not reproduced": "#D55E00"}
PANEL = 2.2  # inches
WIDE = 10  # values that span more than this factor are drawn on a logarithmic axis


def png(figure: Figure, passport: dict) -> bytes:
    """A figure as PNG, with the passport of what it shows: same figure, same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return with_passport(stream.getvalue(), passport)


def with_passport(picture: bytes, passport: dict) -> bytes:
    """A PNG with the passport of what it shows, sealed for this very picture."""
    return formats.png_with_passport(picture, sealed(passport, content=formats.of_png(picture)))


def image_grid(columns: Mapping[str, NDArray], rows: Sequence[str] = ()) -> Figure:
    """Images side by side: one column for each entry, such as original, corrupted, anatomy, reconstruction.

    columns: title -> images (n, C, H, W), C 1 or 3, uint8 or float in [0, 1] (clipped); `rows` labels the
    n rows. Raises ValueError when the columns differ in shape.
    """
    shapes = {title: np.shape(images) for title, images in columns.items()}
    first = next(iter(shapes.values()))
    if any(shape != first for shape in shapes.values()) or len(first) != 4 or first[1] not in (1, 3):
        raise ValueError(f"expected columns of one shape (n, 1 or 3, height, width), found {shapes}")
    if rows and len(rows) != first[0]:
        raise ValueError(f"expected a label for each of {first[0]} rows, found {len(rows)}")
    size = (PANEL * len(columns) * 0.6, PANEL * first[0] * 0.6 + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(first[0], len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=9)
        for row, image in enumerate(np.asarray(images)):
            shown = image / 255 if image.dtype == np.uint8 else image
            shown = np.clip(np.moveaxis(shown, 0, -1), 0, 1)
            axes[row, column].imshow(shown.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes[row, column].set(xticks=[], yticks=[])
    for row, label in enumerate(rows):
        axes[row, 0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
    return figure


def psnr_by_corruption(
    series: Mapping[str, Mapping[str, float]],
    clean: float,
    paper: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """PSNR in dB of several images under each corruption (unORANIC, Figure 4).

    series: label -> corruption -> dB; every label has the same corruptions, sorted here by the first
    label's values. `clean` is the anatomy reconstruction of clean input, a dashed line; `paper` has the
    paper's values of some labels, hollow markers. Raises ValueError when corruptions differ.
    """
    first, *others = series.values()
    if any(other.keys() != first.keys() for other in others):
        raise ValueError(
            f"expected the same corruptions in all series, found {[sorted(s) for s in series.values()]}"
        )
    order = sorted(first, key=first.__getitem__)
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    for (label, values), colour in zip(series.items(), COLOURS, strict=False):
        axes.plot(order, [values[name] for name in order], "o-", color=colour, label=label)
        printed = (paper or {}).get(label, {})
        known = [name for name in order if name in printed]
        if known:
            published = [printed[name] for name in known]
            axes.plot(known, published, "o", mfc="none", ms=9, color=colour, label=f"{label}, paper's script")
    axes.axhline(clean, ls="--", color="#777777", label="anatomy, clean input")
    axes.set_ylabel("PSNR to the clean image (dB)")
    axes.tick_params(axis="x", rotation=40)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def auc_by_severity(
    curves: Mapping[str, Mapping[str, Sequence[float]]], clean: Mapping[str, float], ncols: int = 5
) -> Figure:
    """AUC against severity, one panel for each corruption (unORANIC, Figure 5).

    curves: run -> corruption -> AUC at severity 1, 2, ...; clean: run -> AUC on clean images, drawn at
    severity 0. Raises ValueError when the runs were measured on different corruptions.
    """
    first, *others = curves.values()
    if any(other.keys() != first.keys() for other in others) or curves.keys() != clean.keys():
        raise ValueError(
            "expected every run on the same corruptions and on clean images, found differing ones"
        )
    nrows = -(-len(first) // ncols)
    figure = Figure(figsize=(PANEL * ncols, PANEL * nrows + 0.4), layout="constrained")
    axes = figure.subplots(nrows, ncols, squeeze=False, sharex=True, sharey=True)
    for panel in axes.flat[len(first) :]:
        panel.set_axis_off()
    for panel, corruption in zip(axes.flat, first, strict=False):
        panel.set_title(corruption.replace("_", " "), fontsize=9)
        for (run, values), colour in zip(curves.items(), COLOURS, strict=False):
            heights = [clean[run], *values[corruption]]
            panel.plot(range(len(heights)), heights, "o-", ms=3, color=colour, label=run)
            panel.set_xticks(range(len(heights)))
        panel.axhline(0.5, ls=":", lw=0.8, color="#777777")
    figure.supxlabel("severity (0: clean)", fontsize=9)
    figure.supylabel("AUC", fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(curves), fontsize=8
    )
    return figure


def learning_curves(
    histories: Mapping[str, Mapping[str, NDArray]], columns: Sequence[str], ncols: int = 4
) -> Figure:
    """One panel for each of `columns`, one line for each history.

    histories: label -> column -> values (epochs,), with a column "epoch"; a history without a column is
    left out of its panel. Raises ValueError for a column that no history has.
    """
    for column in columns:
        if not any(column in history for history in histories.values()):
            raise ValueError(f"expected a history with the column {column}, found none")
    nrows = -(-len(columns) // ncols)
    figure = Figure(figsize=(3.2 * min(ncols, len(columns)), 2.6 * nrows), layout="constrained")
    axes = figure.subplots(nrows, min(ncols, len(columns)), squeeze=False)
    for panel in axes.flat[len(columns) :]:
        panel.set_axis_off()
    for panel, column in zip(axes.flat, columns, strict=False):
        drawn = []
        for number, (label, history) in enumerate(histories.items()):
            if column in history:
                values = np.asarray(history[column], dtype=np.float64)
                panel.plot(history["epoch"], values, lw=1, color=COLOURS[number % len(COLOURS)], label=label)
                drawn.append(values[np.isfinite(values)])
        drawn = np.concatenate(drawn)
        wide = drawn.min(initial=np.inf) > 0 and drawn.max(initial=0) > WIDE * drawn.min(initial=np.inf)
        panel.set(xlabel="epoch", yscale="log" if wide else "linear")
        panel.set_title(column, fontsize=9)
    handles = {line.get_label(): line for panel in axes.flat for line in panel.lines}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def paper_against_ours(rows: Sequence[Row], title: str) -> Figure:
    """Dot plot of ledger rows: the paper hollow, ours filled in its verdict's colour, with its interval.

    Raises ValueError for rows that have not both numbers, such as those of phantoms.
    """
    for row in rows:
        if not row.paper or not row.ours_mean or row.metric == "claim":
            raise ValueError(
                f"expected rows with two numbers, found {row.table} {row.dataset}: {row.verdict}"
            )
    figure = Figure(figsize=(7, 1.2 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for height, row in enumerate(rows):
        ours, colour = float(row.ours_mean), VERDICT_COLOURS[row.verdict]
        axes.plot([float(row.paper), ours], [height, height], lw=0.6, color="#BBBBBB", zorder=1)
        axes.plot(float(row.paper), height, "o", ms=10, mfc="white", mec="black", zorder=2)
        if row.ours_ci_low:
            axes.plot([float(row.ours_ci_low), float(row.ours_ci_high)], [height, height], lw=2, color=colour)
        axes.plot(ours, height, "o", color=colour, zorder=3)
    axes.set_yticks(
        range(len(rows)), [f"{row.method} · {row.dataset} · {row.metric}" for row in rows], fontsize=7
    )
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.plot([], [], "o", ms=10, mfc="white", mec="black", label="paper")
    for verdict, colour in VERDICT_COLOURS.items():
        axes.plot([], [], "o", color=colour, label=f"ours, {verdict}")
    figure.legend(loc="outside lower center", ncols=4, fontsize=7)
    return figure
