"""Dice and entropy of clusters; Cox regression, Harrell's C, the log-rank test: by references, by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from latent_anatomy.metrics import clustering, survival


def people(n: int = 80, k: int = 3, seed: int = 0, ties: bool = False):
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, k))
    time = random.exponential(np.exp(-x @ np.linspace(1, -0.5, k)))
    if ties:
        time = np.ceil(4 * time)
    return time, (random.random(n) < 0.7).astype(float), x


@pytest.mark.parametrize("ties", [False, True])
def test_without_a_ridge_it_is_the_maximum_of_the_partial_likelihood(ties):
    time, event, x = people(seed=1, ties=ties)
    reference = PHReg(time, x, status=event, ties="breslow").fit().params
    np.testing.assert_allclose(survival.cox(time, event, x, 0), reference, atol=1e-3)


def test_cox_with_a_ridge_and_harrells_c_are_those_of_lifelines():
    with np.load(Path(__file__).parent / "oracle/lifelines_0_30_3.npz") as reference:
        given = dict(reference)
    time, event, risk = given["time"], given["event"], given["risk"]
    for ridge, expected in zip(given["ridges"], given["coefficients"], strict=True):
        found = survival.cox(time, event, given["covariates"], ridge)
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(np.diff(given["coefficients"], axis=0)).max() > 0.05, "the ridge matters"
    assert len(np.unique(risk)) < len(risk)
    assert survival.harrell(time, event, risk) == pytest.approx(float(given["concordance"]), abs=1e-12)


def test_with_a_ridge_the_gradient_vanishes_and_coefficients_shrink():
    time, event, x = people()
    free, held = survival.cox(time, event, x, 0), survival.cox(time, event, x, 20.0)
    assert np.linalg.norm(held) < np.linalg.norm(free)

    def objective(beta):
        value = -10.0 * beta @ beta
        for row in np.flatnonzero(event):
            value += x[row] @ beta - np.log(np.exp(x[time >= time[row]] @ beta).sum())
        return value

    for direction in np.eye(3):
        slope = (objective(held + 1e-4 * direction) - objective(held - 1e-4 * direction)) / 2e-4
        assert abs(slope) < 0.01


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_harrells_c_by_hand_and_its_symmetries(seed):
    time, event, x = people(25, seed=seed, ties=True)
    risk = np.round(x[:, 0], 1)
    right = total = 0.0
    for i in range(25):
        for j in range(25):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                total += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 * (risk[i] == risk[j])
    value = survival.harrell(time, event, risk)
    assert value == pytest.approx(right / total)
    assert survival.harrell(time, event, -risk) == pytest.approx(1 - value)
    assert survival.harrell(time, event, np.zeros(25)) == 0.5
    assert survival.harrell(time, event, np.exp(3 * risk)) == pytest.approx(value)


def test_within_strata_only_their_own_pairs_count():
    time, event = np.array([1.0, 2, 1, 2]), np.ones(4)
    risk, hospital = np.array([2.0, 1, 12, 11]), np.array(["a", "a", "b", "b"])
    assert survival.harrell(time, event, risk, hospital) == 1.0
    assert survival.harrell(time, event, risk) < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_log_rank_test_is_statsmodels(seed):
    time, event, x = people(60, seed=seed, ties=True)
    group = x[:, 0] > 0
    reference = survdiff(time, event, group.astype(int))[1]
    assert survival.log_rank(time, event, group) == pytest.approx(reference)


def test_log_ratios_sum_to_0_and_do_not_depend_on_how_many_rows_there_are():
    counts = np.array([[10, 20, 70], [0, 5, 5]])
    ratios = survival.centred_log_ratio(counts)
    np.testing.assert_allclose(ratios.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(
        survival.centred_log_ratio(10_000 * counts[:1]),
        np.log([[1, 2, 7]]) - np.log([1, 2, 7]).mean(),
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: survival.cox(np.ones(3), np.zeros(3), np.ones((3, 1)), 1), "Cox .* found no event"),
        (lambda: survival.cox(np.ones(2), np.ones(2), np.full((2, 1), np.nan), 1), "Cox .* found NaN"),
        (lambda: survival.harrell(np.ones(3), np.zeros(3), np.ones(3)), "a pair that can be compared"),
        (lambda: survival.log_rank(np.ones(3), np.ones(3), np.ones(3, bool)), "expected two groups"),
        (lambda: clustering.dice(np.zeros(2, int), np.zeros(3, int)), "labels of as many partners"),
    ],
)
def test_what_has_no_answer_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_dice_is_1_exactly_for_equal_labels_and_its_weighted_mean_is_agreement(labels):
    one, other = np.array(labels).T
    assert clustering.dice(one, one) == clustering.dice(other, other, weighted=True) == 1
    assert clustering.dice(one, other, weighted=True) == pytest.approx((one == other).mean())
    assert (clustering.dice(one, other) == 1) == bool((one == other).all())
    assert 0 <= clustering.entropy(one, 5) <= 1 + 1e-12


@pytest.mark.parametrize("ties", [False, True])
def test_kaplan_meier_is_statsmodels(ties):
    time, event, _ = people(ties=ties)
    reference = SurvfuncRight(time, event)
    moments, share = survival.kaplan_meier(time, event)
    assert moments[0] == 0 and share[0] == 1
    np.testing.assert_allclose(moments[1:], reference.surv_times)
    np.testing.assert_allclose(share[1:], reference.surv_prob)
