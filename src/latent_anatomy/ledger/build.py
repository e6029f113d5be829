"""The ledger: every printed number and every claim of a paper beside ours, with a verdict.

docs/ledger.md defines the columns and the verdicts. A number measured on data that answer to none of the
paper's has one row, whatever tables ask for its metric: "In kind: <protocol>", the paper's column empty.
Phantoms have a ledger of their own, with the same tables and metrics, in which the paper's column is empty
and every verdict is "phantom".
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger import claims, papers
from latent_anatomy.ledger import results as measured
from latent_anatomy.ledger import table as ledger_table
from latent_anatomy.ledger.departures import departures
from latent_anatomy.ledger.papers import PHANTOM, Paper, Table
from latent_anatomy.ledger.results import Results
from latent_anatomy.ledger.table import COLUMNS, Row
from latent_anatomy.ledger.verdicts import judge
from latent_anatomy.provenance.lock import making
from latent_anatomy.statistics.inference import t_interval
from latent_anatomy.statistics.trainings import LEAST

DECIMALS = 4  # of ours; the paper's numbers keep their own
IN_KIND = "In kind"  # how their table begins; then comes the protocol
ONE = "one training, which says nothing about the method"
FEW = f"undecided, for which each run needs {LEAST} trainings"


def build(paper: Paper, results: Results) -> list[Row]:
    """All rows: in the order of the paper's file; those in kind, of the metrics that there are; claims."""
    rows, in_kind = [], {}
    for table in paper.tables:
        for row in table.rows:
            for metric, note in row.metrics.items():
                columns = enumerate(table.columns)
                cells = [Cell(paper, table, row, metric, note, name, row.printed(n)) for n, name in columns]
                rows += [row for cell in cells for row in cell.rows(results)]
                others = cells[0].rows_in_kind(results)
                if results.phantom:
                    rows += others
                else:
                    for each in others:
                        in_kind.setdefault((each.method, each.dataset, each.metric), each)
            for metric, note in table.in_kind.items():
                cell = Cell(paper, table, row, metric, note, table.columns[0], "")
                others = cell.rows_on_all(results)
                if results.phantom:
                    rows += others
                else:
                    in_kind |= {(each.method, each.dataset, each.metric): each for each in others}
    rows += sorted(in_kind.values(), key=lambda each: (each.table, each.dataset))
    decisions = [each for each in claims.decide(paper, results) if each.cases or not results.phantom]
    return rows + [_claim_row(paper, decision, results) for decision in decisions]


@dataclass(frozen=True)
class Cell:
    """One printed number and one of our metrics that answers to it."""

    paper: Paper
    table: Table
    row: papers.Row
    metric: str
    note: str
    published: str
    printed: str

    def rows(self, results: Results) -> list[Row]:
        """The row of the paper's data set, and one for each data set that stands in for it."""
        names = [] if self.table.not_run else results.standing_for(self.published)
        if results.phantom:
            return [self._without_paper(name, results) for name in names if self._values(name, results)]
        names = [self.published, *(name for name in names if name != self.published)]
        return [
            self._compared(name, results)
            if not self.table.not_run and self._values(name, results)
            else self._not_run(name, names[1:], results)
            for name in names
        ]

    def rows_in_kind(self, results: Results) -> list[Row]:
        """One for each data set that answers to none of the paper's, whatever the column of this cell."""
        names = [] if self.table.not_run else results.in_kind(self.paper)
        return [self._without_paper(name, results) for name in names if self._values(name, results)]

    def rows_on_all(self, results: Results) -> list[Row]:
        """One for each data set, of a metric that is compared with no printed number."""
        names = [name for name in results.datasets if self._values(name, results)]
        return [self._without_paper(name, results) for name in names]

    def _values(self, dataset: str, results: Results) -> list[float]:
        seeds = results.seeds(self.row.run, dataset)
        return [seed.metrics[self.metric] for seed in seeds if self.metric in seed.metrics]

    def _row(self, dataset: str, **columns: str) -> Row:
        empty = dict.fromkeys(COLUMNS, "")
        place = {"study": self.paper.study, "table": self.table.table, "dataset": dataset}
        return Row(**{**empty, **place, "method": self.row.run, "metric": self.metric, **columns})

    def _ours(self, dataset: str, results: Results) -> dict[str, str]:
        values = self._values(dataset, results)
        mean, low, high = t_interval(values)
        interval = {"ours_ci_low": fixed(low), "ours_ci_high": fixed(high)} if len(values) > 1 else {}
        return {"ours_mean": fixed(mean), **interval, "n_seeds": str(len(values))}

    def _compared(self, dataset: str, results: Results) -> Row:
        values = self._values(dataset, results)
        tolerance = self.paper.tolerance(self.metric)
        verdict, remark = judge(float(self.printed), values, tolerance, self.table.neutral)
        reasons = [
            self.table.caveat,
            self.note,
            datasets.find(dataset).note,
            *departures(self.paper, results.seeds(self.row.run, dataset)[0], self.metric),
            _how_few(results.seeds(self.row.run, dataset)),
            remark,
        ]
        difference = sum(values) / len(values) - float(self.printed)
        return self._row(
            dataset,
            paper=self.printed,
            **self._ours(dataset, results),
            difference=fixed(difference),
            verdict=verdict,
            reason=_joined(reasons),
        )

    def _without_paper(self, dataset: str, results: Results) -> Row:
        seeds = results.seeds(self.row.run, dataset)
        reasons = [self.note, *departures(self.paper, seeds[0], self.metric)]
        if not results.phantom:
            known = dataset in self.paper.datasets or any(
                dataset in results.standing_for(name) for name in self.paper.datasets
            )
            reasons = ["" if known else _what_else(dataset), *reasons, _how_few(seeds)]
        verdict = "phantom" if results.phantom else "in kind"
        row = self._row(dataset, **self._ours(dataset, results), verdict=verdict, reason=_joined(reasons))
        return row if results.phantom else replace(row, table=f"{IN_KIND}: {self.metric.split('/')[0]}")

    def _not_run(self, dataset: str, substitutes: list[str], results: Results) -> Row:
        lost = "" if self.printed else "printed, but lost in the text that the paper's file was made from"
        reasons = [lost, self.table.not_run or self._missing(dataset, results)]
        if substitutes and dataset == self.published:
            reasons.append(f"see the rows of {' and '.join(substitutes)}")
        return self._row(dataset, paper=self.printed, n_seeds="0", verdict="not run", reason=_joined(reasons))

    def _missing(self, dataset: str, results: Results) -> str:
        if dataset in self.paper.private:
            return self.paper.private[dataset]
        if dataset not in results.datasets:
            return f"no run on {dataset}; the data: {datasets.find(dataset).how_to_get}"
        if not results.seeds(self.row.run, dataset):
            return f"the run {self.row.run} was not made on {dataset}"
        return f"the metrics of {self.row.run} on {dataset} have no {self.metric}"


