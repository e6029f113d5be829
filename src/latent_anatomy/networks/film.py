"""SDNet's decoder: anatomy, a map, is rendered as modality, a vector, says (Chartsias 2019, section 3.3).

Feature-wise linear modulation (Perez et al. 2018), as in the released code: z scales and shifts channels,
and reaches the image in no other way. All LeakyReLU of Keras' slope 0.3, no normalisation:

    block    l1  = LeakyReLU(Conv 3x3(input))                                 C channels throughout
             l2  = Conv 3x3(l1)
             gamma, beta = Linear(LeakyReLU(Linear(z)))                       2C units each, then halves
             out = l1 + LeakyReLU(gamma l2 + beta)                            gamma, not 1 + gamma
    decoder  4 blocks, Conv 3x3 to the image's channels, tanh
"""

import torch
from torch import Tensor, nn

from latent_anatomy.networks.encoder_decoder import SLOPE, as_keras

BLOCKS = 4


class FilmBlock(nn.Module):
    """Features (N, C, H, W) and z (N, nz) -> features (N, C, H, W)."""

    def __init__(self, channels: int, latent: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Sequential(
            nn.Linear(latent, 2 * channels), nn.LeakyReLU(SLOPE), nn.Linear(2 * channels, 2 * channels)
        )
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        plain = self.activation(self.first(features))
        gamma, beta = self.modulation(z)[:, :, None, None].chunk(2, dim=1)
        return plain + self.activation(gamma * self.second(plain) + beta)


class FilmDecoder(nn.Module):
    """Anatomy (N, C, H, W) and z (N, nz) -> images (N, outputs, H, W) float32 in [-1, 1]."""

    def __init__(self, channels: int, latent: int, outputs: int):
        super().__init__()
        self.blocks = nn.ModuleList(FilmBlock(channels, latent) for _ in range(BLOCKS))
        self.head = nn.Conv2d(channels, outputs, 3, padding=1)
        self.apply(as_keras)

    def forward(self, anatomy: Tensor, z: Tensor) -> Tensor:
        features = anatomy
        for block in self.blocks:
            features = block(features, z)
        return torch.tanh(self.head(features).float())
