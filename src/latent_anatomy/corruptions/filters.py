"""Linear filters with a kernel per image, in OpenCV's conventions, for the training corruptions.

Images are float32 (N, C, H, W) grey levels 0..255. Everything is a fixed sequence of tensor operations, which
runs on any device with float64 and never waits for it.
"""

import functools

import torch
from torch import Tensor
from torch.nn import functional

# OpenCV's kernels of width 3, 5 and 7 where no sigma is given, times 64. They are dyadic, not the Gaussian of
# its formula for sigma, 0.3 ((k - 1) / 2 - 1) + 0.8; sums of grey levels with them are exact in float32.
GAUSSIAN_TAPS = ((0, 0, 16, 32, 16, 0, 0), (0, 4, 16, 24, 16, 4, 0), (2, 7, 14, 18, 14, 7, 2))
WIDEST = 7
NEGLIGIBLE_OVERLAP = 1e-3  # cv2.resize drops thinner slivers of a pixel


def correlate(levels: Tensor, kernels: Tensor) -> Tensor:
    """Correlate image n with kernels[n], (N, k, k), k odd; borders mirrored without the edge. Not rounded."""
    n, c, h, w = levels.shape
    padded = functional.pad(levels, [kernels.shape[-1] // 2] * 4, mode="reflect")
    weights = kernels.repeat_interleave(c, 0).unsqueeze(1)
    return functional.conv2d(padded.flatten(0, 1).unsqueeze(0), weights, groups=n * c).view(n, c, h, w)


def gaussian_kernels(size: Tensor) -> Tensor:
    """size (N,) int64, each 3, 5 or 7 -> (N, 7, 7) float32 kernels, the smaller ones with a rim of zeros."""
    taps = _gaussian_taps(size.device).index_select(0, (size - 3) // 2)
    return taps.unsqueeze(2) * taps.unsqueeze(1)


@functools.cache  # a copy from the host would make it wait, so once per device
def _gaussian_taps(device: torch.device) -> Tensor:
    return torch.tensor(GAUSSIAN_TAPS, device=device) / 64


def line_kernels(start: Tensor, end: Tensor, size: Tensor) -> Tensor:
    """Lines one pixel wide from start to end as (N, 7, 7) float32 kernels of sum 1.

    Start and end are (N, 2) int64, (x, y) in 0..size-1, and differ; `size` (N,) int64, each 3, 5 or 7, says
    where the centre is. The pixels are those of `cv2.line`: Bresenham's 8-connected line, walked from the
    left end, where a tie stays on the old row.
    """
    leftward = (end[:, 0] < start[:, 0]).unsqueeze(1)
    start, end = torch.where(leftward, end, start), torch.where(leftward, start, end)
    distance = (end - start).abs()
    length = distance.amax(1, keepdim=True)
    step = torch.arange(WIDEST, device=size.device).unsqueeze(1)
    margin = ((WIDEST - size) // 2).unsqueeze(1)
    walked = (2 * distance.unsqueeze(1) * step + length.unsqueeze(1) - 1) // (2 * length.unsqueeze(1))
    points = (start + margin).unsqueeze(1) + walked * (end - start).sign().unsqueeze(1)
    pixel = torch.arange(WIDEST, device=size.device)
    column, row = points[..., 0, None] == pixel, points[..., 1, None] == pixel
    line = row.unsqueeze(3) & column.unsqueeze(2) & (step.squeeze(1) <= length).view(-1, WIDEST, 1, 1)
    kernel = line.any(1).float()
    return kernel / kernel.sum((1, 2), keepdim=True)


def downscale(levels: Tensor, scale: Tensor) -> Tensor:
    """Shrink by `scale` (N,) float64 in [0.5, 1) and enlarge back, as cv2.INTER_AREA in float32. Not rounded.

    Rows and columns one after the other, and products and sums in OpenCV's order and not fused: a caller who
    truncates a flat area's values sees the last bit.
    """
    h, w = levels.shape[2:]
    for first, weights in (_shrink(w, scale), _shrink(h, scale), _enlarge(w, scale), _enlarge(h, scale)):
        levels = _blend(levels, first, weights).mT
    return levels


def _blend(values: Tensor, first: Tensor, weights: Tensor) -> Tensor:
    """Last axis: out[n, ..., j] = sum over t of weights[n, j, t] * values[n, ..., first[n, j] + t]."""
    n, c, rows, columns = values.shape
    total: Tensor | float = 0.0
    for t, weight in enumerate(weights.unbind(2)):
        index = (first + t).clamp(max=columns - 1).view(n, 1, 1, -1).expand(n, c, rows, -1)
        total = total + values.gather(3, index) * weight.view(n, 1, 1, -1)
    return total


def _shrink(size: int, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Small pixel j averages over the interval [j, j + 1) / scale, which meets at most three pixels.

    There are `size` small pixels whatever the scale; those that lie beyond the image are never read.
    """
    cell = 1 / scale.unsqueeze(1)
    start = torch.arange(size, device=scale.device) * cell
    pixel = start.floor().unsqueeze(2) + torch.arange(3, device=scale.device)
    overlap = torch.minimum((start + cell).unsqueeze(2), pixel + 1) - torch.maximum(start.unsqueeze(2), pixel)
    overlap = overlap.where((overlap > NEGLIGIBLE_OVERLAP) & (pixel < size), 0)
    inside = torch.minimum(cell, size - start).clamp(min=NEGLIGIBLE_OVERLAP)
    return start.long(), (overlap / inside.unsqueeze(2)).float()


def _enlarge(size: int, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel j blends the one or two small pixels that it covers."""
    small = (size * scale).round().unsqueeze(1)
    pixel = torch.arange(size, device=scale.device)
    first = (pixel * small / size).floor()
    share = (pixel + 1 - (first + 1) * size / small).clamp(min=0)
    share = (share - share.floor()).where(first < small - 1, 0).float()
    return first.long(), torch.stack([1 - share, share], 2)
