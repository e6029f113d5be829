"""Networks of SDNet's predecessor (Chartsias et al. 2018; see `methods.spatial_factorisation`)."""

import torch
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import EPSILON, as_keras
from latent_anatomy.networks.unet import UNet

BLOCKS = 3


class FactorisingUNet(UNet):
    """Images (N, inputs, H, W) -> logits (N, outputs, H, W) and z (N, latent) float32 in [0, 1].

    A U-Net (with its other parameters) whose bottom is also flattened and goes through a linear layer and a
    sigmoid.
    """

    def __init__(self, inputs: int, outputs: int, latent: int, size: tuple[int, int], **other: float):
        super().__init__(inputs, outputs, size, **other)
        self.modality = nn.Sequential(nn.Flatten(), nn.Linear(self.features, latent))
        self.modality.apply(as_keras)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bottom, skipped = self.encoded(images)
        return self.logits(bottom, skipped), self.modality(bottom).float().sigmoid()


class ResidualBlock(nn.Module):
    """Features (N, C, H, W) -> the same, plus [Conv 3x3, instance norm, ReLU, Conv 3x3, instance norm]."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, eps=EPSILON, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels, eps=EPSILON, affine=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


class PlainDecoder(nn.Module):
    """Mask (N, L, H, W) and z (N, latent) -> images (N, outputs, H, W) float32 in [-1, 1].

    z is repeated at every pixel beside the mask: Conv 3x3, ReLU, 3 residual blocks, Conv 3x3, tanh. The first
    convolution is not normalised: what z adds is the same at every pixel, and would be subtracted again.
    """

    def __init__(self, planes: int, latent: int, outputs: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(planes + latent, width, 3, padding=1),
            nn.ReLU(inplace=True),
            *(ResidualBlock(width) for _ in range(BLOCKS)),
            nn.Conv2d(width, outputs, 3, padding=1),
        )
        self.apply(as_keras)

    def forward(self, mask: Tensor, z: Tensor) -> Tensor:
        everywhere = z[:, :, None, None].expand(-1, -1, *mask.shape[2:])
        return torch.tanh(self.layers(torch.cat([mask, everywhere], dim=1)).float())
