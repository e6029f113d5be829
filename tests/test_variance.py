"""Variance components against known ones, closed forms and their invariants; re-splits of subjects."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latent_anatomy.data import slices, slices_check
from latent_anatomy.data.resplit import resplit, resplits
from latent_anatomy.data.slices import Slices
from latent_anatomy.statistics.variance_components import components

TABLES = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-100, 100))
)
PARTS = ("seed", "split", "residual")


def estimates(values) -> np.ndarray:
    found = components(values)
    return np.array([getattr(found, part).estimate for part in PARTS])


def simulated(random, seeds: int, splits: int, variances: tuple[float, float, float]) -> np.ndarray:
    """A table (seeds, splits) of the model, with the variances of seed, split and residual."""
    deviations = np.sqrt(variances)
    return (
        7.0
        + deviations[0] * random.standard_normal((seeds, 1))
        + deviations[1] * random.standard_normal((1, splits))
        + deviations[2] * random.standard_normal((seeds, splits))
    )


@pytest.mark.parametrize("variances", [(2.0, 0.5, 1.0), (0.0, 3.0, 0.2), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("shape", [(3, 3), (30, 20)])
def test_estimates_are_unbiased(variances, shape):
    random = np.random.default_rng(0)
    found = np.array([estimates(simulated(random, *shape, variances)) for _ in range(1000)])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - variances) < 4 * error)


def test_a_large_design_finds_the_components():
    variances = (2.0, 0.5, 1.0)
    values = simulated(np.random.default_rng(1), 2000, 2000, variances)
    assert estimates(values) == pytest.approx(variances, rel=0.1)


@pytest.mark.parametrize("variances", [(2.0, 0.5, 1.0), (0.1, 0.0, 1.0), (1.0, 1.0, 0.01)])
@pytest.mark.parametrize("shape", [(3, 3), (5, 4)])
def test_intervals_hold_the_truth_as_often_as_they_say(variances, shape):
    random, draws = np.random.default_rng(2), 1000
    held = np.zeros(3)
    for _ in range(draws):
        found = components(simulated(random, *shape, variances))
        parts = [getattr(found, part) for part in PARTS]
        held += [part.low <= truth <= part.high for part, truth in zip(parts, variances, strict=True)]
    slack = 3 * np.sqrt(0.95 * 0.05 / draws)
    assert np.all(held / draws > 0.95 - slack)
    assert abs(held[2] / draws - 0.95) < slack, "exact for the residual"


def least_squares(values: np.ndarray, *factors: np.ndarray) -> float:
    """Residual sum of squares of a linear model with an intercept and indicators of the factors' levels."""
    columns = [np.ones(values.size)]
    columns += [factor.ravel() == level for factor in factors for level in np.unique(factor)]
    design = np.stack(columns, axis=1).astype(float)
    fitted = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    return float(np.sum((values.ravel() - fitted) ** 2))


@given(TABLES)
def test_mean_squares_are_those_of_nested_least_squares(values):
    """The estimates from differences in residual sums of squares of linear models, factor by factor."""
    rows, columns = np.indices(values.shape)
    seeds, splits = values.shape
    both = least_squares(values, rows, columns)
    noise = both / ((seeds - 1) * (splits - 1))
    seed = (least_squares(values, columns) - both) / (seeds - 1)
    split = (least_squares(values, rows) - both) / (splits - 1)
    expected = [(seed - noise) / splits, (split - noise) / seeds, noise]
    assert estimates(values) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(TABLES, st.floats(-50, 50), st.floats(0.1, 10))
