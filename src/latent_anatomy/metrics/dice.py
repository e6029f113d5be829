"""Dice's coefficient of delineated structures, from counts of pixels that can be added up.

Counts (..., 3) float64 are how many pixels are in both, predicted, and true. Added over structures they are
those of all structures together, added over slices those of a volume.
"""

import torch
from torch import Tensor

from latent_anatomy.data.slices import NOT_DELINEATED


def counts(predicted: Tensor, truth: Tensor) -> Tensor:
    """Counts (N, L, 3) of planes (N, L, H, W) in [0, 1], truth of 0 and 1; soft where `predicted` is.

    >>> truth = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    >>> counts(torch.tensor([[[[0.0, 1.0, 1.0, 1.0]]]]), truth)
    tensor([[[1., 3., 2.]]], dtype=torch.float64)
    """
    if predicted.shape != truth.shape:
        raise ValueError(
            f"expected a plane for each structure that is delineated, {tuple(truth.shape)}, "
            f"found {tuple(predicted.shape)}: segment with a method that was made for these structures"
        )
    planes = (predicted * truth, predicted, truth)
    return torch.stack([plane.sum((2, 3), dtype=torch.float64) for plane in planes], dim=-1)


def dice(counted: Tensor, smooth: float = 0.0) -> Tensor:
    """(2 both + smooth) / (predicted + true + smooth) of counts (..., 3): (...); 1 where both are empty.

    >>> of_slices = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])
    >>> dice(of_slices), dice(of_slices.sum(0))
    (tensor([0.4000, 1.0000]), tensor(0.4000))
    """
    both, predicted, true = counted.unbind(-1)
    either = predicted + true
    return torch.where(either > 0, (2 * both + smooth) / (either + smooth), 1.0)


def delineated(masks: Tensor) -> Tensor:
    """Which planes of masks (N, K, H, W) somebody has delineated: those that are not 255: (N, K) bool."""
    return masks[:, :, 0, 0] != NOT_DELINEATED


def hard(probabilities: Tensor) -> Tensor:
    """The likeliest structure of each pixel, or background, which has the rest: (N, L, H, W) of 0 and 1.

    probabilities (N, L, H, W), background left out.

    >>> hard(torch.tensor([0.3, 0.4, 0.3, 0.1]).view(1, 2, 1, 2)).flatten(1)
    tensor([[0., 0., 0., 0.]])
    """
    background = 1 - probabilities.sum(1, keepdim=True)
    likeliest = torch.cat([probabilities, background], 1).argmax(1, keepdim=True)
    structures = torch.arange(probabilities.shape[1], device=probabilities.device)
    return (likeliest == structures.view(1, -1, 1, 1)).to(probabilities.dtype)
