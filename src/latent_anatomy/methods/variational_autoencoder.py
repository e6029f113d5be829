"""VAE with a dense z, the baseline that Bercea 2024 calls VAE (see `training.healthy`).

Zimmerer, Kohl, Petersen, Isensee, Maier-Hein: Context-encoding variational autoencoder for unsupervised
anomaly detection. MIDL 2019 (arXiv 1812.05941), without its context encoding. With z ~ N(mu(x), sigma(x)^2)
and r = Dec(z):

    L = mean over images of [ KL(z || N(0, I)) - sum over pixels of log N(r; x, 1) ]

Convolutions 4x4 with stride 2 to `widths`, one without padding to 1x1, all without bias, LeakyReLU 0.01
between; the decoder mirrors them. Deviations, as parameters:

    kl      "as_written". Released: the network hands over sigma where the loss takes log sigma, so that the
            KL is that of exp(sigma): "as_released"
    latent  see `training.healthy`

The rate falls to a tenth after each 10 epochs without a better validation loss, as released.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.training.healthy import Plateau, Redraws, SelectedParams, noise_like, parts
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam


class Params(SelectedParams):
    """Parameters of the VAE; the defaults are the released ones for brains."""

    learning_rate: float = Field(5e-4, gt=0, description="Adam's, at first.")
    widths: tuple[int, ...] = Field((16, 32, 64, 256, 256), min_length=1, description="Channels, by level.")
    features: int = Field(256, ge=1, description="Dimensions of z.")
    kl: Literal["as_written", "as_released"] = Field("as_written", description="See above.")
    latent: Literal["sampled", "mean"] = Field("sampled", description="What is decoded at evaluation.")


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        halvings = 2 ** len(params.widths)
        if shape.height % halvings or shape.width % halvings:
            raise ValueError(
                f"expected images with sides divisible by {halvings} (widths: {len(params.widths)}), found "
                f"{shape.height}x{shape.width}: give fewer widths, or resize the slices"
            )
        self.params, self.selection = params, params.selection("loss")
        bottom = (shape.height // halvings, shape.width // halvings)
        down, up = [], []
        for before, after in pairwise([shape.channels, *params.widths]):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), nn.LeakyReLU()]
            up = [nn.LeakyReLU(), nn.ConvTranspose2d(after, before, 4, stride=2, padding=1, bias=False), *up]
        deepest, size = params.widths[-1], params.features
        self.encoder = nn.Sequential(*down, nn.Conv2d(deepest, 2 * size, bottom, bias=False), nn.Flatten())
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (size, 1, 1)), nn.ConvTranspose2d(size, deepest, bottom, bias=False), *up
        )
        self.last = torch.inf  # the validation loss, for the rate

    def optimisers(self) -> dict[str, Optimizer]:
        return {"autoencoder": Adam(self.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules(per_epoch=[Plateau(optimisers["autoencoder"], lambda: self.last)])

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        losses = self.losses(self.params.shown(batches["train"].images))
        update("autoencoder", losses["loss"])
        return losses

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """The scalar losses of images (N, C, H, W), from a sampled z."""
        mean, log_sigma = self.encoder(images).chunk(2, dim=1)
        sigma = log_sigma.exp()
        rebuilt = self.decoder(mean + sigma * torch.randn_like(mean))
        divergence = kl(mean, log_sigma if self.params.kl == "as_written" else sigma)
        constant = images[0].numel() * math.log(2 * math.pi) / 2
        likelihood = -constant - (images - rebuilt.float()).square().sum() / (2 * len(images))
        return {"loss": divergence - likelihood, "kl": divergence, "log_likelihood": likelihood}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The loss on validation images."""
        losses = [self.losses(part)["loss"] * len(part) for part in parts(data, self.params.batch_size)]
        loss = sum(losses) / len(data)
        self.last = float(loss)
        return {"loss": loss}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "latent" (N, features): the mean of z."""
        return {"latent": self.encoder(images).chunk(2, dim=1)[0]}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> their reconstructions, not clamped."""
        mean, log_sigma = self.encoder(images).chunk(2, dim=1)
        sampled = self.params.latent == "sampled"
        return self.decoder(mean + log_sigma.exp() * noise_like(mean) if sampled else mean)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Images (n, C, H, W) from the prior."""
        latent = torch.randn(n, self.params.features, generator=generator, device=generator.device)
        return self.decoder(latent.to(next(self.parameters()).device))


def kl(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, I)) of (N, D), summed over D and averaged over N: a scalar."""
    mean, log_sigma = mean.float(), log_sigma.float()
    return 0.5 * (mean.square() + (2 * log_sigma).exp() - 2 * log_sigma - 1).sum() / len(mean)
