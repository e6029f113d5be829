"""Put the passport into a report."""

import json
from pathlib import Path
from typing import BinaryIO

from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import write_text
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport, sealed
from latent_anatomy.provenance.verify import beside, outputs, still, whole


@making("out")
def run(params: Path, notebook: Path, parameters: str, html: BinaryIO, out: Path) -> None:
    """Write `out`: the document read from `html`, with a passport that names the files it was made of.

    These are `notebook` and those of the notebook's `parameters` (JSON) whose names end in _file or _files,
    each under its path in the repository. They are hashed before the document is awaited, and metrics, arrays
    and histories are held against the passports beside them.
    Raises ValueError when a path is absolute, a file is not what its passport was sealed for, or changed
    while the document was made, or the document is not whole.
    """
    given = json.loads(parameters)
    files = [str(notebook)]
    files += [path for name, path in given.items() if name.endswith("_file")]
    files += [path for name, paths in given.items() if name.endswith("_files") for path in paths]
    for path in files:
        if Path(path).is_absolute():
            raise ValueError(f"{path}: expected a path in the repository, found an absolute one: shorten it")
    inputs = {Path(path).as_posix(): Path(path) for path in files}
    with still(inputs.values()):
        proof = passport(inputs=inputs, job=read_job(params, "report"))
        for path in inputs.values():
            _verify(path)
        text = html.read().decode()
    write_text(out, formats.html_with_passport(text, sealed(proof, content=formats.of_html(text))))


def _verify(path: Path) -> None:
    """Raise ValueError unless a file of a job is the one that the passport of this job names."""
    if path.name in ("metrics.json", "arrays.npz"):
        beside(path.with_name("passport.json"), {path.stem: path})
    elif path.name == "history.csv":
        model = path.with_name("model.safetensors")
        outputs(model, whole(model), {"history": path})
    elif path.name == "qc.csv":
        beside(path.with_name("passport.json"), {"qc": path})
    elif path.name == "picture.png":
        beside(path.with_name("passport.json"), {path.name: path})
