"""Dice's coefficient of delineated structures, from counts of pixels that can be added up.

Counts (..., 3) float64 are how many pixels are in both, predicted, and true. Added over structures they are
those of all structures together, added over slices those of a volume.
"""

import torch
from torch import Tensor

from latent_anatomy.data.slices import NOT_DELINEATED


def counts(predicted: Tensor, truth: Tensor) -> Tensor:
    """Counts (N, L, 3) of planes (N, L, H, W) in [0, 1], truth of 0 and 1; soft where `predicted` is."""
    if predicted.shape != truth.shape:
        raise ValueError(
            f"expected a plane for each structure that is delineated, {tuple(truth.shape)}, "
            f"found {tuple(predicted.shape)}: segment with a method that was made for these structures"
        )
    planes = (predicted * truth, predicted, truth)
    return torch.stack([plane.sum((2, 3), dtype=torch.float64) for plane in planes], dim=-1)


def dice(counted: Tensor, smooth: float = 0.0) -> Tensor:
    """(2 both + smooth) / (predicted + true + smooth) of counts (..., 3): (...); 1 where both are empty."""
    both, predicted, true = counted.unbind(-1)
    either = predicted + true
    return torch.where(either > 0, (2 * both + smooth) / (either + smooth), 1.0)


def delineated(masks: Tensor) -> Tensor:
    """Which planes of masks (N, K, H, W) somebody has delineated: those that are not 255: (N, K) bool."""
    return masks[:, :, 0, 0] != NOT_DELINEATED


def hard(probabilities: Tensor) -> Tensor:
    """The likeliest structure of each pixel, or background, which has the rest: (N, L, H, W) of 0 and 1.

    probabilities (N, L, H, W), background left out.
    """
    background = 1 - probabilities.sum(1, keepdim=True)
    likeliest = torch.cat([probabilities, background], 1).argmax(1, keepdim=True)
    structures = torch.arange(probabilities.shape[1], device=probabilities.device)
    return (likeliest == structures.view(1, -1, 1, 1)).to(probabilities.dtype)
