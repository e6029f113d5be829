"""What every report shows of its runs: metrics, paired tests, pictures, learning curves.

Each function gives the parts of a section in their order, for `study.Report.show`. None names a method or a
protocol: a run that is added to a study, and a protocol that is added to its evaluation, is in all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from latent_anatomy.pipeline.layout import place_of
from latent_anatomy.reports import figures, tables
from latent_anatomy.reports.markup import Html, fold, join, tag
from latent_anatomy.reports.pictures import groups, side_by_side
from latent_anatomy.reports.study import Report, history
from latent_anatomy.statistics.trainings import LEAST

LEVEL = 0.05  # of a p-value after Holm's correction
MANY = 14  # columns of a table; the others are folded
DATA = "data"  # metrics of the data set, which are no protocol's
OVER_TRAININGS = ("trainings_low", "trainings_high", "p_value_trainings_holm")
CURVES = ("train/", "val/", "rate/")


@dataclass(frozen=True)
class PairedTest:
    """One run minus another in a metric, over test subjects; `p_holm` is adjusted for its whole data set.

    `p_t` is Student's, where the protocol has it printed beside the permutation test. `over_trainings` is the
    interval over trainings and subjects with its adjusted p-value, None where there are too few trainings.
    """

    metric: str
    one: str
    other: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float | None
    p_t: float | None
    over_trainings: tuple[float, float, float] | None

    @property
    def certain(self) -> bool:
        return self.over_trainings is not None and self.over_trainings[2] < LEVEL


def tests_of(metrics: Mapping[str, float]) -> list[PairedTest]:
    """The paired tests in results/<study>/comparison/<data set>/metrics.json."""
    tests = []
    for key, difference in metrics.items():
        if key.endswith("/difference"):
            stem = key.removesuffix("/difference")
            metric, _, pair = stem.rpartition("/")
            one, _, other = pair.partition("-minus-")
            bounds = (metrics[f"{stem}/{bound}"] for bound in ("ci_low", "ci_high", "p_value"))
            rest = (metrics.get(f"{stem}/{p}") for p in ("p_value_holm", "p_value_t"))
            over = tuple(metrics.get(f"{stem}/{name}") for name in OVER_TRAININGS)
            over = None if None in over else over
            tests.append(PairedTest(metric, one, other, difference, *bounds, *rest, over))
    return tests


def metrics(report: Report) -> Iterator[object]:
    """Every metric of every run: a table for each protocol on each data set, runs down, metrics across."""
    for place, dataset in enumerate(report.datasets):
        runs = [run for run in report.names if report.results.seeds(run, dataset)]
        keys = dict.fromkeys(key for run in runs for key in report.first(run, dataset))
        parts = [_data(report, dataset, runs)]
        for protocol in sorted({key.split("/")[0] for key in keys} - {DATA}):
            own = sorted((key for key in keys if key.split("/")[0] == protocol), key=_breadth_first)
            parts += [tag("h4", protocol), _metrics(report, dataset, runs, own[:MANY])]
            if own[MANY:]:
                parts.append(fold(f"{len(own) - MANY} more", _metrics(report, dataset, runs, own[MANY:])))
        yield fold(dataset, *parts, opened=place == 0)
    if not report.datasets:
        yield "No results were given."


def _breadth_first(key: str) -> tuple[int, str]:
    """Summaries before details: by the number of steps, then by name."""
    return key.count("/"), key


def _data(report: Report, dataset: str, runs: list[str]) -> Html:
    counts = {key: value for key, value in report.first(runs[0], dataset).items() if key.startswith(DATA)}
    said = ", ".join(f"{key.removeprefix(f'{DATA}/').replace('/', ' ')} {n:g}" for key, n in counts.items())
    elsewhere = {each.trained_on for run in runs for each in report.results.seeds(run, dataset)} - {None}
    trained = [f"trained on {name}" for name in sorted(elsewhere)]
    return tag("p", "; ".join(filter(None, (said, *trained))))


def _metrics(report: Report, dataset: str, runs: list[str], keys: list[str]) -> Html:
    """Mean and standard deviation over the folds and seeds of each run that has any of the metrics."""
    shown = [key.partition("/")[2].replace("/", " / ") for key in keys]
    lines = []
    for run in runs:
        trainings = [each for seed in report.results.seeds(run, dataset) for each in seed.of_folds]
        cells = [_spread([each[key] for each in trainings if key in each]) for key in keys]
        if any(cells):
            lines.append([report.names[run], *cells, str(len(trainings))])
    return tables.plain(["run", *shown, "trainings"], lines)


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.4g}" + (f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 else "")


def paired_tests(report: Report) -> Iterator[object]:
    """The differences that hold over trainings and subjects after Holm's correction; all others folded."""
    shown = False
    for dataset in report.datasets:
        tests = tests_of(report.results.comparisons.get(dataset, {}))
        certain = [test for test in tests if test.certain]
        rest = [test for test in tests if not test.certain]
        if tests:
            shown = True
            yield tag("h3", dataset)
            if not any(test.over_trainings for test in tests):
                yield f"Fewer than {LEAST} trainings of each: what follows is about these trainings alone."
            else:
                yield _tests(report, certain) if certain else f"None of {len(tests)} differences is certain."
        if rest:
            yield fold(f"{len(rest)} differences of which nothing is certain", _tests(report, rest))
    if not shown:
        yield "No paired tests were given; they need two runs, and two test subjects or more."


