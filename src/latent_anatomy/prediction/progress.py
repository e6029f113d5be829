"""What a prediction that was killed has finished, so that it goes on there: a hidden folder in its output."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from latent_anatomy.prediction.table import Row
from latent_anatomy.provenance.files import write_json

FOLDER, RUN = ".unfinished", "run.json"


def begin(out: Path, checksum: str) -> None:
    """Make `out` that of the model with this SHA-256, or go on with it; ValueError for other files there."""
    begun = out / FOLDER / RUN
    if begun.is_file() and json.loads(begun.read_text(encoding="utf-8")) == {"model": checksum}:
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "the unfinished prediction of another model" if begun.is_file() else "files"
        raise ValueError(f"{out}: expected an empty folder, found {found}: name a new one")
    write_json(begun, {"model": checksum})


def known(out: Path, name: str, inputs: dict[str, str]) -> Row | None:
    """The line of a subject that has maps, if it is of the same files: image -> SHA-256."""
    path = _path(out, name)
    if not path.is_file():
        return None
    row = Row(**json.loads(path.read_text(encoding="utf-8")))
    return row if row.inputs == inputs and not row.problem else None


def keep(out: Path, row: Row) -> None:
    """Note that a subject is finished."""
    write_json(_path(out, row.name), asdict(row))


def end(out: Path) -> None:
    """Forget it all."""
    shutil.rmtree(out / FOLDER)


def _path(out: Path, name: str) -> Path:
    return out / FOLDER / f"{name}.row.json"
