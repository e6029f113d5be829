"""What of others the runs of a collection are given, asked of their methods once and not in every plan.

Only a method knows which weights its parameters ask for, and importing one imports torch, which takes a third
of a dry run. So the answer is kept, beside the digest of all that it follows from.
"""

import json
from pathlib import Path

from latent_anatomy.data.download import Download
from latent_anatomy.pipeline import training_jobs
from latent_anatomy.pipeline.params import Params
from latent_anatomy.provenance.files import digest, sha256_file, write_json
from latent_anatomy.provenance.sources import PACKAGE_ROOT

KEPT = Path(".scratch/weights.json")


def of_runs(params: Params, kept: Path = KEPT) -> dict[str, list[Download]]:
    """Run -> what it is given, for those runs of the collection `params.data` that are given any."""
    basis = digest({"params": params.model_dump(mode="json"), "sources": all_sources()})
    known = _read(kept).get(basis)
    if known is None:
        given = training_jobs.weights(params)
        known = {run: [each.job for each in downloads] for run, downloads in given.items()}
        write_json(kept, {basis: known})
    return {run: [Download.of_job(each) for each in downloads] for run, downloads in known.items()}


def all_sources() -> dict[str, str]:
    """Path of each source in the package -> its hash."""
    paths = PACKAGE_ROOT.rglob("*.py")
    return {path.relative_to(PACKAGE_ROOT).as_posix(): sha256_file(path) for path in paths}


def _read(kept: Path) -> dict[str, dict]:
    """What is kept; {} where nothing is, or what no plan wrote: then the methods are asked again."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
