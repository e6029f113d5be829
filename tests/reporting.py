"""What tests of the notebooks, and of the papers' files, share."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import IPython.display
import nbformat
import pytest
import yaml

from latent_anatomy.ledger import build, papers
from latent_anatomy.ledger.table import Row

ROOT = Path(__file__).parents[1]


def notebook(study: str) -> Path:
    """The notebook of a study, or of the imaging steps."""
    return ROOT / "notebooks" / f"{study}.ipynb"


def assert_stored_clean(path: Path) -> None:
    """A notebook is stored valid, without outputs, with one cell of parameters and no absolute path."""
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]
    text = path.read_text(encoding="utf-8")
    assert "/home" not in text and "/root" not in text


def shown_by(path: Path, parameters: dict, root: Path, patch: pytest.MonkeyPatch) -> list:
    """What a notebook's cells display in `root`, as IPython's objects, without a kernel, which takes seconds.

    tests/smoke runs every notebook as the rules do, with one.
    """
    shown = []
    patch.chdir(root)
    patch.setattr(IPython.display, "display", shown.append)
    scope: dict = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), scope)
            if cell.id == "parameters":
                scope |= parameters
    return shown


def texts(shown: list) -> str:
    """All that is shown in words."""
    return "\n".join(each.data for each in shown if isinstance(each.data, str))


def figures(shown: list) -> int:
    """How many figures are shown."""
    return sum(isinstance(each.data, bytes) for each in shown)


def report(
    study: str,
    root: Path,
    phantom: bool,
    metrics: Sequence[Path],
    arrays: Sequence[Path],
    histories: Sequence[Path],
    other: str,
) -> dict:
    """Parameters of a study's notebook, with relative paths, and the ledger in `root` that it reads.

    The ledger is of two studies, a report of one: `other` must not show.
    """
    own = ROOT / "papers" / f"{study}.yaml"
    names = ("other.csv", "ledger.csv") if phantom else ("ledger.csv", "other.csv")
    build.write([own.with_name(f"{other}.yaml"), own], metrics, *(root / "results" / name for name in names))
    given = {"metrics_files": metrics, "arrays_files": arrays, "history_files": histories}
    return {
        "study": study,
        "ledger_file": "results/ledger.csv",
        "papers_file": os.path.relpath(own, root),
        "phantom": phantom,
        **{name: [str(path.relative_to(root)) for path in paths] for name, paths in given.items()},
    }


def pick(rows: Sequence[Row], **columns: str) -> Row:
    """The one row of a ledger with these columns."""
    found = [row for row in rows if all(getattr(row, key) == value for key, value in columns.items())]
    assert len(found) == 1, (columns, len(found))
    return found[0]


def assert_refused(paper: Path, change: Callable[[dict], object], message: str, root: Path) -> None:
    """A paper's file with this change is refused, one line per fault, each of which names the file."""
    content = json.loads(json.dumps(yaml.safe_load(paper.read_text(encoding="utf-8"))))  # nothing is shared
    change(content)
    path = root / "paper.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")  # which is YAML too
    with pytest.raises(ValueError, match=message) as error:
        papers.load(path)
    assert all(line.startswith(str(path)) for line in str(error.value).splitlines())
