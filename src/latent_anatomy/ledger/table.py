"""The table of a ledger: its columns, and rows as CSV. docs/ledger.md defines columns and verdicts."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from latent_anatomy.ledger.papers import PHANTOM
from latent_anatomy.provenance.files import write_text

VERDICTS = ("reproduced", "better", "not reproduced", "undecided", "in kind", "not run", "phantom")
WITHOUT_PAPER = ("in kind", "phantom")  # verdicts of rows that have nothing of the paper


@dataclass(frozen=True)
class Row:
    """One line of the ledger, as it is written; empty where there is nothing to say."""

    study: str
    table: str
    dataset: str
    method: str
    metric: str
    paper: str
    ours_mean: str
    ours_ci_low: str
    ours_ci_high: str
    n_seeds: str
    difference: str
    verdict: str
    reason: str

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"expected a verdict of {', '.join(VERDICTS)}, found {self.verdict!r}")
        if PHANTOM in self.dataset and (self.paper or self.difference or self.verdict != "phantom"):
            raise ValueError(f"expected nothing of the paper beside a phantom, found it for {self.dataset}")
        if self.verdict in WITHOUT_PAPER and (self.paper or self.difference):
            raise ValueError(f"expected nothing of the paper in kind, found it for {self.dataset}")
        if self.verdict == "phantom" and PHANTOM not in self.dataset:
            raise ValueError(f"expected the name of a phantom, found {self.dataset}")


COLUMNS = tuple(field.name for field in fields(Row))


def write(rows: Iterable[Row], out: Path) -> None:
    """Write rows as CSV: same rows, same bytes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(astuple(row) for row in rows)
    write_text(out, text.getvalue())


def read(path: Path) -> list[Row]:
    """Rows of a ledger file; ValueError when its columns are not those of a ledger."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        found = f"a damaged one ({error})"
        raise ValueError(f"{path}: expected a ledger, found {found}: make it again") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        found = ", ".join(lines[0]) if lines else "nothing"
        raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, found {found}: make it again")
    if wrong := [number for number, line in enumerate(lines, start=1) if len(line) != len(COLUMNS)]:
        found = f"{len(lines[wrong[0] - 1])} in row {wrong[0]}"
        raise ValueError(f"{path}: expected {len(COLUMNS)} cells in every row, found {found}: make it again")
    return [Row(*line) for line in lines[1:]]
