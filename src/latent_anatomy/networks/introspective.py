"""Encoder and decoder of RA and SI-VAE (Bercea 2024, released code; after Daniel and Tamar 2021).

With Res(a, b) = [Conv 3x3 to b, norm, LeakyReLU 0.2, Conv 3x3, norm] plus a skip, LeakyReLU 0.2, and
c = `widths`:

    encoder   Conv 5x5 to c1, norm, LeakyReLU, pool | Res(c_i, c_i+1), pool | Res(c_n, c_n), linear to 2 z
    decoder   linear, ReLU | Res(c_n, c_n), up | Res(c_i+1, c_i), up | Res(c1, c1), Conv 5x5, sigmoid

Pooling is the mean of 2x2, up is repetition, convolutions of blocks are without bias. The skip is a 1x1
convolution where widths differ. Two equal widths, one after the other, have one too in the released network,
in the encoder and in the decoder, because its code asks whether two numbers are the same object; that is
`equal_skip="convolution"`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from latent_anatomy.networks.batchnorm import UnmovedBatchNorm2d

SLOPE = 0.2

Normalisation = Literal["as_written", "as_released"]
EqualSkip = Literal["convolution", "identity"]


@dataclass(frozen=True)
class Family:
    """What encoder and decoder of images (channels, height, width) share.

    ValueError for images that cannot be halved so often.
    """

    image: tuple[int, int, int]
    widths: tuple[int, ...]
    features: int
    normalisation: Normalisation
    equal_skip: EqualSkip

    def __post_init__(self):
        _, height, width = self.image
        halvings = 2 ** len(self.widths)
        if height % halvings or width % halvings:
            raise ValueError(
                f"expected images with sides divisible by {halvings} (widths: {len(self.widths)}), found "
                f"{height}x{width}: give fewer widths, or resize the slices"
            )

    @property
    def bottom(self) -> tuple[int, int, int]:
        """Shape of the deepest map."""
        _, height, width = self.image
        return self.widths[-1], height // 2 ** len(self.widths), width // 2 ** len(self.widths)

    def norm(self, channels: int) -> nn.BatchNorm2d:
        """Batch normalisation; as released its statistics stay at 0 and 1."""
        return (nn.BatchNorm2d if self.normalisation == "as_written" else UnmovedBatchNorm2d)(channels)


class Residual(nn.Module):
    """Res(inputs, outputs) above, of maps (N, inputs, H, W). `convolution`: whether the skip is one."""

    def __init__(self, family: Family, inputs: int, outputs: int, convolution: bool):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            family.norm(outputs),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            family.norm(outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if convolution else nn.Identity()
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.branch(features) + self.skip(features))


def step(family: Family, inputs: int, outputs: int) -> Residual:
    """A block between two levels."""
    return Residual(family, inputs, outputs, inputs != outputs or family.equal_skip == "convolution")


class Encoder(nn.Module):
    """Images (N, C, H, W) -> mean and log variance of z (N, features), and the maps of all levels."""

    def __init__(self, family: Family):
        super().__init__()
        first, deepest = family.widths[0], family.widths[-1]
        stem = nn.Sequential(
            nn.Conv2d(family.image[0], first, 5, padding=2, bias=False),
            family.norm(first),
            nn.LeakyReLU(SLOPE),
        )
        self.levels = nn.ModuleList([stem, *(step(family, *each) for each in pairwise(family.widths))])
        self.pool = nn.AvgPool2d(2)
        channels, height, width = family.bottom
        self.head = nn.Sequential(
            Residual(family, deepest, deepest, False),
            nn.Flatten(),
            nn.Linear(channels * height * width, 2 * family.features),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        features, embeddings = images, []
        for level in self.levels:
            features = self.pool(level(features))
            embeddings.append(features)
        return *self.head(features).chunk(2, dim=1), embeddings


class Decoder(nn.Sequential):
    """z (N, features) -> images (N, C, H, W) in [0, 1]."""

    def __init__(self, family: Family):
        first, deepest = family.widths[0], family.widths[-1]
        channels, height, width = family.bottom
        steps = [step(family, deep, shallow) for shallow, deep in reversed(list(pairwise(family.widths)))]
        levels = [Residual(family, deepest, deepest, False), *steps]
        super().__init__(
            nn.Linear(family.features, channels * height * width),
            nn.ReLU(),
            nn.Unflatten(1, family.bottom),
            *(nn.Sequential(level, nn.Upsample(scale_factor=2)) for level in levels),
            Residual(family, first, first, False),
            nn.Conv2d(first, family.image[0], 5, padding=2),
            nn.Sigmoid(),
        )
