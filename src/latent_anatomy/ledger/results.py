"""The metrics.json files of a study, checked and put in order.

results/<study>/<dataset>/<run>/seed-<n>/metrics.json holds the metrics of one trained method, name ->
number, of a cohort of one fold (fold-<k>.seed-<n>), and a seed's result is then the mean over its folds;
results/<study>/comparison/<dataset>/metrics.json the paired tests between the runs on a data set.
What they are the metrics of says the job in the passport.json beside each.
Real data sets and phantoms never enter the same `Results`.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from latent_anatomy.data.cohorts import Replicate, dataset_of
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger.papers import PHANTOM, Paper
from latent_anatomy.pipeline.layout import COMPARISON, PAIRED_TESTS, PASSPORT
from latent_anatomy.provenance import verify


@dataclass(frozen=True)
class Result:
    """What one metrics.json and its passport say."""

    path: Path
    run: str
    dataset: str
    seed: int
    metrics: dict[str, float]
    params: dict
    evaluation: dict
    trained_on: str | None = None  # the data set, where it is another
    test_subjects: int | None = None  # of how many it is, where not of all
    fold: int | None = None
    source: str | None = None  # digest of the code that evaluated
    folds: int = 1  # of how many the metrics are means
    of_folds: tuple[dict[str, float], ...] = ()  # the metrics of each


@dataclass(frozen=True)
class Results:
    """All results of a study: the seeds of each (run, data set), and the comparisons of each data set."""

    runs: dict[tuple[str, str], list[Result]]
    comparisons: dict[str, dict[str, float]]
    phantom: bool

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets with at least one run, sorted."""
        return sorted({dataset for _, dataset in self.runs})

    def seeds(self, run: str, dataset: str) -> list[Result]:
        """The results of a run on a data set, by seed; empty if it was not made."""
        return self.runs.get((run, dataset), [])

    def standing_for(self, published: str) -> list[str]:
        """Data sets with results that answer to a data set of the paper: itself first, then others."""
        if self.phantom:
            return [name for name in self.datasets if name == PHANTOM + published]
        # A cohort is answered for by the same cohort of another data set.
        rest = published.removeprefix(dataset_of(published))
        names = [
            name
            for name in self.datasets
            if datasets.find(name).stands_for == dataset_of(published)
            and name.removeprefix(dataset_of(name)) == rest
        ]
        return sorted(names, key=lambda name: (name != published, name))

    def in_kind(self, paper: Paper) -> list[str]:
        """Data sets with results that answer to none of the paper's: measured as in the paper, on others."""
        answering = {name for published in paper.datasets for name in self.standing_for(published)}
        return [name for name in self.datasets if name not in answering]


def read(paths: Iterable[Path], study: str, phantom: bool) -> Results:
    """Read metrics.json files, all of real data sets or, with `phantom`, all of phantoms.

    Raises ValueError when a file is damaged, is not the one that its passport was sealed for, lies elsewhere
    than its content says, holds NaN, belongs to another study, or to a phantom where real results are asked
    for (and the other way round), when a result is there twice, and when the seeds of a run were not made
    alike.
    """
    runs: dict[tuple[str, str], list[Result]] = {}
    comparisons: dict[str, dict[str, float]] = {}
    for path in sorted(map(Path, paths)):
        metrics, passport = _parse(path)
        job = passport["job"]
        _check_place(path, job, study)
        _check_kind(path, passport, phantom)
        dataset = job["dataset"]
        if job["job"] == PAIRED_TESTS:
            if dataset in comparisons:
                raise ValueError(f"{path}: expected one comparison on {dataset}, found another: give it once")
            comparisons[dataset] = metrics
        else:
            names = ("run", "dataset", "seed", "params", "evaluation")
            named = {name: job[name] for name in names}
            elsewhere = {name: job.get(name) for name in ("trained_on", "test_subjects", "fold", "source")}
            result = Result(path, metrics=metrics, **elsewhere, **named)
            runs.setdefault((result.run, dataset), []).append(result)
    for key, own in runs.items():
        own.sort(key=lambda result: (result.seed, result.fold or 0))
        _check_alike(own)
        runs[key] = _over_folds(_of_all(own))
    return Results(runs, comparisons, phantom)


def _of_all(own: list[Result]) -> list[Result]:
    """With the metrics that every seed and fold has: a mean over some of them would be of other people."""
    common = set.intersection(*(set(result.metrics) for result in own))
    return [
        replace(result, metrics={name: value for name, value in result.metrics.items() if name in common})
        for result in own
    ]


