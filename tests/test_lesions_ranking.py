"""Thresholds, AUPRC and best Dice against scikit-learn, numpy and brute force."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve

from latent_anatomy.metrics.lesions.ranking import Ranking, VoxelRanking, best_dice
from latent_anatomy.metrics.lesions.thresholds import percentile

LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)
TIED = st.sampled_from([0.0, -0.0, SMALLEST, 1e-20, 0.1, 0.5, 0.50000006, 1.0, 1e30, LARGEST])
SCORES = TIED | st.floats(0, 10, width=32)
VOXELS = st.integers(1, 40).flatmap(
    lambda count: st.tuples(hnp.arrays(np.float32, count, elements=SCORES), hnp.arrays(bool, count))
)
WITH_LESIONS = VOXELS.filter(lambda both: both[1].any())


def ranked(scores, lesion, parts=1):
    ranking = VoxelRanking()
    for one, other in zip(np.array_split(scores, parts), np.array_split(lesion, parts), strict=True):
        ranking.update(one, other)
    return ranking.result()


def dice(scores, lesion, threshold):
    above = scores > np.float32(threshold)
    return 2 * (above & lesion).sum() / (above.sum() + lesion.sum())


def candidates(scores) -> set[float]:
    """Every threshold that can make a difference."""
    found = {0.0} | set(scores.tolist()) | set(np.nextafter(scores, np.float32(0)).tolist())
    return {threshold for threshold in found if threshold >= 0}


@settings(max_examples=100, deadline=None)
@given(WITH_LESIONS)
def test_average_precision_is_scikit_learns(both):
    scores, lesion = both
    expected = average_precision_score(lesion, scores)
    assert ranked(scores, lesion).average_precision() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(WITH_LESIONS)
def test_precision_and_recall_are_scikit_learns(both):
    """Its curve calls a voxel positive at a threshold, so the threshold below it is asked for."""
    scores, lesion = both
    assume((scores > 0).any())
    precision, recall, thresholds = precision_recall_curve(lesion, scores)
    some = thresholds > 0
    found, predicted = ranked(scores, lesion).above(np.nextafter(thresholds[some], np.float32(0)))
    np.testing.assert_allclose(found / predicted, precision[:-1][some])
    np.testing.assert_allclose(found / lesion.sum(), recall[:-1][some])


@settings(max_examples=100, deadline=None)
@given(WITH_LESIONS)
def test_best_dice_is_the_best_of_all_thresholds(both):
    scores, lesion = both
    every = {threshold: dice(scores, lesion, threshold) for threshold in candidates(scores)}
    ranking = ranked(scores, lesion)
    threshold, best = best_dice([ranking])
    assert best == pytest.approx(max(every.values()))
    assert best == pytest.approx(dice(scores, lesion, threshold))
    np.testing.assert_allclose(ranking.dice(list(every)), list(every.values()))


@settings(max_examples=60, deadline=None)
@given(st.lists(WITH_LESIONS, min_size=1, max_size=4))
def test_best_dice_of_patients_is_the_best_of_their_mean(patients):
    scores = np.concatenate([scores for scores, _ in patients])
    every = [np.mean([dice(*both, threshold) for both in patients]) for threshold in candidates(scores)]
    threshold, best = best_dice([ranked(*both) for both in patients])
    assert best == pytest.approx(max(every))
    assert best == pytest.approx(np.mean([dice(*both, threshold) for both in patients]))


@settings(max_examples=100, deadline=None)
@given(WITH_LESIONS, st.integers(1, 5), st.randoms(use_true_random=False))
def test_neither_order_nor_parts_matter(both, parts, random):
    scores, lesion = both
    order = list(range(len(scores)))
    random.shuffle(order)
    one, other = ranked(scores, lesion), ranked(scores[order], lesion[order], parts)
    assert one.average_precision() == other.average_precision()
    assert best_dice([one]) == best_dice([other])
    np.testing.assert_array_equal(one.keys, other.keys)


@settings(max_examples=100, deadline=None)
@given(WITH_LESIONS)
def test_scores_count_by_their_order_alone(both):
    """Precision is that of the ranks; so is the best Dice, as long as 0 stays 0."""
    scores, lesion = both
    ranks = np.unique(scores, return_inverse=True)[1].astype(np.float32) + np.float32(not (scores == 0).any())
    ranking, of_ranks = ranked(scores, lesion), ranked(ranks, lesion)
    assert ranking.average_precision() == pytest.approx(of_ranks.average_precision(), rel=1e-12)
    assert best_dice([ranking])[1] == best_dice([of_ranks])[1]
    shifted = ranked(ranks + 1, lesion)
    assert shifted.average_precision() == pytest.approx(ranking.average_precision(), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(VOXELS)
def test_voxels_are_counted_at_0_too(both):
    scores, lesion = both
    ranking = ranked(scores, lesion)
    assert (ranking.voxels, ranking.lesion_voxels) == (len(scores), lesion.sum())
    assert ranking.above(0.0) == (lesion[scores > 0].sum(), (scores > 0).sum())


def test_a_perfect_and_a_useless_map():
    lesion = np.arange(1000) < 30
    perfect = ranked(lesion.astype(np.float32), lesion)
    assert perfect.average_precision() == 1 and best_dice([perfect])[1] == 1
    constant = ranked(np.ones(1000, np.float32), lesion)
    assert constant.average_precision() == pytest.approx(0.03)
    assert best_dice([constant])[1] == pytest.approx(2 * 30 / 1030)


def test_lesions_that_score_0_are_never_found():
    scores, lesion = np.array([0, 0, 0.3, 0.7], np.float32), np.array([True, False, False, False])
    assert best_dice([ranked(scores, lesion)]) == (float(np.float32(0.7)), 0.0)
    assert ranked(scores, lesion).average_precision() == 0.25
    assert best_dice([ranked(scores[:2], lesion[:2])]) == (0.0, 0.0)


def test_more_voxels_may_be_added_after_a_result():
    rng = np.random.default_rng(1)
    scores, lesion = rng.random(200, dtype=np.float32), rng.random(200) < 0.2
    ranking = VoxelRanking()
    ranking.update(scores[:50], lesion[:50])
    early = ranking.result()
    before = early.average_precision()
    ranking.update(scores[50:], lesion[50:])
    assert best_dice([ranking.result()]) == best_dice([ranked(scores, lesion)])
    assert early.average_precision() == before == ranked(scores[:50], lesion[:50]).average_precision()


def test_the_threshold_delineates_what_was_counted():
    rng = np.random.default_rng(2)
    lesion = rng.random(5000) < 0.05
    scores = (rng.random(5000) + 0.3 * lesion).astype(np.float32)
    threshold, best = best_dice([ranked(scores, lesion)])
    assert dice(scores, lesion, threshold) == best == ranked(scores, lesion).dice(threshold)
    assert best == max(dice(scores, lesion, score) for score in scores)


def test_what_cannot_be_ranked_is_refused():
    ranking, one = VoxelRanking(), np.ones(1, bool)
    for wrong in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="finite anomaly scores"):
            ranking.update(np.array([wrong], np.float32), one)
    with pytest.raises(ValueError, match="float32"):
        ranking.update(np.zeros(1), one)
    for labels in (np.ones(2, bool), np.ones(1, np.uint8)):
        with pytest.raises(ValueError, match="one boolean per score"):
            ranking.update(np.zeros(1, np.float32), labels)
    ranking.update(np.ones(3, np.float32), np.zeros(3, bool))
    for question in (Ranking.average_precision, lambda ranking: best_dice([ranking])):
        with pytest.raises(ValueError, match="found none"):
            question(ranking.result())
    with pytest.raises(ValueError, match="found none"):
        VoxelRanking().result().average_precision()
    with pytest.raises(ValueError, match="0 or more"):
        ranking.result().above([-0.5])


# Thresholds


@settings(max_examples=100, deadline=None)
@given(VOXELS, st.floats(0, 100), st.integers(1, 4))
def test_percentile_is_that_of_all_stacks_together(both, percent, parts):
    scores = both[0]
    expected = np.percentile(scores.astype(np.float64), percent)
    found = percentile(iter(np.array_split(scores, parts)), percent)
    assert found == pytest.approx(expected, rel=1e-5) and found == np.float32(found)


def test_two_of_a_hundred_lie_above_the_percentile_of_the_paper():
    scores = np.random.default_rng(3).permutation(np.arange(1, 1001, dtype=np.float32))
    assert (scores > percentile([scores])).sum() == 20


def test_percentile_leaves_its_input_alone():
    scores = np.random.default_rng(3).random(100, dtype=np.float32)
    before = scores.copy()
    percentile([scores])
    np.testing.assert_array_equal(scores, before)


def test_a_percentile_of_nothing_is_refused():
    for scores in ([], [np.empty(0, np.float32)]):
        with pytest.raises(ValueError, match="found none"):
            percentile(scores)
