"""Tables as CSV: same values, same bytes."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from latent_anatomy.provenance.files import write_text

DIGITS = 9  # a float32 is exact in nine significant digits


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Write a header and rows atomically; numbers with nine significant digits."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow([value if isinstance(value, str) else f"{value:.{DIGITS}g}" for value in row])
    write_text(path, text.getvalue())
