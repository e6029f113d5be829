"""How far predicted and true quantities agree (Bland and Altman 1986)."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LIMITS = 1.96  # standard deviations


def agreement(predicted: NDArray, true: NDArray, unit: str = "") -> dict[str, float]:
    """Of predicted and true values (n,): name -> value, names of what has a unit ending with it.

    mean, true_mean, bias       means of both and of predicted minus true
    mae, r                      mean absolute error; Pearson's correlation, left out of what does not vary
    sd, true_sd, loa_low, loa_high
                                SD of both; bias -+ 1.96 SD of the differences; left out where n is 1

    FloatingPointError for values that are not finite.

    >>> agreement(np.array([11.0, 21.0]), np.array([10.0, 20.0]), "_ml")["bias_ml"]
    1.0
    """
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise FloatingPointError("expected finite values, predicted and true, found others")
    differences = predicted - true
    bias = differences.mean()
    values = {
        "mean": predicted.mean(),
        "true_mean": true.mean(),
        "bias": bias,
        "mae": np.abs(differences).mean(),
    }
    if len(true) > 1:
        half = LIMITS * differences.std(ddof=1)
        values |= {
            "sd": predicted.std(ddof=1),
            "true_sd": true.std(ddof=1),
            "loa_low": bias - half,
            "loa_high": bias + half,
        }
    named = {f"{name}{unit}": float(value) for name, value in values.items()}
    if np.ptp(predicted) > 0 and np.ptp(true) > 0:
        named["r"] = float(stats.pearsonr(predicted, true).statistic)
    return named
