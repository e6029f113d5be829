"""The protocols consistency and survival: what collapse, noise and knowing the answer must give."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_latents import SHAPE, Reader, three_splits

from latent_anatomy.evaluation import paired_tests, scores
from latent_anatomy.evaluation.protocols import consistency, survival
from latent_anatomy.methods import difference_svd, partner_mean

QUICK = consistency.Params(clusters=(3, 5), codebooks=2, subcohorts=2)


class Nothing(torch.nn.Module):
    """All images are nearly the same to it."""

    def encode(self, images):
        return {"latent": 1e-9 * images.flatten(1)}


def rotated(splits, module=difference_svd):
    method = module.Method(module.Method.Params(), SHAPE, on=Reader())
    method.fit(splits["train"])
    return method


def test_a_rotation_brings_clusters_together_and_keeps_biology():
    splits = three_splits()
    before = consistency.evaluate(Reader(), splits, QUICK, "multi-class", 1).metrics
    after = consistency.evaluate(rotated(splits), splits, QUICK, "multi-class", 1).metrics
    assert after["consistency/ari"] > 0.95
    assert after["consistency/retrieval"] > 0.8 > before["consistency/retrieval"]
    assert before["consistency/technical/linear"] > 0.95
    assert after["consistency/technical/linear"] < 0.65
    assert after["consistency/biology/linear"] > 0.95
    oracle = consistency.evaluate(rotated(splits, partner_mean), splits, QUICK, "multi-class", 1).metrics
    assert oracle["consistency/ari"] == oracle["consistency/dice"] == 1


def test_arrays_are_of_test_rows_and_have_the_metrics_as_means():
    splits = three_splits()
    results = consistency.evaluate(rotated(splits), splits, QUICK, "multi-class", 1)
    own = {
        name: each for name, each in results.arrays.items() if "shown/" not in name and "figure/" not in name
    }
    assert all(values.shape == (len(splits["test"]),) for values in own.values())
    assert results.arrays["consistency/paired/subject"].tolist() == list(splits["test"].subject)
    assert results.arrays["consistency/agreement"].mean() == pytest.approx(
        results.metrics["consistency/dice_weighted"]
    )
    assert results.arrays["consistency/retrieval"].mean() == results.metrics["consistency/retrieval"]


def test_throwing_everything_away_is_seen_in_retrieval_and_biology():
    splits = three_splits()
    flat = {name: replace(data, stored=torch.full_like(data.stored, 0.5)) for name, data in splits.items()}
    with pytest.warns(Warning, match="distinct clusters"):
        metrics = consistency.evaluate(Nothing(), flat, QUICK, "multi-class", 1).metrics
    assert metrics["consistency/ari"] == 1 and metrics["consistency/retrieval"] < 0.05
    assert metrics["consistency/biology/linear"] < 0.5 and metrics["consistency/entropy"] == 0


def test_without_pairs_the_probes_are_left_and_one_setting_is_not_possible():
    splits = {name: replace(data, pair=None) for name, data in three_splits().items()}
    metrics = consistency.evaluate(Reader(), splits, QUICK, "multi-class", 1).metrics
    assert "consistency/technical/mlp" in metrics and "consistency/ari" not in metrics
    assert consistency.possible(splits)
    alone = {name: replace(data, modality=("CT",) * len(data)) for name, data in splits.items()}
    assert not consistency.possible(alone)


def test_profiles_say_who_dies_where_composition_decides_and_a_covariate_of_chance_does_not():
    splits = three_splits()
    results = survival.evaluate(rotated(splits), splits, survival.Params(clusters=3), "", 1)
    metrics = results.metrics
    assert (metrics["survival/persons"], metrics["survival/events"]) == (42, 28)
    assert metrics["survival/profile/c"] > 0.85 > 0.7 > metrics["survival/clinical/c"]
    assert (
        metrics["survival/profile/c_low"]
        <= metrics["survival/profile/c"]
        <= metrics["survival/profile/c_high"]
    )
    assert metrics["survival/profile/log_rank_p"] < 0.01
    concordance = results.arrays["survival/profile/concordance"]
    assert np.isfinite(concordance).all() and concordance.shape == results.arrays["survival/subject"].shape
    assert "survival/profile/c_hospital" not in metrics


def test_hospitals_with_too_few_deaths_have_no_c_and_others_get_theirs_from_elsewhere():
    splits = three_splits()
    for name, data in splits.items():
        hospital = tuple(
            "ABC"[int(person[-3:]) % 3 if int(person[-3:]) % 9 else 2] for person in data.subject
        )
        splits[name] = replace(data, site=hospital)
    found = survival.evaluate(Reader(), splits, survival.Params(clusters=3, least=5), "", 1).metrics
    assert found["survival/profile/c_hospital"] > 0.7
    few = survival.evaluate(Reader(), splits, survival.Params(clusters=3, least=100), "", 1).metrics
    assert "survival/profile/c_hospital" not in few


def test_persons_without_survival_are_left_out_and_all_censored_is_not_possible():
    splits = three_splits()
    time = splits["test"].time.clone()
    time[:16] = torch.nan  # the first person
    event = splits["test"].event.clone()
    event[:16] = 0
    fewer = splits | {"test": replace(splits["test"], time=time, event=event)}
    metrics = survival.evaluate(Reader(), fewer, survival.Params(clusters=3, repeats=1), "", 1).metrics
    assert metrics["survival/persons"] == 41
    censored = {name: replace(data, event=torch.zeros_like(data.event)) for name, data in splits.items()}
    assert survival.possible(splits) and not survival.possible(censored)
    assert not survival.possible(
        {name: replace(data, time=None, event=None) for name, data in splits.items()}
    )


def test_the_gain_of_a_rotation_is_over_both_of_its_parts_together():
    splits = three_splits()
    turned = rotated(splits)
    after = consistency.evaluate(turned, splits, QUICK, "multi-class", 1).metrics
    turned.rank.zero_()  # the same space, of which nothing is left out
    before = consistency.evaluate(turned, splits, QUICK, "multi-class", 1).metrics
    for name in ("ari", "nmi", "dice"):
        points = after[f"consistency/{name}"] - before[f"consistency/{name}"]
        assert after[f"consistency/gain/{name}"] == pytest.approx(points, abs=1e-6) and points > 0
        relative = points / before[f"consistency/{name}"]
        assert after[f"consistency/gain/{name}/relative"] == pytest.approx(relative, rel=1e-5)
        assert before[f"consistency/gain/{name}"] == 0
    known = consistency.evaluate(Reader(), splits, QUICK, "multi-class", 1).metrics
    assert "consistency/gain/ari" not in known


def test_asked_about_hospitals_probes_see_each_anatomy_once():
    splits = three_splits()
    for name, data in splits.items():
        splits[name] = replace(data, site=tuple("AB"[int(person[-3:]) % 2] for person in data.subject))
    chosen = QUICK.model_copy(update={"technical": "site"})
    results = consistency.evaluate(rotated(splits), splits, chosen, "multi-class", 1)
    for probe in ("technical/linear", "biology/mlp"):
        assert np.isfinite(results.arrays[f"consistency/{probe}"]).all()
    assert results.arrays["consistency/probed/subject"].tolist() == list(splits["test"].subject[::2])
    assert 0.3 < results.metrics["consistency/technical/linear"] < 0.7, "which says nothing about contents"
    assert results.metrics["consistency/technical/chance"] == 0.5


def test_probes_that_see_some_rows_alone_are_compared_by_these():
    splits = three_splits()
    for name, data in splits.items():
        pair = data.pair.clone()
        pair[:2] = -1  # who is alone has no partner to agree with
        where = tuple("AB"[int(person[-3:]) % 2] for person in data.subject)
        splits[name] = replace(data, site=where, pair=pair)
    chosen = QUICK.model_copy(update={"technical": "site"})
    runs = {}
    for run, method in (("none", Reader()), ("rotated", rotated(splits))):
        arrays = consistency.evaluate(method, splits, chosen, "multi-class", 1).arrays
        runs[run] = [
            scores.of(arrays | {"subject": np.array(splits["test"].subject)}, consistency.paired(arrays))
        ]
    numbers = paired_tests.compare(runs)
    for metric, count in (
        ("technical/linear", 97),
        ("biology/mlp", 97),
        ("retrieval", 190),
        ("agreement", 190),
    ):
        values = [runs[run][0].arrays[f"consistency/{metric}"] for run in runs]
        assert values[0].shape == (count,)
        found = numbers[f"consistency/{metric}/none-minus-rotated/difference"]
        assert found == pytest.approx(values[0].mean() - values[1].mean())


def test_persons_who_can_be_compared_with_nobody_are_not_in_the_concordance():
    time, event = np.array([5.0, 1, 3, 9]), np.array([0, 0, 1, 0])
    assert survival._compared(time, event).tolist() == [True, False, True, True]
    found = survival._concordance(time, event, np.array([1.0, 9, 2, 3]))
    assert found.tolist() == [1.0, 0.5, 0.0]


def test_what_is_drawn_of_latents_has_their_variance_the_directions_and_all_clusters():
    splits = three_splits()
    arrays = consistency.evaluate(rotated(splits), splits, QUICK, "multi-class", 1).arrays
    technical, biological = (
        arrays[f"consistency/shown/spectrum/{name}"] for name in ("technical", "biological")
    )
    assert technical.sum() + biological.sum() == pytest.approx(1, abs=1e-5)
    assert technical.sum() > 0.9 and len(technical) == 2, "two directions of style were mixed in"
    points = arrays["consistency/shown/embedding"]
    assert points.shape == (len(splits["test"]), 2) and points[:, 0].var() >= points[:, 1].var()
    assert set(arrays["consistency/shown/setting"]) == set(splits["test"].modality)
    assert np.array_equal(arrays["consistency/shown/class"], splits["test"].labels.numpy())
    pictures = {name for name in arrays if name.startswith("figure/consistency/cluster-")}
    assert len(pictures) == min(QUICK.clusters)
    assert all(arrays[name].dtype == np.uint8 and arrays[name].shape[1:] == (1, 1, 12) for name in pictures)


def test_what_is_drawn_of_survival_is_everybody_in_two_halves():
    splits = three_splits()
    arrays = survival.evaluate(Reader(), splits, survival.Params(clusters=3, repeats=1), "", 1).arrays
    high = arrays["survival/shown/profile"]
    assert high.shape == arrays["survival/shown/time"].shape == (42,) and abs(int(high.sum()) - 21) <= 3
