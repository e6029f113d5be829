"""Statistics against scipy, and against what they must mean."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latent_anatomy.statistics.inference import bootstrap, holm, sign_flip, t_interval

RESAMPLES = 20_000


def mean_of(values):
    """The mean of values as a function of counts."""
    return lambda counts: counts @ values / counts.sum(axis=1)


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_t_interval_is_scipys(count, confidence):
    values = np.random.default_rng(count).normal(3, 2, count)
    expected = stats.t.interval(confidence, count - 1, values.mean(), stats.sem(values))
    assert t_interval(values, confidence) == pytest.approx((values.mean(), *expected))


def test_one_seed_has_no_interval():
    mean, low, high = t_interval([0.7])
    assert mean == 0.7 and np.isnan(low) and np.isnan(high)


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_t_interval_refuses(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_interval_is_scipys(method):
    values = np.random.default_rng(5).exponential(size=40)
    ours = bootstrap(mean_of(values), np.arange(40), seed=1, method=method, resamples=RESAMPLES)
    scipys = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method=method, rng=np.random.default_rng(2)
    )
    spread = scipys.standard_error
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(scipys.confidence_interval), abs=0.05 * spread)


def test_bca_moves_the_interval_of_a_skewed_sample():
    values = np.random.default_rng(5).exponential(size=40)
    intervals = [
        bootstrap(mean_of(values), np.arange(40), seed=1, method=method) for method in ("percentile", "bca")
    ]
    assert intervals[1].low > intervals[0].low and intervals[1].high > intervals[0].high


def test_subjects_are_drawn_whole():
    """Copies of an image of the same subject add no information."""
    values = np.random.default_rng(7).normal(size=30)
    single = bootstrap(mean_of(values), np.arange(30), seed=3)
    copied = bootstrap(mean_of(np.repeat(values, 4)), np.repeat(np.arange(30), 4), seed=3)
    assert (copied.low, copied.high, copied.p) == pytest.approx((single.low, single.high, single.p))


def test_bootstrap_repeats_itself_and_depends_on_its_seed():
    values = np.random.default_rng(7).normal(size=30)
    found = [bootstrap(mean_of(values), np.arange(30), seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("shift, significant", [(0.0, False), (1.0, True), (-1.0, True)])
def test_bootstrap_p_value_agrees_with_the_interval(shift, significant):
    values = stats.norm.ppf((np.arange(50) + 0.5) / 50) + shift
    result = bootstrap(mean_of(values), np.arange(50), seed=0)
    assert (result.p < 0.05) == significant == (not result.low <= 0 <= result.high)


def test_no_difference_at_all():
    result = bootstrap(lambda counts: np.zeros(len(counts)), np.arange(10), seed=0)
    assert (result.estimate, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_bootstrap_leaves_out_few_undefined_resamples_and_refuses_many():
    def defined_if_drawn(images):
        def statistic(counts):
            with np.errstate(invalid="ignore", divide="ignore"):
                return counts[:, images].sum(axis=1) / (counts[:, images].sum(axis=1) > 0)

        return statistic

    assert np.isfinite(bootstrap(defined_if_drawn([0, 1, 2, 3, 4]), np.arange(20), seed=0).high)
    with pytest.raises(ValueError, match="nearly all resamples"):
        bootstrap(defined_if_drawn([0]), np.arange(20), seed=0)


def test_one_subject_has_no_spread():
    with pytest.raises(ValueError, match="two subjects"):
        bootstrap(mean_of(np.ones(5)), np.zeros(5), seed=0)


@pytest.mark.parametrize("count", [5, 10])
def test_exact_sign_flips_are_scipys(count):
    differences = np.random.default_rng(count).normal(0.5, 1, count)
    expected = stats.permutation_test(
        (differences, np.zeros(count)),
        lambda one, other: np.mean(one - other),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert sign_flip(differences, np.arange(count), seed=0) == pytest.approx(expected.pvalue)


def test_drawn_sign_flips_are_near_the_normal_limit():
    differences = np.random.default_rng(1).normal(0.12, 1, 300)
    z = differences.sum() / np.sqrt(np.sum(differences**2))
    assert sign_flip(differences, np.arange(300), seed=0) == pytest.approx(2 * stats.norm.sf(z), abs=0.015)


def test_differences_of_a_subject_change_sign_together():
    differences = np.array([1.0, 2.0, 3.0, -0.5, 0.3, 0.9])
    subjects = np.array(["a", "b", "a", "c", "c", "b"])
    sums = [4.0, 2.9, -0.2]
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=3)]
    assert sign_flip(differences, subjects, seed=0) == np.mean(np.array(flipped) >= abs(sum(sums)) - 1e-12)


def test_sign_flips_never_promise_certainty():
    assert sign_flip(np.ones(50), np.arange(50), seed=0, permutations=999) == 0.001
    assert sign_flip(np.zeros(50), np.arange(50), seed=0) == 1


def holm_by_definition(p_values):
    """Holm 1979: the k-th smallest is multiplied by the number of hypotheses not yet rejected."""
    ranked = sorted(p_values)
    steps = [min(1, (len(ranked) - rank) * p) for rank, p in enumerate(ranked)]
    return [max(steps[: ranked.index(p) + 1 + (ranked.count(p) - 1)]) for p in p_values]


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_follows_its_definition(p_values):
    adjusted = holm(p_values)
    assert adjusted == pytest.approx(holm_by_definition(p_values))
    assert all(after >= before for before, after in zip(p_values, adjusted, strict=True))


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="0 to 1"):
        holm([0.5, np.nan])
