"""SDNet's encoder of modality and its segmentor (Chartsias 2019, sections 3.1.2 and 3.2; released code).

All LeakyReLU have Keras' slope 0.3 and all batch normalisation its epsilon 1e-3.
"""

import torch
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import EPSILON, SLOPE, as_keras

FILTERS, BLOCKS, DENSE = 16, 4, 32


class ModalityEncoder(nn.Module):
    """Anatomy (N, C, H, W) and images (N, c, H, W) -> mean and logarithm of the variance of z, (N, nz) each.

    4 x [Conv 3x3, 16 filters, stride 2, no padding, batch norm, LeakyReLU], a dense layer of 32 with both,
    one linear layer for each output. ValueError for a `size` (H, W) of which nothing is left.
    """

    def __init__(self, inputs: int, latent: int, size: tuple[int, int], momentum: float = 0.99):
        super().__init__()
        height, width = size
        for _ in range(BLOCKS):
            height, width = (height - 1) // 2, (width - 1) // 2
        if min(height, width) < 1:
            raise ValueError(
                f"modality encoder: expected images of 31x31 or more, found {size[0]}x{size[1]}: "
                "it halves four times without padding; cut larger slices"
            )
        layers = []
        for i in range(BLOCKS):
            layers += [
                nn.Conv2d(FILTERS if i else inputs, FILTERS, 3, stride=2),
                nn.BatchNorm2d(FILTERS, eps=EPSILON, momentum=1 - momentum),
                nn.LeakyReLU(SLOPE),
            ]
        self.features = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(FILTERS * height * width, DENSE),
            nn.BatchNorm1d(DENSE, eps=EPSILON, momentum=1 - momentum),
            nn.LeakyReLU(SLOPE),
        )
        self.mean = nn.Linear(DENSE, latent)
        self.log_variance = nn.Linear(DENSE, latent)
        self.apply(as_keras)

    def forward(self, anatomy: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(torch.cat([anatomy, images], dim=1))
        return self.mean(features).float(), self.log_variance(features).float()


class Segmentor(nn.Sequential):
    """Anatomy (N, C, H, W) -> logits (N, outputs, H, W): 2 x [Conv 3x3, batch norm, LeakyReLU], Conv 1x1."""

    def __init__(self, channels: int, outputs: int, width: int = 64, momentum: float = 0.99):
        layers = []
        for inputs in (channels, width):
            layers += [
                nn.Conv2d(inputs, width, 3, padding=1),
                nn.BatchNorm2d(width, eps=EPSILON, momentum=1 - momentum),
                nn.LeakyReLU(SLOPE),
            ]
        super().__init__(*layers, nn.Conv2d(width, outputs, 1))
        self.apply(as_keras)
