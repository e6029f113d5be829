"""Losses of SDNet and its baselines (Chartsias 2019, section 3.4 and the released code): scalars, float32."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 0.1


def dice_loss(predicted: Tensor, truth: Tensor, doubled_smooth: bool = True) -> Tensor:
    """1 - Dice of soft masks (N, L, H, W), the L structures of an image pooled; mean over images.

    As printed and released, (1 - 2 (I + 0.1) / (A + B + 0.1)), 0.1 is doubled in the numerator: where nothing
    is delineated and nothing predicted, the loss is -1. Without `doubled_smooth` it is 0 there.
    """
    predicted, truth = predicted.float(), truth.float()
    both = (predicted * truth).sum((1, 2, 3))
    either = predicted.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    smooth = 2 * SMOOTH if doubled_smooth else SMOOTH
    return (1 - (2 * both + smooth) / (either + SMOOTH)).mean()


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) of (N, nz), summed over dimensions; mean over images."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()


def sampled(mean: Tensor, log_variance: Tensor) -> Tensor:
    """z (N, nz) ~ N(mean, variance), through which gradients pass."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def least_squares(outputs: Tensor, real: bool) -> Tensor:
    """Squared distance of a critic's outputs (N, 1) to 1 for real, 0 for fake (Mao 2017, without halves)."""
    return F.mse_loss(outputs, torch.full_like(outputs, float(real)))
