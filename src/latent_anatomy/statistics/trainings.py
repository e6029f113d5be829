"""Is a method better than another, or did one of its trainings turn out well? An interval over both.

Of each method there are a few trainings, and all are tested on the same subjects. A difference of the
methods' means is uncertain because other trainings, and other subjects, would have given another. Resampling
the trainings of each method, and then the subjects, would show how far; but of 3 + 3 trainings no resample is
more extreme than the one arrangement of twenty in which all of one method lie above all of the other, so that
percentiles would call one of ten equal pairs different. Here the same variance is taken in its closed form,
and the small number of trainings goes into Student's t:

    se^2  =  s_one^2 / S_one  +  s_other^2 / S_other  +  v_subjects
    difference +- t(df) se,  df by Welch and Satterthwaite, with S_one - 1, S_other - 1 and subjects - 1

s^2 is the variance of the metric over a method's S trainings, v_subjects that over resamples of whole
subjects. What subjects and trainings have together is in two of the terms: the interval is rather too wide.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from latent_anatomy.statistics.inference import Interval

LEAST = 3  # trainings of each method on which a comparison of methods rests


def over_trainings(
    one: Sequence[float],
    other: Sequence[float],
    sd_subjects: float = 0.0,
    subjects: int = 2,
    confidence: float = 0.95,
) -> Interval:
    """Difference of the means of a metric, one (S,) minus other (T,), one value for each training.

    A single value is that of a run without randomness, which needs no further training. `sd_subjects` is the
    standard deviation of the difference over resamples of its `subjects`; without it the interval is one over
    trainings alone. ValueError for values that are not finite.

    >>> round(over_trainings([30.1, 29.9, 30.0], [28.9, 29.0, 29.1], sd_subjects=0.1, subjects=50).low, 2)
    0.73
    """
    pools = [np.asarray(pool, dtype=np.float64) for pool in (one, other)]
    if not all(len(pool) and np.isfinite(pool).all() for pool in pools) or not np.isfinite(sd_subjects):
        raise ValueError(
            f"expected finite values of trainings and subjects, found {one}, {other}, {sd_subjects}"
        )
    return _t_interval(
        float(pools[0].mean() - pools[1].mean()),
        [(pool.var(ddof=1) / len(pool), len(pool) - 1) for pool in pools if len(pool) > 1]
        + [(sd_subjects**2, subjects - 1)],
        confidence,
    )


def over_folds(
    differences: Sequence[float], sd_subjects: float = 0.0, subjects: int = 2, confidence: float = 0.95
) -> Interval:
    """The same of differences (F,), one of each fold, in which both runs learn from the same."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all() or not np.isfinite(sd_subjects):
        raise ValueError(f"expected finite differences of two folds or more, found {differences}")
    parts = [(values.var(ddof=1) / len(values), len(values) - 1), (sd_subjects**2, subjects - 1)]
    return _t_interval(float(values.mean()), parts, confidence)


def _t_interval(estimate: float, parts: list[tuple[float, int]], confidence: float) -> Interval:
    """An estimate with its interval, of parts of its variance with their degrees of freedom."""
    variance = sum(part for part, _ in parts)
    if variance == 0:  # the same values everywhere: the runs are one
        return Interval(estimate, estimate, estimate, 1.0 if estimate == 0 else 0.0, 0.0)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = float(np.sqrt(variance))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(estimate) / error, freedom))
    return Interval(estimate, estimate - half, estimate + half, p, error)
