"""Paired tests between runs find what is there, and nothing that is not."""

import numpy as np
import pytest
from scoring import scores_of

from latent_anatomy.corruptions.families import FAMILIES
from latent_anatomy.evaluation import paired_tests
from latent_anatomy.metrics import classification
from latent_anatomy.statistics.inference import holm, sign_flip


def compare(runs: dict[str, list[dict]]) -> dict[str, float]:
    """The paired tests of arrays, as the protocols pair them."""
    return paired_tests.compare({name: list(map(scores_of, seeds)) for name, seeds in runs.items()})


# Comparison


def arrays_of(seed: int, skill: float, count: int = 60) -> dict[str, np.ndarray]:
    """Arrays of a run whose scores follow the labels as far as its skill goes."""
    rng = np.random.default_rng(seed)
    labels, corrupted = np.arange(count) % 3, np.arange(count) % 2
    disease = rng.dirichlet(np.ones(3), count) + skill * np.eye(3)[labels]
    detection = rng.dirichlet(np.ones(2), count) + skill * np.eye(2)[corrupted]
    chosen = np.arange(0, count, 2)
    found = {
        "subject": np.array([f"p{index}" for index in range(count)]),
        "labels": labels,
        "corruption/labels": corrupted,
        "reconstruction/psnr": rng.normal(30 + 3 * skill, 1, count),
        "probing/disease/own/scores": disease / disease.sum(axis=1, keepdims=True),
        "probing/corruption/own/scores": detection / detection.sum(axis=1, keepdims=True),
        "robustness/subject": np.array([f"p{index}" for index in chosen]),
        "robustness/labels": labels[chosen],
        "robustness/clean/scores": disease[chosen],
    }
    for name in FAMILIES["noise"]:
        noisy = disease + rng.normal(0, 0.3, disease.shape)
        found[f"robustness/{name}/1/scores"] = noisy[chosen]
    return found


def test_comparison_finds_the_better_run_and_not_the_equal_one():
    runs = {
        "good": [arrays_of(1, 0.6), arrays_of(2, 0.6)],
        "poor": [arrays_of(3, 0.1), arrays_of(4, 0.1)],
        "same": [arrays_of(1, 0.6), arrays_of(2, 0.6)],
    }
    found = compare(runs)
    names = ["reconstruction/psnr"] + [
        f"{stem}/{metric}"
        for stem in ("probing/disease/own", "probing/corruption/own", "robustness/clean", "robustness/noise")
        for metric in ("auc", "acc")
    ]
    for name in names:
        better, equal = f"{name}/good-minus-poor", f"{name}/good-minus-same"
        assert found[f"{better}/difference"] > 0 and found[f"{better}/p_value"] < 0.05, name
        assert found[f"{better}/ci_low"] < found[f"{better}/difference"] < found[f"{better}/ci_high"]
        assert found[f"{better}/p_value_holm"] >= found[f"{better}/p_value"]
        assert found[f"{equal}/difference"] == 0 and found[f"{equal}/p_value"] == 1
    assert "robustness/blur/auc/good-minus-poor/difference" not in found


def test_each_run_is_pooled_over_its_own_seeds():
    one, other = [arrays_of(1, 0.3)], [arrays_of(seed, 0.2) for seed in (3, 4, 5)]
    found = compare({"one": one, "other": other})
    means = {
        "reconstruction/psnr": lambda arrays: arrays["reconstruction/psnr"].mean(),
        "probing/disease/own/auc": lambda arrays: classification.auc(
            arrays["labels"], arrays["probing/disease/own/scores"]
        ),
    }
    for name, measure in means.items():
        values = [np.mean([measure(arrays) for arrays in seeds]) for seeds in (one, other)]
        assert found[f"{name}/one-minus-other/difference"] == pytest.approx(values[0] - values[1])


def test_differences_are_those_of_the_metrics_in_the_mean_over_seeds():
    one, other = [arrays_of(1, 0.3), arrays_of(2, 0.3)], [arrays_of(3, 0.2), arrays_of(4, 0.2)]
    found = compare({"one": one, "other": other})

    def mean(seeds, metric, key, labels):
        return np.mean([metric(labels(arrays), arrays[key]) for arrays in seeds])

    for metric, function in (("auc", classification.auc), ("acc", classification.acc)):
        key = "probing/corruption/own"
        expected = [
            mean(seeds, function, f"{key}/scores", lambda arrays: arrays["corruption/labels"])
            for seeds in (one, other)
        ]
        assert found[f"{key}/{metric}/one-minus-other/difference"] == pytest.approx(expected[0] - expected[1])
    noise = [
        np.mean(
            [
                mean(
                    seeds,
                    classification.auc,
                    f"robustness/{name}/1/scores",
                    lambda arrays: arrays["robustness/labels"],
                )
                for name in FAMILIES["noise"]
            ]
        )
        for seeds in (one, other)
    ]
    assert found["robustness/noise/auc/one-minus-other/difference"] == pytest.approx(noise[0] - noise[1])


