"""U-Net of weight-standardised convolutions, swish and group normalisation (Kascenas 2022, released code).

With widths w 2^i, i = 0..d-1, and block = [reflection by 1, standardised Conv 3x3, swish, group norm] twice:
blocks and 2x2 means on the way down; a transposed Conv 2x2, what came down beside it, and a block on the way
up; Conv 1x1.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5


class StandardisedConv2d(nn.Conv2d):
    """A convolution whose kernels have mean 0 and standard deviation 1, for each output channel."""

    def forward(self, features: Tensor) -> Tensor:
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = centred / (centred.std((1, 2, 3), keepdim=True) + EPSILON)
        return F.conv2d(features, weight, self.bias, self.stride, self.padding)


def groups(channels: int) -> int:
    """Of a normalisation: the middle one of the divisors of the number of channels.

    >>> [groups(channels) for channels in (64, 128, 256, 512)]
    [8, 16, 16, 32]
    """
    divisors = [number for number in range(1, channels + 1) if channels % number == 0]
    return divisors[len(divisors) // 2]


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Maps (N, inputs, H, W) -> (N, outputs, H, W)."""
    layers = []
    for channels in (inputs, outputs):
        layers += [
            nn.ReflectionPad2d(1),
            StandardisedConv2d(channels, outputs, 3),
            nn.SiLU(),
            nn.GroupNorm(groups(outputs), outputs),
        ]
    return nn.Sequential(*layers)


class StandardisedUNet(nn.Module):
    """Images (N, channels, H, W) -> images of the same shape, unbounded.

    ValueError for a `size` (H, W) that cannot be halved depth - 1 times, or is 1 at the bottom.
    """

    def __init__(self, channels: int, size: tuple[int, int], width: int, depth: int):
        super().__init__()
        halvings = 2 ** (depth - 1)
        if any(side % halvings or side == halvings for side in size):
            raise ValueError(
                f"U-Net: expected images with sides divisible by {halvings} (depth: {depth}) and larger, "
                f"found {size[0]}x{size[1]}: use less depth, or resize the slices"
            )
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(block(*each) for each in pairwise([channels, *widths]))
        up = list(pairwise(widths))[::-1]
        self.rise = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for shallow, deep in up)
        self.join = nn.ModuleList(block(deep, shallow) for shallow, deep in up)
        self.head = nn.Conv2d(width, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        features, skipped = self.down[0](images), []
        for down in self.down[1:]:
            skipped.append(features)
            features = down(F.avg_pool2d(features, 2))
        for rise, join, shallow in zip(self.rise, self.join, reversed(skipped), strict=True):
            features = join(torch.cat([rise(features), shallow], dim=1))
        return self.head(features)
