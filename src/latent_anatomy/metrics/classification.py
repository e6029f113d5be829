"""AUC and accuracy of scores, as MedMNIST v2 has them (Yang et al. 2023), whose evaluator is the oracle."""

import numpy as np
from numpy.typing import NDArray


def auc(labels: NDArray, scores: NDArray) -> float:
    """Area under the ROC curve as MedMNIST has it: labels (N,) int, scores (N, classes) float.

    Two classes: of the scores of class 1. More: unweighted mean of each class against the rest (also
    for ordinal regression). Raises ValueError when a class is absent, since its area is undefined.

    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> auc(np.array([0, 0, 1, 1]), scores)
    0.75
    """
    labels, scores = _checked(labels, scores)
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    return float(np.mean([_area(labels == label, scores[:, label], label) for label in classes]))


def _area(positive: NDArray, scores: NDArray, label: int) -> float:
    """Probability that a positive scores above a negative (ties count half): Mann-Whitney's U, scaled."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise ValueError(
            f"expected images of class {label} and of others, found {positives} and {negatives}: "
            "its AUC is undefined; use more images"
        )
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return above / (positives * negatives)


def acc(labels: NDArray, scores: NDArray) -> float:
    """Accuracy as MedMNIST has it; see `correct`."""
    return float(correct(labels, scores).mean())


def correct(labels: NDArray, scores: NDArray) -> NDArray:
    """Which images are classified correctly: (N,) bool.

    Two classes: class 1 where its score exceeds 0.5. More: the class of the highest score, the first
    one of several.

    >>> correct(np.array([0, 2]), np.array([[0.5, 0.2, 0.3], [0.4, 0.4, 0.2]]))
    array([ True, False])
    """
    labels, scores = _checked(labels, scores)
    predicted = scores[:, 1] > 0.5 if scores.shape[1] == 2 else scores.argmax(axis=1)
    return predicted == labels


def _checked(labels: NDArray, scores: NDArray) -> tuple[NDArray, NDArray]:
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or scores.ndim != 2 or len(labels) != len(scores) or scores.shape[1] < 2:
        raise ValueError(
            f"expected labels (N,) and scores (N, 2 or more classes), found {labels.shape}, {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("expected finite class scores, found NaN or infinity: the method diverged")
    if not len(labels) or labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"expected labels from 0 to {scores.shape[1] - 1}, found {np.unique(labels)}")
    return labels, scores
