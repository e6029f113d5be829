"""Metrics of images on torch tensors, on their device: one value for each image."""

import torch
import torch.nn.functional as F
from torch import Tensor

# unORANIC's released code calls an image restored below this error, and then returns 0 dB (unORANIC)
# or 50 dB (auto-encoder). Here the PSNR stops rising, at 150 dB, so that a better image never scores less.
MSE_FLOOR = 1e-15

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03


def mse(images: Tensor, reference: Tensor) -> Tensor:
    """Mean squared error of each image: two (N, C, H, W) float -> (N,) float64."""
    if images.shape != reference.shape:
        raise ValueError(f"expected images of one shape, found {images.shape} and {reference.shape}")
    return (images.float() - reference).square().mean(dim=(1, 2, 3), dtype=torch.float64)


def psnr_of_mse(error: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of mean squared errors of images in [0, 1]; at most 150 dB."""
    return -10 * error.clamp(min=MSE_FLOOR).log10()


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """PSNR of each image in dB, peak 1, nothing clamped: two (N, C, H, W) float -> (N,) float64.

    >>> black = torch.zeros(2, 1, 28, 28)
    >>> psnr(black + torch.tensor([0.1, 1.0]).view(2, 1, 1, 1), black).round(decimals=3)
    tensor([20., -0.], dtype=torch.float64)
    """
    return psnr_of_mse(mse(images, reference))


def ssim(images: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity of each image: two (N, C, H, W) float, range 1 -> (N,) float64.

    Wang et al. 2004, equation 13: Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03.
    As in torchmetrics, which unORANIC's code uses, images are mirrored at their borders and the mean is
    taken over all pixels and channels; Wang leaves out the border, more than half of 28 x 28 pixels.

    >>> images = torch.rand(3, 1, 28, 28)
    >>> ssim(images, images)
    tensor([1., 1., 1.], dtype=torch.float64)
    """
    if images.shape != reference.shape or min(images.shape[2:]) <= SSIM_WINDOW // 2:
        raise ValueError(
            f"expected images of one shape, more than {SSIM_WINDOW // 2} pixels high and wide, "
            f"found {tuple(images.shape)} and {tuple(reference.shape)}"
        )
    count, channels = images.shape[:2]
    one, other = images.float().flatten(0, 1)[:, None], reference.float().flatten(0, 1)[:, None]
    moments = _window(torch.cat([one, other, one * one, other * other, one * other]))
    mean_one, mean_other, square_one, square_other, product = moments.chunk(5)
    variances = (square_one - mean_one**2).clamp(min=0) + (square_other - mean_other**2).clamp(min=0)
    covariance = product - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + SSIM_K1**2) / (mean_one**2 + mean_other**2 + SSIM_K1**2)
    structure = (2 * covariance + SSIM_K2**2) / (variances + SSIM_K2**2)
    return (luminance * structure).view(count, channels, -1).mean(dim=(1, 2), dtype=torch.float64)


def _window(planes: Tensor) -> Tensor:
    """Gaussian-weighted means around each pixel of planes (N, 1, H, W), mirrored at the borders."""
    offsets = torch.arange(SSIM_WINDOW, device=planes.device) - SSIM_WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    weights = (weights / weights.sum()).view(1, 1, -1, 1)
    mirrored = F.pad(planes, [SSIM_WINDOW // 2] * 4, mode="reflect")
    return F.conv2d(F.conv2d(mirrored, weights), weights.transpose(2, 3))
