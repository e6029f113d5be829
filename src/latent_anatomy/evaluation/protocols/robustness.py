"""Does the disease classification hold when the test images are corrupted? (unORANIC, Figure 5)

The 14 corruptions of ImageNet-C at 5 severities, the clean images, and, as a control that the paper
does not have, clean images that only went through the resampling to 32 pixels and back. Classifiers of
diseases are scored as they are; of methods that encode, a linear probe on the `own` embedding, trained
on clean images (see `probing`).

    robustness/clean/auc|acc, robustness/resampled/auc|acc, robustness/<corruption>/<severity>/auc|acc
    robustness/<family>/auc|acc    means over the severities and the family's corruptions, "all" being one

Arrays robustness/<condition>/scores (n, classes) float32 of the n images that are used, their indices
robustness/images (n,) int64, labels robustness/labels (n,) int64 and robustness/subject (n,) text, and
pictures of the highest severity. What is random in a corruption is
drawn once for its five severities.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from latent_anatomy.corruptions import imagenet_c
from latent_anatomy.corruptions.families import FAMILIES
from latent_anatomy.evaluation.common import (
    FROZEN_SEED,
    Settings,
    examples,
    generator,
    infer,
    pictures,
    score,
)
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols.probing import EPOCHS, disease_probe
from latent_anatomy.training.method import Data

NEEDS = (("classify disease",), ("encode",))
UNPAIRED = {
    "robustness/images": "it says which images are used",
    "robustness/resampled/scores": "a control, of which the paper claims nothing",
}


class Params(Settings):
    """How much is tested."""

    images: int | None = Field(
        None, ge=2, description="Test images, with the classes in proportion; none: all."
    )
    severities: tuple[Literal[1, 2, 3, 4, 5], ...] = Field(
        (1, 2, 3, 4, 5), min_length=1, description="Which of the five severities."
    )
    probe_epochs: int = Field(EPOCHS, ge=1, description="Passes over the training images, for a probe.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs images with labels."""
    return all(splits[name].labels is not None for name in ("train", "test"))


def corrupt(name: str, severity: int, images: Tensor) -> Tensor:
    """Images (N, C, 28, 28) with an ImageNet-C corruption, the same for every method and seed."""
    return imagenet_c.corrupt(name, severity, images, generator(FROZEN_SEED, "imagenet_c", name))


def choose(labels: Tensor, count: int) -> Tensor:
    """Indices (count,) int64, ascending, of images that have the classes in the proportions of `labels`."""
    spaced = torch.linspace(0, len(labels) - 1, min(count, len(labels)), dtype=torch.float64).long()
    return labels.argsort(stable=True)[spaced.to(labels.device)].sort().values


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above."""
    method.eval()
    test = splits["test"]
    chosen = choose(test.labels, settings.images or len(test))
    images, labels = test.images[chosen], test.labels[chosen]
    if hasattr(method, "classify"):
        classify = method.classify
    else:
        classify = disease_probe(method, splits["train"], settings.probe_epochs, seed)

    indices = chosen.cpu().numpy()
    metrics = {}
    arrays = {
        "robustness/images": indices,
        "robustness/labels": labels.cpu().numpy(),
        "robustness/subject": np.array(test.subject)[indices],
    }

    def test_on(condition: str, corrupted: Tensor) -> None:
        scores = infer(classify, corrupted)
        metrics.update(score(f"robustness/{condition}", labels, scores))
        arrays[f"robustness/{condition}/scores"] = scores.cpu().numpy()

    test_on("clean", images)
    test_on("resampled", imagenet_c.resample_control(images))
    for name in tqdm(imagenet_c.NAMES, desc="robustness", unit="corruption", disable=None, leave=False):
        for severity in settings.severities:
            corrupted = corrupt(name, severity, images)
            test_on(f"{name}/{severity}", corrupted)
            if severity == max(settings.severities):
                arrays[f"figure/{name}/input"] = pictures(examples(corrupted))
    for family, names in FAMILIES.items():
        for metric in ("auc", "acc"):
            values = [
                metrics[f"robustness/{name}/{severity}/{metric}"]
                for name in names
                for severity in settings.severities
            ]
            metrics[f"robustness/{family}/{metric}"] = sum(values) / len(values)
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Class scores of the clean images, and of the conditions of each family."""
    scored = [name for name in arrays if name.startswith("robustness/") and name.endswith("/scores")]
    conditions = {"clean": ("clean",)} | FAMILIES
    chosen = {
        family: tuple(name for name in scored if name.split("/")[1] in members)
        for family, members in conditions.items()
    }
    return {
        f"robustness/{family}": Paired(names, subject="robustness/subject", labels="robustness/labels")
        for family, names in chosen.items()
        if names
    }
