"""Linear filters with a kernel per image, in OpenCV's conventions, for the training corruptions.

Images are float32 (N, C, H, W) grey levels 0..255. Everything is a fixed sequence of tensor operations, which runs on
any device with float64 and never waits for it.
"""

import torch
from torch import Tensor
from torch.nn import functional

# OpenCV's Gaussian kernels of width 3, 5 and 7 without a sigma: dyadic fractions, not a sampled Gaussian.
GAUSSIAN_TAPS = (
    torch.tensor([[0, 0, 16, 32, 16, 0, 0], [0, 4, 16, 24, 16, 4, 0], [2, 7, 14, 18, 14, 7, 2]]) / 64
)
WIDEST = 7
NEGLIGIBLE_OVERLAP = 1e-3  # cv2.resize drops thinner slivers of a pixel


def correlate(levels: Tensor, kernels: Tensor) -> Tensor:
    """Correlate image n with kernels[n], (N, k, k), k odd; borders mirrored, the edge not repeated. Not rounded."""
    n, c, h, w = levels.shape
    margin = kernels.shape[-1] // 2
    padded = functional.pad(levels, [margin] * 4, mode="reflect").reshape(
        1, n * c, h + 2 * margin, w + 2 * margin
    )
    return functional.conv2d(padded, kernels.repeat_interleave(c, 0).unsqueeze(1), groups=n * c).view(
        n, c, h, w
    )


def gaussian_kernels(size: Tensor) -> Tensor:
    """size (N,) int64, each 3, 5 or 7 -> (N, 7, 7) float32 kernels, the smaller ones with a rim of zeros."""
    taps = GAUSSIAN_TAPS.to(size.device)[(size - 3) // 2]
    return taps.unsqueeze(2) * taps.unsqueeze(1)


def line_kernels(start: Tensor, end: Tensor, size: Tensor) -> Tensor:
    """Lines one pixel wide from start to end, (N, 2) int64, (x, y) in 0..size-1, as (N, 7, 7) kernels of sum 1.

    `size` (N,) int64, each 3, 5 or 7, says where the centre is; start and end must differ. The pixels are those of
    `cv2.line`: Bresenham's 8-connected line, walked from the left end, where a tie stays on the old row.
    """
    leftward = (end[:, 0] < start[:, 0]).unsqueeze(1)
    start, end = torch.where(leftward, end, start), torch.where(leftward, start, end)
    distance = (end - start).abs()
    length = distance.amax(1, keepdim=True)
    step = torch.arange(WIDEST, device=size.device).unsqueeze(1)
    along = (2 * distance.unsqueeze(1) * step + length.unsqueeze(1) - 1) // (2 * length.unsqueeze(1))
    points = (
        start.unsqueeze(1) + along * (end - start).sign().unsqueeze(1) + ((WIDEST - size) // 2).view(-1, 1, 1)
    )
    pixel = torch.arange(WIDEST, device=size.device)
    column, row = points[..., 0, None] == pixel, points[..., 1, None] == pixel
    drawn = row.unsqueeze(3) & column.unsqueeze(2) & (step.squeeze(1) <= length).view(-1, WIDEST, 1, 1)
    kernel = drawn.any(1).float()
    return kernel / kernel.sum((1, 2), keepdim=True)


def downscale(levels: Tensor, scale: Tensor) -> Tensor:
    """Shrink by `scale` (N,) in [0.5, 1) and enlarge back, both as cv2.INTER_AREA in float32. Not rounded."""
    h, w = levels.shape[2:]
    across, down = _shrink(w, scale).mT, _shrink(h, scale)
    small = down @ (levels @ across)
    return _enlarge(h, scale) @ (small @ _enlarge(w, scale).mT)


def _shrink(size: int, scale: Tensor) -> Tensor:
    """(N, 1, size, size) float32: row i averages over the source interval [i, i + 1) / scale."""
    cell = 1 / scale.double().view(-1, 1, 1, 1)
    pixel = torch.arange(size, device=scale.device)
    start = pixel.unsqueeze(1) * cell
    overlap = torch.minimum(start + cell, pixel + 1) - torch.maximum(start, pixel)
    overlap = overlap.where(overlap > NEGLIGIBLE_OVERLAP, 0)
    # The last cell may reach beyond the image; those that lie wholly beyond are never read.
    return (overlap / torch.minimum(cell, size - start).clamp(min=NEGLIGIBLE_OVERLAP)).float()


def _enlarge(size: int, scale: Tensor) -> Tensor:
    """(N, 1, size, size) float32: row j blends the two small pixels that it covers (INTER_AREA enlarging)."""
    small = (size * scale.double()).round().view(-1, 1, 1, 1)
    pixel = torch.arange(size, device=scale.device)
    first = (pixel.unsqueeze(1) * small / size).floor()
    share = (pixel.unsqueeze(1) + 1 - (first + 1) * size / small).clamp(min=0)
    share = (share - share.floor()).where(first < small - 1, 0).float()
    return (pixel == first) * (1 - share) + (pixel == first + 1) * share
