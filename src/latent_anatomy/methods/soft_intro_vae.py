"""SI-VAE: an auto-encoder whose encoder tells images from what its own decoder draws.

Daniel, Tamar: Soft-IntroVAE: Analyzing and improving the introspective variational autoencoder. CVPR 2021
(arXiv 2012.13253), as a baseline of Bercea 2024 (see `training.healthy`). With s = 1 / (C H W), the squared
error SSE and KL(.) = KL(q(z | .) || N(0, I)) of each image, n ~ N(0, I), z ~ q(z | x), r = D(z), f = D(n),
and y' for what is decoded of what is encoded of y, each step is one of the encoder,

    L_E = s (b_rec SSE(x, r) + b_kl KL(x)) + 1/(2 alpha) sum over y of r, f of exp(-alpha s E(y))
    E(y) = b_rec SSE(y, y') + b_neg KL(y)

and, with the encoder as it is then, one of the decoder, on the same n and z:

    L_D = s [ b_rec SSE(x, r) + b_kl / 2 (KL(r) + KL(f)) + gamma b_rec / 2 (SSE(r, r') + SSE(f, f')) ]

averaged over images. Gradients stop before r and f are encoded by the encoder's step, but reach z through the
r of SSE(r, r'); they stop at z, and at r' and f' before they are encoded, in the decoder's. alpha = 2.

    normalisation   "as_written". The released trainer leaves its networks in evaluation mode, so that batch
                    normalisation neither uses nor moves statistics: "as_released"
    equal_skip      see `networks.introspective`
    latent, restore see `training.healthy`
    warmup_steps    0. Ours, for short trainings: so many steps with the first bracket of each loss alone, a
                    plain VAE, at `warmup_rate`; none of its epochs is kept as the best

The rate of Daniel 2021 is 2e-4. The released schedule of it never takes effect, and there is none here. For
RA the released code encodes r twice with the same weights; here that is once, and batch statistics move once.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from latent_anatomy.networks.adversarial import frozen
from latent_anatomy.networks.introspective import Decoder, Encoder, EqualSkip, Family, Normalisation
from latent_anatomy.training.healthy import Redraws, SelectedParams, noise_like, parts
from latent_anatomy.training.method import Batch, Data, Schedules, Selection, Shape, Update
from latent_anatomy.training.optimisers import Adam

ALPHA = 2


class Params(SelectedParams):
    """Parameters of SI-VAE; the defaults are the released ones for brains."""

    learning_rate: float = Field(5e-5, gt=0, description="Of both of Adam's.")
    widths: tuple[int, ...] = Field((64, 128, 256, 512, 512), min_length=1, description="Channels, by level.")
    features: int = Field(128, ge=1, description="Dimensions of z.")
    beta_kl: float = Field(1.0, ge=0, description="b_kl.")
    beta_rec: float = Field(0.5, ge=0, description="b_rec.")
    beta_neg: float = Field(128.0, ge=0, description="b_neg. Daniel 2021: 256.")
    gamma: float = Field(1e-8, ge=0, description="Of what is encoded twice, in the decoder's loss.")
    normalisation: Normalisation = Field("as_written", description="See above.")
    equal_skip: EqualSkip = Field("convolution", description="See `networks.introspective`.")
    latent: Literal["sampled", "mean"] = Field("sampled", description="What is decoded at evaluation.")
    warmup_steps: int = Field(0, ge=0, description="Steps as a plain VAE, before all others.")
    warmup_rate: float = Field(1e-3, gt=0, description="Of both of Adam's, in the warm-up.")


class Method(Redraws, nn.Module):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        image = (shape.channels, shape.height, shape.width)
        family = Family(image, params.widths, params.features, params.normalisation, params.equal_skip)
        self.scale = 1 / (shape.channels * shape.height * shape.width)
        self.encoder, self.decoder = Encoder(family), Decoder(family)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    @property
    def selection(self) -> Selection | None:
        """How training ends; no epoch of the warm-up is a candidate."""
        warmup = self.params.warmup_steps
        return self.params.selection("mse") if not warmup or int(self.steps) > warmup else None

    def optimisers(self) -> dict[str, Optimizer]:
        networks = {"encoder": self.encoder, "decoder": self.decoder}
        rate = self.params.learning_rate
        return {name: Adam(each.parameters(), lr=rate, fused=True) for name, each in networks.items()}

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        warmup, factor = self.params.warmup_steps, self.params.warmup_rate / self.params.learning_rate
        rates = [
            LambdaLR(each, lambda step: factor if step < warmup else 1.0) for each in optimisers.values()
        ]
        return Schedules(per_step=rates if warmup else [])

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """A step of the encoder and one of the decoder on images (N, C, H, W) float32 in [0, 1]."""
        images = self.params.shown(batches["train"].images)
        noise = torch.randn(len(images), self.params.features, device=images.device)
        introspective = not self.params.warmup_steps or int(self.steps) >= self.params.warmup_steps
        self.steps += 1
        with frozen(self.decoder):
            loss_of_encoder, latent, terms = self.encoder_loss(images, noise, introspective)
        update("encoder", loss_of_encoder)
        with frozen(self.encoder):
            loss_of_decoder = self.decoder_loss(images, noise, latent.detach(), introspective)
        update("decoder", loss_of_decoder)
        return {"encoder": loss_of_encoder, "decoder": loss_of_decoder} | terms

    def encoder_loss(
        self, images: Tensor, noise: Tensor, introspective: bool = True
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """L_E of images (N, C, H, W) and noise (N, features), the sampled z, and terms to log."""
        params, scale = self.params, self.scale
        mean, log_variance, embeddings = self.encoder(images)
        latent = sampled(mean, log_variance)
        rebuilt = self.decoder(latent)
        distance, divergence = sse(images, rebuilt).mean(), kl(mean, log_variance).mean()
        loss = scale * (params.beta_rec * distance + params.beta_kl * divergence)
        none = torch.zeros_like(divergence)
        terms = {"sse": distance, "kl": divergence, "kl_rebuilt": none, "kl_fake": none}
        if introspective:
            fake = self.decoder(noise)
            for name, given in (("rebuilt", rebuilt), ("fake", fake)):
                mean, log_variance, again = self.encoder(given.detach())
                twice = self.decoder(sampled(mean, log_variance))
                evidence = params.beta_rec * sse(given, twice) + params.beta_neg * kl(mean, log_variance)
                loss = loss + (-ALPHA * scale * evidence).exp().mean() / (2 * ALPHA)
                if name == "rebuilt":
                    loss = loss + self.embedding_loss(embeddings, again)
                terms[f"kl_{name}"] = kl(mean, log_variance).mean()
        return loss, latent, terms

    def decoder_loss(
        self, images: Tensor, noise: Tensor, latent: Tensor, introspective: bool = True
    ) -> Tensor:
        """L_D of images (N, C, H, W), noise and z (N, features)."""
        params = self.params
        rebuilt = self.decoder(latent)
        loss = params.beta_rec * sse(images, rebuilt).mean()
        if introspective:
            for given in (rebuilt, self.decoder(noise)):
                mean, log_variance, _ = self.encoder(given)
                twice = self.decoder(sampled(mean, log_variance).detach())
                loss = loss + params.beta_kl / 2 * kl(mean, log_variance).mean()
                loss = loss + params.gamma * params.beta_rec / 2 * sse(given.detach(), twice).mean()
        return self.scale * loss

    def embedding_loss(self, images: list[Tensor], rebuilt: list[Tensor]) -> Tensor | float:
        """What the encoder's maps of images and of their reconstructions add to L_E: nothing."""
        return 0.0

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """Mean squared error of reconstructions of validation images."""
        errors = [sse(part, self.reconstruct(part)).sum() for part in parts(data, self.params.batch_size)]
        return {"mse": self.scale * sum(errors) / len(data)}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "latent" (N, features): the mean of z."""
        return {"latent": self.encoder(images)[0]}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> their reconstructions in [0, 1]."""
        mean, log_variance, _ = self.encoder(images)
        if self.params.latent == "mean":
            return self.decoder(mean)
        return self.decoder(mean + (log_variance / 2).exp() * noise_like(mean))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Images (n, C, H, W) from the prior."""
        latent = torch.randn(n, self.params.features, generator=generator, device=generator.device)
        return self.decoder(latent.to(next(self.parameters()).device))


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """z ~ N(mean, variance), all (N, D)."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def sse(one: Tensor, other: Tensor) -> Tensor:
    """Squared error of images (N, C, H, W), summed over each: (N,) float32."""
    return (one.float() - other.float()).square().flatten(1).sum(1)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) of (N, D), summed over D: (N,) float32."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
