"""RA's anomaly map, equation 5 of Bercea et al. 2024 (arXiv 2401.10637), of an image x, redrawn as r:

    |eq(r) - eq(x)| S(r, x) S(eq(r), eq(x)),      x and r clamped to [0, 1]

with eq contrast-limited adaptive histogram equalisation, which also stretches each image to [0, 1], and S the
LPIPS at each pixel, smoothed.
"""

import numpy as np
import torch
from torch import Tensor

from latent_anatomy.networks.lpips import Lpips
from latent_anatomy.training.healthy import absolute, smooth


@torch.no_grad()
def seen_and_equalised(images: Tensor, reconstructions: Tensor, network: Lpips, smoothing: float) -> Tensor:
    """The map (N, 1, H, W) float32, not below 0, of images (N, C, H, W) of 32 pixels and more on a side.

    smoothing: of S, the standard deviation in pixels. Of images with channels, each is equalised, and the
    residual is their mean.
    """
    given, rebuilt = images.float().clamp(0, 1), reconstructions.float().clamp(0, 1)
    equalised = equalise(given), equalise(rebuilt)
    seen = [network(*pair) for pair in ((rebuilt, given), equalised[::-1])]
    first, second = (smooth(each, smoothing) for each in seen)
    return absolute(*equalised) * first * second


def equalise(images: Tensor) -> Tensor:
    """eq(.) of each plane of images (N, C, H, W) in [0, 1]: tiles of an eighth of each side, limit 0.01."""
    from skimage.exposure import equalize_adapthist

    planes = images.flatten(0, 1).double().cpu().numpy()
    equal = np.stack([equalize_adapthist(plane) for plane in planes])
    return torch.from_numpy(equal.astype(np.float32)).view_as(images).to(images.device)
