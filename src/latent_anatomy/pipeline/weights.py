"""What of others the trainings and evaluations of a collection are given, asked once and not in every plan.

Only a method or protocol knows which weights its parameters ask for, and importing one imports torch, which
takes a third of a dry run. So the answer is kept, beside the digest of all that it follows from.
"""

import json
from pathlib import Path

from latent_anatomy.data.download import Download
from latent_anatomy.pipeline import evaluation_jobs, training_jobs
from latent_anatomy.pipeline.params import Params
from latent_anatomy.provenance.files import digest, write_json
from latent_anatomy.provenance.sources import source_hashes

KEPT = Path(".scratch/weights.json")


def of_runs(params: Params, kept: Path = KEPT) -> dict[str, list[Download]]:
    """Run -> what its trainings are given, for those runs of `params.data` that are given any."""
    return {run: _downloads(jobs) for run, jobs in _asked(params, kept)["runs"]}


def of_protocols(params: Params, kept: Path = KEPT) -> dict[tuple[str, str], list[Download]]:
    """Study and protocol -> what the evaluations are given, for those that are given any."""
    return {(study, name): _downloads(jobs) for (study, name), jobs in _asked(params, kept)["protocols"]}


def downloads(params: Params, kept: Path = KEPT) -> list[Download]:
    """All of these, each once."""
    given = (*of_runs(params, kept).values(), *of_protocols(params, kept).values())
    return list(dict.fromkeys(each for some in given for each in some))


def _asked(params: Params, kept: Path) -> dict[str, list]:
    basis = digest({"params": params.model_dump(mode="json"), "sources": source_hashes()})
    known = _read(kept).get(basis)
    if known is None:
        given = {"runs": training_jobs.weights(params), "protocols": evaluation_jobs.weights(params)}
        known = {
            kind: [[place, [each.job for each in some]] for place, some in found.items()]
            for kind, found in given.items()
        }
        write_json(kept, {basis: known})
    return known


def _downloads(jobs: list[dict]) -> list[Download]:
    return [Download.of_job(job) for job in jobs]


def _read(kept: Path) -> dict[str, dict]:
    """What is kept; {} where nothing is, or what no plan wrote: then all is asked again."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
