"""CORAL: the covariance of each setting made that of all.

Sun, Feng, Saenko: Return of Frustratingly Easy Domain Adaptation. AAAI 2016, Algorithm 1: whiten with
(C_s + lambda I)^(-1/2), colour with (C_t + lambda I)^(1/2), lambda = 1.

Deviations: the target t is no other domain but the covariance within settings, pooled over all of them; and
means are aligned too, on the grand mean, which the paper leaves to the normalisation of its features.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.training.harmonisers import MOST, Harmoniser, HarmoniserParams, moments
from latent_anatomy.training.method import Shape


class Params(HarmoniserParams):
    """Parameters of CORAL."""

    ridge: float = Field(1.0, gt=0, description="lambda; printed: 1.")


class Method(Harmoniser):
    """Capability `represent`."""

    Params = Params
    COVARIANCE = True

    def __init__(self, params: Params, shape: Shape, on: nn.Module):
        super().__init__(params, shape, on)
        self.room("mean", MOST, self.width)
        self.room("maps", MOST, self.width, self.width)
        self.room("grand", self.width)

    def learn(self, latents: Tensor, setting: Tensor) -> None:
        count = len(self.settings.names)
        rows, mean, _ = moments(latents, setting, count)
        covariances = torch.stack([torch.cov(latents[setting == index].T) for index in range(count)])
        weight = rows / rows.sum()
        pooled = torch.einsum("s,sij->ij", weight, covariances)
        colour = self._power(pooled, 0.5)
        maps = torch.stack([self._power(each, -0.5) @ colour for each in covariances])
        self.mean[:count], self.maps[:count] = mean, maps
        self.grand.copy_(weight @ mean)

    def harmonised(self, latents: Tensor, setting: Tensor) -> Tensor:
        centred, result = latents - self.mean[setting], torch.empty_like(latents)
        for index, each in enumerate(self.maps):
            result[setting == index] = centred[setting == index] @ each
        return result + self.grand

    def _power(self, covariance: Tensor, exponent: float) -> Tensor:
        values, vectors = torch.linalg.eigh(covariance)
        return vectors * (values.clamp(min=0) + self.params.ridge) ** exponent @ vectors.T
