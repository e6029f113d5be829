"""How well does a trained classifier recognise what it was trained for? (unORANIC, Tables 3 and 4)

A disease classifier is scored on the clean test images: classification/disease/auc and .../acc.

A corruption classifier (ResNet-18 in Table 4) is scored on the frozen corrupted test set, against
whether an image is corrupted: classification/corruption/auc and .../acc, from its first two outputs.
As released, the same scores are held against the *disease* labels of the same images, and so measure
nothing (specification, trap 3): classification/corruption/as_released_auc and .../as_released_acc.
"""

from torch import nn

from latent_anatomy.evaluation.common import Results, Settings, frozen_corruption, infer, score
from latent_anatomy.training.method import Data


class Params(Settings):
    """Nothing to choose."""


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics as above; arrays "classification/<task>/scores" (N, classes) float32 and the labels."""
    method.eval()
    test = splits["test"]
    if method.task == "disease":
        scores = infer(method.classify, test.images)
        arrays = {"labels": test.labels, "classification/disease/scores": scores}
        return score("classification/disease", test.labels, scores), _numpy(arrays)
    if method.task != "corruption":
        raise ValueError(f"expected a classifier of 'disease' or 'corruption', found {method.task!r}")

    images, corrupted = frozen_corruption("test", test)
    outputs = infer(method.classify, images)
    scores = outputs[:, :2] / outputs[:, :2].sum(dim=1, keepdim=True)
    as_released = score("released", test.labels, outputs)
    found = score("classification/corruption", corrupted, scores) | {
        "classification/corruption/as_released_auc": as_released["released/auc"],
        "classification/corruption/as_released_acc": as_released["released/acc"],
    }
    arrays = {
        "labels": test.labels,
        "corruption/labels": corrupted,
        "classification/corruption/scores": scores,
        "classification/corruption/as_released_scores": outputs,
    }
    return found, _numpy(arrays)


def _numpy(arrays: dict) -> dict:
    return {name: value.cpu().numpy() for name, value in arrays.items()}
