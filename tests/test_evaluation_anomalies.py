"""The protocol of anomalies against the released way, slowly, and on methods whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from sklearn.metrics import roc_auc_score
from torch import nn

from latent_anatomy.evaluation.protocols import anomalies
from latent_anatomy.metrics import localisation
from latent_anatomy.metrics.detection import calibrated, detection
from latent_anatomy.training.method import Data

SIZE = 24
BOX_NAMES = ("cyst", "mass", "none")


def wounds(count: int, ill: int, seed: int, site: str = "here") -> Data:
    """Heads of noise; the last `ill` have a bright patch in a box, every second a faint one in another."""
    random = np.random.default_rng(seed)
    head = np.zeros((SIZE, SIZE), bool)
    head[3:21, 3:21] = True
    images, boxes = random.uniform(0.2, 0.4, (count, SIZE, SIZE)) * head, []
    for row in range(count - ill, count):
        left, top = random.integers(3, 15, 2)
        images[row, top : top + 5, left : left + 4] += 0.5
        boxes.append((row, left, top, 4, 5, 1))
        if row % 2:
            images[row, 18:20, 10:15] += 0.15
            boxes.append((row, 10, 18, 5, 2, 0))
    return Data(
        torch.tensor(images[:, None], dtype=torch.float32),
        labels=torch.tensor([0] * (count - ill) + [1] * ill),
        masks=torch.tensor(head).expand(count, 1, SIZE, SIZE).to(torch.uint8),
        mask_names=("head",),
        subject=tuple(f"{site}-{row}" for row in range(count)),
        position=torch.zeros(count, dtype=torch.int64),
        boxes=torch.tensor(boxes, dtype=torch.int32).reshape(-1, 6),
        box_names=BOX_NAMES,
        site=(site,) * count,
    )


def splits() -> dict[str, Data]:
    return {
        name: wounds(*each)
        for name, each in {"train": (6, 0, 0), "val": (8, 0, 1), "test": (20, 9, 2)}.items()
    }


class Flat(nn.Module):
    """Reconstructs every head as one grey value; its map is the residual."""

    scale = 1.0

    def reconstruct(self, images):
        return 0.3 * (images > 0).float()

    def residual(self, images, reconstructions):
        return self.scale * (images - reconstructions).abs()

    def anomaly_map(self, stack):
        return self.residual(stack.images, self.reconstruct(stack.images))


class OneByOne(nn.Module):
    """The same map, of a method that is no residual."""

    def anomaly_map(self, stack):
        assert stack.region.shape == (len(stack.images), SIZE, SIZE)
        return Flat().anomaly_map(stack)


# ---- the released way, one image and one threshold after another


def released_threshold(maps):
    best = None
    for step in range(1000):
        level = step / 1000
        rates = [100 * (each.astype(np.float64) > level).sum() / each.size for each in maps]
        if np.mean(rates) <= 5 and best is None:
            best = level
    return best


def released_score(maps, boxes, tissue, level, cap=None):
    """Recall and F1 of each box, by masks of whole images."""
    recalls, f1s = [], []
    for row, left, top, wide, high, _ in boxes:
        kept = maps[row].astype(np.float64)
        kept[kept < level] = 0
        positive, negative = np.zeros(kept.shape), tissue[row].astype(float)
        positive[top : top + high, left : left + wide] = 1
        for other in boxes:
            if other[0] == row:
                negative[other[2] : other[2] + other[4], other[1] : other[1] + other[3]] = 0
        inside, outside = kept * positive, kept * negative
        found = int(np.count_nonzero(inside) > 0.1 * np.count_nonzero(positive))
        wrong = int(outside.sum() / max(inside.sum(), 1))
        wrong = wrong if cap is None else min(cap, wrong)
        precision = found / max(found + wrong, 1)
        recalls.append(found)
        f1s.append(2 * precision * found / (precision + found + 1e-8))
    return np.array(recalls), np.array(f1s)


@st.composite
def scenes(draw):
    """Maps with ties and zeros, boxes that overlap, tissue anywhere."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    scale = draw(st.sampled_from((0.02, 0.3, 1.0)))
    maps = (scale * random.integers(0, 30, (3, 12, 12)) / 30 * random.integers(0, 2, (3, 12, 12))).astype(
        np.float32
    )
    boxes = [
        (random.integers(3), left, top, random.integers(1, 13 - left), random.integers(1, 13 - top), 0)
        for left, top in random.integers(0, 12, (draw(st.integers(1, 5)), 2))
    ]
    return maps, np.array(boxes), random.random((3, 12, 12)) < 0.8


