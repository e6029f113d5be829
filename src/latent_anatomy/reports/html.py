"""HTML tables of ledger rows, for the notebooks."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from latent_anatomy.ledger.table import VERDICTS, Row

SHADES = {
    "reproduced": "#d5efe3",
    "better": "#d3e5f5",
    "not reproduced": "#fadfcf",
    "in kind": "#e9e1f3",
    "not run": "#f2f2f2",
    "phantom": "#fff6cc",
}
STYLE = "border:1px solid #ddd;padding:2px 6px;text-align:left;vertical-align:top"


def grid(rows: Sequence[Row]) -> str:
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
        found = [cells.get((method, metric, dataset)) for dataset in across]
        lines.append(_line([method, metric], "td", "".join(map(_cell, found))))
    return f"<table style='border-collapse:collapse;font-size:85%'>{''.join(lines)}</table>"


def listing(rows: Sequence[Row]) -> str:
    """One line for each row, with its reason: for claims and for what was not run."""
    head = ["table", "data set", "paper", "ours", "verdict", "reason"]
    lines = [_line(head, "th")]
    for row in rows:
        shade = f"background:{SHADES[row.verdict]}"
        texts = [row.table, row.dataset, row.paper, _ours(row), row.verdict, row.reason]
        lines.append(_line(texts, "td", style=shade))
    return f"<table style='border-collapse:collapse;font-size:85%'>{''.join(lines)}</table>"


def summary(rows: Sequence[Row]) -> str:
    """How many rows have each verdict, for each table."""
    tables = list(dict.fromkeys(row.table.split(":")[0] for row in rows))
    shown = [verdict for verdict in VERDICTS if any(row.verdict == verdict for row in rows)]
    lines = [_line(["table", *shown], "th")]
    for table in tables:
        count = Counter(row.verdict for row in rows if row.table.split(":")[0] == table)
        lines.append(_line([table, *(str(count[verdict]) for verdict in shown)], "td"))
    return f"<table style='border-collapse:collapse;font-size:85%'>{''.join(lines)}</table>"


def plain(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Any other small table of texts."""
    body = "".join(_line(line, "td") for line in lines)
    return f"<table style='border-collapse:collapse;font-size:85%'>{_line(head, 'th')}{body}</table>"


def _ours(row: Row) -> str:
    interval = f" [{row.ours_ci_low}, {row.ours_ci_high}]" if row.ours_ci_low else ""
    return row.ours_mean + interval


def _cell(row: Row | None) -> str:
    if row is None:
        return f"<td style='{STYLE}'></td>"
    parts = [f"paper {escape(row.paper)}"] if row.paper else []
    parts.append(f"<b>{escape(_ours(row))}</b>" if row.ours_mean else escape(row.verdict))
    style = f"{STYLE};background:{SHADES[row.verdict]}"
    return f"<td style='{style}' title='{escape(row.verdict + ': ' + row.reason)}'>{'<br>'.join(parts)}</td>"


def _line(texts: Sequence[str], tag: str, more: str = "", style: str = "") -> str:
    cells = "".join(f"<{tag} style='{STYLE};{style}'>{escape(text)}</{tag}>" for text in texts)
    return f"<tr>{cells}{more}</tr>"
