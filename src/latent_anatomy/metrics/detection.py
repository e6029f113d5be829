"""How well one score of each image tells the anomalous from the healthy."""

import numpy as np
from numpy.typing import NDArray

RATES = (95, 99)


def detection(ill: NDArray[np.bool_], score: NDArray[np.float64]) -> dict[str, float]:
    """Of scores (N,), as fractions: auc, auprc, prevalence (the AUPRC of chance), fpr95 and fpr99.

    The last two are the false positives at the first point of the ROC curve with 95 or 99 % of the true ones.
    ValueError without images of both kinds.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    if ill.all() or not ill.any():
        found = f"{int(ill.sum())} and {int((~ill).sum())}"
        raise ValueError(f"expected anomalous and healthy images, found {found}: test some of both")
    false, true, _ = roc_curve(ill, score)
    return {
        "auc": float(roc_auc_score(ill, score)),
        "auprc": float(average_precision_score(ill, score)),
        "prevalence": float(ill.mean()),
        **{f"fpr{percent}": float(false[np.argmax(true >= percent / 100)]) for percent in RATES},
    }


def calibrated(score: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Scores (N,) >= 0 as those of two classes (N, 2), in their order, above 0.5 where they exceed `cut`.

    >>> calibrated(np.array([0.0, 1.0, 3.0]), 1.0)[:, 1]
    array([0.  , 0.5 , 0.75])
    """
    whole = score + cut
    one = np.divide(score, whole, out=np.zeros_like(score), where=whole > 0)
    return np.stack([1 - one, one], axis=1)
