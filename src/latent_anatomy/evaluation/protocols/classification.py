"""How well does a trained classifier recognise what it was trained for? (unORANIC, Tables 3 and 4)

A disease classifier is scored on the clean test images: classification/disease/auc and .../acc.

A corruption classifier (ResNet-18 in Table 4) is scored on the frozen corrupted test set, against
whether an image is corrupted: classification/corruption/auc and .../acc, from its first two outputs.
As released, the same scores are held against the *disease* labels of the same images, and so measure
nothing (specification, trap 3): classification/corruption/as_released_auc and .../as_released_acc.

Arrays classification/<task>/scores (N, classes) float32, and labels or corruption/labels (N,) int64, which go
with them. Table roc: of the task, see `curves`.
"""

from collections.abc import Mapping

from numpy.typing import NDArray
from torch import Tensor, nn

from latent_anatomy.evaluation import curves
from latent_anatomy.evaluation.common import Settings, frozen_corruption, infer, score
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.training.method import Data

NEEDS = (("classify",),)
PLOTS = {"roc": curves.DRAWN}
LABELS = {"disease": "labels", "corruption": "corruption/labels"}
UNPAIRED = {
    "classification/corruption/as_released_scores": "they are held against labels of another task",
}


class Params(Settings):
    """Nothing to choose."""


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images with labels."""
    return splits["test"].labels is not None


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics, arrays and table as above."""
    method.eval()
    test = splits["test"]
    if method.task == "disease":
        scores = infer(method.classify, test.images)
        arrays = {"labels": test.labels, "classification/disease/scores": scores}
        return _results(score("classification/disease", test.labels, scores), arrays, "disease")
    if method.task != "corruption":
        raise ValueError(f"expected a classifier of 'disease' or 'corruption', found {method.task!r}")

    images, corrupted = frozen_corruption("test", test)
    outputs = infer(method.classify, images)
    scores = outputs[:, :2] / outputs[:, :2].sum(dim=1, keepdim=True)
    as_released = score("released", test.labels, outputs)
    metrics = score("classification/corruption", corrupted, scores) | {
        "classification/corruption/as_released_auc": as_released["released/auc"],
        "classification/corruption/as_released_acc": as_released["released/acc"],
    }
    arrays = {
        "corruption/labels": corrupted,
        "classification/corruption/scores": scores,
        "classification/corruption/as_released_scores": outputs,
    }
    return _results(metrics, arrays, "corruption")


def _results(metrics: dict[str, float], arrays: dict[str, Tensor], task: str) -> Results:
    stored = {name: value.cpu().numpy() for name, value in arrays.items()}
    table = curves.roc(stored[LABELS[task]], stored[f"classification/{task}/scores"])
    return Results(metrics, stored, table)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Class scores, which also answer for every probe of their task."""
    return {
        f"classification/{task}": Paired(
            (f"classification/{task}/scores",), labels=labels, answers=f"probing/{task}/"
        )
        for task, labels in LABELS.items()
        if f"classification/{task}/scores" in arrays
    }
