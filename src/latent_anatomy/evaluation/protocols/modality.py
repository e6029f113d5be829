"""Which modality is an image of, by its factors? (Chartsias et al. 2019, section 5.4)

Logistic regressions of the modality on what a frozen method says of the training images, each feature
standardised, asked about the test images:

    modality/z/accuracy       from all of z
    modality/z<i>/accuracy    from one dimension of it, i from 0
    modality/<best, second, worst>/accuracy    of these; their order is another in every training
    modality/s/accuracy       from s: the part that each channel takes of each of `grid` x `grid` cells, and
                              so its area. What the paper does not ask: s should not know.
    modality/chance           of saying always what most test images are

z is its mean, so that nothing is drawn; the paper does not say. Accuracies are over slices, as printed.
Slices of one subject are not independent, so modality/<z, s>/accuracy_low and _high, the 95 % interval of a
bootstrap, draw subjects; left out where the test split has only one. Arrays, for each test image:
modality/true and modality/<z, s>/predicted (N,) text.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from latent_anatomy.data.slices import defect
from latent_anatomy.evaluation.common import Settings
from latent_anatomy.evaluation.factorised import array, modality_means, pooled_anatomy, reader
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.statistics.inference import bootstrap
from latent_anatomy.training.method import Data

NEEDS = (("anatomy", "encode", "decode"),)
UNPAIRED = {"modality/*": "an accuracy stands beside chance, with its own interval"}


class Params(Settings):
    """How s is seen."""

    grid: int = Field(4, ge=1, description="Cells per side over which channels of s are averaged.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images of two modalities or more, each of which the training split has too."""
    train, test = (set(splits[name].modality) for name in ("train", "test"))
    return len(test) > 1 and test <= train


def check(splits: dict[str, Data]) -> None:
    """ValueError unless `possible`."""
    if not possible(splits):
        train, test = (sorted(set(splits[name].modality)) for name in ("train", "test"))
        raise defect(
            "splits",
            "two modalities or more to test, each of them in training too",
            f"training with {', '.join(train) or 'none'} and testing with {', '.join(test) or 'none'}",
            "use a data set of several modalities",
        )


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError where the data have one modality, see `possible`."""
    check(splits)
    method.eval()
    train, test = splits["train"], splits["test"]
    known, true = np.array(train.modality), np.array(test.modality)
    factors = {
        "z": [array(modality_means(method, data.images)) for data in (train, test)],
        "s": [array(pooled_anatomy(method, data.images, settings.grid)) for data in (train, test)],
    }
    metrics, arrays = {"modality/chance": chance(true)}, {"modality/true": true}
    for name, (seen, asked) in factors.items():
        predicted = reader(seen, known).predict(asked)
        correct = predicted == true
        metrics[f"modality/{name}/accuracy"] = float(correct.mean())
        if len(set(test.subject)) > 1:
            interval = bootstrap(
                lambda counts, correct=correct: counts @ correct / counts.sum(axis=1), test.subject, seed=seed
            )
            metrics[f"modality/{name}/accuracy_low"] = interval.low
            metrics[f"modality/{name}/accuracy_high"] = interval.high
        arrays[f"modality/{name}/predicted"] = predicted
    seen, asked = factors["z"]
    alone = [float(reader(seen[:, [i]], known).score(asked[:, [i]], true)) for i in range(seen.shape[1])]
    metrics |= {f"modality/z{i}/accuracy": accuracy for i, accuracy in enumerate(alone)}
    ranked = sorted(alone, reverse=True)
    extremes = {"best": ranked[:1], "second": ranked[1:2], "worst": ranked[-1:]}
    metrics |= {f"modality/{name}/accuracy": each[0] for name, each in extremes.items() if each}
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}


def chance(labels: np.ndarray) -> float:
    """Part of the labels (N,) that the most frequent one has."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
