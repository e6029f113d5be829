"""Methods are compared over trainings and subjects: a seed that turned out well is no better method."""

import numpy as np
import pytest
from scipy import stats
from scoring import scores_of

from latent_anatomy.evaluation import paired_tests
from latent_anatomy.evaluation.scores import pooled
from latent_anatomy.statistics.inference import sign_flip
from latent_anatomy.statistics.trainings import over_folds, over_trainings

SUBJECTS = 20
ROUNDS = 1500


def scores(rng, trainings: int, spread: float, gain: float = 0.0) -> np.ndarray:
    """Scores (trainings, SUBJECTS) of a method: subjects differ, and so do trainings, and both together."""
    return gain + rng.normal(0, spread, (trainings, 1)) + rng.normal(0, 0.3, (trainings, SUBJECTS))


def interval(one: np.ndarray, other: np.ndarray):
    difference = one.mean(0) - other.mean(0)
    error = difference.std() / np.sqrt(SUBJECTS)
    return over_trainings(one.mean(1), other.mean(1), error, SUBJECTS)


@pytest.mark.parametrize("spread", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("trainings", [(3, 3), (3, 8), (5, 5), (1, 3)])
def test_of_equal_methods_at_most_one_in_twenty_is_called_better(spread, trainings):
    """The first with one training is a run without randomness."""
    rng = np.random.default_rng([int(10 * spread), *trainings])
    claims = 0
    for _ in range(ROUNDS):
        one, other = (scores(rng, count, spread if count > 1 else 0.0) for count in trainings)
        result = interval(one, other)
        assert (result.p < 0.05) == (not result.low <= 0 <= result.high)
        claims += result.p < 0.05
    assert claims / ROUNDS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / ROUNDS)  # three standard errors of the count


def test_averaging_seeds_and_flipping_subjects_does_claim_it():
    """Why it is labelled "for these trainings"."""
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(200):
        one, other = scores(rng, 3, 0.5), scores(rng, 3, 0.5)
        claims += sign_flip(one.mean(0) - other.mean(0), np.arange(SUBJECTS), seed=0, permutations=500) < 0.05
    assert claims / 200 > 0.5


def test_a_better_method_is_seen():
    rng = np.random.default_rng(4)
    results = [interval(scores(rng, 5, 0.2, gain=1.0), scores(rng, 5, 0.2)) for _ in range(100)]
    assert np.mean([result.low > 0 for result in results]) > 0.95
    assert np.mean([result.low <= 1 <= result.high for result in results]) > 0.9


def test_without_a_spread_of_subjects_it_is_welch_s():
    one, other = np.random.default_rng(5).normal(0.5, 1, (2, 4))
    expected = stats.ttest_ind(one, other, equal_var=False)
    result = over_trainings(one, other)
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval()))
    paired = stats.ttest_rel(one, other)
    assert over_folds(one - other).p == pytest.approx(paired.pvalue)


@pytest.mark.parametrize("values", [([], [1.0]), ([np.nan, 1.0], [1.0, 2.0])])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="finite"):
        over_trainings(*values)


PSNR = "reconstruction/psnr"
PAIR = f"{PSNR}/one-minus-other"
PROBE = "probing/disease/own/scores"


def run(seed: int, gain: float = 0.0) -> dict[str, np.ndarray]:
    """Arrays of a training."""
    rng = np.random.default_rng(seed)
    labels = np.arange(SUBJECTS) % 2
    disease = rng.dirichlet(np.ones(2), SUBJECTS) + (0.2 + gain) * np.eye(2)[labels]
    return {
        "subject": np.array([f"p{place:02}" for place in range(SUBJECTS)]),
        "labels": labels,
        PSNR: rng.normal(30 + gain, 0.2, SUBJECTS),
        PROBE: disease / disease.sum(axis=1, keepdims=True),
    }


def test_paired_tests_have_it_from_three_trainings_on():
    seeds = {
        count: list(map(scores_of, (run(10 * count + seed) for seed in range(count)))) for count in (1, 2, 3)
    }
    better = [scores_of(run(seed, gain=1.0)) for seed in (91, 92, 93)]
    found = paired_tests.compare({"one": better, "other": seeds[3]})
    assert found[f"{PAIR}/trainings_low"] < found[f"{PAIR}/difference"] < found[f"{PAIR}/trainings_high"]
    assert found[f"{PAIR}/p_value_trainings"] <= found[f"{PAIR}/p_value_trainings_holm"] < 0.05
    assert "probing/disease/own/auc/one-minus-other/trainings_low" in found
    for few in (1, 2):
        found = paired_tests.compare({"one": better, "other": seeds[few]})
        assert f"{PAIR}/p_value" in found and not [name for name in found if "trainings" in name]
    found = paired_tests.compare({"one": better, "other": seeds[1]}, without_randomness=["other"])
    assert f"{PAIR}/p_value_trainings" in found


def test_its_parts_are_the_metrics_of_the_trainings():
    """Against the formula, of a mean and of an AUC."""
    pools = [[run(seed, gain) for seed in seeds] for seeds, gain in (((1, 2, 3), 0.5), ((4, 5, 6, 7), 0.0))]
    one, other = (list(map(scores_of, pool)) for pool in pools)
    found = paired_tests.compare({"one": one, "other": other})
    positive = run(0)["labels"] == 1

    def auc(arrays):
        score = arrays[PROBE][:, 1]
        return stats.mannwhitneyu(score[positive], score[~positive]).statistic / (
            positive.sum() * (~positive).sum()
        )

    for stem, metric in ((PSNR, lambda arrays: arrays[PSNR].mean()), ("probing/disease/own/auc", auc)):
        one, other = ([metric(arrays) for arrays in pool] for pool in pools)
        pair = f"{stem}/one-minus-other"
        assert found[f"{pair}/difference"] == pytest.approx(np.mean(one) - np.mean(other))
        alone = over_trainings(one, other)
        low, high = found[f"{pair}/trainings_low"], found[f"{pair}/trainings_high"]
        assert (low + high) / 2 == pytest.approx(found[f"{pair}/difference"])
        assert (
            high - low > 2 * (found[f"{pair}/difference"] - found[f"{pair}/ci_high"])
            and high > alone.estimate
        )


def test_three_folds_are_three_trainings():
    def folds(gain):
        parts = []
        for fold in range(3):
            arrays = run(fold, gain) | {PSNR: run(fold)[PSNR] + gain + 0.01 * fold}
            arrays["subject"] = np.array([f"fold-{fold}-{name}" for name in arrays["subject"]])
            parts.append(scores_of(arrays))
        return [pooled(parts)]

    found = paired_tests.compare({"one": folds(1.0), "other": folds(0.0)})
    assert found[f"{PAIR}/trainings_low"] > 0.9
    assert "probing/disease/own/acc/one-minus-other/trainings_low" in found
