"""Auto-encoders of normal brain anatomy with a dense or a spatial bottleneck: dAE, sAE1, sAE3, dVAE, sVAE.

Baur, Wiestler, Albarqouni, Navab: Deep autoencoding models for unsupervised anomaly segmentation in brain
MR images. BrainLes at MICCAI 2018 (arXiv 1804.04488). Trained on healthy slices alone; what the model
cannot reconstruct is abnormal. With z ~ N(mu(x), sigma(x)^2) and x' = Dec(z):

    L = lambda_reconstruction ||x - x'||_1 + lambda_kl KL(z || N(0, I))

Both are summed over pixels or dimensions and averaged over the batch; without `variational` z = mu(x) and
there is no KL. At evaluation z = mu(x). The anomaly map is |x - x'|.

| model | z        | parameters                                |
|-------|----------|-------------------------------------------|
| dAE   | 512      | `bottleneck="dense"`                      |
| sAE1  | 8x8x64   | `blocks=5`                                |
| sAE3  | 16x16x64 | the defaults                              |
| dVAE  | 512      | `bottleneck="dense"`, `variational=True`  |
| sVAE  | 16x16x64 | `variational=True`                        |

for slices of 256x256. Printed: z, the loss, 150 epochs, batches of 8, learning rate 0.001, |x - x'|.
The paper leaves open, and these are parameters:

    layers                  lost; those of the group's later code, see `networks.encoder_decoder`
    lambda_*                later code: 1 and 1, with L1 summed over pixels
    normalisation           later code: batch normalisation by name, but called so that its statistics
                            stay at 0 and 1, which is "affine" here; the default is what was meant, "batch"
    momentum                Keras' 0.99, which takes hundreds of steps to follow: lower it for short runs
    optimiser, betas        inferred: Adam; later code: first beta 0.5
    dropout                 later code: 0.1 to 0.2 around a dense z; the paper mentions none
    back_projection         inferred: z back to the encoder's channels by a 1x1 convolution
    1x1 heads               inferred: one for the mean, one for the log of sigma, per location
    residual                paper: absolute; later code: its positive part, for lesions brighter than tissue
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.networks.encoder_decoder import Bottleneck, Decoder, Encoder, Family
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Shape, Stack, Update
from latent_anatomy.training.optimisers import Adam

LATENT = {"dense": 512, "spatial": 64}

Residual = Literal["absolute", "positive"]


class Params(MethodParams):
    """Parameters of the auto-encoders; the defaults are sAE3's."""

    epochs: int = Field(150, ge=1, description="Passes over the training images.")
    batch_size: int = Field(8, ge=1, description="Images per step.")
    bottleneck: Bottleneck = Field("spatial", description="Whether z is a map or a vector.")
    latent: int = Field(ge=1, description="Channels of a spatial z (64), dimensions of a dense one (512).")
    variational: bool = Field(False, description="Whether z is sampled, and pulled to N(0, I).")
    width: int = Field(32, ge=1, description="Channels after the first block.")
    blocks: int = Field(4, ge=1, description="Halvings of the image.")
    normalisation: Literal["batch", "affine"] = Field("batch", description="As released, in effect: affine.")
    momentum: float = Field(0.99, ge=0, lt=1, description="Of the statistics of `batch`, as Keras counts it.")
    back_projection: bool = Field(True, description="1x1 convolution between z and the decoder.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Around a dense z, in training.")
    lambda_reconstruction: float = Field(1.0, ge=0, description="Weight of the L1 distance.")
    lambda_kl: float = Field(1.0, ge=0, description="Weight of the KL divergence.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, of the reconstruction objective.")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's decay rates.")
    residual: Residual = Field("absolute", description="Anomaly map: |x - x'| or its positive part.")

    @model_validator(mode="before")
    @classmethod
    def _latent_of_the_paper(cls, content: dict) -> dict:
        bottleneck = str(content.get("bottleneck", "spatial"))
        return {"latent": LATENT.get(bottleneck)} | content

    @model_validator(mode="after")
    def _dropout_needs_a_dense_z(self) -> "Params":
        if self.dropout and self.bottleneck == "spatial":
            raise ValueError(f"dropout: expected 0 for a spatial bottleneck, found {self.dropout}")
        return self