def _over_folds(own: list[Result]) -> list[Result]:
    """One result for each seed, the mean over its folds; ValueError when seeds were run on other folds."""
    seeds: dict[int, list[Result]] = {}
    for result in own:
        seeds.setdefault(result.seed, []).append(result)
    first, *others = [[result.fold for result in folds] for folds in seeds.values()]
    if any(other != first for other in others):
        raise ValueError(
            f"{own[0].path}: expected the same folds of every seed, found {[first, *others]}: run all"
        )
    return [
        replace(
            folds[0],
            metrics={
                name: sum(fold.metrics[name] for fold in folds) / len(folds) for name in folds[0].metrics
            },
            folds=len(folds),
            of_folds=tuple(fold.metrics for fold in folds),
        )
        for folds in seeds.values()
    ]


def study_of(path: Path) -> str:
    """The study in whose folder a metrics.json lies; ValueError for another place than those of results."""
    if len(path.parts) < 5:  # of a comparison, which has the fewest
        where = "results/<study>/<data set>/<run>/<seed>/metrics.json"
        raise ValueError(f"{path}: expected {where}, found another place: give it by that path")
    return path.parts[-4] if path.parts[-3] == COMPARISON else path.parts[-5]


def in_phantom_folder(path: Path) -> bool:
    """Whether the folder of a metrics.json is named as a phantom's."""
    return path.parts[-2 if path.parts[-3] == COMPARISON else -4].startswith(PHANTOM)


def _parse(path: Path) -> tuple[dict[str, float], dict]:
    metrics, passport = _read_json(path), verify.beside(path.with_name(PASSPORT), {"metrics": path})
    for metric, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{path}: {metric}: expected a finite number, found {value!r}: evaluate again")
    job = passport["job"]
    needed = ["job", "study", "dataset"]
    if job.get("job") != PAIRED_TESTS:
        needed += ["run", "seed", "params", "evaluation"]
    missing = [key for key in needed if key not in job]
    if missing:
        raise ValueError(
            f"{path.with_name(PASSPORT)}: expected a job with the keys {', '.join(needed)}, "
            f"found no {', '.join(missing)}: evaluate again"
        )
    return metrics, passport


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected JSON, found a damaged file ({error}): evaluate again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, found {type(content).__name__}: evaluate again")
    return content


def _check_place(path: Path, job: dict, study: str) -> None:
    if job["job"] == PAIRED_TESTS:
        says = [job["study"], COMPARISON, job["dataset"]]
    else:
        says = [job["study"], job["dataset"], job["run"], str(Replicate(job["seed"], job.get("fold")))]
    lies = list(path.parts[-1 - len(says) : -1])
    if lies != says:
        raise ValueError(
            f"{path}: expected the metrics of {'/'.join(lies)}, found those of {'/'.join(map(str, says))}: "
            "a result belongs where its run put it"
        )
    if job["study"] != study:
        raise ValueError(f"{path}: expected results of the study {study}, found {job['study']}: leave it out")


def _check_kind(path: Path, passport: dict, phantom: bool) -> None:
    """A phantom shows in its name, in the registry, or in the passport of a result that was renamed."""
    name = passport["job"]["dataset"]
    named = name.startswith(PHANTOM)
    made_of_phantom = named or datasets.find(name).phantom or PHANTOM in json.dumps(passport)
    if phantom and not named:
        raise ValueError(f"{path}: expected a phantom, found the data set {name}: it has a ledger of its own")
    if made_of_phantom and not phantom:
        raise ValueError(
            f"{path}: expected a real data set, found a result made of a phantom under the name {name}: "
            "phantoms never stand beside a paper's numbers"
        )


def _check_alike(own: list[Result]) -> None:
    first = own[0]
    for before, after in pairwise(own):
        if (before.seed, before.fold) == (after.seed, after.fold):
            raise ValueError(
                f"{after.path}: expected each seed once, found seed {after.seed} again: leave one out"
            )
    for other in own[1:]:
        for what in ("params", "evaluation", "trained_on", "test_subjects"):
            if getattr(other, what) != getattr(first, what):
                raise ValueError(
                    f"{other.path}: expected the {what} of {first.path}, found others: seeds of one run must "
                    "be made alike, run them again"
                )
        # The same code leaves out what is undefined, as a distance to nothing; other code may not know it.
        if other.metrics.keys() != first.metrics.keys() and (
            other.source is None or other.source != first.source
        ):
            differing = sorted(other.metrics.keys() ^ first.metrics.keys())
            raise ValueError(
                f"{other.path}: expected the metrics of {first.path}, found {len(differing)} that only one "
                f"of them has, such as {differing[0]}: evaluate both again"
            )
