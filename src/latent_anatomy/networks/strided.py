"""Strided convolutional encoder and decoder of unORANIC, shared with its vanilla auto-encoder.

Source: Doerrich 2023 (unORANIC), section 2.3 and the layer table of the released code. All
convolutions are without bias and followed by batch normalisation; PyTorch's default initialisation.
"""

from torch import Tensor, nn

RESIDUAL_SLOPE = 0.01


class Residual(nn.Module):
    """Two [Conv3x3, BN, LeakyReLU 0.01] plus the input, no activation after the sum.

    (N, channels, H, W) float -> the same shape.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(RESIDUAL_SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(RESIDUAL_SLOPE),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.branch(images) + images


def activation(slope: float) -> nn.Module:
    """LeakyReLU; a slope of 1 is the identity and costs nothing."""
    return nn.Identity() if slope == 1.0 else nn.LeakyReLU(slope)


def down(inputs: int, outputs: int, kernel: int, slope: float) -> nn.Sequential:
    """Halve the resolution: Conv (stride 2, padding 1), BN, LeakyReLU(slope)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(slope),
    )


def up(inputs: int, outputs: int, kernel: int, slope: float) -> nn.Sequential:
    """Double the resolution: ConvTranspose (stride 2, padding 1), BN, LeakyReLU(slope)."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation(slope),
    )


class Encoder(nn.Sequential):
    """Images (N, channels, 28, 28) float -> embeddings (N, latent) float.

    Widths channels, width, 2 width, 4 width, latent at 28, 14, 7, 3 and 1 pixels.
    """

    def __init__(self, channels: int, latent: int, width: int, slope: float):
        super().__init__(
            Residual(channels),
            down(channels, width, 4, slope),
            Residual(width),
            down(width, 2 * width, 4, slope),
            Residual(2 * width),
            down(2 * width, 4 * width, 5, slope),
            Residual(4 * width),
            down(4 * width, latent, 5, slope),
            nn.Flatten(),
        )


class Decoder(nn.Sequential):
    """Embeddings (N, latent) float -> images (N, channels, 28, 28) float, unbounded (no sigmoid)."""

    def __init__(self, channels: int, latent: int, width: int, slope: float):
        super().__init__(
            nn.Unflatten(1, (latent, 1, 1)),
            up(latent, 4 * width, 5, slope),
            Residual(4 * width),
            up(4 * width, 2 * width, 5, slope),
            Residual(2 * width),
            up(2 * width, width, 4, slope),
            Residual(width),
            up(width, channels, 4, slope),
            Residual(channels),
        )
