"""Is one run better than another, image by image, or patient by patient?

Two runs answer for the same test images, so that what is compared is their difference on each of them, by the
scores that the protocols left (see `protocol.Paired`). Runs are pooled over their seeds: a metric is the mean
over the seeds, and over the arrays that it is paired by. For each metric, and each pair of runs that have it,
"<metric>/<run>-minus-<other run>/" and

    difference             of the two metrics
    ci_low, ci_high        95 % bootstrap interval (BCa), whole subjects drawn
    p_value                two-sided: paired sign flips for means (also ACC), bootstrap for AUC
    p_value_holm           the same, adjusted for all comparisons of the call
    p_value_t              where a protocol asks for it: Student's paired t-test over subjects, adjusted for
                           nothing

Nothing is compared that has no value for every entry, or is of one subject alone. Of class scores, "<metric>"
is followed by "/auc" and "/acc".

Folds of one run are taken together by `scores.pooled`. Whoever is tested in several of them stays one
subject: drawn, or given another sign, with all its values together, and with their mean in the t-test. Of
class scores there is then the ACC alone: what two trainings score has no common scale to be ranked on.

They speak of the test subjects, with the trained networks as they are. How much training itself varies is in
the ledger's interval over seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from latent_anatomy.evaluation.scores import Scores
from latent_anatomy.metrics.classification import correct
from latent_anatomy.statistics.inference import Statistic, bootstrap, holm, sign_flip

SEED = 1333


Measure = Callable[[list[NDArray], list[NDArray], NDArray], tuple[dict[str, float], float]]


@dataclass(frozen=True)
class Answer:
    """What a run has under one metric: values (n,) or (n, classes) of every seed and array, in a list.

    subjects and labels (n,) of each seed, in lists; labels are None where the values are no class scores.
    """

    values: list[NDArray]
    subjects: list[NDArray]
    labels: list[NDArray | None]
    t_test: bool
    folds: int


def compare(runs: Mapping[str, Sequence[Scores]]) -> dict[str, float]:
    """All numbers above, of all pairs of runs; `runs`: name -> the scores of each seed.

    Raises ValueError when runs, or the seeds of one, were not tested on the same images.
    """
    numbers, p_values = {}, {}
    for (name, one), (other_name, other) in combinations(runs.items(), 2):
        for metric in one[0].paired | other[0].paired:
            answers = {run: _answer(run, seeds, metric) for run, seeds in ((name, one), (other_name, other))}
            if None in answers.values():
                continue
            _same_entries(metric, answers)
            ours, theirs = answers.values()
            if not _comparable(ours, theirs):
                continue
            for suffix, measure in _measures(ours).items():
                key = "/".join(filter(None, (metric, suffix, f"{name}-minus-{other_name}")))
                values, p_values[key] = measure(ours.values, theirs.values, ours.subjects[0])
                numbers |= {f"{key}/{label}": value for label, value in values.items()}
                numbers[f"{key}/p_value"] = p_values[key]
    adjusted = holm(list(p_values.values()))
    return numbers | {f"{key}/p_value_holm": float(p) for key, p in zip(p_values, adjusted, strict=True)}


def _answer(run: str, seeds: Sequence[Scores], metric: str) -> Answer | None:
    """What a run answers with for a metric: its own scores, or those that answer for such metrics."""
    paired = seeds[0].paired
    standing_in = (key for key, pair in paired.items() if pair.answers and metric.startswith(pair.answers))
    own = metric if metric in paired else next(standing_in, None)
    if own is None:
        return None
    pair = paired[own]
    if any(each.paired.get(own) != pair for each in seeds):
        raise ValueError(
            f"{run}: expected the same scores of every seed, found others of {own!r}: evaluate all seeds by "
            "the same protocols"
        )
    return Answer(
        [each.arrays[name] for each in seeds for name in pair.arrays],
        [each.arrays[pair.subject] for each in seeds],
        [each.arrays[pair.labels] if pair.labels else None for each in seeds],
        pair.t_test,
        seeds[0].folds,
    )


def _same_entries(metric: str, answers: Mapping[str, Answer]) -> None:
    first, reference = next(iter(answers.items()))
    for run, answer in answers.items():
        for what in ("subjects", "labels"):
            expected = getattr(reference, what)[0]
            if not all(np.array_equal(expected, each) for each in getattr(answer, what)):
                raise ValueError(
                    f"{metric}: expected runs that were tested on the same images, found other {what} in "
                    f"{run} than in {first}: evaluate both again on the same slices"
                )


def _comparable(*answers: Answer) -> bool:
    """Whether everything has a value, and there are two subjects or more."""
    values = [each for answer in answers for each in answer.values]
    return len(set(answers[0].subjects[0].tolist())) > 1 and not any(np.isnan(each).any() for each in values)


def _measures(answer: Answer) -> dict[str, Measure]:
    """Name of each metric -> function of two pools of arrays and the subjects: interval, p-value."""
    labels = answer.labels[0]
    if labels is None:
        return {"": _means_and_t if answer.t_test else _means}

    def accuracies(one: list[NDArray], other: list[NDArray], subjects: NDArray):
        return _means(*([correct(labels, scores) for scores in pool] for pool in (one, other)), subjects)

    def areas(one: list[NDArray], other: list[NDArray], subjects: NDArray):
        return _interval(auc_difference(labels, one, other), subjects)

    return {"acc": accuracies} if answer.folds > 1 else {"auc": areas, "acc": accuracies}


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
