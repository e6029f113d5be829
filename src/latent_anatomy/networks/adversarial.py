"""A discriminator of the encoder's architecture, and the losses of the original GAN (Goodfellow 2014)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import Family, as_keras

Verdict = Literal["location", "image"]


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits of being real: (N, 1, H/2^n, W/2^n) or (N, 1) for `verdict="image"`.

    The encoder of `family` with its own normalisation, and one linear layer: for each location (a 1x1
    convolution) or for the whole image. Both normalisations look at each image alone; "layer" subtracts the
    mean of each channel, so that an image's brightness is all but lost on it.
    """

    def __init__(self, family: Family, verdict: Verdict, normalisation: Literal["layer", "affine"]):
        super().__init__()
        self.features = replace(family, normalisation=normalisation).down()
        height, width = family.size(family.blocks)
        self.verdict = (
            nn.Conv2d(family.features, 1, 1)
            if verdict == "location"
            else nn.Sequential(nn.Flatten(), nn.Linear(family.features * height * width, 1))
        )
        self.apply(as_keras)

    def forward(self, images: Tensor) -> Tensor:
        return self.verdict(self.features(images))


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log Dis(x) - log(1 - Dis(x')) from logits, each a mean over images and locations: a scalar."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-log Dis(x') from logits, a mean over images and locations: a scalar."""
    return F.softplus(-fake.float()).mean()


def gradient_share(one: Tensor, other: Tensor, at: Tensor | Sequence[Tensor]) -> Tensor:
    """Norm of the gradient of `one` at tensors, of the sum of both losses' norms: a scalar in [0, 1]."""
    norms = []
    for loss in (one, other):
        gradients = torch.autograd.grad(loss, at, retain_graph=True)
        norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm())
    return norms[0] / (norms[0] + norms[1]).clamp(min=torch.finfo(norms[0].dtype).tiny)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients flow through a network, but not to its parameters."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
