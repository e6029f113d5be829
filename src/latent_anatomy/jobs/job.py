"""The file of a resolved job (see `pipeline.resolve`)."""

import json
from pathlib import Path


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
    return job
