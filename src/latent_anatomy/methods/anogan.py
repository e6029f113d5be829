"""AnoGAN: a GAN of normal anatomy, into whose latent space each image is mapped by optimisation.

Schlegl, Seeboeck, Waldstein, Schmidt-Erfurth, Langs: Unsupervised anomaly detection with generative
adversarial networks to guide marker discovery. IPMI 2017 (arXiv 1703.05921), as the baseline of Baur et
al. 2018 (see `baur_autoencoder`). Generator and discriminator play

    L_Dis = -log Dis(x) - log(1 - Dis(Gen(z))),   L_Gen = -log Dis(Gen(z))

and an image x is reconstructed as Gen(z) for the z that `mapping_steps` steps of descent lead to on

    L(z) = (1 - lambda_discrimination) ||x - Gen(z)||_1 + lambda_discrimination ||f(x) - f(Gen(z))||_1

with f the discriminator's last feature map. Many slices are mapped at once: each has its own z, and
Adam's steps are by element, so that a slice ends where it would alone. All start at one z, drawn from the
prior with a fixed seed. (The same up to rounding, which the kinks of the score can magnify.)

Printed in Baur 2018: 100 steps of mapping; 150 epochs of unstable training, of which the weights of epoch
82 were used. Nothing here depends on the epochs to come, so that the default of 82 gives those weights.
Learning rate 0.0001 (adversarial), batches of 8. From Schlegl 2017: the score and its weight of 0.1.
Left open, and parameters here:

    layers                  inferred: decoder (with a dense z) and encoder of Baur's other models, see
                            `networks.encoder_decoder`
    normalisation           of the generator; later code: "layer"
    discriminator_normalisation, verdict
                            as for AnoVAEGAN, see `baur_vaegan`
    latent                  lost; later code: 128
    prior                   later code: "normal"; Schlegl 2017: "uniform", between -1 and 1
    betas                   later code: first beta 0.5
    mapping's optimiser     inferred: Adam with its default betas; `mapping_learning_rate` is ours, large
                            enough to cross the prior within 100 steps
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.methods.baur_autoencoder import Residual, l1, residual
from latent_anatomy.networks.adversarial import (
    Discriminator,
    Verdict,
    discriminator_loss,
    frozen,
    generator_loss,
)
from latent_anatomy.networks.encoder_decoder import Decoder, Family
from latent_anatomy.training.method import Batch, Data, MethodParams, Schedules, Shape, Stack, Update
from latent_anatomy.training.optimisers import Adam

START_SEED = 2017  # of the z at which every mapping starts
AT_ONCE = 32  # slices mapped at once: at 256x256 about 2 GB of activations


class Params(MethodParams):
    """Parameters of AnoGAN; the defaults are those of Baur 2018."""

    epochs: int = Field(82, ge=1, description="Passes over the training images; see above.")
    batch_size: int = Field(8, ge=1, description="Images per step.")
    latent: int = Field(128, ge=1, description="Dimensions of z.")
    prior: Literal["normal", "uniform"] = Field("normal", description="Of z, in each dimension.")
    width: int = Field(32, ge=1, description="Channels after the discriminator's first block.")
    blocks: int = Field(4, ge=1, description="Halvings of the image.")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's, of generator and discriminator.")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam's decay rates.")
    normalisation: Literal["layer", "affine"] = Field("layer", description="In the generator.")
    verdict: Verdict = Field("location", description="What is judged: each location, or the image.")
    discriminator_normalisation: Literal["layer", "affine"] = Field("affine", description="See above.")
    lambda_discrimination: float = Field(0.1, ge=0, le=1, description="Weight of the features' distance.")
    mapping_steps: int = Field(100, ge=1, description="Steps of descent on z.")
    mapping_learning_rate: float = Field(0.05, gt=0, description="Adam's, of the descent on z.")
    validation_slices: int = Field(8, ge=1, description="Slices that are mapped after each epoch.")
    residual: Residual = Field("absolute", description="Anomaly map: |x - x'| or its positive part.")


class Method(nn.Module):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.params = params
        image = (shape.channels, shape.height, shape.width)
        family = Family(image, params.width, params.blocks, params.normalisation)
        self.generator = Decoder(family, "dense", params.latent)
        self.discriminator = Discriminator(family, params.verdict, params.discriminator_normalisation)

    def optimisers(self) -> dict[str, Optimizer]:
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        rate, betas = self.params.learning_rate, self.params.betas
        return {
            name: Adam(network.parameters(), lr=rate, betas=betas, fused=True)
            for name, network in networks.items()
        }

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules:
        return Schedules()

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step of each player on images (N, C, H, W) float32 in [0, 1], both on the same Gen(z)."""
        images = batches["train"].images
        generated = self.generator(self._draw(len(images), device=images.device))

        dispute = discriminator_loss(self.discriminator(images), self.discriminator(generated.detach()))
        update("discriminator", dispute)

        with frozen(self.discriminator):
            deceit = generator_loss(self.discriminator(generated))
        update("generator", deceit)
        return {"generator": deceit, "discriminator": dispute}

    def validate(self, data: Data) -> dict[str, Tensor]:
        """L1 distance of a few validation images, evenly spaced, to their reconstructions."""
        count = min(self.params.validation_slices, len(data))
        images = data.batch(torch.linspace(0, len(data) - 1, count, device=data.device).long()).images
        with torch.no_grad():
            return {"l1": l1(images, self.reconstruct(images))}

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "latent" (N, latent), the z that they are mapped to. Slow."""
        return {"latent": torch.cat([self._mapped(part) for part in images.split(AT_ONCE)])}

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> Gen(z) for the z that they are mapped to, not clamped. Slow."""
        return torch.cat([self.generator(self._mapped(part)) for part in images.split(AT_ONCE)])

    def anomaly_map(self, stack: Stack) -> Tensor:
        """How abnormal each pixel of a patient is, (S, 1, H, W) float32, not below 0."""
        return self.residual(stack.images, self.reconstruct(stack.images))

    def residual(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """What the anomaly map of images (N, C, H, W) is, given their reconstructions: (N, 1, H, W)."""
        return residual(images, reconstructions, self.params.residual)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Images (n, C, H, W) from the prior."""
        latent = self._draw(n, generator=generator, device=generator.device)
        return self.generator(latent.to(next(self.parameters()).device))

    def score(self, images: Tensor, features: Tensor, latent: Tensor) -> Tensor:
        """L(z) above, (N,) float32, for images (N, C, H, W), their features f(x) and latent (N, latent)."""
        generated = self.generator(latent)
        weight = self.params.lambda_discrimination
        return (1 - weight) * _distance(images, generated) + weight * _distance(
            features, self.discriminator.features(generated)
        )

    def start(self, n: int) -> Tensor:
        """The z (n, latent) at which mappings start, the same for all."""
        latent = self._draw(1, generator=torch.Generator().manual_seed(START_SEED))
        return latent.to(next(self.parameters()).device).repeat(n, 1)

    def _mapped(self, images: Tensor) -> Tensor:
        """Descend on the score, also where the caller has turned gradients off."""
        with torch.inference_mode(False), torch.enable_grad():
            images = images.detach().clone()  # one that was made in inference mode has no gradients
            features = self.discriminator.features(images).detach()
            latent = self.start(len(images)).requires_grad_()
            optimiser = Adam([latent], lr=self.params.mapping_learning_rate)
            for _ in range(self.params.mapping_steps):
                score = self.score(images, features, latent).sum()
                latent.grad = torch.autograd.grad(score, latent)[0]
                optimiser.step()
        return latent.detach()

    def _draw(self, n: int, **where: object) -> Tensor:
        """z (n, latent) from the prior."""
        if self.params.prior == "normal":
            return torch.randn(n, self.params.latent, **where)
        return 2 * torch.rand(n, self.params.latent, **where) - 1


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """||one - other||_1 of (N, ...), for each: (N,) float32."""
    return (one.float() - other.float()).abs().flatten(1).sum(1)
