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
from torch.optim import Adam, Optimizer

from latent_anatomy.corruptions.augment import augment
from latent_anatomy.networks.strided import Decoder, Encoder
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Shape, Update
from latent_anatomy.training.schedules import Cyclic


class Params(MethodParams):
    """Parameters of the auto-encoder; the defaults are those of the released configuration."""

    epochs: int = Field(1001, ge=1, description="Passes over the training images.")
    batch_size: int = Field(64, ge=2, description="Images per step.")
    latent: int = Field(256, ge=1, description="Dimensions of the embedding.")
    width: int = Field(32, ge=1, description="Channels after the first strided block.")
    slope: float = Field(1.0, description="Negative slope in the strided blocks. Printed: leaky, so 0.01.")
    target: Literal["input", "clean"] = Field("input", description="What is to be reconstructed.")
    corruption_probability: float = Field(0.25, ge=0, le=1, description="Chance of each of 12 corruptions.")
    betas: tuple[float, float] = Field((0.95, 0.999), description="Adam's decay rates.")
    cycle: Cyclic = Field(Cyclic(), description="Cyclic learning rate.")


class Method(nn.Module):
    """Auto-encoder on 28x28 images: capabilities `reconstruct`, `encode`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        network = {"channels": shape.channels, "width": params.width, "slope": params.slope}
        self.encoder = Encoder(latent=params.latent, **network)
        self.decoder = Decoder(latent=params.latent, **network)

    def optimisers(self) -> dict[str, Optimizer]:
        return {
            "all": Adam(self.parameters(), lr=self.params.cycle.base, betas=self.params.betas, fused=True)
        }

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return self.params.cycle.schedules(optimisers["all"], steps_per_epoch, self.params.epochs)

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
