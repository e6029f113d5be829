"""Cox regression, Harrell's C, Kaplan-Meier, the log-rank test: of times (n,) and events (n,), 0 or 1."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from latent_anatomy.data.slices import defect

Array = NDArray[np.float64]
ENOUGH = 1e-4  # a change of a coefficient, in one round over all


def cox(time: Array, event: Array, covariates: Array, ridge: float) -> Array:
    """Coefficients (k,) that maximise log partial likelihood - ridge |b|^2 / 2, by statsmodels' `PHReg`.

    Cox 1972; ties as Breslow has them. ValueError without an event, or with a covariate that is not known.
    """
    from statsmodels.duration.hazard_regression import PHReg

    if not event.sum() or not np.isfinite(covariates).all() or not np.isfinite(time).all():
        found = "no event" if not event.sum() else "NaN"
        raise defect("Cox regression", "events, and times and covariates that are known", found, "leave out")
    model = PHReg(time, covariates, status=event, ties="breslow")
    fitted = model.fit_regularized(alpha=ridge / len(time), L1_wt=0, cnvrg_tol=ENOUGH)
    if not fitted.converged:
        raise defect("Cox regression", "a maximum", "none", "use a larger ridge")
    return fitted.params


def harrell(time: Array, event: Array, risk: Array, stratum: NDArray | None = None) -> float:
    """Share of comparable pairs in which who has the event first has the larger risk; equal risks: half.

    Harrell 1982. Comparable: the earlier time of two is that of an event. With `stratum` (n,), only pairs of
    one stratum. ValueError where no pair can be compared.

    >>> harrell(np.array([1.0, 2, 3]), np.array([1, 1, 0]), np.array([3.0, 2, 1]))
    1.0
    """
    earlier = (time[:, None] < time) & (event[:, None] == 1)
    tied = (time[:, None] == time) & (event[:, None] == 1) & (event == 0)
    comparable = earlier | tied
    if stratum is not None:
        comparable &= stratum[:, None] == stratum
    if not comparable.any():
        raise defect("Harrell's C", "a pair that can be compared", "none", "it needs an event before another")
    right = (risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)
    return float(right[comparable].mean())


def kaplan_meier(time: Array, event: Array) -> tuple[Array, Array]:
    """Times at which somebody has the event, from 0, and the share that is without it after each.

    Kaplan, Meier 1958.

    >>> kaplan_meier(np.array([1.0, 2, 3]), np.array([1, 0, 1]))
    (array([0., 1., 3.]), array([1.        , 0.66666667, 0.        ]))
    """
    moments = np.unique(time[event == 1])
    at_risk = (time >= moments[:, None]).sum(1)
    now = ((time == moments[:, None]) & (event == 1)).sum(1)
    return np.append(0.0, moments), np.append(1.0, np.cumprod(1 - now / at_risk))


def log_rank(time: Array, event: Array, group: NDArray[np.bool_]) -> float:
    """p-value of the test that two groups have one survival curve (Mantel 1966); ValueError for one group."""
    if group.all() or not group.any():
        raise defect("log-rank test", "two groups", "one", "use it where risks differ")
    observed = expected = variance = 0.0
    for moment in np.unique(time[event == 1]):
        at_risk, now = time >= moment, (time == moment) & (event == 1)
        n, own, deaths = at_risk.sum(), (at_risk & group).sum(), now.sum()
        observed += (now & group).sum()
        expected += deaths * own / n
        if n > 1:
            variance += deaths * own / n * (1 - own / n) * (n - deaths) / (n - 1)
    return float(chi2.sf((observed - expected) ** 2 / variance, 1)) if variance > 0 else 1.0


def centred_log_ratio(counts: NDArray, pseudo: float = 0.5) -> Array:
    """Counts (n, K) -> log of each share over the geometric mean of all of a row (Aitchison 1982).

    `pseudo` is added to every count: a part that is missing has no logarithm.
    """
    logs = np.log(counts + pseudo)
    return logs - logs.mean(axis=1, keepdims=True)
