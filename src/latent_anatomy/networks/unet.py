"""U-Net as SDNet's code builds it (Chartsias 2019, section 3.1.1; after Ronneberger 2015).

For a first width w (64) and depth d (4), with block(f) = [Conv 3x3, batch norm, ReLU] twice to f channels:

    down   d x [block(w 2^i), 2x2 max-pooling]                   i = 0..d-1
           block(w 2^d)
    up     d x [nearest 2x, Conv 3x3, batch norm (linear),       to w 2^i channels, i = d-1..0
                concatenated in front of what came down, block]
    head   Conv 1x1

What Keras decides there is kept: biases before batch normalisation, its epsilon 1e-3 and momentum 0.99
(PyTorch's 0.01), Glorot's uniform weights and biases of zero.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import EPSILON, as_keras


def block(inputs: int, outputs: int, momentum: float, slope: float = 0.0) -> nn.Sequential:
    """[Conv 3x3, batch norm, ReLU] twice, or LeakyReLU of a `slope`; `momentum` as Keras counts it."""
    layers = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs, eps=EPSILON, momentum=1 - momentum),
            nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def rise(inputs: int, outputs: int, momentum: float) -> nn.Sequential:
    """Twice the size by repetition, Conv 3x3, batch norm; no activation."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs, eps=EPSILON, momentum=1 - momentum),
    )


class UNet(nn.Module):
    """Images (N, inputs, H, W) -> logits (N, outputs, H, W).

    ValueError for a `size` (H, W) that cannot be halved `depth` times.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: tuple[int, int],
        *,
        width: int = 64,
        depth: int = 4,
        momentum: float = 0.99,
        slope: float = 0.0,
    ):
        super().__init__()
        if any(side % 2**depth for side in size):
            raise ValueError(
                f"U-Net: expected images with sides divisible by {2**depth} (depth: {depth}), "
                f"found {size[0]}x{size[1]}: use less depth, or crop the slices"
            )
        widths = [width * 2**i for i in range(depth + 1)]
        down = [block(before, after, momentum, slope) for before, after in pairwise([inputs, *widths])]
        self.down, self.bottom = nn.ModuleList(down[:-1]), down[-1]
        up = [(deep, shallow) for shallow, deep in pairwise(widths)][::-1]
        self.rise = nn.ModuleList(rise(deep, shallow, momentum) for deep, shallow in up)
        self.join = nn.ModuleList(block(2 * shallow, shallow, momentum, slope) for _, shallow in up)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, outputs, 1)
        self.apply(as_keras)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(*self.encoded(images))

    def encoded(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images -> features of the bottom (N, w 2^d, H/2^d, W/2^d), and what is skipped, shallow first."""
        features, skipped = images, []
        for down in self.down:
            skipped.append(down(features))
            features = self.pool(skipped[-1])
        return self.bottom(features), skipped

    def logits(self, features: Tensor, skipped: list[Tensor]) -> Tensor:
        """What `encoded` makes -> logits (N, outputs, H, W)."""
        for rise, join, shallow in zip(self.rise, self.join, reversed(skipped), strict=True):
            features = join(torch.cat([rise(features), shallow], dim=1))
        return self.head(features)
