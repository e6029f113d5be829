"""What every report shows of its paper: the ledger's tables and claims, what was not run, what is otherwise.

As in `run_sections`, each function gives the parts of a section; of a study without a paper there are few.
"""

from collections.abc import Iterable, Iterator

from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger.departures import departures
from latent_anatomy.reports import tables
from latent_anatomy.reports.display import of_phantoms
from latent_anatomy.reports.markup import Html, join, tag
from latent_anatomy.reports.study import Report


def phantoms(report: Report) -> Html:
    """The warning at the head of a report of phantoms; empty for any other."""
    if not report.phantom:
        return Html()
    said = (
        "Everything below was measured on images that this project renders itself, after short trainings. "
        "It shows that the pipeline works. It says nothing about patients"
    )
    return of_phantoms(
        said + (", or about the paper, none of whose numbers is shown." if report.paper else ".")
    )


def data_sets(report: Report) -> Iterator[object]:
    """Which data sets have results, and what those are that are not the paper's."""
    yield "Data sets with results:" + ("" if report.datasets else " none")
    notes = {name: datasets.find(name).note for name in dict.fromkeys(map(dataset_of, report.datasets))}
    own = "the very data set of the paper" if report.paper else ""
    lines = [join(filter(None, (tag("code", name), note or own)), ": ") for name, note in notes.items()]
    yield _bullets(lines)


def verdicts(report: Report) -> Iterator[object]:
    """How many rows of each table have each verdict."""
    if report.rows:
        yield tables.summary(report.rows)


def printed_tables(report: Report) -> Iterator[object]:
    """The ledger's rows, table by table as the paper has them; then what was measured in kind."""
    names = [table.table for table in report.paper.tables]
    names += [row.table for row in report.rows if row.verdict == "in kind" and row.metric != "claim"]
    for name in dict.fromkeys(names):
        rows = [row for row in report.rows if row.table == name]
        parts = [table for table in report.paper.tables if table.table == name]
        if rows:
            yield tag("h3", name)
            if not report.phantom:
                yield from (tag("p", join([tag("b", f"{part.title}. "), part.note])) for part in parts)
            yield tables.grid(rows)


def claims(report: Report) -> Iterator[object]:
    """The ledger's rows of claims, each with its reason."""
    rows = [row for row in report.rows if row.metric == "claim"]
    yield tables.listing(rows) if rows else "None was decided."


def not_run(report: Report) -> Iterator[object]:
    """The printed numbers beside which none of ours stands, by reason."""
    absent: dict[str, tuple[set[str], int]] = {}
    for row in report.rows:
        if row.verdict == "not run" and row.metric != "claim":
            columns, count = absent.get(row.reason, (set(), 0))
            absent[row.reason] = columns | {row.dataset}, count + 1
    ranked = sorted(absent.items(), key=lambda item: -item[1][1])
    if ranked:
        head = ["printed numbers", "columns", "why none of ours stands beside them"]
        lines = [[str(count), ", ".join(sorted(columns)), why] for why, (columns, count) in ranked]
        yield tables.plain(head, lines)
    elif report.phantom:
        yield "On phantoms nothing of the paper is asked for; what a collection lacks, `params.yaml` says."


def notes(report: Report, own: Iterable[str] = (), metric: str = "") -> Iterator[object]:
    """What to keep in mind: `own` of a study, how many seeds there are, and what was made otherwise.

    The latter is as the ledger says it of `metric`, of the first seed of each run of the paper.
    """
    if report.phantom:
        yield "**These are phantoms: nothing above is a result about patients or a paper.**"
    lines = list(own)
    seeds = sorted({len(group) for group in report.results.runs.values()})
    if seeds:
        spread = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
        lines.append(f"Seeds per run: {spread}. One says nothing about how much training varies.")
    yield "\n".join(f"- {line}" for line in lines)
    otherwise = list(_made_otherwise(report, metric)) if report.paper else []
    if otherwise:
        yield "Made otherwise than in print:"
        yield _bullets(otherwise)


def _made_otherwise(report: Report, metric: str) -> Iterator[Html]:
    """Cohorts of one split are taken together."""
    departing: dict[tuple[str, str], dict[str, None]] = {}
    for (run, dataset), seeds in report.results.runs.items():
        protocol, first = metric.split("/")[0], seeds[0]
        known = protocol in first.evaluation or protocol not in report.paper.evaluation
        if run in report.paper.runs and known:
            for words in departures(report.paper, first, metric):
                group = ".".join(dataset.split(".", 2)[:2])
                departing.setdefault((group, words), {})[report.names[run]] = None
    for (group, words), runs in sorted(departing.items()):
        yield join([tag("code", group), f", {', '.join(runs)}: {words}."])


def _bullets(lines: Iterable[object]) -> Html:
    return tag("ul", join(tag("li", line) for line in lines))
