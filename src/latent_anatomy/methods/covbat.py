"""CovBat: ComBat, then the covariance of each setting made alike along principal components.

Chen, Beer, Tustison, Cook, Shinohara, Shou: Mitigating site effects in covariance for machine learning in
neuroimaging data. Human Brain Mapping 43(4), 2022: section 2.3. After ComBat (see `combat`), the scores on
the principal components of all rows that together explain `share` of the variance get, in each setting, the
mean and standard deviation that all rows have; the other components stay as they are.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.methods import combat
from latent_anatomy.training.harmonisers import MOST, HarmoniserParams, moments
from latent_anatomy.training.method import Shape


class Params(HarmoniserParams):
    """Parameters of CovBat."""

    share: float = Field(0.95, gt=0, le=1, description="Of the variance whose components are adjusted.")


class Method(combat.Method):
    """Capability `represent`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape, on: nn.Module):
        super().__init__(params, shape, on)
        self.room("centre", self.width)
        self.room("means factors", MOST, self.width)
        self.room("components", self.width, self.width)

    def learn(self, latents: Tensor, setting: Tensor) -> None:
        super().learn(latents, setting)
        adjusted = self.adjusted(latents, setting)
        values, vectors = torch.linalg.eigh(torch.cov(adjusted.T))
        values, vectors = values.flip(0), vectors.flip(1)
        share = values.cumsum(0) / values.sum()
        count = min(int((share < self.params.share).sum()) + 1, len(values))
        scores = adjusted @ vectors
        _, mean, variance = moments(scores, setting, len(self.settings.names))
        centre, factor = scores.mean(0).expand_as(mean).clone(), torch.ones_like(mean)
        self.centre.copy_(centre[0])
        factor[:, :count] = (scores.std(0) / variance.sqrt())[:, :count]
        centre[:, :count] = mean[:, :count]
        self.components.copy_(vectors)
        self.means[: len(mean)], self.factors[: len(mean)] = centre, factor

    def harmonised(self, latents: Tensor, setting: Tensor) -> Tensor:
        adjusted = self.adjusted(latents, setting)
        scores = adjusted @ self.components
        alike = (scores - self.means[setting]) * self.factors[setting] + self.centre
        back = (alike - scores) @ self.components.T
        return (adjusted + back) * self.sigma + self.alpha
