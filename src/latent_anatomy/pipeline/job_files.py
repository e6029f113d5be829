"""The file of each job, written at parse time and only when its content differs.

It is an input of its job, so that staleness travels with content and not with memory of earlier runs. A job
reads a copy of it, which has its hash as a name and is never written again: so whatever is planned, in a dry
run or for another collection, a workflow that is already going goes on with the jobs that it began with.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latent_anatomy.data.dataset import mirror_folder
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import availability, reports, suitability
from latent_anatomy.pipeline.makers import with_makers
from latent_anatomy.pipeline.params import Params
from latent_anatomy.pipeline.reports import CHECKOUT
from latent_anatomy.pipeline.resolve import resolve
from latent_anatomy.provenance import plans
from latent_anatomy.provenance.files import (
    canonical_json,
    digest,
    sha256_file,
    write_json,
    write_text,
    write_text_if_changed,
)
from latent_anatomy.provenance.sources import source_hashes

FOLDER = Path(".params")
COPIES = Path(".scratch/jobs")
LOCKS = {"planning": ".planning.lock", "alive": ".alive.lock"}  # beside the copies


def prepare(params: Params) -> tuple[Params, dict[str, str]]:
    """What of the parameters can be made with the files that can be had; writes the files of its jobs.

    What Snakemake does when it starts, and DVC in its first stage. Also returned: path of each job's file ->
    that of its copy, which stays as long as this process, whatever others plan. stderr names what cannot be
    made, and why. Raises ParamsError as `write` does, and when nothing is left.
    """
    left, said = availability.reduced(params, Path("data/raw"), mirror_folder())
    for line in [*said, *suitability.check(left)]:
        print(line, file=sys.stderr)
    with _planning() as alone:
        write(left, alone=alone)
        return left, _copies(left, alone)


def write(params: Params, folder: Path = FOLDER, alone: bool = True) -> None:
    """Write the files of all jobs of the collection `params.data` below `folder`.

    Those of other collections stay; what no collection has any more goes, if this process is `alone`. Raises
    ParamsError, naming the key, for a parameter that its method or protocol does not have, and for a run that
    learns from masks where there are none.

    Resolving imports torch, which takes longer than all the rest of a dry run. So `folder`/written.json
    keeps, for each collection, the digest of what its jobs were resolved from and the hashes of the files,
    and where both still hold there is nothing to resolve.
    """
    names = params.collection.datasets
    # A user's folder changes without any source doing so.
    files = {name: [[file.name, file.checksum] for file in datasets.find(name).files] for name in names}
    notebooks = [reports.notebook(study) for study in (*params.studies, "qc")]
    basis = digest(
        {
            "params": params.model_dump(mode="json"),
            "sources": source_hashes(),
            "notebooks": {name: sha256_file(CHECKOUT / name) for name in notebooks},
            "papers": [reports.paper(study) for study in params.studies],
            "files": files,
        }
    )
    record = folder / plans.WRITTEN
    records = {name: kept for name, kept in plans.read(folder).items() if name in params.collections}
    if not _holds(folder, records.get(params.data), basis):
        suitability.check_taught(params)
        suitability.check_sizes(params)
        for line in suitability.unasked(params):
            print(line, file=sys.stderr)
        record.unlink(missing_ok=True)
        written = {}
        for name, job in with_makers(resolve(params)).items():
            path = folder / f"{name}.json"
            write_text_if_changed(path, canonical_json(job))
            written[path.relative_to(folder).as_posix()] = sha256_file(path)
        records[params.data] = {"basis": basis, "files": written}
        write_json(record, records)
    if alone:
        needed = {name for kept in records.values() for name in kept["files"]}
        for path in folder.rglob("*.json"):
            if path != record and path.relative_to(folder).as_posix() not in needed:
                path.unlink()


def _holds(folder: Path, kept: dict | None, basis: str) -> bool:
    return (
        kept is not None
        and kept["basis"] == basis
        and all(
            (folder / name).is_file() and sha256_file(folder / name) == expected
            for name, expected in kept["files"].items()
        )
    )


def _copies(params: Params, alone: bool) -> dict[str, str]:
    """Path of each job's file -> that of its copy, written where there is none; others go if `alone`."""
    copies = {}
    for name, sha256 in plans.read(FOLDER)[params.data]["files"].items():
        copy = COPIES / f"{sha256}.json"
        if not (copy.is_file() and sha256_file(copy) == sha256):
            write_text(copy, (FOLDER / name).read_text(encoding="utf-8"))
        copies[(FOLDER / name).as_posix()] = copy.as_posix()
    for other in set(COPIES.glob("*.json")) - set(map(Path, copies.values())) if alone else ():
        other.unlink()
    return copies


@contextmanager
def _planning() -> Iterator[bool]:
    """One process at a time plans. Yields whether no other one that has planned here is still alive.

    Only then may files go that a workflow might still need. This process counts as alive until it ends.
    """
    COPIES.mkdir(parents=True, exist_ok=True)
    planning, alive = (os.open(COPIES / name, os.O_RDWR | os.O_CREAT, 0o666) for name in LOCKS.values())
    fcntl.flock(planning, fcntl.LOCK_EX)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except BlockingIOError:
        alone = False
    try:
        yield alone
    finally:
        fcntl.flock(alive, fcntl.LOCK_SH)  # never closed: the kernel takes it back when this process ends
        os.close(planning)
