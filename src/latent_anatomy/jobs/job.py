"""The file of a resolved job (see `pipeline.resolve`)."""

import json
from pathlib import Path

from latent_anatomy.provenance import plans
from latent_anatomy.provenance.verify import MADE_BY

AGAIN = "let Snakemake write it again (snakemake -n)"


class Job(dict):
    """What a job's file says, and each block of it: a key that somebody's own file lacks is a ValueError."""

    def __missing__(self, key: str) -> object:
        raise ValueError(
            f"expected a job with the key {key!r}, found {', '.join(self) or 'nothing'}: {AGAIN}"
        )


def read_job(path: Path, kind: str) -> dict:
    """A resolved job (see `pipeline.resolve`); ValueError when it is of another kind."""
    return read_with_makers(path, kind)[0]


def read_with_makers(path: Path, kind: str) -> tuple[dict, dict[str, str]]:
    """A resolved job, and input or step -> digest of the job that makes it (see `pipeline.makers`).

    Read once, when the job starts: what is planned while it runs does not move it. A job that comes from a
    passport, to be done again, names no makers. ValueError when it is of another kind, or not as planned.
    """
    try:
        job = json.loads(Path(path).read_text(encoding="utf-8"), object_hook=Job)
    except ValueError as error:
        raise ValueError(f"{path}: expected a job as JSON, found another text ({error}): {AGAIN}") from error
    if not isinstance(job, dict):
        raise ValueError(f"{path}: expected a job as JSON, found a {type(job).__name__}: {AGAIN}")
    if job.get("job") != kind:
        raise ValueError(
            f"{path}: expected a job of kind {kind!r}, found {job.get('job')!r}: give its own file"
        )
    plans.as_planned(Path(path), AGAIN)
    return job, job.pop(MADE_BY, {})
