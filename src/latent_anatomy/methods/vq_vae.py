"""VQ-VAE: an auto-encoder whose latent map is made of a few codes; what `latent_transformer` stands on.

van den Oord, Vinyals, Kavukcuoglu: Neural discrete representation learning. NeurIPS 2017 (arXiv 1711.00937),
in the form of Bercea 2024 (see `training.healthy`) and of Pinaya 2022. With width w and codes of size d,

    encoder   [Conv 4x4/2 to w, ReLU, two Res] twice, Conv 3x3 to d
    decoder   Conv 3x3 to w, [two Res, transposed Conv 4x4/2] twice, ReLU between
    Res       ReLU(x + Conv ReLU Conv x)

    L = |x - r| + commitment mean (z - sg e(z))^2,        e(z) the nearest code of z, see `networks.quantiser`

    codebook   "ema" follows z. The released trainer leaves the network in evaluation mode, where it stays as
               it was drawn, and z has to come to it: "frozen"
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.quantiser import Quantiser
from latent_anatomy.training.healthy import Redraws, SelectedParams, parts
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam

HALVINGS = 4  # the sides of an image are so many times those of its map of codes


class Params(SelectedParams):
    """Parameters of the VQ-VAE; the defaults are the released ones for brains."""

    batch_size: int = Field(16, ge=1, description="Images per step.")
    width: int = Field(256, ge=1, description="Channels.")
    codes: int = Field(16, ge=2, description="In the codebook.")
    size: int = Field(64, ge=1, description="Dimensions of a code.")
    commitment: float = Field(0.25, ge=0, description="Weight of the distance to the codes.")
    decay: float = Field(0.5, ge=0, lt=1, description="Of the moving averages of the codebook.")
    codebook: Literal["ema", "frozen"] = Field("ema", description="See above.")


class Residual(nn.Module):
    """ReLU(x + Conv ReLU Conv x), of maps (N, width, H, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(F.relu(self.first(features))))


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `anomaly_map`; `tokens` and `of_tokens` for what stands on it."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        if shape.height % HALVINGS or shape.width % HALVINGS:
            raise ValueError(
                f"expected images with sides divisible by {HALVINGS}, found {shape.height}x{shape.width}: "
                "resize the slices"
            )
        self.params, self.selection = params, params.selection("l1")
        self.grid = (shape.height // HALVINGS, shape.width // HALVINGS)
        width = params.width

        def two() -> tuple[Residual, Residual]:
            return Residual(width), Residual(width)

        self.encoder = nn.Sequential(
            *(nn.Conv2d(shape.channels, width, 4, stride=2, padding=1), nn.ReLU(), *two()),
            *(nn.Conv2d(width, width, 4, stride=2, padding=1), nn.ReLU(), *two()),
            nn.Conv2d(width, params.size, 3, padding=1),
        )
        self.quantiser = Quantiser(params.codes, params.size, params.decay, params.codebook == "ema")
        self.decoder = nn.Sequential(
            nn.Conv2d(params.size, width, 3, padding=1),
            *(*two(), nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU()),
            *(*two(), nn.ConvTranspose2d(width, shape.channels, 4, stride=2, padding=1)),
        )

    def optimisers(self) -> dict[str, Optimizer]:
        return {"autoencoder": Adam(self.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        images = self.params.shown(batches["train"].images)
        quantised, commitment, _ = self.quantiser(self.encoder(images))
        distance = F.l1_loss(self.decoder(quantised).float(), images)
        loss = distance + self.params.commitment * commitment
        update("autoencoder", loss)
        return {"loss": loss, "l1": distance, "commitment": commitment}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """Mean absolute error of reconstructions of validation images."""
        images = parts(data, self.params.batch_size)
        errors = [F.l1_loss(self.reconstruct(part).float(), part) * len(part) for part in images]
        return {"l1": sum(errors) / len(data)}

    def tokens(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> their codes in the order of rows, (N, H / 4 x W / 4) int64."""
        return self.quantiser.nearest(self.encoder(images)).flatten(1)

    def of_tokens(self, tokens: Tensor) -> Tensor:
        """Codes (N, H / 4 x W / 4) int64 -> images (N, C, H, W), not clamped."""
        return self.decoder(self.quantiser.maps(tokens.unflatten(1, self.grid)))

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> what their codes give, not clamped."""
        return self.of_tokens(self.tokens(images))
