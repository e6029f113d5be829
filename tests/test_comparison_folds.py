"""Runs compared by the Dice of each subject, within a test and over several folds."""

import numpy as np
import pytest
from scipy import stats
from scoring import scores_of

from latent_anatomy.evaluation import paired_tests
from latent_anatomy.evaluation.scores import Scores, pooled
from latent_anatomy.statistics.inference import holm, sign_flip

KINDS, STRUCTURES = ("slice-dice", "volume-dice"), ("average", "myocardium")
KEYS = tuple(f"segmentation/{kind}/{name}" for kind in KINDS for name in STRUCTURES)


def fold(subjects: list[str], seed: int, gain: float = 0.0) -> dict[str, np.ndarray]:
    """Arrays of one evaluation: subjects differ more than runs do."""
    random = np.random.default_rng(seed)
    difficulty = np.random.default_rng(len(subjects)).normal(0.7, 0.1, len(subjects))
    values = {key: difficulty + gain + random.normal(0, 0.02, len(subjects)) for key in KEYS}
    return {
        "subject": np.repeat(subjects, 4),
        "segmentation/subject": np.array(subjects),
        "segmentation/structures": np.array(["left-ventricle"]),
        "segmentation/slice-dice/left-ventricle": np.full(len(subjects), np.nan),
        "reconstruction/psnr": random.normal(30, 1, 4 * len(subjects)),
        **values,
    }


def together(folds: list[dict]) -> Scores:
    return pooled(list(map(scores_of, folds)))


PEOPLE = [f"p{index:02}" for index in range(15)]


def test_one_test_s_p_values_are_scipy_s_and_those_of_sign_flips():
    runs = {
        "sdnet": [fold(PEOPLE, 1, 0.02), fold(PEOPLE, 2, 0.02)],
        "unet": [fold(PEOPLE, 3), fold(PEOPLE, 4)],
    }
    found = paired_tests.compare({name: list(map(scores_of, seeds)) for name, seeds in runs.items()})
    for key in KEYS:
        pair = f"{key}/sdnet-minus-unet"
        one, other = (np.mean([arrays[key] for arrays in seeds], axis=0) for seeds in runs.values())
        assert found[f"{pair}/difference"] == pytest.approx(np.mean(one - other))
        assert found[f"{pair}/p_value_t"] == pytest.approx(stats.ttest_rel(one, other).pvalue)
        assert found[f"{pair}/p_value"] == sign_flip(one - other, PEOPLE, seed=paired_tests.SEED)
        assert found[f"{pair}/ci_low"] < found[f"{pair}/difference"] < found[f"{pair}/ci_high"]
    p_values = [value for name, value in found.items() if name.endswith("/p_value")]
    assert [value for name, value in found.items() if name.endswith("_holm")] == pytest.approx(holm(p_values))
    assert not [name for name in found if name.startswith("reconstruction") and name.endswith("_t")]
    assert "segmentation/slice-dice/left-ventricle/sdnet-minus-unet/difference" not in found


def test_equal_runs_do_not_differ():
    found = paired_tests.compare({name: [scores_of(fold(PEOPLE, 1))] for name in ("one", "other")})
    for key in KEYS:
        assert found[f"{key}/one-minus-other/p_value_t"] == found[f"{key}/one-minus-other/p_value"] == 1


def test_folds_of_other_subjects_are_one_test_of_all():
    parts = (PEOPLE[:6], PEOPLE[6:])
    runs = {
        name: [together([fold(part, seed + place, gain) for place, part in enumerate(parts)])]
        for name, seed, gain in (("sdnet", 1, 0.02), ("unet", 5, 0.0))
    }
    found = paired_tests.compare(runs)
    key = KEYS[0]
    one, other = (seeds[0].arrays[key] for seeds in runs.values())
    images = "reconstruction/psnr/sdnet-minus-unet/difference"
    means = [seeds[0].arrays["reconstruction/psnr"].mean() for seeds in runs.values()]
    assert len(one) == 15 and found[images] == pytest.approx(means[0] - means[1])
    assert found[f"{key}/sdnet-minus-unet/p_value_t"] == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert found[f"{key}/sdnet-minus-unet/p_value"] == sign_flip(one - other, PEOPLE, seed=paired_tests.SEED)


def test_who_is_tested_in_two_folds_stays_one_subject():
    """With the same people in both folds, nobody is surer of a difference than those people make one."""
    folds = {
        name: [fold(PEOPLE[:8], seed, gain), fold(PEOPLE[:8], seed + 1, gain)]
        for name, seed, gain in (("sdnet", 1, 0.005), ("unet", 5, 0.0))
    }
    found = paired_tests.compare({name: [together(each)] for name, each in folds.items()})
    for key in KEYS:
        means = [np.mean([arrays[key] for arrays in each], axis=0) for each in folds.values()]
        pair = f"{key}/sdnet-minus-unet"
        assert found[f"{pair}/p_value_t"] == pytest.approx(stats.ttest_rel(*means).pvalue)
        flipped = sign_flip(means[0] - means[1], PEOPLE[:8], seed=paired_tests.SEED)
        assert found[f"{pair}/p_value"] == pytest.approx(flipped)
        twice = [np.concatenate([arrays[key] for arrays in each]) for each in folds.values()]
        assert found[f"{pair}/p_value_t"] != pytest.approx(stats.ttest_rel(*twice).pvalue)


def test_a_fold_that_was_asked_otherwise_is_refused():
    whole = fold(PEOPLE, 1)
    for folds in ([whole, without("reconstruction/psnr", whole)], [without(KEYS[0], whole), whole]):
        with pytest.raises(ValueError, match="fold 1: expected the same scores as in the first"):
            together(folds)


def without(name: str, arrays: dict) -> dict:
    return {key: values for key, values in arrays.items() if key != name}


def test_of_class_scores_in_folds_there_is_the_accuracy_alone():
    random = np.random.default_rng(0)

    def scored(skill: float) -> dict:
        labels = np.arange(30) % 2
        scores = random.random((30, 2)) + skill * np.eye(2)[labels]
        people = np.array([f"p{index}" for index in range(30)])
        return {"subject": people, "labels": labels, "probing/disease/own/scores": scores}

    found = paired_tests.compare(
        {name: [together([scored(1), scored(skill)])] for name, skill in (("a", 1), ("b", 0))}
    )
    assert found["probing/disease/own/acc/a-minus-b/difference"] > 0
    assert not [name for name in found if "/auc/" in name]


def test_one_subject_has_no_spread():
    runs = {name: [together([fold(PEOPLE[:1], seed)])] for name, seed in (("a", 1), ("b", 2))}
    assert paired_tests.compare(runs) == {}
