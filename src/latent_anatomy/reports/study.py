"""What the report of a study is made of: its results, its pictures and histories, and its paper, if any."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.ledger import papers, results
from latent_anatomy.ledger import table as ledger_table
from latent_anatomy.ledger.papers import Paper
from latent_anatomy.ledger.results import Results
from latent_anatomy.pipeline.layout import place_of
from latent_anatomy.provenance import verify
from latent_anatomy.provenance.files import digest, hashes
from latent_anatomy.provenance.passport import passport
from latent_anatomy.provenance.unpacking import read_npz
from latent_anatomy.reports.display import show

Place = tuple[str, str]  # run, data set or cohort


@dataclass(frozen=True)
class Report:
    """A study's results for its notebook; `run_sections` and `paper_sections` have what all of these show.

    paper     what was printed; None for a study without a paper
    rows      those of the ledger, empty without a paper
    archives  (run, data set) -> the arrays.npz of its folds and seeds, the first of each first
    histories (run, data set) -> the history.csv of its folds and seeds
    passport  what each picture carries, so that one that was saved from the report can be traced
    """

    study: str
    phantom: bool
    results: Results
    paper: Paper | None
    rows: list[ledger_table.Row]
    archives: dict[Place, list[str]]
    histories: dict[Place, list[str]]
    passport: dict

    @cached_property
    def names(self) -> dict[str, str]:
        """Run -> its name in tables: those of the paper in its order, then all others that have results."""
        printed = {} if self.paper is None else {run: each.name for run, each in self.paper.runs.items()}
        others = sorted({run for run, _ in self.results.runs} - printed.keys())
        return printed | {run: run for run in others}

    @property
    def datasets(self) -> list[str]:
        """Data sets and cohorts with results, sorted."""
        return self.results.datasets

    def first(self, run: str, dataset: str) -> dict[str, float]:
        """The metrics of the first seed of a run on a data set; empty if it was not made."""
        return next((dict(seed.metrics) for seed in self.results.seeds(run, dataset)), {})

    def mean(self, run: str, dataset: str, metric: str) -> float | None:
        """A metric as the mean over the seeds; None where the run has none there."""
        seeds = self.results.seeds(run, dataset)
        values = [seed.metrics[metric] for seed in seeds if metric in seed.metrics]
        return float(np.mean(values)) if values else None

    def number(self, run: str, dataset: str, metric: str, decimals: int = 3) -> str:
        """The same as text; empty where there is none."""
        value = self.mean(run, dataset, metric)
        return "" if value is None else f"{value:.{decimals}f}"

    def with_sd(self, run: str, dataset: str, metric: str) -> str:
        """A metric with that of its standard deviation, `<metric>_sd`, as text."""
        ours, deviation = (self.number(run, dataset, key) for key in (metric, f"{metric}_sd"))
        return f"{ours} ± {deviation}" if deviation else ours

    def runs_with(self, metric: str, datasets: Iterable[str]) -> list[str]:
        """The runs that have a metric on any of some data sets."""
        names = list(datasets)
        return [run for run in self.names if any(self.mean(run, name, metric) is not None for name in names)]

    def arrays(self, run: str, dataset: str, prefix: str) -> dict[str, NDArray]:
        """The arrays of a run's first fold and seed on a data set, of the names after `prefix`."""
        return next((_arrays(path, prefix) for path in self.archives.get((run, dataset), [])), {})

    def arrays_of_folds(self, run: str, dataset: str, prefix: str) -> list[dict[str, NDArray]]:
        """The same of all folds of the first seed."""
        paths = self.archives.get((run, dataset), [])
        seeds = [place_of(path)[3].seed for path in paths]
        return [_arrays(path, prefix) for path, seed in zip(paths, seeds, strict=True) if seed == seeds[0]]

    def arrays_of_runs(self, dataset: str, prefix: str) -> dict[str, dict[str, NDArray]]:
        """Run -> such arrays, for all runs that have any."""
        content = {run: self.arrays(run, dataset, prefix) for run in self.names}
        return {run: arrays for run, arrays in content.items() if arrays}

    def show(self, *parts: object) -> None:
        """`display.show` with the report's passport."""
        show(self.passport, *parts)


def read(
    study: str,
    phantom: bool,
    metrics_files: Iterable[str],
    arrays_files: Iterable[str],
    history_files: Iterable[str],
    papers_file: str | None = None,
    ledger_file: str | None = None,
) -> Report:
    """A study's report from its files; a run's are <folder>/<study>/<data set>/<run>/<replicate>/<name>.

    Raises ValueError for results that do not belong together, and where the ledger is one of phantoms and
    the results are not, or the other way round.
    """
    files = sorted(map(Path, metrics_files))
    measured = results.read(files, study, phantom)
    job = {"job": "report", "study": study, "phantom": phantom}
    paper, rows, inputs = None, [], {}
    if papers_file:
        paper = papers.load(Path(papers_file))
        rows = [row for row in ledger_table.read(Path(ledger_file)) if row.study == study]
        inputs = {"ledger": Path(ledger_file), "papers": Path(papers_file)}
    else:
        job["metrics"] = digest(hashes({path.as_posix(): path for path in files}))
    if any((row.verdict == "phantom") != phantom for row in rows):
        raise ValueError(
            f"{ledger_file}: expected rows of phantoms only if phantom is set, found phantom={phantom}"
        )
    made = passport(inputs=inputs, job=job)
    return Report(study, phantom, measured, paper, rows, _by_run(arrays_files), _by_run(history_files), made)


def history(path: str) -> dict[str, NDArray]:
    """Column -> values (epochs,) float64 of a history.csv; ValueError for a damaged one."""
    again = "train this run again"
    verify.proven(Path(path))
    try:
        head, *lines = csv.reader(Path(path).read_text(encoding="utf-8").splitlines())
        values = np.array([[float(cell) for cell in line] for line in lines])
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ValueError(
            f"{path}: expected a table of losses, found a damaged one ({error}): {again}"
        ) from error
    if values.shape != (len(lines), len(head)) or not lines or len(set(head)) != len(head):
        found = f"{len(lines)} rows and {len(head)} names of columns"
        raise ValueError(f"{path}: expected a number under each name in every row, found {found}: {again}")
    return dict(zip(head, values.T, strict=True))


def _arrays(path: str, prefix: str) -> dict[str, NDArray]:
    verify.proven(Path(path))
    arrays = read_npz(Path(path), remedy="evaluate this run again")
    return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}


def _by_run(paths: Iterable[str]) -> dict[Place, list[str]]:
    by_run: dict[Place, list[str]] = {}
    for path in sorted(paths):
        _, dataset, run, _ = place_of(path)
        by_run.setdefault((run, dataset), []).append(path)
    return by_run