@settings(max_examples=60)
@given(scenes(), st.sampled_from((0.0, 0.009, 0.1, 0.5)), st.sampled_from((None, 2, 10)))
def test_boxes_are_scored_as_released(scene, level, cap):
    ours = localisation.score(*scene, level)
    recall, f1 = released_score(*scene, level, cap)
    np.testing.assert_array_equal(ours.found, recall)
    np.testing.assert_allclose(ours.f1(most=np.inf if cap is None else cap), f1, atol=1e-7)


@settings(max_examples=20)
@given(scenes())
def test_the_threshold_is_that_of_the_released_search(scene):
    assert localisation.threshold_on_grid(scene[0]) == released_threshold(scene[0])


@given(scenes(), st.sampled_from((0.01, 0.05, 0.5)))
def test_the_exact_threshold_is_the_smallest_value_that_few_exceed(scene, rate):
    level = localisation.threshold(scene[0], rate)
    assert (scene[0] > level).mean() <= rate
    smaller = scene[0][scene[0] < level]
    assert not smaller.size or (scene[0] > smaller.max()).mean() > rate


@given(scenes(), st.sampled_from((0.125, 4.0)))
def test_only_the_scale_free_measure_is_free_of_scale(scene, factor):
    maps, boxes, tissue = scene
    one = localisation.score(maps, boxes, tissue, 0.1)
    other = localisation.score(maps * np.float32(factor), boxes, tissue, 0.1 * factor)
    np.testing.assert_array_equal(one.f1(scale_free=True), other.f1(scale_free=True))
    assert (one.f1() >= one.f1(scale_free=True)).all()


def test_small_values_are_what_the_released_measure_favours():
    maps = np.full((1, 10, 10), 0.01, np.float32)
    box, tissue = np.array([[0, 0, 0, 3, 3, 0]]), np.ones((1, 10, 10), bool)
    assert localisation.score(maps, box, tissue, 0.005).f1() == 1
    assert localisation.score(maps, box, tissue, 0.005).f1(scale_free=True) == 2 / (2 + 10)
    assert localisation.score(100 * maps, box, tissue, 0.5).f1() == 2 / (2 + 10)


def test_maps_above_every_step_have_no_released_threshold():
    assert localisation.threshold_on_grid(np.full((2, 4, 4), 3, np.float32)) is None
    with pytest.raises(ValueError, match="expected maps of healthy images, found none"):
        localisation.threshold(np.zeros((0, 4, 4), np.float32))


def test_detection_counts_what_it_says():
    ill, score = np.array([False, False, True, True]), np.array([0.1, 0.3, 0.2, 0.9])
    measured = detection(ill, score)
    expected = {"auc": 0.75, "auprc": 5 / 6, "prevalence": 0.5, "fpr95": 0.5, "fpr99": 0.5}
    assert measured == pytest.approx(expected)
    assert roc_auc_score(ill, calibrated(score, 0.25)[:, 1]) == 0.75
    assert (calibrated(score, 0.25)[:, 1] > 0.5).tolist() == (score > 0.25).tolist()
    with pytest.raises(ValueError, match="expected anomalous and healthy images, found 2 and 0"):
        detection(ill[2:], score[2:])


# ---- the protocol


@pytest.fixture(scope="module")
def asked():
    data = splits()
    return anomalies.evaluate(Flat(), data, anomalies.Params(), "", 0), data


def test_bright_patches_are_found_and_faint_ones_are_not_all(asked):
    metrics = asked[0].metrics
    assert metrics["anomalies/boxes/mass"] == metrics["anomalies/validation/mass/detected"] == 9
    assert (
        metrics["anomalies/boxes/total"] == metrics["anomalies/boxes/mass"] + metrics["anomalies/boxes/cyst"]
    )
    assert "anomalies/boxes/none" not in metrics
    assert metrics["anomalies/validation/mass/recall"] == 1
    assert metrics["anomalies/detection/auc"] == 1 and metrics["anomalies/detection/fpr95"] == 0
    assert metrics["anomalies/detection/prevalence"] == 9 / 20
    for kind in ("validation", "as_released"):
        assert metrics[f"anomalies/{kind}/total/f1_capped"] >= metrics[f"anomalies/{kind}/total/f1"] > 0


