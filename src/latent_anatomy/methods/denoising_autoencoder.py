"""DAE: a U-Net that takes coarse noise off a healthy image takes a lesion off too.

Kascenas, Pugeault, O'Neil: Denoising autoencoders for unsupervised anomaly detection in brain MRI. MIDL 2022,
as a baseline of Bercea 2024 (see `training.healthy`). Noise is added to images x but for background,
that is Gaussian on a coarse grid, bilinear in between and rolled about by a random shift; the network, see
`networks.standardised_unet`, is to return x. Where the two differ, the defaults are Bercea's:

    loss            "l1", over the whole image; Kascenas: "foreground_mse", squared error of what is no
                    background
    learning_rate   constant; both release a cosine schedule, which in Bercea's trainer never takes effect
    map             |x - r|; Kascenas erodes a mask and filters, which for brains the protocol `lesions` does

Bercea releases the setting for chests alone; for brains it is taken to be the same.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.standardised_unet import StandardisedUNet
from latent_anatomy.training.healthy import Redraws, SelectedParams, parts
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam

BACKGROUND = 0.01  # an image is no more than that there


class Params(SelectedParams):
    """Parameters of DAE; the defaults are those that Bercea 2024 released for chests."""

    epochs: int = Field(1000, ge=1, description="Passes over the healthy images.")
    batch_size: int = Field(16, ge=1, description="Images per step.")
    width: int = Field(64, ge=1, description="Channels of the first level.")
    depth: int = Field(4, ge=1, description="Levels.")
    noise: float = Field(0.2, ge=0, description="Standard deviation, on the grid.")
    grid: int = Field(16, ge=2, description="Points of noise along each side of an image.")
    loss: Literal["l1", "foreground_mse"] = Field("l1", description="See above.")
    weight_decay: float = Field(1e-5, ge=0, description="Adam's.")


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `anomaly_map`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.selection = params, params.selection("loss")
        self.network = StandardisedUNet(
            shape.channels, (shape.height, shape.width), params.width, params.depth
        )
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        params = self.params
        adam = Adam(
            self.parameters(),
            lr=params.learning_rate,
            weight_decay=params.weight_decay,
            amsgrad=True,
            fused=True,
        )
        return {"network": adam}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        loss = self.loss(self.params.shown(batches["train"].images))
        update("network", loss)
        return {"loss": loss}

    def loss(self, images: Tensor) -> Tensor:
        """How far images (N, C, H, W) are from what the network makes of them under noise: a scalar."""
        noisy = images + coarse_noise(images, self.params.noise, self.params.grid)
        rebuilt = self.network(noisy).float()
        if self.params.loss == "l1":
            return F.l1_loss(rebuilt, images)
        tissue = images > BACKGROUND
        return ((rebuilt - images).square() * tissue).sum() / tissue.sum().clamp(min=1)

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The loss on validation images."""
        losses = [self.loss(part) * len(part) for part in parts(data, self.params.batch_size)]
        return {"loss": sum(losses) / len(data)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), no noise added, -> the network's, not clamped."""
        return self.network(images)


def coarse_noise(images: Tensor, deviation: float, grid: int) -> Tensor:
    """Noise for images (N, C, H, W), 0 where they are background; one shift for all."""
    size = images.shape[2:]
    points = deviation * torch.randn(*images.shape[:2], grid, grid, device=images.device)
    noise = F.interpolate(points, size, mode="bilinear", align_corners=True)
    shifts = [int(torch.randint(side, ())) for side in size]
    return noise.roll(shifts, dims=(2, 3)) * (images > BACKGROUND)
