"""Digital corruptions of ImageNet-C: contrast, elastic transform and pixelate (JPEG: jpeg.py).

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019, section 3. Corruptions take and return float64 levels (N, 3, H, W) in [0, 255], before truncation to
whole levels.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

SMOOTHING = 0.01  # of the image side: standard deviation of the Gaussian that smooths the displacements
REACH = 0.005  # of the image side: largest displacement before smoothing and amplification
PILLOW_PRECISION = (
    2**22
)  # Pillow resizes 8-bit images with weights that are whole multiples of 1/PILLOW_PRECISION


def sample_displacement(shape, generator: Generator) -> dict[str, Tensor]:
    """Raw displacements (x, y), uniform in [-1, 1): {"displacement": (N, 2, H, W) float64}."""
    count, _, height, width = shape
    uniform = torch.rand(
        (count, 2, height, width), generator=generator, device=generator.device, dtype=torch.float64
    )
    return {"displacement": 2 * uniform - 1}


def contrast(levels: Tensor, factor: float) -> Tensor:
    """Shrinks the distance of every value from the mean of its channel to `factor` of it."""
    images = levels / 255
    means = images.mean(dim=(2, 3), keepdim=True)
    return ((images - means) * factor + means).clamp(0, 1) * 255


def elastic_transform(levels: Tensor, alpha: float, displacement: Tensor) -> Tensor:
    """Moves every pixel by alpha * smoothed displacement; bilinear, borders mirrored about the pixel edge.

    At 32 pixels the Gaussian has a standard deviation of 0.32 pixels (three taps): almost every pixel moves
    by itself, by up to 0.16 alpha pixels.
    """
    side = levels.shape[-1]
    taps = torch.exp(
        -(torch.arange(-1, 2, device=levels.device, dtype=torch.float64) ** 2) / 2 / (SMOOTHING * side) ** 2
    )
    taps = taps / taps.sum()
    smooth = F.pad(displacement * (REACH * side), (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    smooth = F.conv2d(F.conv2d(smooth, taps[None, None, :, None]), taps[None, None, None, :])
    shift_x, shift_y = (smooth.reshape(displacement.shape) * alpha).float().double().unbind(1)
    grid = torch.arange(side, device=levels.device, dtype=torch.float64)
    images = (levels / 255).float().double().flatten(2)

    def taps_along(position):
        low = position.floor()
        for corner, weight in ((low, 1 - (position - low)), (low + 1, position - low)):
            mirrored = torch.where(
                corner < 0, -1 - corner, torch.where(corner >= side, 2 * side - 1 - corner, corner)
            )
            yield mirrored.long(), weight

    moved = torch.zeros_like(images)
    for row, row_weight in taps_along(grid[:, None] + shift_y):
        for column, column_weight in taps_along(grid[None, :] + shift_x):
            source = (row * side + column).flatten(1)[:, None].expand(images.shape)
            moved += (row_weight * column_weight).flatten(1)[:, None] * images.gather(2, source)
    return moved.reshape(levels.shape).float().clamp(0, 1).mul(255).double()


def pixelate(levels: Tensor, factor: float) -> Tensor:
    """Shrinks both sides to `factor` with a box filter and enlarges by repetition, as Pillow does."""
    side = levels.shape[-1]
    size = int(side * factor)
    centre = (torch.arange(size, dtype=torch.float64) + 0.5)[:, None] * side / size
    distance = (torch.arange(side) + 0.5 - centre) * size / side
    weights = ((distance > -0.5) & (distance <= 0.5)).double()
    weights = torch.floor(weights / weights.sum(1, keepdim=True) * PILLOW_PRECISION + 0.5).to(levels.device)
    for _ in range(2):  # columns first, whole levels in between, then rows
        levels = torch.floor((levels @ weights.T + PILLOW_PRECISION / 2) / PILLOW_PRECISION).transpose(2, 3)
    nearest = ((torch.arange(side, device=levels.device) + 0.5) * size / side).long()
    return levels[:, :, nearest][:, :, :, nearest]