def test_numbers_are_those_of_the_released_way(asked):
    results, data = asked
    test, tissue = data["test"], data["test"].masks[:, 0].numpy() == 1
    maps = Flat().residual(test.images, Flat().reconstruct(test.images))[:, 0].numpy()
    level = released_threshold(maps[:11])
    assert results.metrics["anomalies/as_released/threshold"] == level
    for name, cap in (("f1", None), ("f1_capped", 10)):
        recall, f1 = released_score(maps, test.boxes.numpy(), tissue, level, cap)
        np.testing.assert_allclose(results.arrays[f"anomalies/as_released/{name}"], f1, atol=1e-7)
        assert results.metrics[f"anomalies/as_released/total/{name}"] == pytest.approx(f1.mean(), abs=1e-7)
        assert results.metrics["anomalies/as_released/total/detected"] == recall.sum()
    rebuilt = Flat().reconstruct(test.images)[:11, 0].numpy()
    ssim = [
        structural_similarity(one, other, data_range=1)
        for one, other in zip(rebuilt, test.images[:11, 0].numpy(), strict=True)
    ]
    assert results.metrics["anomalies/healthy/ssim"] == pytest.approx(np.mean(ssim))


def test_a_threshold_from_validation_does_not_know_the_test_set(asked):
    results, data = asked
    other = data | {"test": wounds(12, 6, 9)}
    again = anomalies.evaluate(Flat(), other, anomalies.Params(), "", 0)
    name = "anomalies/validation/threshold"
    assert again.metrics[name] == results.metrics[name]
    ill = replace(data["val"], labels=torch.tensor([0] * 4 + [1] * 4))
    fewer = anomalies.evaluate(Flat(), data | {"val": ill}, anomalies.Params(), "", 0)
    half = replace(wounds(8, 0, 1), stored=data["val"].stored)
    maps = Flat().residual(half.images[:4], Flat().reconstruct(half.images[:4]))[:, 0].numpy()
    assert fewer.metrics[name] == localisation.threshold(maps), "only the healthy ones count"


def test_images_at_once_and_one_by_one_have_the_same_numbers(asked):
    results, data = asked
    single = anomalies.evaluate(OneByOne(), data, anomalies.Params(), "", 0)
    assert single.metrics == {
        name: value for name, value in results.metrics.items() if name != "anomalies/healthy/ssim"
    }


def test_another_hospital_is_told_where_there_is_one(asked):
    results, data = asked
    assert "anomalies/hospital/auc" not in results.metrics
    sites = ("there",) * 5 + ("here",) * 15  # where all the wounds are
    brighter = data["test"].stored.clone()
    brighter[:5] += 0.4 * (brighter[:5] > 0)
    test = replace(data["test"], site=sites, stored=brighter)
    told = anomalies.evaluate(Flat(), data | {"test": test}, anomalies.Params(), "", 0)
    assert told.metrics["anomalies/hospital/auc"] == 1
    assert told.metrics["anomalies/hospital/detection_auc"] == 1 > told.metrics["anomalies/detection/auc"]


def test_without_boxes_images_are_told_and_without_labels_boxes_tell_who_is_ill(asked):
    results, data = asked
    chests = {
        name: replace(each, boxes=None, box_names=(), masks=None, mask_names=())
        for name, each in data.items()
    }
    assert anomalies.possible(chests)
    told = anomalies.evaluate(Flat(), chests, anomalies.Params(), "", 0)
    assert told.metrics["anomalies/detection/auc"] == results.metrics["anomalies/detection/auc"]
    assert not [name for name in told.metrics if "/total/" in name] and not told.tables
    unlabelled = {name: replace(each, labels=None) for name, each in data.items()}
    assert anomalies.evaluate(Flat(), unlabelled, anomalies.Params(), "", 0).metrics == results.metrics


def test_where_nothing_can_be_asked(asked):
    data = asked[1]
    assert anomalies.possible(data)
    assert not anomalies.possible(data | {"test": data["val"]})
    assert not anomalies.possible(
        data | {"val": replace(data["val"], labels=torch.ones(8, dtype=torch.int64))}
    )
    with pytest.raises(ValueError, match="expected finite anomaly scores of 0 or more"):
        method = Flat()
        method.scale = -1.0
        anomalies.evaluate(method, data, anomalies.Params(), "", 0)
