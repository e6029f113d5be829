"""RA, reversed auto-encoder: SI-VAE whose encoder has to see the same in an image and its reconstruction.

Bercea, Wiestler, Rueckert, Schnabel: Towards universal unsupervised anomaly detection in medical imaging.
2024 (arXiv 2401.10637), equations 3 to 5. The encoder's loss has, beside that of `soft_intro_vae`,

    lambda_reversed L_rev(x, r),   L_rev = sum over levels l of [ 1/2 MSE(e_l(x), e_l(r))
                                           + mean over images of 1 - cos(e_l(x), e_l(r)) ]

e_l being the encoder's map after pooling of level l, r not followed back into the decoder. The anomaly map is

    |eq(r) - eq(x)| S(r, x) S(eq(r), eq(x)),      x and r clamped to [0, 1]

with eq contrast-limited adaptive histogram equalisation and S the LPIPS of SqueezeNet at each pixel,
smoothed: see `training.perceptual_map`. Where paper and released code differ, and where this can:

    lambda_reversed   0.005, added; printed: within the bracket of 1 / alpha, with a minus (equation 4)
    levels            5; printed: from 0 to L (equation 3)
    smoothing         2 pixels of S, released; not printed: 0
    perceptual        what S stands on, see `training.perceptual`. "squeezenet-torchvision" is the released
                      LPIPS; "squeezenet-keras" and "random" are not LPIPS to the letter, since all of their
                      channels weigh the same
    of SI-VAE         `normalisation`, `equal_skip`, `latent`, `restore`, `warmup_steps`

Of images with channels, each is equalised, and the residual is their mean.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from latent_anatomy.data.download import Download
from latent_anatomy.methods import soft_intro_vae
from latent_anatomy.networks.lpips import SMALLEST, Lpips
from latent_anatomy.training.method import Shape, frozen
from latent_anatomy.training.perceptual import Perceptual, load_lpips, of_lpips
from latent_anatomy.training.perceptual_map import seen_and_equalised


class Params(soft_intro_vae.Params):
    """Parameters of RA; the defaults are the released ones for brains."""

    lambda_reversed: float = Field(0.005, ge=0, description="Weight of L_rev.")
    perceptual: Perceptual = Field("squeezenet-torchvision", description="What LPIPS stands on in the map.")
    smoothing: float = Field(2.0, ge=0, description="Standard deviation in pixels, of LPIPS in the map.")


def weights(params: Params) -> tuple[Download, ...]:
    """What LPIPS needs."""
    return of_lpips(params.perceptual)


class Method(soft_intro_vae.Method):
    """Capabilities `reconstruct`, `encode`, `anomaly_map`, `sample`."""

    Params = Params

    def __init__(self, params: Params, shape: Shape):
        super().__init__(params, shape)
        if min(shape.height, shape.width) < SMALLEST:
            raise ValueError(
                f"expected images of {SMALLEST} pixels and more on a side, for the features of the map, "
                f"found {shape.height}x{shape.width}: resize the slices"
            )
        self.perceptual = frozen(Lpips())

    def load_weights(self, files: Mapping[str, Path]) -> None:
        """Give LPIPS its weights, which are then in the checkpoint."""
        load_lpips(self.perceptual, self.params.perceptual, files)

    def embedding_loss(self, images: list[Tensor], rebuilt: list[Tensor]) -> Tensor:
        """lambda_reversed L_rev of the encoder's maps of images and of their reconstructions."""
        return self.params.lambda_reversed * reversed_loss(images, rebuilt)

    def residual(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """What the anomaly map of images (N, C, H, W) is, given their reconstructions: (N, 1, H, W)."""
        return seen_and_equalised(images, reconstructions, self.perceptual, self.params.smoothing)


def reversed_loss(images: list[Tensor], rebuilt: list[Tensor]) -> Tensor:
    """L_rev above, of maps (N, ...) by level."""
    terms = [
        F.mse_loss(one, other) / 2 + 1 - F.cosine_similarity(one.flatten(1), other.flatten(1)).mean()
        for one, other in zip(images, rebuilt, strict=True)
    ]
    return torch.stack(terms).sum()
