"""DDPM: an image is made noisy in part, and a diffusion model of healthy images takes the noise off again.

Wyatt, Leach, Schmon, Willcocks: AnoDDPM: Anomaly detection with denoising diffusion probabilistic models
using simplex noise. CVPR workshops 2022; Ho, Jain, Abbeel: Denoising diffusion probabilistic models. NeurIPS
2020 (arXiv 2006.11239); as baselines of Bercea 2024 (see `training.healthy`). With betas that grow linearly
over T steps, ab_t the product of all 1 - beta up to step t, and noise n,

    x_t = sqrt(ab_t) x + sqrt(1 - ab_t) n,       L = mean (n - net(x_t, t))^2,  t uniform

An image is brought to step t = `start` and back by ancestral sampling, start + 1 passes of the network, whose
estimate of x is clamped to [-1, 1] in each; images stay in [0, 1]. The network is `networks.diffusion_unet`.

    noise       "simplex" (Wyatt): `octaves` of OpenSimplex noise, not normalised, a plane for all images of a
                batch, as released; or "gaussian" (Ho). It is what an image is noised with, what is taken off,
                and what is put back at each step of the way. Tables 1 and 2 cite the one, Table 3 the other;
                what was trained is not said
    depth       third coordinate of simplex noise. Released: in training always T, afterwards the step
    draws       at evaluation all images get the same noise, so that a reconstruction does not depend on the
                images beside it; the released evaluation has one image at a time, each with its own
    selection   none: the last epoch's weights, which the released trainer ends with too, after a patience of
                25 looks at 15 images that were sent to `start` and back, one every 50 epochs
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks import simplex
from latent_anatomy.networks.diffusion_unet import DiffusionUNet
from latent_anatomy.training.healthy import HealthyParams, Redraws, parts, test_generator
from latent_anatomy.training.method import Batch, Data, Schedules, Shape, Update
from latent_anatomy.training.optimisers import Adam


class Params(HealthyParams):
    """Parameters of the DDPM; the defaults are the released ones for brains."""

    epochs: int = Field(3000, ge=1, description="Passes over the healthy images.")
    batch_size: int = Field(16, ge=1, description="Images per step.")
    noise: Literal["simplex", "gaussian"] = Field("simplex", description="See above.")
    steps: int = Field(1000, ge=1, description="T.")
    start: int = Field(250, ge=0, description="The step that images are brought to at evaluation.")
    betas: tuple[float, float] = Field((1e-4, 0.02), description="Of the first step and of the last.")
    widths: tuple[int, ...] = Field((128, 256, 256), min_length=1, description="Channels, by level.")
    attention: tuple[bool, ...] = Field((False, True, True), description="Which levels have it.")
    groups: int = Field(32, ge=1, description="Of group normalisation.")
    octaves: int = Field(6, ge=1, description="Of simplex noise.")
    persistence: float = Field(0.8, gt=0, description="Amplitude of an octave by that of the one before.")
    period: float = Field(64.0, gt=0, description="Of the first octave, in pixels.")

    @model_validator(mode="after")
    def _steps_and_levels_agree(self) -> "Params":
        if self.start >= self.steps:
            raise ValueError(f"start: expected less than steps ({self.steps}), found {self.start}")
        if len(self.attention) != len(self.widths):
            raise ValueError(
                f"attention: expected one value for each of {len(self.widths)} widths, found "
                f"{len(self.attention)}"
            )
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"groups: expected a divisor of widths {self.widths}, found {self.groups}")
        return self


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `anomaly_map`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params, self.size = params, (shape.height, shape.width)
        self.network = DiffusionUNet(
            shape.channels, self.size, params.widths, params.attention, params.groups
        )
        betas = torch.linspace(*params.betas, params.steps, dtype=torch.float64)
        self.register_buffer("kept", (1 - betas).cumprod(0).float(), persistent=False)  # ab_t

    def optimisers(self) -> dict[str, Optimizer]:
        return {"network": Adam(self.parameters(), lr=self.params.learning_rate, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        loss = self.loss(self.params.shown(batches["train"].images))
        update("network", loss)
        return {"loss": loss}

    def loss(self, images: Tensor) -> Tensor:
        """How far the noise of images (N, C, H, W), each at a step of its own, is mistaken: a scalar."""
        steps = torch.randint(self.params.steps, (len(images),), device=images.device)
        noise = self.draw(images, self.params.steps)
        return F.mse_loss(self.network(self.noisy(images, noise, steps), steps).float(), noise)

    def noisy(self, images: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """x_t of images and noise (N, C, H, W) at steps (N,)."""
        kept = self.kept[steps][:, None, None, None]
        return kept.sqrt() * images + (1 - kept).sqrt() * noise

    def draw(self, images: Tensor, step: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise for images (N, C, H, W); with a generator, at evaluation, the same for all."""
        params = self.params
        if params.noise == "simplex":
            plane = simplex.field(
                self.size,
                step,
                generator,
                octaves=params.octaves,
                persistence=params.persistence,
                period=params.period,
            )
            return plane.to(images).expand_as(images)
        if generator is None:
            return torch.randn_like(images)
        return torch.randn(images.shape[1:], generator=generator).to(images).expand_as(images)

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """The loss on validation images; not used for any selection."""
        losses = [self.loss(part) * len(part) for part in parts(data, self.params.batch_size)]
        return {"loss": sum(losses) / len(data)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> what comes of them on the way to `start` and back, in [-1, 1]. Slow."""
        generator, start = test_generator(), self.params.start
        every = images.new_full((len(images),), start, dtype=torch.int64)
        current = self.noisy(images, self.draw(images, start, generator), every)
        kept: Sequence[float] = [1.0, *self.kept.tolist()]  # after 0, 1, ... steps
        for step in range(start, -1, -1):
            noise = self.network(current, torch.full_like(every, step)).float()
            now, before = kept[step + 1], kept[step]
            beta = 1 - now / before
            clean = ((current - (1 - now) ** 0.5 * noise) / now**0.5).clamp(-1, 1)
            towards = before**0.5 * beta * clean + (now / before) ** 0.5 * (1 - before) * current
            current = towards / (1 - now)
            if step:
                deviation = ((1 - before) / (1 - now) * beta) ** 0.5
                current = current + deviation * self.draw(images, step, generator)
        return current
