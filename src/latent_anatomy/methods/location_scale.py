"""Each setting's mean and standard deviation made those of all: the simplest harmoniser.

Of a feature, with the moments of its setting s and the grand mean and pooled deviation of training rows,
(z - mean_s) / sd_s * sd + mean. A feature that is still in one setting is only shifted there.
"""

from torch import Tensor, nn

from latent_anatomy.training.harmonisers import MOST, Harmoniser, HarmoniserParams, moments
from latent_anatomy.training.method import Shape


class Method(Harmoniser):
    """Capability `represent`."""

    def __init__(self, params: HarmoniserParams, shape: Shape, on: nn.Module):
        super().__init__(params, shape, on)
        self.room("mean factor", MOST, self.width)
        self.room("grand", self.width)

    def learn(self, latents: Tensor, setting: Tensor) -> None:
        rows, mean, variance = moments(latents, setting, len(self.settings.names))
        weight = (rows / rows.sum())[:, None]
        pooled = (weight * variance).sum(0)
        factor = (pooled / variance.where(variance > 0, pooled)).sqrt().nan_to_num(1.0)
        self.mean[: len(rows)], self.factor[: len(rows)] = mean, factor
        self.grand.copy_((weight * mean).sum(0))

    def harmonised(self, latents: Tensor, setting: Tensor) -> Tensor:
        return (latents - self.mean[setting]) * self.factor[setting] + self.grand