@pytest.mark.parametrize("classes", [2, 3])
def test_resampled_auc_is_the_auc_of_the_resample(classes):
    rng = np.random.default_rng(classes)
    labels = np.arange(40) % classes
    one, other = (np.round(rng.dirichlet(np.ones(classes), 40), 1) for _ in range(2))
    statistic = paired_tests.auc_difference(labels, [one], [other])
    drawn = rng.integers(0, 40, (20, 40))
    counts = np.stack([np.bincount(row, minlength=40) for row in drawn]).astype(float)
    expected = [
        classification.auc(labels[row], one[row]) - classification.auc(labels[row], other[row])
        for row in drawn
    ]
    assert statistic(counts) == pytest.approx(expected)


def test_a_classifier_answers_for_the_probes_of_its_task():
    classifier = arrays_of(5, 0.1)
    classifier = {key: classifier[key] for key in ("subject", "labels", "corruption/labels")} | {
        "classification/corruption/scores": classifier["probing/corruption/own/scores"]
    }
    found = compare({"probe": [arrays_of(1, 0.6)], "classifier": [classifier]})
    assert found["probing/corruption/own/auc/probe-minus-classifier/difference"] > 0
    assert not any("disease" in key or "classification" in key for key in found)


@pytest.mark.parametrize(
    "key", ["subject", "labels", "corruption/labels", "robustness/subject", "robustness/labels"]
)
def test_runs_on_other_images_are_not_compared(key):
    one, other = arrays_of(1, 0.5), arrays_of(2, 0.5)
    other[key] = other[key][::-1]
    what = "labels" if key.endswith("labels") else "subjects"
    with pytest.raises(ValueError, match=f"same images, found other {what} in other than in one"):
        compare({"one": [one], "other": [other]})


def test_comparison_needs_subjects():
    one = arrays_of(1, 0.5)
    del one["subject"]
    with pytest.raises(ValueError, match="paired by, found no 'subject'"):
        compare({"one": [one], "other": [one]})


# Comparison of lesions


def dice_of(values: np.ndarray) -> dict[str, np.ndarray]:
    patients = np.array([f"p{index}" for index in range(len(values))])
    kinds = {f"lesions/{kind}/dice": values for kind in ("training", "validation")}
    return {"subject": np.repeat(patients, 3), "lesions/subject": patients} | kinds


def delineations(patients: int = 20) -> dict[str, list[dict]]:
    """Patients differ more than runs do; one of the runs is a little better on all of them."""
    rng = np.random.default_rng(4)
    difficulty = rng.normal(0.5, 0.2, patients)
    gains = {"better": 0.05, "one": 0.0, "other": 0.0}
    return {
        name: [dice_of(difficulty + gain + rng.normal(0, 0.02, patients)) for _ in range(2)]
        for name, gain in gains.items()
    }


def test_a_small_steady_difference_of_dice_shows_within_patients_that_differ_much():
    runs = delineations()
    found = compare(runs)
    key = "lesions/training/dice"
    for pair in ("better-minus-one", "better-minus-other"):
        assert found[f"{key}/{pair}/p_value_holm"] < 0.01 and found[f"{key}/{pair}/ci_low"] > 0
    assert found[f"{key}/one-minus-other/p_value_holm"] > 0.05
    assert found[f"{key}/one-minus-other/ci_low"] < 0 < found[f"{key}/one-minus-other/ci_high"]
    means = [np.mean([arrays[key] for arrays in runs[name]]) for name in ("better", "one")]
    assert found[f"{key}/better-minus-one/difference"] == pytest.approx(means[0] - means[1])
    differences = np.subtract(
        *(np.mean([each[key] for each in runs[name]], axis=0) for name in ("one", "other"))
    )
    expected = sign_flip(differences, runs["one"][0]["lesions/subject"], seed=paired_tests.SEED)
    assert found[f"{key}/one-minus-other/p_value"] == expected
    p_values = [value for name, value in found.items() if name.endswith("/p_value")]
    assert [value for name, value in found.items() if name.endswith("_holm")] == pytest.approx(holm(p_values))


def test_a_metric_without_a_value_for_everybody_or_of_one_subject_is_not_compared():
    runs = delineations()
    broken = runs["better"][1]["lesions/training/dice"].copy()
    broken[3] = np.nan
    runs["better"][1]["lesions/training/dice"] = broken
    metrics = {key.rsplit("/", 2)[0] for key in compare({name: runs[name] for name in ("better", "one")})}
    assert metrics == {"lesions/validation/dice"}
    assert compare(delineations(1)) == {}


def test_seeds_by_other_protocols_are_refused():
    one, other = arrays_of(1, 0.5), arrays_of(2, 0.5)
    less = {key: values for key, values in other.items() if not key.startswith("reconstruction")}
    with pytest.raises(ValueError, match="two: expected the same scores of every seed, found others of"):
        compare({"one": [one, one], "two": [other, less]})


def test_delineations_of_other_patients_are_not_compared():
    runs = delineations()
    wrong = runs["other"][1] | {"lesions/subject": runs["other"][1]["lesions/subject"][::-1]}
    with pytest.raises(ValueError, match=r"lesions.* other subjects in other than in better"):
        compare(runs | {"other": [runs["other"][0], wrong]})
