"""Does the disease classification hold when the test images are corrupted? (unORANIC, Figure 5)

The 14 corruptions of ImageNet-C at 5 severities, the clean images, and, as a control that the paper
does not have, clean images that only went through the resampling to 32 pixels and back. Classifiers of
diseases are scored as they are; of methods that encode, a linear probe on the `own` embedding, trained
on clean images (see `probing`).

    robustness/clean/auc|acc, robustness/resampled/auc|acc, robustness/<corruption>/<severity>/auc|acc
    robustness/<family>/auc|acc    means over the severities and the family's corruptions, "all" being one

Arrays robustness/<condition>/scores (N, classes) float32, the indices of the images that were used,
"robustness/images" (n,) int64, and pictures of the highest severity. What is random in a corruption is
drawn once for its five severities.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from latent_anatomy.corruptions import imagenet_c
from latent_anatomy.corruptions.families import FAMILIES
from latent_anatomy.evaluation.common import (
    FROZEN_SEED,
    Results,
    Settings,
    examples,
    generator,
    infer,
    pictures,
    score,
)
from latent_anatomy.evaluation.protocols.probing import EPOCHS, disease_probe
from latent_anatomy.training.method import Data


class Params(Settings):
    """How much is tested."""

    images: int | None = Field(
        None, ge=2, description="Test images, with the classes in proportion; none: all."
    )
    severities: tuple[Literal[1, 2, 3, 4, 5], ...] = Field(
        (1, 2, 3, 4, 5), min_length=1, description="Which of the five severities."
    )
    probe_epochs: int = Field(EPOCHS, ge=1, description="Passes over the training images, for a probe.")


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

    found, arrays = {}, {"labels": test.labels.cpu().numpy(), "robustness/images": chosen.cpu().numpy()}

    def test_on(condition: str, corrupted: Tensor) -> None:
        scores = infer(classify, corrupted)
        found.update(score(f"robustness/{condition}", labels, scores))
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
                found[f"robustness/{name}/{severity}/{metric}"]
                for name in names
                for severity in settings.severities
            ]
            found[f"robustness/{family}/{metric}"] = sum(values) / len(values)
    return found, arrays
