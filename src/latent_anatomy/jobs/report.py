"""Execute a study's notebook, and put the passport into the report that comes out."""

import json
import re
import subprocess
import sys
from pathlib import Path

from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import formats, verify
from latent_anatomy.provenance.files import write_text
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport, sealed

# No inputs, no script from elsewhere, and no cell with a random name: same numbers, same bytes.
TO_HTML = (
    *("-m", "nbconvert", "--stdin", "--stdout", "--to", "html", "--no-input"),
    "--TagRemovePreprocessor.enabled=True",
    "--TagRemovePreprocessor.remove_cell_tags=injected-parameters",
    *("--HTMLExporter.require_js_url=", "--HTMLExporter.mathjax_url="),
)

WAY_BACK = (
    '<nav aria-label="Reports" style="padding:10px 16px;font:15px system-ui,sans-serif">'
    '<a href="index.html">All studies</a></nav>\n'
)


@making("out")
def run(params: Path, notebook: Path, parameters: str, out: Path) -> None:
    """Write `out`, the executed notebook as HTML, with a passport that names the files it was made of.

    These are `notebook` and those of the notebook's `parameters` (JSON) whose names end in _file or _files,
    each under its path in the repository. They are hashed before the notebook runs; the parameters stand in
    the passport too, so that the report can be made again. Metrics, arrays, histories, tables of the gate and
    pictures are held against the passports beside them.
    Raises ValueError when a path is absolute, a file is not what its passport was sealed for or changed while
    the notebook ran, or the notebook ends in an error.
    """
    try:
        given = json.loads(parameters)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"--parameters: expected a JSON object, found {parameters[:40]!r} ({error}): correct it"
        ) from error
    if not isinstance(given, dict):
        raise ValueError(f"--parameters: expected a JSON object, found {parameters[:40]!r}: correct it")
    files = [str(notebook)]
    files += [path for name, path in given.items() if name.endswith("_file")]
    files += [path for name, paths in given.items() if name.endswith("_files") for path in paths]
    for path in files:
        if Path(path).is_absolute():
            raise ValueError(f"{path}: expected a path in the repository, found an absolute one: shorten it")
    inputs = {Path(path).as_posix(): Path(path) for path in files}
    with verify.still(inputs.values()):
        proof = passport(inputs=inputs, job=read_job(params, "report")) | {"parameters": given}
        for path in inputs.values():
            verify.proven(path)
        text = html(notebook, json.dumps(given, sort_keys=True))  # in the order that the passport keeps
    text = with_way_back(text)
    write_text(out, formats.html_with_passport(text, sealed(proof, content=formats.of_html(text))))


def with_way_back(text: str) -> str:
    """The report with a link to the page of all reports at its head."""
    return re.sub(r"<body[^>]*>", lambda body: body[0] + WAY_BACK, text, count=1)


def _check_notebook(notebook: Path) -> None:
    """ValueError for a file of another kind, which would end in a trace of what executes it."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        said = f"another file ({type(error).__name__}: {error})"
        raise ValueError(f"{notebook}: expected a notebook (.ipynb), found {said}: give its path") from error
    if not isinstance(cells, list):
        raise ValueError(f"{notebook}: expected a notebook (.ipynb), found no list of cells: give its path")


def html(notebook: Path, parameters: str) -> str:
    """The notebook, executed with `parameters`, as HTML; what it says while it runs goes to stderr."""
    _check_notebook(notebook)
    execute = [sys.executable, "-m", "papermill", str(notebook), "-", "-y", parameters, "--progress-bar"]
    executed = subprocess.run(execute, stdout=subprocess.PIPE, check=False)
    if executed.returncode:
        raise ValueError(f"{notebook}: expected a notebook that runs, found an error in it: see above")
    shown = subprocess.run(
        [sys.executable, *TO_HTML], input=executed.stdout, stdout=subprocess.PIPE, check=False
    )
    if shown.returncode:
        raise ValueError(f"{notebook}: expected a notebook that becomes HTML, found an error: see above")
    return shown.stdout.decode()