def test_shift_changes_nothing_scale_squares_and_transposing_swaps(values, shift, scale):
    found, near = estimates(values), {"rel": 1e-6, "abs": 1e-6}
    assert estimates(values + shift) == pytest.approx(found, **near)
    assert estimates(scale * values) == pytest.approx(scale**2 * found, **near)
    assert estimates(values.T) == pytest.approx(found[[1, 0, 2]], **near)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_seeds_and_splits_does_not_matter(values, random):
    rows, columns = list(range(values.shape[0])), list(range(values.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    assert estimates(values[rows][:, columns]) == pytest.approx(estimates(values), rel=1e-6, abs=1e-6)


@given(TABLES)
def test_intervals_are_ordered_and_hold_the_shown_variance_of_the_residual(values):
    found = components(values)
    for name in PARTS:
        part = getattr(found, name)
        assert 0 <= part.low <= part.high and part.variance >= 0
    assert found.residual.low <= found.residual.variance <= found.residual.high
    assert found.total == pytest.approx(sum(getattr(found, name).variance for name in PARTS))


def test_effects_that_add_up_have_no_residual():
    found = components(np.array([[0.0], [1.0], [5.0]]) + np.array([[10.0, 30.0]]))
    assert found.residual.estimate == pytest.approx(0, abs=1e-25)
    assert found.seed.estimate == pytest.approx(np.var([0, 1, 5], ddof=1))
    assert found.split.estimate == pytest.approx(np.var([10, 30], ddof=1))


def test_a_negative_estimate_is_kept_and_shown_as_zero():
    found = components([[1.0, -1.0], [-1.0, 1.0]])  # nothing but interaction
    assert found.seed.estimate == found.split.estimate == -2
    assert found.seed.variance == found.split.variance == 0
    assert found.total == found.residual.estimate == 4


@pytest.mark.parametrize("values", [[[1.0, 2.0]], [[1.0], [2.0]], [1.0, 2.0], [[1.0, np.nan], [1.0, 2.0]]])
def test_a_table_that_cannot_tell_the_parts_apart_is_refused(values):
    with pytest.raises(ValueError, match="two seeds and two splits"):
        components(values)


@st.composite
def contents(draw) -> Slices:
    """Slices of 3 to 12 subjects, 1 to 3 slices each, with or without labels, in shuffled order."""
    subjects = draw(st.integers(3, 12))
    names = draw(st.lists(st.sampled_from(slices.SPLITS), min_size=subjects, max_size=subjects))
    owners = [i for i in range(subjects) for _ in range(draw(st.integers(1, 3)))]
    owners = draw(st.permutations(owners))
    count, labelled = len(owners), draw(st.booleans())
    labels = np.array(draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count)), np.int64)
    return Slices(
        images=np.zeros((count, 1, 5, 5), np.uint8),
        subject=np.array([f"subject-{i}" for i in owners]),
        slice=np.zeros(count, np.int32),
        split=np.array([names[i] for i in owners]),
        modality=np.array(["any"] * count),
        dataset="any",
        task="any",
        classes=3 if labelled else 0,
        labels=labels if labelled else None,
    )


@given(contents(), st.integers(0, 2**32))
def test_a_resplit_deals_out_whole_subjects_and_keeps_their_number(content, seed):
    again = resplit(content, seed)
    slices_check.check(again, "re-split")  # no subject in two splits
    assert again.split.tolist() == resplit(content, seed).split.tolist()
    subjects = [dict(zip(each.subject, each.split, strict=True)) for each in (content, again)]
    assert Counter(subjects[0].values()) == Counter(subjects[1].values())
    assert all(
        (subjects[1][name] == "unlabelled") == (split == "unlabelled") for name, split in subjects[0].items()
    )
    assert again.images is content.images and again.subject is content.subject


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(slices.SPLITS[:3])), min_size=1, max_size=60))
def test_with_one_slice_a_subject_every_class_keeps_its_slices_in_every_split(pairs):
    labels, split = map(np.array, zip(*pairs, strict=True))
    content = table(split, classes=3, labels=labels.astype(np.int64))
    again = resplit(content, 3)
    assert Counter(zip(labels, again.split, strict=True)) == Counter(zip(labels, split, strict=True))


def table(split, **others) -> Slices:
    """One slice of each subject, in these splits."""
    count = len(split)
    return Slices(
        images=np.zeros((count, 1, 5, 5), np.uint8),
        subject=np.array([f"subject-{i:04}" for i in range(count)]),
        slice=np.zeros(count, np.int32),
        split=np.array(split),
        modality=np.full(count, "any"),
        dataset="any",
        task="any",
        **{"classes": 0} | others,
    )


def many(subjects: int) -> Slices:
    return table((["train"] * 6 + ["val"] + ["test"] * 3) * (subjects // 10))


def test_every_subject_falls_into_every_split_as_often_as_the_split_is_large():
    content, draws = many(20), 2000
    tests = sum((resplit(content, seed).split == "test").astype(int) for seed in range(draws))
    assert np.all(np.abs(tests / draws - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / draws))


def test_resplits_differ_from_each_other_or_are_refused():
    found = resplits(many(40), 5)
    assert len({each.split.tobytes() for each in found}) == 5
    with pytest.raises(ValueError, match=r"any: expected 200 different splits .* too few subjects"):
        resplits(table(["train"] * 9 + ["test"]), 200)  # as many different splits as subjects