class Method(nn.Module):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`; where variational, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        self.family = Family(
            (shape.channels, shape.height, shape.width),
            params.width,
            params.blocks,
            params.normalisation,
            params.momentum,
        )
        self.encoder = Encoder(self.family, params.bottleneck, params.latent, params.variational)
        self.decoder = Decoder(
            self.family, params.bottleneck, params.latent, params.back_projection, params.dropout
        )
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        networks = [*self.encoder.parameters(), *self.decoder.parameters()]
        rate, betas = self.params.learning_rate, self.params.betas
        return {"autoencoder": Adam(networks, lr=rate, betas=betas, fused=True)}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step on images (N, C, H, W) float32 in [0, 1]."""
        _, losses = self.losses(batches["train"].images)
        update("autoencoder", losses["loss"])
        return losses

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions of images (N, C, H, W) from a sampled z, and the scalar losses."""
        mean, log_sigma = self.encoder(images)
        divergence, latent = mean.new_zeros((), dtype=torch.float32), mean
        if log_sigma is not None:
            divergence = kl(mean, log_sigma)
            latent = mean + log_sigma.exp() * torch.randn_like(mean)
        reconstructions = self.decoder(latent)
        distance = l1(images, reconstructions)
        loss = self.params.lambda_reconstruction * distance + self.params.lambda_kl * divergence
        return reconstructions, {"loss": loss, "l1": distance, "kl": divergence}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """L1 distance of validation images to their reconstructions; not used for any selection."""
        total = 0.0
        for indices in torch.arange(len(data), device=data.device).split(self.params.batch_size):
            images = data.batch(indices).images
            total = total + l1(images, self.reconstruct(images)) * len(images)
        return {"l1": total / len(data)}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "latent" (N, D): the mean of z, flattened."""
        return {"latent": self.encoder(images)[0].flatten(1)}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> their reconstructions from the mean of z, not clamped."""
        return self.decoder(self.encoder(images)[0])

    def anomaly_map(self, stack: Stack) -> Tensor:
        """How abnormal each pixel of a patient is, (S, 1, H, W) float32, not below 0."""
        parts = [self.reconstruct(part) for part in stack.images.split(self.params.batch_size)]
        return self.residual(stack.images, torch.cat(parts))

    def residual(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """What the anomaly map of images (N, C, H, W) is, given their reconstructions: (N, 1, H, W)."""
        return residual(images, reconstructions, self.params.residual)

    @property
    def sample(self) -> Callable[[int, torch.Generator], Tensor]:
        """`sample(n, generator)`: images (n, C, H, W) from the prior; there where the model has one."""
        if not self.params.variational:
            raise AttributeError("an auto-encoder without prior cannot sample")
        return self._sample

    def _sample(self, n: int, generator: torch.Generator) -> Tensor:
        place = self.family.size(self.params.blocks) if self.params.bottleneck == "spatial" else ()
        latent = torch.randn(n, self.params.latent, *place, generator=generator, device=generator.device)
        return self.decoder(latent.to(next(self.parameters()).device))


def l1(images: Tensor, reconstructions: Tensor) -> Tensor:
    """||x - x'||_1 of images (N, C, H, W), summed over pixels and averaged over images: a scalar."""
    return (images - reconstructions.float()).abs().sum() / len(images)


def kl(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mean, sigma^2) || N(0, I)), summed over dimensions and averaged over images: a scalar."""
    mean, log_sigma = mean.float(), log_sigma.float()
    return 0.5 * (mean.square() + (2 * log_sigma).exp() - 2 * log_sigma - 1).sum() / len(mean)


def residual(images: Tensor, reconstructions: Tensor, kind: Residual) -> Tensor:
    """|x - x'| or max(x - x', 0) of (N, C, H, W), averaged over channels: (N, 1, H, W) float32."""
    difference = images.float() - reconstructions.float()
    return (difference.abs() if kind == "absolute" else difference.relu()).mean(1, keepdim=True)
