"""How much does each dimension of z say, and each channel of s? (Chartsias et al. 2019, section 5.6)

q(z_i | x) is a Gaussian of mean mu_i and variance exp(logvar_i). The prior has variance 1: a dimension
whose posterior is as wide says nothing of its image, one that is narrow is informative.

    factors/variance/z<i>         mean of exp(logvar_i) over the test images, i from 0
    factors/variance/least        the least of these, the most informative dimension
    factors/variance/second       the second least; left out where z has one dimension
    factors/variance/rest         the mean of the others; left out where z has two
    factors/mean_variance/z<i>    variance of mu_i over the test images: 0 where a dimension is not used

s is printed as one-hot. Rounded, it may be 0 in all channels; and of many channels, some may never be used:

    factors/no_channel            part of the pixels of the test images that are in no channel of s
    factors/area/c<i>             part of them in channel i, from 0
    factors/empty_channels        channels with less than `empty` of the pixels

Arrays factors/variance and factors/mean_variance (nz,), factors/area (C,) float64.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Settings, batches, infer
from latent_anatomy.evaluation.factorised import array
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.training.method import Data

NEEDS = (("posterior", "anatomy"),)
UNPAIRED = {"factors/*": "dimensions of z and channels of s, which no two trainings share"}


class Params(Settings):
    """When a channel counts as empty."""

    empty: float = Field(1e-3, ge=0, lt=1, description="Part of the pixels below which a channel is empty.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images, whatever they are of."""
    return len(splits["test"]) > 0


@torch.no_grad()
def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above."""
    method.eval()
    posteriors = [method.posterior(part) for part in batches(splits["test"].images)]
    means, log_variances = (array(torch.cat(parts)) for parts in zip(*posteriors, strict=True))
    variance, mean_variance = np.exp(log_variances).mean(axis=0), means.var(axis=0)
    metrics = {f"factors/variance/z{i}": float(value) for i, value in enumerate(variance)}
    metrics |= {f"factors/mean_variance/z{i}": float(value) for i, value in enumerate(mean_variance)}
    ordered = np.sort(variance)
    parts = {"least": ordered[:1], "second": ordered[1:2], "rest": ordered[2:]}
    metrics |= {f"factors/variance/{name}": float(part.mean()) for name, part in parts.items() if len(part)}
    areas = array(infer(lambda part: used(method.anatomy(part)), splits["test"].images)).mean(axis=0)
    metrics |= {f"factors/area/c{i}": float(value) for i, value in enumerate(areas[1:])}
    metrics |= {
        "factors/no_channel": float(areas[0]),
        "factors/empty_channels": float((areas[1:] < settings.empty).sum()),
    }
    arrays = {"factors/variance": variance, "factors/mean_variance": mean_variance, "factors/area": areas[1:]}
    return Results(metrics, arrays)


def used(anatomy: Tensor) -> Tensor:
    """s (N, C, H, W) -> parts of the pixels that are in no channel, and in each: (N, 1 + C)."""
    return torch.cat([(anatomy == 0).all(1, keepdim=True), anatomy], dim=1).mean((2, 3))


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}
