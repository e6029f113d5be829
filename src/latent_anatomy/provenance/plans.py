"""What was planned: the hashes of the files of all jobs, and whether a file is as the plan wrote it.

<folder>/written.json has them, collection by collection; `pipeline.job_files` writes it.
"""

import json
import re
from pathlib import Path

from latent_anatomy.provenance.files import sha256_file

WRITTEN = "written.json"
COPY = re.compile(r"[0-9a-f]{64}\.json")  # of a job's file, named by the hash of its bytes


def read(folder: Path) -> dict[str, dict]:
    """Collection -> `basis`, what it was planned of, and `files` with their hashes.

    {} where nothing is planned yet; ValueError for another text.
    """
    path = folder / WRITTEN
    if not path.is_file():
        return {}
    try:
        plans = json.loads(path.read_text(encoding="utf-8"))
        for kept in plans.values():
            _ = kept["basis"], kept["files"].items()
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the hashes of what was planned, found another text ({error!r}): delete it"
        ) from error
    return plans


def as_planned(path: Path, again: str) -> None:
    """ValueError, which ends in `again`, for a job's file, or a copy of one, that no plan wrote so."""
    wrong = bool(COPY.fullmatch(path.name)) and sha256_file(path) != path.stem
    for folder in path.parents:
        if (folder / WRITTEN).is_file():
            name = path.relative_to(folder).as_posix()
            planned = {kept["files"].get(name) for kept in read(folder).values()} - {None}
            wrong = wrong or (bool(planned) and sha256_file(path) not in planned)
            break
    if wrong:
        raise ValueError(f"{path}: expected the job as it was planned, found another: {again}")
