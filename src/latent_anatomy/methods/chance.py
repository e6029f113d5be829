"""Anomaly maps by chance, uniform in [0, 1): what a model has to beat before anything else.

A slice's map depends on the seed of the training, on its position and on its pixels, and so neither on the
order of the patients nor on the slices beside it.
"""

import hashlib

import torch
from torch import Tensor, nn

from latent_anatomy.training.method import Data, FittedParams, Shape, Stack


class Method(nn.Module):
    """Capability `anomaly_map`."""

    Params = FittedParams  # nothing to choose

    def __init__(self, params: FittedParams, shape: Shape):
        super().__init__()
        self.params = params
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))

    def fit(self, train: Data) -> None:
        """Draw the seed, so that it is part of the checkpoint."""
        self.seed.copy_(torch.randint(2**62, ()))

    def anomaly_map(self, stack: Stack) -> Tensor:
        """Noise (S, 1, H, W) float32, the same on every device."""
        maps = []
        for image, position in zip(stack.images.cpu(), stack.position.tolist(), strict=True):
            place = hashlib.sha256(f"{int(self.seed)}/{position}/".encode() + image.numpy().tobytes())
            generator = torch.Generator().manual_seed(int.from_bytes(place.digest()[:8], "big") >> 1)
            maps.append(torch.rand(1, *image.shape[1:], generator=generator))
        return torch.stack(maps).to(stack.images.device)
