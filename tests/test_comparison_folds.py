"""Runs compared by the Dice of each subject, within a test and over several folds."""

import numpy as np
import pytest
from scipy import stats

from latent_anatomy.evaluation import paired_tests
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


PEOPLE = [f"p{index:02}" for index in range(15)]


def test_one_test_s_p_values_are_scipy_s_and_those_of_sign_flips():
    runs = {
        "sdnet": [fold(PEOPLE, 1, 0.02), fold(PEOPLE, 2, 0.02)],
        "unet": [fold(PEOPLE, 3), fold(PEOPLE, 4)],
    }
    found = paired_tests.compare(runs)
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
    found = paired_tests.compare({"one": [fold(PEOPLE, 1)], "other": [fold(PEOPLE, 1)]})
    for key in KEYS:
        assert found[f"{key}/one-minus-other/p_value_t"] == found[f"{key}/one-minus-other/p_value"] == 1


def test_folds_of_other_subjects_are_one_test_of_all():
    parts = (PEOPLE[:6], PEOPLE[6:])
    runs = {
        name: [paired_tests.concatenate([fold(part, seed + place, gain) for place, part in enumerate(parts)])]
        for name, seed, gain in (("sdnet", 1, 0.02), ("unet", 5, 0.0))
    }
    found = paired_tests.compare(runs)
    key = KEYS[0]
    one, other = (seeds[0][key] for seeds in runs.values())
    assert len(one) == 15 and not [name for name in found if not name.startswith("segmentation/")]
    assert found[f"{key}/sdnet-minus-unet/p_value_t"] == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert found[f"{key}/sdnet-minus-unet/p_value"] == sign_flip(one - other, PEOPLE, seed=paired_tests.SEED)


def test_who_is_tested_in_two_folds_stays_one_subject():
    """With the same people in both folds, nobody is surer of a difference than those people make one."""
    folds = {
        name: [fold(PEOPLE[:8], seed, gain), fold(PEOPLE[:8], seed + 1, gain)]
        for name, seed, gain in (("sdnet", 1, 0.005), ("unet", 5, 0.0))
    }
    found = paired_tests.compare({name: [paired_tests.concatenate(each)] for name, each in folds.items()})
    for key in KEYS:
        means = [np.mean([arrays[key] for arrays in each], axis=0) for each in folds.values()]
        pair = f"{key}/sdnet-minus-unet"
        assert found[f"{pair}/p_value_t"] == pytest.approx(stats.ttest_rel(*means).pvalue)
        flipped = sign_flip(means[0] - means[1], PEOPLE[:8], seed=paired_tests.SEED)
        assert found[f"{pair}/p_value"] == pytest.approx(flipped)
        twice = [np.concatenate([arrays[key] for arrays in each]) for each in folds.values()]
        assert found[f"{pair}/p_value_t"] != pytest.approx(stats.ttest_rel(*twice).pvalue)


def test_a_fold_without_dice_is_refused():
    whole = fold(PEOPLE, 1)
    for name in ("subject", "segmentation/subject", *KEYS):
        with pytest.raises(ValueError, match=f"fold 1: .* found no '{name}'"):
            paired_tests.concatenate([whole, {key: each for key, each in whole.items() if key != name}])


def test_runs_on_other_subjects_are_not_compared():
    one, other = fold(PEOPLE, 1), fold(PEOPLE, 2)
    other["segmentation/subject"] = other["segmentation/subject"][::-1]
    with pytest.raises(ValueError, match="another 'segmentation/subject' in other than in one"):
        paired_tests.compare({"one": [one], "other": [other]})


def test_one_subject_has_no_spread():
    runs = {name: [paired_tests.concatenate([fold(PEOPLE[:1], seed)])] for name, seed in (("a", 1), ("b", 2))}
    assert paired_tests.compare(runs) == {}
