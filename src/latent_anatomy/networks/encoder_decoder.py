"""One family of strided convolutional encoders and decoders, with a dense or a spatial bottleneck.

The layer table is that of the comparative study by the group of Baur 2018 (Baur et al. 2021, arXiv
2004.03271), whose code is the nearest published one; the 2018 paper's own table is not public.
For images (N, C, H, W), n blocks and a first width w (32):

    encoder    n x [Conv 5x5 stride 2, norm, LeakyReLU]           min(4w, w 2^i) channels, i = 0..n-1
    spatial    Conv 1x1 -> z (N, latent, H/2^n, W/2^n);           Conv 1x1 back to the encoder's channels
    dense      Conv 1x1 to 1/8 of the channels, flatten,
               Linear -> z (N, latent); Linear, unflatten,        Conv 1x1 back to the encoder's channels
    decoder    norm, ReLU,
               n x [ConvTranspose 5x5 stride 2, norm, LeakyReLU]  max(w, 4w / 2^i) channels
               Conv 1x1 -> images, linear

What Keras decides in that code is kept: LeakyReLU with slope 0.3; normalisation with epsilon 1e-3 and, for
batches, momentum 0.99 (PyTorch's 0.01); Glorot's uniform weights and biases of zero. Its padding "same"
puts the odd pixel at the bottom right; here it is at the top left, which mirrors the kernels and changes
nothing else.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

SLOPE = 0.3
EPSILON = 1e-3
REDUCTION = 8  # of the channels before a dense bottleneck

Normalisation = Literal["batch", "affine", "layer"]
Bottleneck = Literal["dense", "spatial"]


class Affine(nn.Module):
    """A gain and a bias per channel: batch normalisation whose statistics stay at 0 and 1."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weight + self.bias


@dataclass(frozen=True)
class Family:
    """What the networks of one model share. ValueError for images that the blocks cannot halve.

    image          (channels, height, width)
    width          channels after the first block of an encoder
    blocks         halvings of the image
    normalisation  "batch"; "affine" (see `Affine`); "layer": of each channel of each image over its
                   pixels, then a gain and a bias per pixel (Keras' LayerNormalization over axes 1 and 2)
    momentum       of the running statistics of "batch", as Keras counts it
    """

    image: tuple[int, int, int]
    width: int = 32
    blocks: int = 4
    normalisation: Normalisation = "batch"
    momentum: float = 0.99

    def __post_init__(self):
        _, height, width = self.image
        if height % 2**self.blocks or width % 2**self.blocks:
            raise ValueError(
                f"expected images with sides divisible by {2**self.blocks} (blocks: {self.blocks}), "
                f"found {height}x{width}: use fewer blocks, or resize the slices"
            )

    @property
    def features(self) -> int:
        """Channels after the last block of an encoder."""
        return min(4 * self.width, self.width * 2 ** (self.blocks - 1))

    def size(self, halvings: int) -> tuple[int, int]:
        """Height and width after so many blocks."""
        return self.image[1] // 2**halvings, self.image[2] // 2**halvings

    def norm(self, channels: int, halvings: int) -> nn.Module:
        """The normalisation of (N, channels, *size(halvings))."""
        if self.normalisation == "batch":
            return nn.BatchNorm2d(channels, eps=EPSILON, momentum=1 - self.momentum)
        if self.normalisation == "layer":
            return nn.LayerNorm(self.size(halvings), eps=EPSILON)
        return Affine(channels)

    def down(self) -> nn.Sequential:
        """Images (N, C, H, W) -> features (N, features, H/2^n, W/2^n)."""
        layers, inputs = [], self.image[0]
        for i in range(self.blocks):
            outputs = min(4 * self.width, self.width * 2**i)
            layers += [
                nn.Conv2d(inputs, outputs, 5, stride=2, padding=2),
                self.norm(outputs, i + 1),
                nn.LeakyReLU(SLOPE),
            ]
            inputs = outputs
        return nn.Sequential(*layers)

    def up(self, inputs: int) -> nn.Sequential:
        """Features (N, inputs, H/2^n, W/2^n) -> images (N, C, H, W), unbounded."""
        layers = [self.norm(inputs, self.blocks), nn.ReLU()]
        for i in range(self.blocks):
            outputs = max(self.width, 4 * self.width // 2**i)
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1),
                self.norm(outputs, self.blocks - 1 - i),
                nn.LeakyReLU(SLOPE),
            ]
            inputs = outputs
        return nn.Sequential(*layers, nn.Conv2d(inputs, self.image[0], 1))

    def reduced(self) -> tuple[int, int, int]:
        """Shape of the map that a dense bottleneck flattens."""
        return max(1, self.features // REDUCTION), *self.size(self.blocks)


class Encoder(nn.Module):
    """Images (N, C, H, W) -> mean of z and logarithm of its standard deviation (None: not variational).

    z is (N, latent) where it is dense, (N, latent, H/2^n, W/2^n) where it is spatial.
    """

    def __init__(self, family: Family, bottleneck: Bottleneck, latent: int, variational: bool):
        super().__init__()
        self.features = family.down()
        channels, height, width = family.reduced()
        dense = bottleneck == "dense"
        self.reduce = (
            nn.Sequential(nn.Conv2d(family.features, channels, 1), nn.Flatten()) if dense else nn.Identity()
        )

        def head() -> nn.Module:
            if dense:
                return nn.Linear(channels * height * width, latent)
            return nn.Conv2d(family.features, latent, 1)

        self.mean = head()
        self.log_sigma = head() if variational else None
        self.apply(as_keras)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        features = self.reduce(self.features(images))
        return self.mean(features), None if self.log_sigma is None else self.log_sigma(features)


class Decoder(nn.Sequential):
    """z, dense or spatial as of `Encoder`, -> images (N, C, H, W) float, unbounded (no sigmoid).

    `back_projection`: whether a 1x1 convolution restores the encoder's channels before the first block.
    `dropout`: of a dense z and of the layer behind it.
    """

    def __init__(
        self,
        family: Family,
        bottleneck: Bottleneck,
        latent: int,
        back_projection: bool = True,
        dropout: float = 0.0,
    ):
        layers, channels = [], latent
        if bottleneck == "dense":
            channels, height, width = family.reduced()
            layers += [
                nn.Dropout(dropout),
                nn.Linear(latent, channels * height * width),
                nn.Dropout(dropout),
                nn.Unflatten(1, (channels, height, width)),
            ]
        if back_projection:
            layers.append(nn.Conv2d(channels, family.features, 1))
            channels = family.features
        super().__init__(*layers, family.up(channels))
        self.apply(as_keras)


def as_keras(layer: nn.Module) -> None:
    """Keras' initial values: Glorot's uniform weights, biases of zero."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
