"""Blur of ImageNet-C: out of focus, in motion, and zooming.

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019, section 3. Corruptions take and return float64 levels (N, C, H, W) in [0, 255], before truncation to
whole levels. The kernels were sized for photographs of 224 pixels and are kept: at 32 pixels they reach over
most of the image.
"""

import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def sample_angle(shape, generator: Generator) -> dict[str, Tensor]:
    """Direction of motion in degrees, uniform in [-45, 45): {"angle": (N,) float64}."""
    uniform = torch.rand(shape[0], generator=generator, device=generator.device, dtype=torch.float64)
    return {"angle": 90 * uniform - 45}


def defocus_blur(levels: Tensor, setting: tuple[int, float]) -> Tensor:
    """Correlates with a `disk` of (radius, sigma) pixels; borders are mirrored."""
    kernel = disk(*setting).to(levels)
    reach = kernel.shape[0] // 2
    padded = F.pad(levels / 255, (reach,) * 4, mode="reflect")
    # a float64 convolution with kernels of this size takes a hundred times as long as its Fourier transform
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=padded.shape[-2:])
    blurred = torch.fft.irfft2(spectrum, s=padded.shape[-2:])
    return blurred[..., 2 * reach :, 2 * reach :].clamp(0, 1) * 255


def disk(radius: int, sigma: float) -> Tensor:
    """Disk with its edge softened by a Gaussian, float32; 17 pixels wide, 2 radius + 1 beyond radius 8."""
    half, reach = (8, 1) if radius <= 8 else (radius, 2)
    squares = torch.arange(-half, half + 1) ** 2
    sharp = (squares[:, None] + squares[None, :] <= radius**2).float()
    gauss = torch.exp(-(torch.arange(-reach, reach + 1, dtype=torch.float64) ** 2) / (2 * sigma**2))
    gauss = (gauss / gauss.sum()).float()
    padded = F.pad(sharp[None, None] / sharp.sum(), (reach,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, gauss[None, None, None, :]), gauss[None, None, :, None])[0, 0]


def motion_blur(levels: Tensor, setting: tuple[int, float], angle: Tensor) -> Tensor:
    """Mean of copies shifted along `angle`, weighted by one half of a Gaussian; borders are repeated.

    `setting` is (radius, sigma) in pixels: there are 2 radius + 1 copies. A copy shifted by the whole image
    side or more is left out without making up for its weight, so radius 20 darkens a 32-pixel image, as the
    reference does.
    """
    radius, sigma = setting
    count, channels, height, width = levels.shape
    steps = torch.arange(2 * radius + 1, device=levels.device, dtype=torch.float64)
    weights = torch.exp(-(steps**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    turn = torch.deg2rad(angle)[:, None]
    down = torch.ceil(steps * torch.sin(turn) - 0.5).long()
    right = torch.ceil(steps * torch.cos(turn) - 0.5).long()
    weights = weights * ((down.abs() < height) & (right.abs() < width))
    rows = (torch.arange(height, device=levels.device)[:, None, None] + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=levels.device)[:, None, None] + right).clamp(0, width - 1)
    flat, blurred = levels.flatten(2), torch.zeros_like(levels)
    for tap in range(len(steps)):
        source = rows[:, :, tap].T[:, :, None] * width + columns[:, :, tap].T[:, None, :]
        shifted = flat.gather(2, source.reshape(count, 1, -1).expand(-1, channels, -1)).reshape(levels.shape)
        blurred += weights[:, tap, None, None, None] * shifted
    return blurred.clamp(0, 255)


def zoom_blur(levels: Tensor, setting: tuple[float, float]) -> Tensor:
    """Mean of the image and of its enlargements by 1, 1 + step, ... below `stop`; `setting` is (stop, step).

    The single precision of the sum is the reference's and decides how flat areas are truncated.
    """
    images = (levels / 255).float()
    side, total, factors = levels.shape[-1], torch.zeros_like(images), np.arange(1, *setting)
    for factor in factors:
        matrix = zoom_matrix(side, factor)[:side].to(levels.device)
        zoomed = (matrix @ images.double() @ matrix.T).float()
        total[..., : len(matrix), : len(matrix)] += zoomed
    return ((images + total) / (len(factors) + 1)).clamp(0, 1).mul(255).double()


def zoom_matrix(side: int, factor: float) -> Tensor:
    """Linear interpolation that enlarges the central 1/factor of `side` pixels, corners on corners.

    Returns (round(ceil(side / factor) * factor), side) float64: the result can be a little larger than the
    image.
    """
    crop = math.ceil(side / factor)
    top, size = (side - crop) // 2, round(crop * factor)
    position = torch.arange(size, dtype=torch.float64) * ((crop - 1) / (size - 1))
    low = position.floor().clamp(max=crop - 2)
    index, share = low.long()[:, None] + top, (position - low)[:, None]
    matrix = torch.zeros(size, side, dtype=torch.float64)
    return matrix.scatter(1, index, 1 - share).scatter(1, index + 1, share)
