"""The vanilla auto-encoder that unORANIC is compared with.

Doerrich, Di Salvo, Ledig: unORANIC. MLMI at MICCAI 2023, section 3.2 and its released code: one
encoder and one decoder of unORANIC's architecture, trained with the mean squared error.

The paper does not say whether the auto-encoder sees corruptions. The released code corrupts the input
as it does for unORANIC and asks for the *corrupted* image back: `target="input"`, the default;
`target="clean"` asks for the clean image (a denoising auto-encoder), and `corruption_probability=0`
trains on clean images alone.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.corruptions.augment import augment
from latent_anatomy.training.method import Batch, Data, Shape, Update
from latent_anatomy.training.strided import SIZE, CyclicAdam, StridedParams


class Params(StridedParams):
    """Parameters of the auto-encoder; the defaults are those of the released configuration."""

    target: Literal["input", "clean"] = Field("input", description="What is to be reconstructed.")


class Method(CyclicAdam, nn.Module):
    """Auto-encoder on 28x28 images: capabilities `reconstruct`, `encode`."""

    Params = Params
    SIZE = SIZE

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        self.encoder, self.decoder = params.encoder(shape), params.decoder(shape)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, 28, 28) float32 in [0, 1]."""
        images = batches["train"].images
        corrupted = augment(images, self.params.corruption_probability)
        target = corrupted if self.params.target == "input" else images
        loss = F.mse_loss(self.reconstruct(corrupted).float(), target)
        update("all", loss)
        return {"loss": loss}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """Mean squared error on clean validation images; not used for any selection."""
        return {"loss": F.mse_loss(self.reconstruct(data.images).float(), data.images)}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, 28, 28) -> embedding "latent" (N, latent)."""
        return {"latent": self.encoder(images)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, 28, 28) -> their reconstructions, not clamped."""
        return self.decoder(self.encoder(images))
