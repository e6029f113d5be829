"""Random rotation of a batch on its device, SDNet's only augmentation (Chartsias 2019, released code)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(planes: Tensor, angles: Tensor) -> Tensor:
    """Turn (N, C, H, W) float about the centre by angles (N,) in radians, in one call for the batch.

    Bilinear; what comes from outside has the value of the nearest pixel of the border. A positive angle
    turns anti-clockwise, as the image is looked at.

    >>> rotate(torch.tensor([[[[1.0, 2], [3, 4]]]]), torch.tensor([math.pi / 2])).round()
    tensor([[[[2., 4.],
              [1., 3.]]]])
    """
    height, width = planes.shape[2:]
    cosine, sine, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    rows = [cosine, -sine * height / width, none, sine * width / height, cosine, none]
    maps = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, padding_mode="border", align_corners=False)


def randomly_rotated(
    images: Tensor, masks: Tensor | None = None, *, degrees: float, soft_masks: bool
) -> tuple[Tensor, Tensor | None]:
    """Images (N, C, H, W) and masks (N, K, H, W) of 0 and 1 as float32, each pair by an angle of its own.

    Uniform in +-`degrees`; 0 rotates nothing. Where not `soft_masks`, a pixel is 1 of which more than a half
    is inside.

    >>> images, masks = torch.rand(2, 1, 16, 16), torch.ones(2, 3, 16, 16, dtype=torch.uint8)
    >>> images, masks = randomly_rotated(images, masks, degrees=90, soft_masks=False)
    >>> images.shape, masks.shape, masks.dtype, masks.unique()
    (torch.Size([2, 1, 16, 16]), torch.Size([2, 3, 16, 16]), torch.float32, tensor([1.]))
    """
    count = images.shape[1]
    planes = images if masks is None else torch.cat([images, masks.float()], dim=1)
    if degrees:
        angles = (torch.rand(len(planes), device=planes.device) * 2 - 1) * math.radians(degrees)
        planes = rotate(planes, angles)
    if masks is None:
        return planes, None
    turned = planes[:, count:]
    return planes[:, :count], turned if soft_masks else turned.round()
