"""Is anatomy separated from characteristics? What unORANIC claims and does not measure.

From each of the two embeddings both tasks are read: what an embedding is meant for, and what it should
not know, that is disease from "characteristics" and corruption from "anatomy". Because a linear layer
reads much from any convolutional network, each number stands beside the same of an untrained encoder:

    separation/<task>_from_<embedding>/auc|acc          the trained encoder
    separation/random/<task>_from_<embedding>/auc|acc   same architecture, initial weights, with batch
                                                        statistics of one pass over the training images

and between the two embeddings of the clean test images

    separation/linear_cka             linear centred kernel alignment (Kornblith et al. 2019, section 3);
                                      0: nothing in common up to rotation and scale, 1: the same
    separation/linear_cka_unbiased    the same of unbiased estimates (Song et al. 2012, equation 5),
                                      for with fewer images than dimensions the former is high by itself

with separation/random/... beside them. Arrays separation/<...>/scores (N, classes) of both.

Unlike the probes of `probing`, whose published training depends on the scale of an embedding, these
readers standardise each dimension and are fitted to convergence: logistic regression with an L2
penalty, whose strength is the one of the lowest cross-entropy on the validation images.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Settings, embed, frozen_corruption, score
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols.probing import corrupted_draws
from latent_anatomy.evaluation.untrained import with_statistics
from latent_anatomy.metrics.dependence import linear_cka, linear_cka_unbiased
from latent_anatomy.training.method import Data
from latent_anatomy.training.optimisers import LBFGS
from latent_anatomy.training.seeds import derived_seed

NEEDS = (("encode", "anatomy"),)
UNPAIRED = {"separation/*": "each stands beside its own untrained encoder, and not beside another run"}

EMBEDDINGS = ("anatomy", "characteristics")
STRENGTHS = (0.1, 0.01, 0.001)  # of the penalty strength / 2 * |weights|^2, beside the mean cross-entropy
ITERATIONS = 100


class Params(Settings):
    """Size of the corrupted training set."""

    draws: int = Field(4, ge=1, description="Corrupted versions of the training set that are pooled.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs images with labels."""
    return all(splits[name].labels is not None for name in ("train", "val", "test"))


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError when the method encodes something else."""
    method.eval()
    metrics, arrays = {}, {}
    for prefix, encoder in (("", method), ("random/", untrained(method, splits["train"], seed))):
        part, stored = _measure(encoder, splits, settings, seed)
        metrics |= {f"separation/{prefix}{name}": value for name, value in part.items()}
        arrays |= {f"separation/{prefix}{name}": value for name, value in stored.items()}
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}


def untrained(method: nn.Module, train: Data, seed: int) -> nn.Module:
    """A copy with initial weights, in evaluation mode.

    Its running statistics are the means over one pass through the training images; without them a deep
    untrained network shrinks its images to next to nothing.
    """
    encoder = copy.deepcopy(method)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(seed, "untrained"))
        for layer in encoder.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return with_statistics(encoder, train.images)


def _measure(encoder: nn.Module, splits: dict[str, Data], settings: Params, seed: int) -> tuple[dict, dict]:
    """Names without the prefix -> metrics, scores."""
    corrupted = {name: frozen_corruption(name, splits[name]) for name in ("val", "test")}
    clean = {name: (embed(encoder, data.images), data.labels) for name, data in splits.items()}
    if not set(EMBEDDINGS) <= clean["test"][0].keys():
        raise ValueError(
            f"expected embeddings {' and '.join(EMBEDDINGS)}, found {', '.join(clean['test'][0])}: "
            "separation is a question to methods that have both"
        )
    draws = corrupted_draws(encoder, splits["train"], settings.draws, seed)
    pooled = {name: torch.cat([draw[0][name] for draw in draws]) for name in EMBEDDINGS}
    tasks = {
        "disease": clean,
        "corruption": {name: (embed(encoder, images), labels) for name, (images, labels) in corrupted.items()}
        | {"train": (pooled, torch.cat([labels for _, labels in draws]))},
    }
    metrics, arrays = {}, {}
    for task, sets in tasks.items():
        for name in EMBEDDINGS:
            features = {split: embeddings[name] for split, (embeddings, _) in sets.items()}
            labels = {split: known for split, (_, known) in sets.items()}
            scores = read(features, labels)
            metrics |= score(f"{task}_from_{name}", labels["test"], scores)
            arrays[f"{task}_from_{name}/scores"] = scores.float().cpu().numpy()
    one, other = (clean["test"][0][name] for name in EMBEDDINGS)
    metrics |= {"linear_cka": linear_cka(one, other), "linear_cka_unbiased": linear_cka_unbiased(one, other)}
    return metrics, arrays


def read(features: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    """Test scores (N, classes) of the penalised logistic regression that is best on "val"."""
    mean, deviation = features["train"].double().mean(0), features["train"].double().std(0)
    deviation = deviation.where(deviation > 0, torch.ones_like(deviation))
    standard = {split: (values.double() - mean) / deviation for split, values in features.items()}
    layers = [logistic_regression(standard["train"], labels["train"], strength) for strength in STRENGTHS]
    best = min(layers, key=lambda layer: float(F.cross_entropy(layer(standard["val"]), labels["val"])))
    return best(standard["test"]).softmax(dim=1)


def logistic_regression(features: Tensor, labels: Tensor, strength: float) -> nn.Linear:
    """Minimise mean cross-entropy + strength / 2 * |weights|^2 by L-BFGS; features (N, d) float64."""
    layer = nn.utils.skip_init(nn.Linear, features.shape[1], int(labels.max()) + 1, dtype=features.dtype)
    layer = layer.to(features.device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = LBFGS(
        layer.parameters(), max_iter=ITERATIONS, tolerance_grad=1e-4, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(layer(features), labels) + strength / 2 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return layer.requires_grad_(False)
