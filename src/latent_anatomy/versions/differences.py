"""What differs between the contents of two versions, A and B. Pure functions; differences are B minus A."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from latent_anatomy.pipeline.layout import COMPARISON
from latent_anatomy.statistics.inference import t_interval
from latent_anatomy.versions.contents import Content, Result, Run, flatten

Part = Callable[[dict], dict[str, str]]  # of a passport: key -> value
IDENTITY = ("job", "study", "dataset", "run", "seed", "source")


class Change(NamedTuple):
    """A value that differs; None where a version does not have it. `where`: the jobs that have it so."""

    key: str
    a: str | None
    b: str | None
    where: tuple[str, ...] = ()


def changes(a: Mapping[str, str], b: Mapping[str, str]) -> list[Change]:
    """The keys whose values differ, sorted."""
    keys = sorted(a.keys() | b.keys())
    return [Change(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def passport_changes(a: Content, b: Content, part: Part) -> list[Change]:
    """What differs in a part of the passports of jobs that both have; each change once, with its jobs."""
    jobs: dict[Change, list[str]] = {}
    for name in sorted(a.passports.keys() & b.passports.keys()):
        for change in changes(part(a.passports[name]), part(b.passports[name])):
            jobs.setdefault(change, []).append(name)
    return [change._replace(where=tuple(names)) for change, names in sorted(jobs.items(), key=str)]


def parameters(passport: dict) -> dict[str, str]:
    """The resolved parameters of a job, defaults and all."""
    return flatten({key: value for key, value in passport["job"].items() if key not in IDENTITY})


def data(passport: dict) -> dict[str, str]:
    """Hashes of raw files and of slices, their own and those that a model was trained on."""
    inputs = passport.get("inputs", {})
    if passport["job"]["job"] in ("slice", "bias"):
        return inputs
    return {key: value for key, value in inputs.items() if key in ("slices", "trained_on")}


def made(passport: dict) -> dict[str, str]:
    """Hashes of inputs that a job before made: checkpoints, arrays, volumes."""
    return {key: value for key, value in passport.get("inputs", {}).items() if key not in data(passport)}


def source(passport: dict) -> dict[str, str]:
    """The digest of the sources that a job runs."""
    return {"digest": passport["job"]["source"]} if "source" in passport["job"] else {}


def environment(passport: dict) -> dict[str, str]:
    """Versions of Python and of the libraries, and the device."""
    named = {name: str(value) for name, value in passport.get("environment", {}).items()}
    return named | ({"device": passport["device"]} if "device" in passport else {})


def verdicts(content: Content) -> dict[str, str]:
    """Whether the gate let a subject of volumes pass, and why not."""
    return {
        subject: "passed" if row["passed"] == "yes" else f"left out: {row['reason']}"
        for subject, row in content.subjects.items()
    }


def qualities(content: Content) -> dict[str, str]:
    """By what a subject of volumes was judged: "<dataset>/<subject>/<measure>" -> number."""
    return {
        f"{subject}/{measure}": value
        for subject, row in content.subjects.items()
        for measure, value in row.items()
        if measure not in ("subject", "passed", "reason")
    }


@dataclass(frozen=True)
class LedgerChanges:
    """Rows (A's, B's) of one ledger; `others` have the same verdict with other numbers or reasons."""

    verdicts: list[tuple[dict[str, str], dict[str, str]]]
    others: list[tuple[dict[str, str], dict[str, str]]]
    appeared: list[dict[str, str]]
    gone: list[dict[str, str]]


def ledger(a: Mapping[tuple, dict], b: Mapping[tuple, dict]) -> LedgerChanges:
    """What differs between the rows of a ledger, in the order of its file."""
    both = [(a[key], b[key]) for key in a if key in b and a[key] != b[key]]
    return LedgerChanges(
        verdicts=[pair for pair in both if pair[0]["verdict"] != pair[1]["verdict"]],
        others=[pair for pair in both if pair[0]["verdict"] == pair[1]["verdict"]],
        appeared=[row for key, row in b.items() if key not in a],
        gone=[row for key, row in a.items() if key not in b],
    )


class Metric(NamedTuple):
    """A metric under both versions, means where there are several seeds; NaN bounds where there is one."""

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class RunMetrics:
    """The metrics of a run that both versions have.

    `changed` is over the seeds that both have, with the paired interval of the differences; `seeds` is
    seed -> the same for it alone. Both leave out what is `same`: the same bits with every seed. Largest
    difference first. `only_a` are metrics of A that B does not have with every seed, and so for `only_b`.
    """

    run: Run
    changed: list[Metric]
    seeds: dict[int | None, list[Metric]]
    same: list[str]
    only_a: list[str]
    only_b: list[str]


def metrics(a: Content, b: Content) -> list[RunMetrics]:
    """All runs with a seed that both have, those of a data set together and its comparison last."""
    runs = sorted(a.results.keys() & b.results.keys(), key=lambda run: (*run[:2], run.run == COMPARISON, run))
    compared = [_run_metrics(run, a.results[run], b.results[run]) for run in runs]
    return [each for each in compared if each.seeds]


def _run_metrics(run: Run, a: dict[int | None, Result], b: dict[int | None, Result]) -> RunMetrics:
    seeds = sorted(a.keys() & b.keys(), key=str)
    ours, theirs = ([side[seed].metrics for seed in seeds] for side in (a, b))
    both = sorted(set.intersection(*map(set, ours + theirs))) if seeds else []
    same = [name for name in both if all(x[name] == y[name] for x, y in zip(ours, theirs, strict=True))]
    changed = [name for name in both if name not in same]
    return RunMetrics(
        run=run,
        changed=_largest_first(_metric(name, ours, theirs) for name in changed),
        seeds={
            seed: _largest_first(_metric(name, [x], [y]) for name in changed)
            for seed, x, y in zip(seeds, ours, theirs, strict=True)
        },
        same=same,
        only_a=_missing(ours, theirs),
        only_b=_missing(theirs, ours),
    )


def _missing(some: list[dict], others: list[dict]) -> list[str]:
    return sorted({name for one in some for name in one if not all(name in other for other in others)})


def _metric(name: str, a: list[dict], b: list[dict]) -> Metric:
    pairs = [(x[name], y[name]) for x, y in zip(a, b, strict=True)]
    mean_a, mean_b = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    return Metric(name, mean_a, mean_b, *t_interval([y - x for x, y in pairs]))


def _largest_first(rows: Iterable[Metric]) -> list[Metric]:
    return sorted(rows, key=lambda metric: (-abs(metric.difference), metric.name))
