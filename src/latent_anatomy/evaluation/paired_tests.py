"""Is one run better than another, image by image, or patient by patient?

Two runs answer for the same test images, so that what is compared is their difference on each of them.
From the arrays that the protocols left:

    reconstruction/...                           mean over images
    probing/<task>/<variant>, classification/<task>      AUC and ACC
    robustness/clean|<family>                            AUC and ACC, mean over the family's conditions
    lesions/training|validation/dice             mean over patients with lesions, where there are two or more
    segmentation/slice-dice|volume-dice/...      average and structures drawn of all, two subjects or more

A run that classifies answers with classification/<task> for every probe of that task of another run.
Runs are pooled over their seeds: a metric is the mean over the seeds. For each metric, and each pair of
runs that have it, "<metric>/<run>-minus-<other run>/" and

    difference             of the two metrics
    ci_low, ci_high        95 % bootstrap interval (BCa), whole subjects drawn
    p_value                two-sided: paired sign flips for means (also ACC), bootstrap for AUC
    p_value_holm           the same, adjusted for all comparisons of the call
    p_value_t              of segmentation/...: Student's paired t-test over subjects, as SDNet's paper has
                           it, adjusted for nothing

Folds of one run are taken together by `concatenate`. Whoever is tested in several of them stays one subject:
drawn, or given another sign, with all its values together, and with their mean in the t-test.

They speak of the test subjects, with the trained networks as they are. How much training itself
varies is in the ledger's interval over seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from latent_anatomy.corruptions.families import FAMILIES
from latent_anatomy.metrics.classification import correct
from latent_anatomy.statistics.inference import Statistic, bootstrap, holm, sign_flip

Arrays = Mapping[str, NDArray]

SEED = 1333
# At thresholds that can be known. An oracle's Dice is a bound: nothing is claimed of it, nothing is tested.
THRESHOLDED = ("lesions/training/dice", "lesions/validation/dice")
DELINEATED = ("segmentation/slice-dice/", "segmentation/volume-dice/")  # with "average", or a structure


def compare(runs: Mapping[str, Sequence[Arrays]]) -> dict[str, float]:
    """All metrics above, of all pairs of runs; `runs`: name -> the arrays of each seed.

    Arrays need "subject" (N,), the subject of each test image, beside those of the protocols. Raises
    ValueError when the runs were not tested on the same images.
    """
    found, p_values = {}, {}
    for (name, one), (other_name, other) in combinations(runs.items(), 2):
        _same_images({name: one, other_name: other})
        ours, theirs = _keys(one[0]), _keys(other[0])
        stems = [stem for stem in ours | theirs if _answer(ours, stem) and _answer(theirs, stem)]
        for stem in stems:
            pair = (_pool(one, _answer(ours, stem)), _pool(other, _answer(theirs, stem)))
            subjects, labels = _subjects_and_labels(one[0], stem)
            for metric, measure in _measures(stem, labels).items():
                key = "/".join(filter(None, (stem, metric, f"{name}-minus-{other_name}")))
                values, p_values[key] = measure(*pair, subjects)
                found |= {f"{key}/{label}": value for label, value in values.items()}
                found[f"{key}/p_value"] = p_values[key]
    adjusted = holm(list(p_values.values()))
    return found | {f"{key}/p_value_holm": float(p) for key, p in zip(p_values, adjusted, strict=True)}


def concatenate(folds: Sequence[Arrays]) -> dict[str, NDArray]:
    """The arrays of one run with one seed in several folds as those of one test: what can be compared so.

    That is the Dice of each subject, once for each fold that tests it; ValueError when a fold has none.
    """
    dice = [key for key in folds[0] if key.startswith(DELINEATED)]
    names = ("subject", "segmentation/subject", *(dice or ["segmentation/slice-dice/average"]))
    for place, arrays in enumerate(folds):
        if missing := sorted(set(names) - set(arrays)):
            raise ValueError(
                f"fold {place}: expected the arrays of the protocol segmentation, found no {missing[0]!r}: "
                "evaluate it, or compare folds by themselves"
            )
    return {name: np.concatenate([arrays[name] for arrays in folds]) for name in names}


def _keys(arrays: Arrays) -> dict[str, list[str]]:
    """What a run has: stem of a metric -> the arrays that it is made of."""
    found = {key: [key] for key in arrays if key.startswith("reconstruction/")}
    if "lesions/subject" in arrays and len(_diseased(arrays)) > 1:
        found |= {key: [key] for key in THRESHOLDED if key in arrays}
    if len(set(arrays.get("segmentation/subject", ()))) > 1:
        drawn = [key for key in arrays if key.startswith(DELINEATED)]
        found |= {key: [key] for key in drawn if np.isfinite(arrays[key]).all()}
    for key in arrays:
        stem, _, last = key.rpartition("/")
        protocol = key.split("/")[0]
        if last == "scores" and (protocol in ("probing", "classification") or stem == "robustness/clean"):
            found[stem] = [key]
    for family, names in FAMILIES.items():
        conditions = [key for key in arrays if key.startswith("robustness/") and key.split("/")[1] in names]
        if conditions:
            found[f"robustness/{family}"] = conditions
    return found


def _answer(keys: dict[str, list[str]], stem: str) -> list[str] | None:
    """The arrays with which a run answers for a metric; a classifier answers for a probe of its task."""
    if stem.startswith("probing/") and stem not in keys:
        return keys.get(f"classification/{stem.split('/')[1]}")
    return keys.get(stem)


def _pool(seeds: Sequence[Arrays], keys: list[str]) -> list[NDArray]:
    pooled = [arrays[key] for arrays in seeds for key in keys]
    if keys[0].startswith("lesions/"):  # NaN are the patients that have none
        return [values[~np.isnan(values)] for values in pooled]
    return pooled


def _diseased(arrays: Arrays) -> NDArray:
    """Subjects (n,) of the test patients with lesions, who are the same at every threshold."""
    return arrays["lesions/subject"][~np.isnan(arrays["lesions/training/dice"])]


def _tested(arrays: Arrays) -> dict[str, NDArray]:
    """What must be the same for all runs."""
    names = ("subject", "labels", "corruption/labels", "robustness/images", "lesions/subject")
    names += ("segmentation/subject",)
    found = {name: arrays[name] for name in names if name in arrays}
    if "lesions/subject" in arrays:
        found["patients with lesions"] = _diseased(arrays)
    return found


def _same_images(runs: Mapping[str, Sequence[Arrays]]) -> None:
    (first, reference), *_ = ((name, seeds[0]) for name, seeds in runs.items())
    if "subject" not in reference:
        raise ValueError(f"{first}: expected an array 'subject' beside those of the protocols, found none")
    expected = _tested(reference)
    for name, seeds in runs.items():
        for arrays in seeds:
            for key, values in _tested(arrays).items():
                if key in expected and not np.array_equal(values, expected[key]):
                    raise ValueError(
                        f"expected runs that were tested on the same images, found another {key!r} in "
                        f"{name} than in {first}: evaluate both again on the same slices"
                    )


def _subjects_and_labels(arrays: Arrays, stem: str) -> tuple[NDArray, NDArray | None]:
    """Subjects (n,) of what a metric is the mean over, and their labels (n,) where it has classes."""
    if stem.startswith("lesions/"):
        return _diseased(arrays), None
    if stem.startswith(DELINEATED):
        return arrays["segmentation/subject"], None
    if stem.startswith("reconstruction/"):
        return arrays["subject"], None
    if stem.startswith("robustness/"):
        chosen = arrays["robustness/images"]
        return arrays["subject"][chosen], arrays["labels"][chosen]
    labels = "corruption/labels" if stem.split("/")[1] == "corruption" else "labels"
    return arrays["subject"], arrays[labels]


Measure = Callable[[list[NDArray], list[NDArray], NDArray], tuple[dict[str, float], float]]


def _measures(stem: str, labels: NDArray | None) -> dict[str, Measure]:
    """Name of each metric -> function of two pools of arrays and the subjects: interval, p-value."""
    if stem.startswith(DELINEATED):
        return {"": _means_and_t}
    if labels is None:
        return {"": _means}

    def accuracies(one: list[NDArray], other: list[NDArray], subjects: NDArray):
        return _means(*([correct(labels, scores) for scores in pool] for pool in (one, other)), subjects)

    def areas(one: list[NDArray], other: list[NDArray], subjects: NDArray):
        return _interval(auc_difference(labels, one, other), subjects)

    return {"auc": areas, "acc": accuracies}


def _means(one: list[NDArray], other: list[NDArray], subjects: NDArray) -> tuple[dict[str, float], float]:
    differences = np.mean(one, axis=0) - np.mean(other, axis=0)
    values, _ = _interval(lambda counts: counts @ differences / counts.sum(axis=1), subjects)
    return values, sign_flip(differences, subjects, seed=SEED)


def _means_and_t(
    one: list[NDArray], other: list[NDArray], subjects: NDArray
) -> tuple[dict[str, float], float]:
    values, p_value = _means(one, other, subjects)
    membership = np.unique(subjects, return_inverse=True)[1]
    differences = np.mean(one, axis=0) - np.mean(other, axis=0)
    of_subjects = np.bincount(membership, weights=differences) / np.bincount(membership)
    same = not of_subjects.any()  # the statistic is 0 / 0
    return values | {"p_value_t": 1.0 if same else float(stats.ttest_1samp(of_subjects, 0).pvalue)}, p_value


def _interval(statistic: Statistic, subjects: NDArray) -> tuple[dict[str, float], float]:
    result = bootstrap(statistic, subjects, seed=SEED)
    return {"difference": result.estimate, "ci_low": result.low, "ci_high": result.high}, result.p


def auc_difference(labels: NDArray, one: list[NDArray], other: list[NDArray]) -> Statistic:
    """Mean AUC of the scores in `one` minus that in `other`, each (N, classes), as a function of counts.

    An AUC is a bilinear form: the sum over pairs of a positive and a negative of how often both were
    drawn times whether the positive scores higher, 1, 1/2 or 0. Its mean over conditions and seeds, and
    the difference of two such means, are forms of the same kind, with their matrices averaged and
    subtracted. So resampling costs the same for one AUC as for hundreds. NaN where a class is missing.
    """
    classes = [1] if one[0].shape[1] == 2 else range(one[0].shape[1])
    forms = []
    for label in classes:
        positive, negative = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        matrix = sum(_wins(scores[:, label], positive, negative) for scores in one) / len(one)
        matrix -= sum(_wins(scores[:, label], positive, negative) for scores in other) / len(other)
        forms.append((positive, negative, matrix))

    def statistic(counts: NDArray) -> NDArray:
        areas = []
        for positive, negative, matrix in forms:
            above, below = counts[:, positive], counts[:, negative]
            pairs = above.sum(axis=1) * below.sum(axis=1)
            with np.errstate(invalid="ignore"):
                areas.append(np.einsum("bn,bn->b", above @ matrix, below) / pairs)
        return np.mean(areas, axis=0)

    return statistic


def _wins(scores: NDArray, positive: NDArray, negative: NDArray) -> NDArray:
    """Whether each positive scores higher than each negative: (positives, negatives) of 1, 1/2, 0."""
    above, below = scores[positive, None], scores[None, negative]
    return (np.sign(above.astype(np.float64) - below) + 1) / 2
