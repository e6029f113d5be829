"""One table of everybody who was given: what was found, how far it can be trusted, and who failed why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from latent_anatomy.imaging import gate
from latent_anatomy.provenance import csv_table

STATUS = {True: "failed", False: "done"}
COLUMNS = ("subject", "file", "status", "reason", "warnings", "qc", "covers")


@dataclass
class Row:
    """A subject, or a session of one.

    problem   why there are no maps, in one line; "" where there are
    warnings  in what it differs from what the model was trained on
    qc        "passed", or in what it is an outlier of this cohort; "" without imaging steps
    covers    part of the brain (of hearts, of the image), 0 to 1, that was modelled; None of pictures
    values    name -> number: volumes in ml, scores
    numbers   "<step>/<name>" -> number, of the imaging steps
    inputs    image -> SHA-256
    """

    name: str
    file: str
    problem: str = ""
    warnings: list[str] = field(default_factory=list)
    qc: str = ""
    covers: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)


def judge(rows: Iterable[Row], imaging: Mapping | None) -> None:
    """Set `qc` of who did not fail: against the rest of this cohort, by the gate of the training."""
    if imaging is None or "steps" not in imaging:
        return
    done = {row.name: row for row in rows if not row.problem}
    params = gate.Params.model_validate(imaging["steps"]["gate"]["params"])
    for verdict in gate.judge({name: row.numbers for name, row in done.items()}, params):
        row = done[verdict.subject]
        row.qc = "passed" if verdict.passed else f"outlier: {verdict.reason}"
        if not verdict.passed:
            row.warnings.append("it is an outlier of this cohort: see qc")


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the table as CSV, a line for each row; empty where somebody has no such number."""
    rows = list(rows)
    values = list(dict.fromkeys(name for row in rows for name in row.values))
    numbers = sorted({name for row in rows for name in row.numbers})
    lines = []
    for row in rows:
        told = [row.name, row.file, STATUS[bool(row.problem)], row.problem, "; ".join(row.warnings), row.qc]
        covers = "" if row.covers is None else row.covers
        found = [
            *(row.values.get(name, "") for name in values),
            *(row.numbers.get(each, "") for each in numbers),
        ]
        lines.append([*told, covers, *found])
    csv_table.write(path, [*COLUMNS, *values, *numbers], lines)
