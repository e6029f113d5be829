"""Random affine maps of a batch on its device: RA's augmentation of brains (Bercea 2024, released code)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DEGREES, SHIFT, SMALLEST, LARGEST = 10.0, 0.1, 0.9, 1.1


def randomly_moved(images: Tensor) -> Tensor:
    """Images (N, C, H, W) float, each turned, shifted, scaled and, half of them, mirrored by itself.

    Up to 10 degrees and a tenth of either side, to 0.9 to 1.1 of the size, all uniform; nearest pixel, 0 from
    outside. One draw of torch's global generator for each number.

    >>> randomly_moved(torch.rand(3, 1, 8, 16)).shape
    torch.Size([3, 1, 8, 16])
    """
    count, _, height, width = images.shape
    drawn = torch.rand(5, count, device=images.device)
    angle = (2 * drawn[0] - 1) * math.radians(DEGREES)
    scale = SMALLEST + (LARGEST - SMALLEST) * drawn[1]
    right, down = 2 * SHIFT * (2 * drawn[2:4] - 1)  # a side is 2 long
    mirror = 1 - 2 * (drawn[4] < 0.5).float()
    cosine, sine = angle.cos() / scale, angle.sin() / scale
    rows = [mirror * cosine, -sine * height / width, right, mirror * sine * width / height, cosine, down]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)
