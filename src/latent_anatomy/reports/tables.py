"""HTML tables for the notebooks, of ledger rows and of anything else; all styles stand in the tags."""

from collections import Counter
from collections.abc import Iterable, Sequence

from latent_anatomy.ledger.table import VERDICTS, Row
from latent_anatomy.reports.markup import Html, join, tag

SHADES = {
    "reproduced": "#d5efe3",
    "better": "#d3e5f5",
    "not reproduced": "#fadfcf",
    "undecided": "#f2f2f2",
    "in kind": "#e9e1f3",
    "not run": "#f2f2f2",
    "phantom": "#fff6cc",
}
STYLE = "border:1px solid #ddd;padding:2px 6px;text-align:left;vertical-align:top"


def grid(rows: Sequence[Row]) -> Html:
    """The rows of one table as the paper lays it out: data sets across, methods and metrics down.

    A cell holds the paper's number, then ours with its interval, shaded by verdict; its tooltip is the
    reason.
    """
    across = list(dict.fromkeys(row.dataset for row in rows))
    down = list(dict.fromkeys((row.method, row.metric) for row in rows))
    cells = {(row.method, row.metric, row.dataset): row for row in rows}
    if len(cells) != len(rows):
        raise ValueError(
            f"expected each method, metric and data set once in {rows[0].table}, found repetitions"
        )
    lines = [_line(["method", "metric", *across], "th")]
    for method, metric in down:
        line = [cells.get((method, metric, dataset)) for dataset in across]
        lines.append(_line([method, metric], "td", join(map(_cell, line))))
    return _table(lines)


def listing(rows: Sequence[Row]) -> Html:
    """One line for each row, with its reason: for claims and for what was not run."""
    head = ["table", "data set", "paper", "ours", "verdict", "reason"]
    lines = [_line(head, "th")]
    for row in rows:
        shade = f"background:{SHADES[row.verdict]}"
        texts = [row.table, row.dataset, row.paper, _ours(row), row.verdict, row.reason]
        lines.append(_line(texts, "td", style=shade))
    return _table(lines)


def summary(rows: Sequence[Row]) -> Html:
    """How many rows have each verdict, for each table."""
    tables = list(dict.fromkeys(row.table.split(":")[0] for row in rows))
    shown = [verdict for verdict in VERDICTS if any(row.verdict == verdict for row in rows)]
    lines = [_line(["table", *shown], "th")]
    for table in tables:
        count = Counter(row.verdict for row in rows if row.table.split(":")[0] == table)
        lines.append(_line([table, *(str(count[verdict]) for verdict in shown)], "td"))
    return _table(lines)


def plain(head: Sequence[object], lines: Iterable[Sequence[object]]) -> Html:
    """Any other table."""
    return _table([_line(head, "th"), *(_line(line, "td") for line in lines)])


def _ours(row: Row) -> str:
    interval = f" [{row.ours_ci_low}, {row.ours_ci_high}]" if row.ours_ci_low else ""
    return row.ours_mean + interval


def _cell(row: Row | None) -> Html:
    if row is None:
        return tag("td", "", style=STYLE)
    parts = [f"paper {row.paper}"] if row.paper else []
    parts.append(tag("b", _ours(row)) if row.ours_mean else row.verdict)
    style = f"{STYLE};background:{SHADES[row.verdict]}"
    return tag("td", join(parts, "<br>"), style=style, title=f"{row.verdict}: {row.reason}")


def _line(cells: Sequence[object], kind: str, more: object = "", style: str = "") -> Html:
    return tag("tr", join(tag(kind, cell, style=f"{STYLE};{style}") for cell in cells) + more)


def _table(lines: Sequence[Html]) -> Html:
    """A wide one is scrolled by itself."""
    table = tag("table", join(lines), style="border-collapse:collapse;font-size:85%")
    return tag("div", table, style="overflow-x:auto")
