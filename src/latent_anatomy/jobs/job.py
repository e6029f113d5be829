"""The file of a resolved job (see `pipeline.resolve`)."""

import json
from pathlib import Path

from latent_anatomy.provenance.files import sha256_file

WRITTEN = "written.json"


def read_job(path: Path, kind: str) -> dict:
    """A resolved job (see `pipeline.resolve`); ValueError when it is of another kind."""
    again = "let Snakemake write it again (snakemake -n)"
    try:
        job = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected a job as JSON, found another text ({error}): {again}") from error
    if not isinstance(job, dict):
        raise ValueError(f"{path}: expected a job as JSON, found a {type(job).__name__}: {again}")
    if job.get("job") != kind:
        raise ValueError(
            f"{path}: expected a job of kind {kind!r}, found {job.get('job')!r}: give its own file"
        )
    _as_planned(Path(path), again)
    return job


def _as_planned(path: Path, again: str) -> None:
    """ValueError for a file below a plan (`pipeline.job_files`) that is not as that plan wrote it."""
    for folder in path.parents:
        if (folder / WRITTEN).is_file():
            try:
                files = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))["files"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{folder / WRITTEN}: expected a plan, found another: {again}") from error
            if files.get(path.relative_to(folder).as_posix()) not in (None, sha256_file(path)):
                raise ValueError(f"{path}: expected the job as it was planned, found another: {again}")
            return
