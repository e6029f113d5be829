"""AnoVAEGAN and sAE-GAN: the spatial (variational) auto-encoder whose decoder is a GAN's generator.

Baur, Wiestler, Albarqouni, Navab 2018 (see `baur_autoencoder`, of which all but the adversary is):

    L_VAE = lambda_reconstruction ||x - x'||_1 + lambda_kl KL(z || N(0, I)) - lambda_adversarial P log Dis(x')
    L_Dis = -log Dis(x) - log(1 - Dis(x'))

minimised in turn: at each step the discriminator first, then encoder and decoder against it, both on the
same x'. P is the number of pixels, over which the L1 is summed. The KL divergence reaches the encoder
alone. The distance is one of pixels; the paper rejects VAE-GAN's distance of the discriminator's features.

| model     | z        | parameters          |
|-----------|----------|---------------------|
| AnoVAEGAN | 16x16x64 | the defaults        |
| sAE-GAN   | 16x16x64 | `variational=False` |

Printed: both losses, learning rates 0.001 (reconstruction) and 0.0001 (adversarial). The paper leaves open:

    lambda_adversarial       ours: 0.001 a pixel, at which the adversary has 5 to 50 % of the decoder's
                             gradient on validation images after the first epochs (on lgg-flair-128; powers
                             of ten were tried). A weight of 1 beside L1's sum over 256x256 pixels, which is
                             1 / 65536 a pixel, leaves it less than 0.1 %: an adversary in name only
    whose the 0.0001 is      inferred: the discriminator's; encoder and decoder take one step of 0.001 on
                             the whole of L_VAE, as it is printed
    discriminator            later code: the encoder's layers
    verdict                  later code: one per "location"; printed as one Dis(x), which "image" is
    discriminator_normalisation
                             later code: "layer", of each channel of each image, for a Wasserstein critic. It
                             hides brightness from the discriminator, and with the printed loss AnoGAN's
                             generator then does not learn it (on a phantom); so the default is "affine"

The group's later code trains its (dense) AnoVAEGAN as a Wasserstein GAN with gradient penalty instead; that
is another loss than the paper's, and not here.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from latent_anatomy.methods import baur_autoencoder
from latent_anatomy.networks.adversarial import (
    Discriminator,
    Verdict,
    discriminator_loss,
    frozen,
    generator_loss,
    gradient_share,
)
from latent_anatomy.training.method import Batch, Data, Shape, Update
from latent_anatomy.training.optimisers import Adam


class Params(baur_autoencoder.Params):
    """Parameters of the adversarial auto-encoders; the defaults are AnoVAEGAN's."""

    variational: bool = Field(True, description="Whether z is sampled, and pulled to N(0, I).")
    lambda_adversarial: float = Field(1e-3, ge=0, description="Weight of -log Dis(x') for each pixel.")
    adversarial_learning_rate: float = Field(1e-4, gt=0, description="Adam's, of the discriminator.")
    verdict: Verdict = Field("location", description="What is judged: each location, or the image.")
    discriminator_normalisation: Literal["layer", "affine"] = Field("affine", description="See above.")


class Method(baur_autoencoder.Method):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`; where variational, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__(params, shape)
        self.discriminator = Discriminator(self.family, params.verdict, params.discriminator_normalisation)
        self.to(memory_format=torch.channels_last)  # faster, and the same up to the last bits

    def optimisers(self) -> dict[str, Optimizer]:
        rate, betas = self.params.adversarial_learning_rate, self.params.betas
        discriminator = Adam(self.discriminator.parameters(), lr=rate, betas=betas, fused=True)
        return super().optimisers() | {"discriminator": discriminator}

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step of each player on images (N, C, H, W) float32 in [0, 1]."""
        images = batches["train"].images
        reconstructions, losses = self.losses(images)

        dispute = discriminator_loss(self.discriminator(images), self.discriminator(reconstructions.detach()))
        update("discriminator", dispute)

        with frozen(self.discriminator):
            deceit = generator_loss(self.discriminator(reconstructions))
        loss = losses["loss"] + self._weighted(deceit)
        update("autoencoder", loss)
        return losses | {"loss": loss, "adversarial": deceit, "discriminator": dispute}

    @torch.no_grad()
    def validate(self, data: Data) -> dict[str, Tensor]:
        """L1 distance, and the adversary's share on the first images; not used for any selection."""
        first = torch.arange(min(self.params.batch_size, len(data)), device=data.device)
        share = self.adversarial_share(data.batch(first).images)
        return super().validate(data) | {"adversarial_share": share}

    def adversarial_share(self, images: Tensor) -> Tensor:
        """Of the decoder's gradient on images (N, C, H, W), what the adversary has beside the L1: a scalar.

        Norm of the weighted adversarial loss's gradient by the norms of both; z is the mean.
        """
        with torch.enable_grad():
            reconstructions = self.reconstruct(images)
            deceit = self._weighted(generator_loss(self.discriminator(reconstructions)))
            distance = self.params.lambda_reconstruction * baur_autoencoder.l1(images, reconstructions)
            weights = list(self.decoder.parameters())
            return gradient_share(deceit, distance, weights)

    def _weighted(self, deceit: Tensor) -> Tensor:
        """-log Dis(x') with its weight, for all pixels."""
        _, height, width = self.family.image
        return self.params.lambda_adversarial * height * width * deceit
