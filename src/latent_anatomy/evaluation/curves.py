"""Two small tables of an evaluation, one series each, in the form that `dvc plots` draws and overlays.

roc    false_positive_rate, true_positive_rate: macro average over the classes, on the test images, of what
       the run is asked first: its own classes (`classification`), or the disease read from its embedding by
       a linear probe (`probing`, variant `own`)
psnr   corruption, psnr (dB): the method's answer to each corrupted test image against the clean image
       (`revision`): its anatomy where it has one, else its reconstruction

A table without rows belongs to a run that was asked no such thing.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Table = tuple[tuple[str, ...], list[tuple]]

ASKED = (
    ("classification/disease/scores", "labels"),
    ("classification/corruption/scores", "corruption/labels"),
    ("probing/disease/own/scores", "labels"),
)
GRID = np.linspace(0, 1, 101)


def roc(arrays: Mapping[str, NDArray]) -> Table:
    """Columns and rows of the ROC curve; arrays as the protocols leave them."""
    columns = ("false_positive_rate", "true_positive_rate")
    asked = next((pair for pair in ASKED if pair[0] in arrays), None)
    if asked is None:
        return columns, []
    scores, labels = (np.asarray(arrays[name]) for name in asked)
    present = [label for label in range(scores.shape[1]) if 0 < (labels == label).sum() < len(labels)]
    curves = [_rates(labels == label, scores[:, label]) for label in present]
    return columns, list(zip(GRID.tolist(), np.mean(curves, axis=0).tolist(), strict=True)) if curves else []


def _rates(positive: NDArray, scores: NDArray) -> NDArray:
    """True positive rates on the grid of false positive rates, the curve beginning in the origin.

    One point for each threshold: images of equal score are counted together.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.append(0, np.cumsum(positive[order])[last])
    misses = np.append(0, last + 1) - hits
    rates = np.interp(GRID, misses / misses[-1], hits / hits[-1])
    rates[0] = 0.0
    return rates


def psnr(metrics: Mapping[str, float]) -> Table:
    """Columns and rows of the PSNR by corruption; metrics as the protocols leave them."""
    columns = ("corruption", "psnr")
    conditions = dict.fromkeys(key.split("/")[1] for key in metrics if key.startswith("revision/"))
    rows = []
    for condition in conditions:
        answers = (f"revision/{condition}/{branch}_psnr" for branch in ("anatomy", "reconstruction"))
        rows += [(condition, metrics[key]) for key in answers if key in metrics][:1]
    return columns, rows