def _tests(report: Report, tests: Iterable[PairedTest]) -> Html:
    tests = list(tests)
    with_t = any(test.p_t is not None for test in tests)
    head = ["metric", "runs", "difference, for these trainings"]
    head += [*(["t-test"] if with_t else []), "permutation", "after Holm", "over trainings", "after Holm"]
    lines = []
    for test in tests:
        one, other = (report.names.get(run, run) for run in (test.one, test.other))
        difference = f"{test.difference:+.4g} [{test.low:+.4g}, {test.high:+.4g}]"
        p_values = [test.p_t, test.p, test.p_holm] if with_t else [test.p, test.p_holm]
        cells = ["" if p is None else f"{p:.4f}" for p in p_values]
        low, high, p = test.over_trainings or (None, None, None)
        cells += ["too few", ""] if low is None else [f"[{low:+.4g}, {high:+.4g}]", f"{p:.4f}"]
        lines.append([test.metric, f"{one} - {other}", difference, *cells])
    return tables.plain(head, lines)


def pictures(report: Report) -> Iterator[object]:
    """What each protocol left of the same test images, run by run; of the first fold and seed."""
    shown = False
    for dataset in report.datasets:
        arrays = report.arrays_of_runs(dataset, "figure/")
        named = {report.names[run]: pictures for run, pictures in arrays.items()}
        folded = [
            fold(group, side_by_side(runs, report.passport), opened=not place)
            for place, (group, runs) in enumerate(groups(named).items())
        ]
        if folded:
            shown = True
            yield tag("h3", dataset)
            yield join(folded)
    if not shown:
        yield "No arrays were given; `metrics.json` alone has no images."


def learning_curves(report: Report, datasets: Iterable[str] | None = None) -> Iterator[object]:
    """Losses and rates of each run on some data sets, or all: every seed, of the first fold.

    What is fitted in one go has no curve, and a rate that does not change is not shown.
    """
    chosen = set(report.datasets if datasets is None else datasets)
    shown = False
    for run, name in report.names.items():
        lines = {}
        for (other, dataset), paths in report.histories.items():
            folds = {path: place_of(path)[3] for path in paths}
            first = [path for path in paths if folds[path].fold == folds[paths[0]].fold]
            if other == run and dataset in chosen:
                lines |= {f"{dataset}, {folds[path]}": history(path) for path in first}
        lines = {label: line for label, line in lines.items() if len(line.get("epoch", ())) > 1}
        columns = dict.fromkeys(
            column for line in lines.values() for column in line if _is_curve(line, column)
        )
        if columns:
            shown = True
            yield tag("h3", name)
            yield figures.learning_curves(lines, list(columns))
    if not shown:
        yield "No histories of several epochs were given."


def _is_curve(line: Mapping[str, np.ndarray], column: str) -> bool:
    constant = column.startswith("rate/") and np.ptp(line[column]) == 0
    return column.startswith(CURVES) and not constant
