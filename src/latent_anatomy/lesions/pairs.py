"""Is one model's Dice better than another's, patient by patient?

A difference of 0.01 between means with an SD of 0.2 over 49 patients says nothing by itself; the same
patients were delineated by both models, so their differences do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.statistics import bootstrap, holm, sign_flip

SEED = 1333


@dataclass(frozen=True)
class Pair:
    """Mean over patients of one model's Dice minus another's, its 95 % interval, and p-values."""

    one: str
    other: str
    patients: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def compare(dice: Mapping[str, NDArray]) -> list[Pair]:
    """All pairs of models, in their order; `dice`: model -> Dice (patients,) of the same patients.

    Intervals are BCa bootstraps over patients; p-values are two-sided paired permutation tests, and
    `p_holm` is adjusted for all pairs of the table. Patients without lesions (NaN) are left out. Raises
    ValueError when models differ in their patients, and for fewer than two patients.
    """
    (first, reference), *_ = dice.items()
    for name, values in dice.items():
        if values.shape != reference.shape or not np.array_equal(np.isnan(values), np.isnan(reference)):
            raise ValueError(
                f"expected models that were tested on the same patients, found others in {name} "
                f"than in {first}: evaluate both on the same slices"
            )
    with_lesions = ~np.isnan(reference)
    pairs = list(combinations(dice, 2))
    differences = [dice[one][with_lesions] - dice[other][with_lesions] for one, other in pairs]
    patients = np.arange(int(with_lesions.sum()))
    intervals = [_interval(values, patients) for values in differences]
    p_values = [sign_flip(values, patients, seed=SEED) for values in differences]
    adjusted = holm(p_values)
    return [
        Pair(*pair, len(patients), *interval, p, float(p_holm))
        for pair, interval, p, p_holm in zip(pairs, intervals, p_values, adjusted, strict=True)
    ]


def _interval(differences: NDArray, patients: NDArray) -> tuple[float, float, float]:
    result = bootstrap(lambda counts: counts @ differences / counts.sum(axis=1), patients, seed=SEED)
    return result.estimate, result.low, result.high
