"""Early features of an auto-encoder, pooled: an encoder that sees texture.

An auto-encoder with the mean squared error blurs away what a reconstruction kernel changes, so that its
latents have nothing to harmonise. The same network's early features, with the mean and the logarithm of the
standard deviation over space of each, keep it. This is a choice of this project.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.training.method import Data, FittedParams, Shape

FLOOR = 1e-3  # added to a deviation before its logarithm: features that are still are not -inf


class Params(FittedParams):
    """Which features."""

    layers: int = Field(4, ge=1, description="Layers of the encoder before pooling; 4 of unORANIC's: 7 x 7.")


class Method(nn.Module):
    """Capability `encode`: "latent" (N, 2 features)."""

    ON = ("encode",)
    Params = Params
    DETERMINISTIC = True

    def __init__(self, params: Params, shape: Shape, on: nn.Module):
        super().__init__()
        if not isinstance(getattr(on, "encoder", None), nn.Sequential):
            raise defect("pooled_features", "an encoder in layers", "none", "stand on an auto-encoder")
        self.params, self.on = params, on

    def fit(self, train: Data) -> None:
        """Nothing is learnt."""

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "latent" (N, 2 features): means, then log deviations (n)."""
        features = images
        for layer in list(self.on.encoder)[: self.params.layers]:
            features = layer(features)
        deviation = features.float().std((2, 3), correction=0)
        return {"latent": torch.cat([features.float().mean((2, 3)), (deviation + FLOOR).log()], dim=1)}
