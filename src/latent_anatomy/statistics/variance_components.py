"""How the variance of a result splits between the seed and the data split.

S seeds are crossed with K splits, one training in each cell, and the results are taken as

    y_ij = mean + seed_i + split_j + residual_ij

with three independent normal parts of variance v_seed, v_split, v_residual (a two-way random-effects
model without replication; Searle, Casella, McCulloch: Variance components, 1992, chapter 4). With MS the
mean squares of the two-way table, the estimates are those of the method of moments (ANOVA):

    v_residual = MS_residual,  v_seed = (MS_seed - MS_residual) / K,  v_split = (MS_split - MS_residual) / S

They are unbiased and so may be negative; a variance is then shown as 0. Where a training is bit-identical
under the same seed and split, the residual is the interaction of the two and nothing else; otherwise it
holds the noise of the device too, which one training per cell cannot tell from it.

Intervals follow from the chi-squared and F distributions: exact for v_residual; Williams's (1962) for the
others, which are not exact and in the simulations of the tests hold the truth no less often than they say.
Resampling rows and columns was left out: with three of each it takes the spread of three values for the
population's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Component:
    """A part of the variance: its unbiased estimate, which may be negative, and its interval."""

    estimate: float
    low: float
    high: float

    @property
    def variance(self) -> float:
        """The estimate, or 0 where it is negative."""
        return max(0.0, self.estimate)


@dataclass(frozen=True)
class Components:
    """The three parts; `total`, the variance of a single result, is the sum of their variances."""

    seed: Component
    split: Component
    residual: Component

    @property
    def total(self) -> float:
        return self.seed.variance + self.split.variance + self.residual.variance


def components(values: ArrayLike, confidence: float = 0.95) -> Components:
    """Variance components of results (S seeds, K splits), both at least 2; ValueError otherwise."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"expected finite results of two seeds and two splits or more, found shape {values.shape}"
        )
    seeds, splits = values.shape
    values = values - values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    residuals = values - rows[:, None] - columns
    freedom = (seeds - 1) * (splits - 1)
    noise = float(np.sum(residuals**2)) / freedom
    low, high = stats.chi2.ppf([(1 + confidence) / 2, (1 - confidence) / 2], freedom)
    return Components(
        _effect(splits * float(np.var(rows, ddof=1)), noise, seeds - 1, freedom, splits, confidence),
        _effect(seeds * float(np.var(columns, ddof=1)), noise, splits - 1, freedom, seeds, confidence),
        Component(noise, freedom * noise / low, freedom * noise / high),
    )


def _effect(
    square: float, noise: float, freedom: int, noise_freedom: int, replicates: int, confidence: float
) -> Component:
    """A main effect of mean square `square`, each level of it seen `replicates` times."""
    tails = np.array([(1 + confidence) / 2, (1 - confidence) / 2])
    ratios, scales = stats.f.ppf(tails, freedom, noise_freedom), stats.chi2.ppf(tails, freedom)
    low, high = np.maximum(0, freedom * (square - ratios * noise) / (replicates * scales))
    return Component((square - noise) / replicates, float(low), float(high))
