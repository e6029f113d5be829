"""Delineation of lesions against scipy, slow words of the same definitions, and what must hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from sklearn.metrics import f1_score

from latent_anatomy.metrics.lesions.measures import Counts, count, summary
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing, eroded, label, median, without_small
from latent_anatomy.metrics.lesions.stacks import stacks

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)
SEGMENTATIONS = SHAPES.flatmap(lambda shape: hnp.arrays(bool, shape))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape)))


def maps_and_region(shape):
    """A map with many ties and a region of the same shape."""
    scores = hnp.arrays(np.float32, shape, elements=st.sampled_from([0, 0.1, 0.25, 0.5, 1, 3]))
    return st.tuples(scores, hnp.arrays(bool, shape))


def components(segmentation, connectivity):
    """Components as sets of voxels, found by walking from neighbour to neighbour."""
    farthest = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if 0 < np.abs(step).sum() <= farthest]
    left, found = set(map(tuple, np.argwhere(segmentation).tolist())), []
    while left:
        reached, edge = set(), [left.pop()]
        while edge:
            voxel = edge.pop()
            reached.add(voxel)
            near = {tuple(np.add(voxel, step).tolist()) for step in steps} & left
            left -= near
            edge += near
        found.append(reached)
    return found


def box(shape, *corners):
    """A volume in which boxes, each ((from, to), (from, to), (from, to)), are True."""
    volume = np.zeros(shape, bool)
    for corner in corners:
        volume[tuple(slice(*side) for side in corner)] = True
    return volume


# Stacks


def test_a_stack_is_a_run_of_consecutive_slices_of_one_subject():
    subject = np.array(["b", "a", "a", "b", "a", "a"])
    position = np.array([3, 9, 5, 2, 6, 4])
    found = [(name, rows.tolist()) for name, rows in stacks(subject, position)]
    assert found == [("a", [5, 2, 4]), ("a", [1]), ("b", [3, 0])]


def test_neighbouring_subjects_never_share_a_stack():
    assert [name for name, _ in stacks(np.array(["a", "a", "b", "b"]), np.arange(4))] == ["a", "b"]


def test_no_slices_are_no_stack():
    assert list(stacks(np.array([], str), np.array([], int))) == []


def test_two_slices_of_one_position_are_refused():
    with pytest.raises(ValueError, match="several of a at 5"):
        list(stacks(np.array(["a", "b", "a"]), np.array([5, 5, 5])))


# Post-processing


@settings(max_examples=60, deadline=None)
@given(SHAPES.flatmap(maps_and_region), st.sampled_from([1, 3, 5]))
def test_median_is_scipys_inside_the_region(both, size):
    maps, region = both
    expected = np.where(region, ndimage.median_filter(maps, size, mode="reflect"), 0)
    found = median(maps, region, size)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_median_is_scipys_on_a_stack_without_ties():
    maps = np.random.default_rng(1).random((9, 40, 30), dtype=np.float32)
    np.testing.assert_array_equal(median(maps, np.ones(maps.shape, bool), 5), ndimage.median_filter(maps, 5))


@pytest.mark.parametrize("defect", [np.nan, np.inf, -0.1])
def test_maps_that_cannot_be_scores_are_refused(defect):
    maps = np.zeros((2, 3, 3), np.float32)
    maps[1, 1, 1] = defect
    with pytest.raises(ValueError, match="finite anomaly scores"):
        median(maps, np.ones(maps.shape, bool), 3)


def test_double_precision_and_masks_of_integers_are_refused():
    with pytest.raises(ValueError, match="float32, found float64"):
        median(np.zeros((1, 3, 3)), np.ones((1, 3, 3), bool), 3)
    with pytest.raises(ValueError, match="booleans"):
        median(np.zeros((1, 3, 3), np.float32), np.ones((1, 3, 3), np.uint8), 3)
    with pytest.raises(ValueError, match="odd"):
        median(np.zeros((1, 3, 3), np.float32), np.ones((1, 3, 3), bool), 4)


def test_erosion_takes_the_rim_in_the_plane_and_no_slices():
    brain = box((2, 9, 9), ((0, 2), (1, 8), (1, 8)))
    np.testing.assert_array_equal(eroded(brain, "square", 2), box((2, 9, 9), ((0, 2), (3, 6), (3, 6))))
    np.testing.assert_array_equal(eroded(brain, "cross", 1), eroded(brain, "square", 1))
    np.testing.assert_array_equal(eroded(brain, "cross", 0), brain)


def test_a_brain_at_the_edge_of_the_image_is_eroded_there_too():
    assert eroded(np.ones((1, 3, 3), bool), "cross", 1).sum() == 1


@settings(max_examples=60, deadline=None)
@given(SEGMENTATIONS, st.sampled_from([6, 18, 26]), st.integers(1, 8))
def test_small_components_are_dropped(segmentation, connectivity, minimum):
    expected = np.zeros_like(segmentation)
    for component in components(segmentation, connectivity):
        if len(component) >= minimum:
            expected[tuple(np.transpose(list(component)))] = True
    np.testing.assert_array_equal(without_small(segmentation, minimum, connectivity), expected)


def test_a_component_of_six_voxels_stays_and_one_of_five_goes():
    volume = box((3, 8, 8), ((0, 1), (0, 1), (0, 6)), ((2, 3), (4, 5), (0, 5)))
    np.testing.assert_array_equal(without_small(volume, 6, 26), box((3, 8, 8), ((0, 1), (0, 1), (0, 6))))


def test_a_component_never_bridges_patients():
    """Three voxels at the end of one patient and three at the start of the next are two small ones."""
    maps = box((4, 9, 9), ((1, 3), (4, 5), (3, 6))).astype(np.float32)
    brain, chain = np.ones(maps.shape, bool), PostProcessing(median=1, erosion_iterations=0)
    assert chain.segment(chain.smooth(maps, brain), 0.5).sum() == 6
    for _, rows in stacks(np.array(["a", "a", "b", "b"]), np.array([0, 1, 0, 1])):
        assert not chain.segment(chain.smooth(maps[rows], brain[rows]), 0.5).any()


def test_the_chain_finds_a_lesion_and_neither_rim_nor_noise_nor_speck():
    rng = np.random.default_rng(2)
    lesion = box((9, 48, 48), ((0, 9), (20, 28), (20, 28)))
    brain = box((9, 48, 48), ((0, 9), (8, 40), (8, 40)))
    maps = rng.random(brain.shape, dtype=np.float32) * 0.2 + lesion
    maps[~eroded(brain, "square", 1)] = 1  # skull, and a misfit along the edge of the brain
    maps[4, 14, 14:17] = 1
    chain = PostProcessing(erosion_iterations=4)
    found = chain.segment(chain.smooth(maps, brain), 0.5)
    assert found[lesion].mean() > 0.7 and not (found & ~lesion).any()


def test_a_threshold_is_exceeded_and_never_reached():
    chain = PostProcessing(minimum_voxels=1)
    smoothed = np.array([[[0, 0.1, 0.2]]], np.float32)
    assert chain.segment(smoothed, 0.0).tolist() == [[[False, True, True]]]
    assert chain.segment(smoothed, 0.1).tolist() == [[[False, False, True]]]
    with pytest.raises(ValueError, match="threshold of 0 or more"):
        chain.segment(smoothed, float("nan"))


@pytest.mark.parametrize("wrong", [{"median": 4}, {"connectivity": 8}, {"sigma": 1}, {"minimum_voxels": 0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError):
        PostProcessing(**wrong)


# Measures


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from([6, 18, 26]), st.sampled_from([0.1, 0.5, 1.0]))
def test_counts_are_those_of_the_definitions(pair, connectivity, least_overlap):
    predicted, lesion = pair
    found = count(predicted, lesion, connectivity, least_overlap)
    hit = set(map(tuple, np.argwhere(predicted).tolist()))
    true = set(map(tuple, np.argwhere(lesion).tolist()))
    lesions, findings = components(lesion, connectivity), components(predicted, connectivity)
    assert (found.predicted_voxels, found.lesion_voxels) == (len(hit), len(true))
    assert found.overlap_voxels == len(hit & true)
    assert found.lesions == len(lesions)
    assert found.touched == sum(bool(each & hit) for each in lesions)
    assert found.covered == sum(len(each & hit) >= least_overlap * len(each) for each in lesions)
    assert found.false_positives == sum(not each & true for each in findings)
    if lesion.any():
        assert found.dice == pytest.approx(f1_score(lesion.ravel(), predicted.ravel(), zero_division=0))


def test_dice_of_a_perfect_an_empty_and_a_disjoint_prediction():
    lesion, other = box((2, 4, 4), ((0, 1), (0, 2), (0, 2))), box((2, 4, 4), ((1, 2), (3, 4), (3, 4)))
    assert [count(each, lesion).dice for each in (lesion, np.zeros_like(lesion), other)] == [1, 0, 0]


def test_a_patient_without_lesions_has_no_dice_and_still_has_false_positives():
    nothing, something = np.zeros((1, 4, 4), bool), box((1, 4, 4), ((0, 1), (0, 1), (0, 3)))
    assert np.isnan(count(nothing, nothing).dice) and np.isnan(count(something, nothing).dice)
    diseased, healthy = count(something, something), count(something, nothing)
    found = summary([diseased, healthy])
    assert found["dice"] == 1 and found["patients_without_lesions"] == 1
    assert found["false_positives_per_volume"] == 0.5 and found["dice_voxelwise"] == 2 / 3
    assert "dice_sd" not in found


def test_a_lesion_is_touched_by_a_voxel_and_covered_by_a_part():
    lesion = box((1, 2, 20), ((0, 1), (0, 1), (0, 20)))
    for voxels, covered in ((0, 0), (1, 0), (2, 1)):
        found = count(box((1, 2, 20), ((0, 1), (0, 1), (0, voxels))), lesion, least_overlap=0.1)
        assert (found.touched, found.covered) == (int(voxels > 0), covered)


@settings(max_examples=30, deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=5))
def test_summary_is_of_patients_and_does_not_depend_on_their_order(pairs):
    pairs.append((np.ones((1, 1, 1), bool), np.ones((1, 1, 1), bool)))
    counts = [count(*pair) for pair in pairs]
    found = summary(counts)
    assert summary(counts[::-1]) == pytest.approx(found)
    dice = np.array([each.dice for each in counts])
    assert found["dice"] == pytest.approx(np.nanmean(dice))
    if "dice_sd" in found:
        assert found["dice_sd"] == pytest.approx(np.nanstd(dice, ddof=1))
    true, hit = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (1, 0))
    assert found["dice_voxelwise"] == pytest.approx(f1_score(true, hit, zero_division=0))


def test_the_stacks_of_a_patient_add_up():
    whole = np.random.default_rng(3).random((6, 5, 5)) < 0.3
    other = np.random.default_rng(4).random((6, 5, 5)) < 0.3
    whole[3], other[3] = False, False  # the slice between the stacks
    assert count(whole[:3], other[:3]) + count(whole[4:], other[4:]) == count(whole, other)


def test_volume_difference_is_signed_and_relative_to_the_lesions():
    found = summary([Counts(30, 20, 10, 1, 1, 1), Counts(10, 20, 10, 1, 1, 1)])
    assert found["volume_difference"] == 0 and found["volume_difference_absolute"] == 0.5


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="patients with lesions"):
        summary([Counts(predicted_voxels=3)])
    with pytest.raises(ValueError, match="least overlap"):
        count(np.zeros((1, 1, 1), bool), np.zeros((1, 1, 1), bool), least_overlap=0)
    with pytest.raises(ValueError, match="booleans"):
        count(np.zeros((1, 1, 2), bool), np.zeros((1, 1, 1), bool))


def test_labels_count_components():
    assert label(box((1, 3, 3), ((0, 1), (0, 1), (0, 1)), ((0, 1), (1, 2), (1, 2))), 6)[1] == 2
    assert label(box((1, 3, 3), ((0, 1), (0, 1), (0, 1)), ((0, 1), (1, 2), (1, 2))), 18)[1] == 1
