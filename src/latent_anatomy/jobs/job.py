"""The file of a resolved job (see `pipeline.resolve`)."""

import json
from pathlib import Path


def read_job(path: Path, kind: str) -> dict:
    """A resolved job (see `pipeline.resolve`); ValueError when it is of another kind."""
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if job.get("job") != kind:
        raise ValueError(
            f"{path}: expected a job of kind {kind!r}, found {job.get('job')!r}: give its own file"
        )
    return job