def _claim_row(paper: Paper, decision: claims.Decision, results: Results) -> Row:
    claim, cases = decision.claim, decision.cases
    return Row(
        study=paper.study,
        table=f"Claim: {claim.claim}",
        dataset=" ".join(case.dataset for case in cases) or " ".join(claim.datasets),
        method=claim.terms[0].run,
        metric="claim",
        paper="" if results.phantom or decision.in_kind else claim.printed,
        ours_mean=decision.held if cases else "",
        ours_ci_low="",
        ours_ci_high="",
        n_seeds=str(min((case.seeds for case in cases), default=0)),
        difference="",
        verdict="phantom" if results.phantom else decision.verdict,
        reason=_joined([claim.text, claim.note, *map(_outcome, cases), *_not_decided(decision, results)]),
    )


def _outcome(case: claims.Case) -> str:
    real = not case.dataset.startswith(PHANTOM)
    where = case.dataset
    if real and case.published is None:
        where += f", {_what_else(where)}"
    elif real and case.dataset != case.published:
        where += f" in place of {case.published}"
    outcome = ("holds" if case.held else "does not hold") if case.decided else FEW
    if real and case.published and case.decided and not (case.held or case.expected):
        outcome += ", nor does it in the paper"
    caveats = [*case.caveats, *(["one seed of each fold"] if case.decided and case.seeds == 1 else [])]
    return f"{where}: {outcome}, {', '.join(map(str, case.evidence))}" + (
        f" ({', '.join(caveats)})" if caveats else ""
    )


def _how_few(seeds: list[measured.Result]) -> str:
    return ONE if len(seeds) == 1 and seeds[0].folds == 1 else ""


def _what_else(dataset: str) -> str:
    """What a data set is that answers to none of the paper's."""
    return ": ".join(filter(None, ("not data of the paper", datasets.find(dataset).note)))


def _not_decided(decision: claims.Decision, results: Results) -> list[str]:
    if results.phantom:
        return []
    absent = [name for name in decision.missing if not results.standing_for(name)]
    partial = [name for name in decision.missing if name not in absent]
    return [
        f"no run on {', '.join(absent)} (their rows say how to get the data)" if absent else "",
        f"on {', '.join(partial)} a run or a metric of this claim is missing" if partial else "",
    ]


def fixed(value: float) -> str:
    """A number of ours with a fixed number of decimals, never "-0.0000"."""
    return f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}"


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


@making("out", "phantom_out")
def write(paper_files: Iterable[Path], metrics: Iterable[Path], out: Path, phantom_out: Path) -> None:
    """Write the ledgers of the papers' files and metrics.json files as CSV: same input, same bytes.

    Metrics in a folder named as a phantom go to `phantom_out`, all others to `out`; one whose content says
    otherwise than its folder, and one of a study without a paper, raise ValueError.
    """
    files = list(map(Path, metrics))
    printed = [papers.load(file) for file in paper_files]
    studies = [paper.study for paper in printed]
    for file in files:
        if measured.study_of(file) not in studies:
            raise ValueError(f"{file}: expected results of {', '.join(studies)}: give that study's paper too")
    for target, phantom in ((out, False), (phantom_out, True)):
        chosen = [file for file in files if measured.in_phantom_folder(file) == phantom]
        rows = []
        for paper in printed:
            own = [file for file in chosen if measured.study_of(file) == paper.study]
            rows += build(paper, measured.read(own, paper.study, phantom))
        ledger_table.write(rows, target)
