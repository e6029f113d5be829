"""Put the passport into a report."""

import json
from pathlib import Path
from typing import BinaryIO

from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import write_text
from latent_anatomy.provenance.passport import passport, sealed


def run(params: Path, notebook: Path, parameters: str, html: BinaryIO, out: Path) -> None:
    """Write `out`: the document read from `html`, with a passport that names the files it was made of.

    These are `notebook` and those of the notebook's `parameters` (JSON) whose names end in _file or _files,
    each under its path in the repository. They are hashed before the document is awaited.
    Raises ValueError when a path is absolute or the document is not whole.
    """
    given = json.loads(parameters)
    files = [str(notebook)]
    files += [path for name, path in given.items() if name.endswith("_file")]
    files += [path for name, paths in given.items() if name.endswith("_files") for path in paths]
    for path in files:
        if Path(path).is_absolute():
            raise ValueError(f"{path}: expected a path in the repository, found an absolute one: shorten it")
    inputs = {Path(path).as_posix(): Path(path) for path in files}
    proof = passport(inputs=inputs, job=read_job(params, "report"))
    text = html.read().decode()
    write_text(out, formats.html_with_passport(text, sealed(proof, content=formats.of_html(text))))
