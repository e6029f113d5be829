"""Noise of ImageNet-C: Gaussian, Poisson (shot) and salt-and-pepper (impulse).

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019, section 3. Samplers return float64 fields that do not depend on the severity; corruptions take and
return float64 levels (N, 3, H, W) in [0, 255], before truncation to whole levels.
"""

import torch
from torch import Generator, Tensor


def sample_normal(shape, generator: Generator) -> dict[str, Tensor]:
    """Standard normal deviates, one per value: {"noise": (N, 3, H, W)}."""
    return {"noise": torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)}


def sample_quantile(shape, generator: Generator) -> dict[str, Tensor]:
    """Uniform quantiles in [0, 1), one per value: {"quantile": (N, 3, H, W)}."""
    return {"quantile": torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)}


def sample_impulse(shape, generator: Generator) -> dict[str, Tensor]:
    """Uniform deviates in [0, 1) that decide where ("flip") and which way ("salt"), each (N, 3, H, W)."""
    flip, salt = torch.rand((2, *shape), generator=generator, device=generator.device, dtype=torch.float64)
    return {"flip": flip, "salt": salt}


def gaussian_noise(levels: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """Adds sigma * noise on the [0, 1] scale."""
    return (levels / 255 + sigma * noise).clamp(0, 1) * 255


def shot_noise(levels: Tensor, photons: int, quantile: Tensor) -> Tensor:
    """Replaces a value x in [0, 1] by Poisson(photons * x) / photons.

    The count is read off the Poisson distribution function at `quantile`, so a draw can be replayed on any
    image. Counts above `photons` are white anyway, so the table of the distribution ends there: one row of
    cumulative probabilities per level, shifted by the level, makes the whole table one increasing sequence to
    search.
    """
    rates = torch.arange(256, device=levels.device, dtype=torch.float64)[:, None] / 255 * photons
    counts = torch.arange(photons, device=levels.device, dtype=torch.float64)[None, :]
    cumulative = torch.special.gammaincc((counts + 1).expand(256, -1), rates.expand(-1, photons))
    table = (torch.arange(256, device=levels.device)[:, None] + cumulative).flatten()
    position = torch.searchsorted(table, (levels + quantile).contiguous(), right=True)
    return (position - photons * levels).clamp(0, photons) / photons * 255


def impulse_noise(levels: Tensor, amount: float, flip: Tensor, salt: Tensor) -> Tensor:
    """Turns a share `amount` of the values black or white with equal odds, each channel by itself."""
    return torch.where(flip <= amount, torch.where(salt <= 0.5, 255.0, 0.0).to(levels), levels)
