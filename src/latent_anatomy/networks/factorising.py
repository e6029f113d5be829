"""Networks of SDNet's predecessor (Chartsias et al. 2018, as released; see `methods.spatial_factorisation`).

All LeakyReLU have Keras' slope 0.3 and all batch normalisation its epsilon 1e-3.
"""

import torch
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import EPSILON, SLOPE, as_keras
from latent_anatomy.networks.unet import UNet

DENSE, COARSE, FINE, BLOCKS = 32, 16, 8, 3
SMALLEST = 1e-7  # added to a standard deviation


def convolution(inputs: int, outputs: int, momentum: float) -> list[nn.Module]:
    """Conv 3x3, batch norm, LeakyReLU."""
    norm = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=1 - momentum)
    return [nn.Conv2d(inputs, outputs, 3, padding=1), norm, nn.LeakyReLU(SLOPE)]


class FactorisingUNet(UNet):
    """Images (N, inputs, H, W) -> logits (N, outputs, H, W) and z (N, latent) float32 in [0, 1].

    A U-Net with LeakyReLU. Its bottom, of 16 w channels at depth 4, also goes through two convolutions to 4 w
    and w channels, is flattened, and through dense layers of 32 and `latent`, the last with a sigmoid.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        latent: int,
        size: tuple[int, int],
        width: int,
        depth: int,
        momentum: float,
    ):
        super().__init__(inputs, outputs, size, width=width, depth=depth, momentum=momentum, slope=SLOPE)
        pixels = (size[0] // 2**depth) * (size[1] // 2**depth)
        self.modality = nn.Sequential(
            *convolution(width * 2**depth, 4 * width, momentum),
            *convolution(4 * width, width, momentum),
            nn.Flatten(),
            nn.Linear(width * pixels, DENSE),
            nn.LeakyReLU(SLOPE),
            nn.Linear(DENSE, latent),
        )
        self.modality.apply(as_keras)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bottom, skipped = self.encoded(images)
        return self.logits(bottom, skipped), self.modality(bottom).float().sigmoid()


class InstanceNorm(nn.Module):
    """(x - mean) / (sqrt(variance) + 1e-7) per channel and image, then a scale and a shift per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean((2, 3), keepdim=True)
        # Of a constant map the root has no gradient: it is held above 0, and what is divided is 0.
        deviation = centred.square().mean((2, 3), keepdim=True).clamp(min=SMALLEST**2).sqrt()
        return centred / (deviation + SMALLEST) * self.weight + self.bias


class ResidualBlock(nn.Module):
    """Features (N, C, H, W) -> LeakyReLU of them plus [Conv 3x3, norm, LeakyReLU, Conv 3x3, norm] of them."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            InstanceNorm(channels),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1),
            InstanceNorm(channels),
        )
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.branch(features))


class PlainDecoder(nn.Module):
    """Mask (N, L, H, W) and z (N, latent) -> images (N, outputs, H, W) float32 in [-1, 1].

    z becomes a map: dense layers of 32 and H W, reshaped to 16 channels of H/4 x W/4, and twice [repeated 2x,
    Conv 3x3, batch norm], to 16 and 8 channels, LeakyReLU after each layer. Beside the mask it goes through 3
    residual blocks of L + 8 channels, Conv 7x7 and tanh. ValueError for a `size` that 4 does not divide.
    """

    def __init__(self, planes: int, latent: int, outputs: int, size: tuple[int, int], momentum: float):
        super().__init__()
        height, width = size
        if height % 4 or width % 4:
            raise ValueError(
                f"decoder: expected images with sides divisible by 4, found {height}x{width}: crop the slices"
            )
        self.map = nn.Sequential(
            nn.Linear(latent, DENSE),
            nn.LeakyReLU(SLOPE),
            nn.Linear(DENSE, height * width),
            nn.LeakyReLU(SLOPE),
            nn.Unflatten(1, (COARSE, height // 4, width // 4)),
            nn.Upsample(scale_factor=2),
            *convolution(COARSE, COARSE, momentum),
            nn.Upsample(scale_factor=2),
            *convolution(COARSE, FINE, momentum),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(planes + FINE) for _ in range(BLOCKS)))
        self.head = nn.Conv2d(planes + FINE, outputs, 7, padding=3)
        self.apply(as_keras)

    def forward(self, mask: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(self.head(self.blocks(torch.cat([mask, self.map(z)], dim=1))).float())
