"""The file of each job, written at parse time and only when its content differs.

It is an input of its job, so that staleness travels with content and not with memory of earlier runs.
"""

import json
import sys
from pathlib import Path

from latent_anatomy.data.dataset import mirror_folder
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import availability, reports, suitability
from latent_anatomy.pipeline.params import Params
from latent_anatomy.pipeline.reports import CHECKOUT
from latent_anatomy.pipeline.resolve import resolve
from latent_anatomy.provenance.files import (
    canonical_json,
    digest,
    sha256_file,
    write_json,
    write_text_if_changed,
)
from latent_anatomy.provenance.sources import PACKAGE_ROOT

FOLDER = Path(".params")
WRITTEN = "written.json"


def prepare(params: Params) -> Params:
    """What of the parameters can be made with the files that can be had; writes the files of its jobs.

    What Snakemake does when it starts, and DVC in its first stage. stderr names the rest, and why. Raises
    ParamsError as `write` does, and when nothing is left.
    """
    left, said = availability.reduced(params, Path("data/raw"), mirror_folder())
    for line in [*said, *suitability.check(left)]:
        print(line, file=sys.stderr)
    write(left)
    return left


def write(params: Params, folder: Path = FOLDER) -> None:
    """Write the files of all jobs of the collection `params.data` below `folder`.

    Raises ParamsError, naming the key, for a parameter that its method or protocol does not have.

    Resolving imports torch, which takes longer than all the rest of a dry run. So `folder`/written.json
    keeps the digest of what the jobs were resolved from and the hashes of the files, and where both
    still hold there is nothing to resolve.
    """
    names = params.collection.datasets
    # A user's folder changes without any source doing so.
    files = {name: [[file.name, file.checksum] for file in datasets.find(name).files] for name in names}
    notebooks = [reports.notebook(study) for study in (*params.studies, "qc")]
    basis = digest(
        {
            "params": params.model_dump(mode="json"),
            "sources": _all_sources(),
            "notebooks": {name: sha256_file(CHECKOUT / name) for name in notebooks},
            "papers": [reports.paper(study) for study in params.studies],
            "files": files,
        }
    )
    record = folder / WRITTEN
    if _holds(record, basis):
        return
    for line in suitability.unasked(params):
        print(line, file=sys.stderr)
    record.unlink(missing_ok=True)
    written = {}
    for name, job in resolve(params).items():
        path = folder / f"{name}.json"
        write_text_if_changed(path, canonical_json(job))
        written[path.relative_to(folder).as_posix()] = sha256_file(path)
    for path in folder.rglob("*.json"):  # so that what lies here is decided by the parameters alone
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()
    write_json(record, {"basis": basis, "files": written})


def _all_sources() -> dict[str, str]:
    paths = PACKAGE_ROOT.rglob("*.py")
    return {path.relative_to(PACKAGE_ROOT).as_posix(): sha256_file(path) for path in paths}


def _holds(record: Path, basis: str) -> bool:
    if not record.is_file():
        return False
    content = json.loads(record.read_text(encoding="utf-8"))
    return content["basis"] == basis and all(
        (record.parent / name).is_file() and sha256_file(record.parent / name) == expected
        for name, expected in content["files"].items()
    )
