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

These speak of the test subjects **for these trainings**, with the trained networks as they are. What may be
said of two methods is decided by the trainings too, see `statistics.trainings`: where each run has three or
more (one suffices of a run without randomness), or both have three folds or more,

    trainings_low, trainings_high     95 % interval over trainings and subjects
    p_value_trainings                 of the same, two-sided
    p_value_trainings_holm            adjusted for all comparisons of the call

Nothing is compared that has no value for every entry, or is of one subject alone. Of class scores, "<metric>"
is followed by "/auc" and "/acc".

Folds of one run are taken together by `scores.pooled`. Whoever is tested in several of them stays one
subject: drawn, or given another sign, with all its values together, and with their mean in the t-test. Of
class scores there is then the ACC alone: what two trainings score has no common scale to be ranked on.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from latent_anatomy.evaluation.scores import Scores
from latent_anatomy.metrics.classification import correct
from latent_anatomy.statistics.inference import Interval, Statistic, bootstrap, holm, sign_flip
from latent_anatomy.statistics.trainings import LEAST, over_folds, over_trainings

SEED = 1333

Pool = list[
    NDArray
]  # the arrays of a run under one metric, of all its seeds and conditions; they count alike


@dataclass(frozen=True)
class Measure:
    """How the difference of two pools follows from who is drawn; and entry by entry, where it is a mean."""

    statistic: Callable[[Pool, Pool], Statistic]
    entries: Callable[[Pool, Pool], NDArray] | None = None


@dataclass(frozen=True)
class Answer:
    """What a run has under one metric: its arrays, values (n,) or (n, classes), of each seed.

    subjects and labels (n,) of each seed, in lists; labels are None where the values are no class scores.
    `folds` are the answers of each fold, where there are several.
    """

    seeds: list[Pool]
    subjects: list[NDArray]
    labels: list[NDArray | None]
    t_test: bool
    folds: list["Answer"]

    @property
    def pool(self) -> Pool:
        """The arrays of all seeds."""
        return [values for arrays in self.seeds for values in arrays]


def compare(
    runs: Mapping[str, Sequence[Scores]], without_randomness: Collection[str] = ()
) -> dict[str, float]:
    """All numbers above, of all pairs of runs; `runs`: name -> the scores of each seed.

    Raises ValueError when runs, or the seeds of one, were not tested on the same images.
    """
    numbers, p_values, of_trainings = {}, {}, {}
    for (name, one), (other_name, other) in combinations(runs.items(), 2):
        for metric in one[0].paired | other[0].paired:
            answers = {run: _answer(run, seeds, metric) for run, seeds in ((name, one), (other_name, other))}
            if None in answers.values():
                continue
            _same_entries(metric, answers)
            ours, theirs = answers.values()
            if not _comparable(ours, theirs):
                continue
            enough = all(
                len(answer.seeds) >= LEAST or run in without_randomness for run, answer in answers.items()
            )
            for suffix, measure in _measures(ours).items():
                key = "/".join(filter(None, (metric, suffix, f"{name}-minus-{other_name}")))
                values, error, p_values[key] = _tested(measure, ours, theirs)
                interval = _over_trainings(suffix, ours, theirs, error, enough)
                if interval:
                    values |= {"trainings_low": interval.low, "trainings_high": interval.high}
                    of_trainings[key] = interval.p
                numbers |= {f"{key}/{label}": value for label, value in values.items()}
    for label, tests in (("p_value", p_values), ("p_value_trainings", of_trainings)):
        numbers |= {f"{key}/{label}": p for key, p in tests.items()}
        adjusted = zip(tests, holm(list(tests.values())), strict=True)
        numbers |= {f"{key}/{label}_holm": float(p) for key, p in adjusted}
    return numbers


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
    folds = [_answer(run, parts, own) for parts in zip(*(each.folds for each in seeds), strict=True)]
    return Answer(
        [[each.arrays[name] for name in pair.arrays] for each in seeds],
        [each.arrays[pair.subject] for each in seeds],
        [each.arrays[pair.labels] if pair.labels else None for each in seeds],
        pair.t_test,
        folds,
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
    values = [each for answer in answers for each in answer.pool]
    return len(set(answers[0].subjects[0].tolist())) > 1 and not any(np.isnan(each).any() for each in values)


def _measures(answer: Answer) -> dict[str, Measure]:
    """Name of each metric -> how it is compared."""
    labels = answer.labels[0]
    if labels is None:
        return {"": _of_means(_mean_difference)}

    def accuracies(one: Pool, other: Pool) -> NDArray:
        return _mean_difference(*([correct(labels, scores) for scores in pool] for pool in (one, other)))

    areas = {"auc": Measure(lambda one, other: auc_difference(labels, one, other))}
    return ({} if answer.folds else areas) | {"acc": _of_means(accuracies)}


def _mean_difference(one: Pool, other: Pool) -> NDArray:
    return np.mean(one, axis=0) - np.mean(other, axis=0)


def _of_means(entries: Callable[[Pool, Pool], NDArray]) -> Measure:
    def statistic(one: Pool, other: Pool) -> Statistic:
        differences = entries(one, other)
        return lambda counts: counts @ differences / counts.sum(axis=1)

    return Measure(statistic, entries)


def _tested(measure: Measure, ours: Answer, theirs: Answer) -> tuple[dict[str, float], float, float]:
    """The numbers for these trainings; the standard error of the difference over subjects; the p-value."""
    subjects = ours.subjects[0]
    result = bootstrap(measure.statistic(ours.pool, theirs.pool), subjects, seed=SEED)
    values = {"difference": result.estimate, "ci_low": result.low, "ci_high": result.high}
    if measure.entries is None:
        return values, result.error, result.p
    differences = measure.entries(ours.pool, theirs.pool)
    if ours.t_test:
        membership = np.unique(subjects, return_inverse=True)[1]
        of_subjects = np.bincount(membership, weights=differences) / np.bincount(membership)
        same = not of_subjects.any()  # the statistic is 0 / 0
        values["p_value_t"] = 1.0 if same else float(stats.ttest_1samp(of_subjects, 0).pvalue)
    return values, result.error, sign_flip(differences, subjects, seed=SEED)


def _over_trainings(suffix: str, ours: Answer, theirs: Answer, error: float, enough: bool) -> Interval | None:
    """The interval over trainings and subjects; None where there are too few trainings."""
    subjects = len(set(ours.subjects[0].tolist()))
    if ours.folds and len(ours.folds) >= LEAST:
        pairs = zip(ours.folds, theirs.folds, strict=True)
        return over_folds([_difference(suffix, *pair) for pair in pairs], error, subjects)
    if not enough:
        return None
    whole = _difference(suffix, ours, theirs)
    one = [_difference(suffix, replace(ours, seeds=[seed]), theirs) for seed in ours.seeds]
    other = [whole - _difference(suffix, ours, replace(theirs, seeds=[seed])) for seed in theirs.seeds]
    return over_trainings(one, other, error, subjects)


def _difference(suffix: str, ours: Answer, theirs: Answer) -> float:
    statistic = _measures(ours)[suffix].statistic(ours.pool, theirs.pool)
    return float(statistic(np.ones((1, len(ours.subjects[0]))))[0])


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
