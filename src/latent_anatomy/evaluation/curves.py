"""ROC curves as tables: what a run is asked, as one curve over all classes."""

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.evaluation.protocol import Table

GRID = np.linspace(0, 1, 101)
DRAWN = {"x": "false_positive_rate", "y": "true_positive_rate"}


def roc(labels: NDArray, scores: NDArray) -> dict[str, Table]:
    """Table "roc" of class scores (N, classes) for labels (N,): the macro average over the classes.

    Columns false_positive_rate and true_positive_rate; no table where no class can be told from others.
    """
    present = [label for label in range(scores.shape[1]) if 0 < (labels == label).sum() < len(labels)]
    if not present:
        return {}
    rates = np.mean([_rates(labels == label, scores[:, label]) for label in present], axis=0)
    return {"roc": Table(tuple(DRAWN.values()), list(zip(GRID.tolist(), rates.tolist(), strict=True)))}


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
