"""Uncertainty of results: over seeds, over subjects, of paired differences, of many of them.

Everything about subjects is expressed by `counts` (resamples, images), how often each image is in one:
a statistic maps counts to one value per resample, so that a bootstrap is a few matrix products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Statistic = Callable[[NDArray], NDArray]

RESAMPLES = 2000
PERMUTATIONS = 10_000
EXACT_UP_TO = 12  # subjects; beyond, sign flips are sampled instead of enumerated
CHUNK = 256  # resamples at a time, to bound memory
LEAST_DEFINED = 0.95  # part of the resamples for which a statistic must be defined


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, a two-sided p-value of its being zero, its standard error."""

    estimate: float
    low: float
    high: float
    p: float
    error: float


def t_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of values (n,), such as one per seed, and the bounds of Student's t interval.

    A single value has no spread: its bounds are NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"expected one finite value or more, found {values}")
    mean = float(values.mean())
    if len(values) == 1:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def bootstrap(
    statistic: Statistic,
    subjects: ArrayLike,
    *,
    seed: int,
    method: Literal["percentile", "bca"] = "bca",
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Bootstrap interval of `statistic`, drawing whole subjects with replacement (Efron 1987).

    subjects (images,): the subject of each image. `statistic` maps counts (resamples, images) float64
    to (resamples,), NaN where it is undefined, for example because a class is not in it; such
    resamples are left out, and more than 5 % of them raise ValueError. The p-value is twice the
    smaller part of the resamples on one side of zero, one added to each count.
    """
    membership = np.unique(np.asarray(subjects), return_inverse=True)[1]
    count = int(membership.max()) + 1
    if count < 2:
        raise ValueError("expected two subjects or more, found one: it has no spread")
    estimate = float(statistic(np.ones((1, len(membership))))[0])
    if not np.isfinite(estimate):
        raise ValueError(f"expected a statistic that is defined on the whole sample, found {estimate}")
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    values = _evaluate(statistic, draws, membership)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        jackknife = _evaluate(statistic, 1 - np.eye(count, dtype=np.int64), membership)
        tails = _bca_tails(tails, values, estimate, jackknife)
    low, high = np.quantile(values, tails)
    beyond = min(np.sum(values <= 0), np.sum(values >= 0))
    p = min(1.0, 2 * (beyond + 1) / (len(values) + 1))
    return Interval(estimate, float(low), float(high), float(p), float(values.std(ddof=1)))


def _evaluate(statistic: Statistic, draws: NDArray, membership: NDArray) -> NDArray:
    """Defined values of a statistic for draws (resamples, subjects)."""
    parts = [draws[start : start + CHUNK] for start in range(0, len(draws), CHUNK)]
    values = np.concatenate([statistic(part[:, membership].astype(np.float64)) for part in parts])
    defined = np.isfinite(values)
    if defined.mean() < LEAST_DEFINED:
        raise ValueError(
            f"expected a statistic that is defined on nearly all resamples, found {defined.mean():.0%}: "
            "a class has too few subjects"
        )
    return values[defined]


def _bca_tails(tails: NDArray, values: NDArray, estimate: float, jackknife: NDArray) -> NDArray:
    """Bias-corrected and accelerated levels (Efron 1987); ties count half, as the bias needs them."""
    below = (np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    influence = jackknife.mean() - jackknife
    scale = 6 * np.sum(influence**2) ** 1.5
    acceleration = np.sum(influence**3) / scale if scale > 0 else 0.0
    shifted = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))


def sign_flip(
    differences: ArrayLike, subjects: ArrayLike, *, seed: int, permutations: int = PERMUTATIONS
) -> float:
    """Two-sided p-value that paired differences (images,) have mean zero.

    All differences of a subject change sign together. Every assignment of signs is enumerated for up
    to 12 subjects; otherwise `permutations` are sampled, the observed one added (Phipson and Smyth 2010).

    >>> sign_flip([0.1, 0.2, 0.1, 0.3], ["ann", "ann", "ben", "cleo"], seed=1)
    0.25
    """
    differences = np.asarray(differences, dtype=np.float64)
    if not len(differences) or not np.isfinite(differences).all():
        wrong = f"{np.count_nonzero(~np.isfinite(differences))} of {len(differences)} that are not"
        raise ValueError(f"expected finite differences, found {wrong}: leave out what has no value")
    membership = np.unique(np.asarray(subjects), return_inverse=True)[1]
    sums = np.bincount(membership, weights=differences)
    observed = abs(sums.sum())
    slack = 1e-9 * np.abs(sums).sum()  # sums in another order differ in their last bits
    if len(sums) <= EXACT_UP_TO:
        signs = np.array(np.meshgrid(*[(-1.0, 1.0)] * len(sums))).reshape(len(sums), -1)
        return float(np.mean(np.abs(sums @ signs) >= observed - slack))
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, permutations, CHUNK):
        signs = rng.integers(0, 2, (min(CHUNK, permutations - start), len(sums))) * 2 - 1
        extreme += int(np.sum(np.abs(signs @ sums) >= observed - slack))
    return (extreme + 1) / (permutations + 1)


def holm(p_values: ArrayLike) -> NDArray:
    """p-values (n,) adjusted for their number by Holm's step-down method (1979), in the same order.

    >>> holm([0.01, 0.5, 0.02])
    array([0.03, 0.5 , 0.04])
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if p_values.size and not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"expected p-values from 0 to 1, found {p_values}")
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
