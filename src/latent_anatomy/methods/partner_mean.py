"""Both partners get the mean of the two: an oracle, which knows at test what no method may know.

It is the ceiling of consistency, not of biology: what differs between partners is gone, whatever it is.
"""

import torch
from torch import Tensor, nn

from latent_anatomy.training.latents import LatentParams, Standard, encoded, pairs, width_of
from latent_anatomy.training.method import Data, Shape


class Method(nn.Module):
    """Capability `represent`."""

    ON = ("encode",)
    Params = LatentParams
    DETERMINISTIC = True

    def __init__(self, params: LatentParams, shape: Shape, on: nn.Module):
        super().__init__()
        self.params, self.on = params, on
        self.standard = Standard(width_of(on, shape, params.embedding))

    def fit(self, train: Data) -> None:
        """Standardisation alone."""
        self.standard.fit(encoded(self.on, train.images, self.params.embedding))

    def represent(self, data: Data) -> Tensor:
        """Rows of a split with pairs -> (N, d) float32."""
        latents = self.standard(encoded(self.on, data.images, self.params.embedding))
        rows = pairs(data).rows
        mean = latents[rows].mean(1)
        total, times = torch.zeros_like(latents), latents.new_zeros(len(latents))
        for column in (0, 1):
            total.index_add_(0, rows[:, column], mean)
            times.index_add_(0, rows[:, column], mean.new_ones(len(rows)))
        alone = times == 0
        return torch.where(alone[:, None], latents, total / times.clamp(min=1)[:, None]).float()
