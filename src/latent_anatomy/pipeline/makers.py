"""Which job makes what another one reads, as the digest of that job's content.

It stands in each job's file, under `made_by`, and in no passport: what a job was made of says its passport by
the hashes of its inputs. With it a job can tell before it starts whether a file that lies in the right place
was made with the parameters and by the sources that params.yaml and this checkout have now.
"""

from collections.abc import Iterator

from latent_anatomy.pipeline.artefacts import artefacts
from latent_anatomy.pipeline.imaging_steps import steps
from latent_anatomy.provenance.files import digest
from latent_anatomy.provenance.verify import MADE_BY


def with_makers(jobs: dict[str, dict]) -> dict[str, dict]:
    """The `jobs` that `resolve` names, each with `made_by`: role of an input -> digest of the job that makes
    it.

    For the steps of volumes, whose inputs differ between subjects, the names of the steps stand for the
    roles. Raw files have no maker here: what they must be, says their publisher's checksum.
    """
    made = {name: digest(job) for name, job in jobs.items() if not name.startswith("raw/")}
    below = dict(_of_files(jobs))
    below |= dict(_of_steps(jobs))
    whole = {}
    for name, job in jobs.items():
        makers = {role: made[maker] for role, maker in sorted(below.get(name, {}).items()) if maker in made}
        whole[name] = job | ({MADE_BY: makers} if makers else {})
    return whole


def _of_files(jobs: dict[str, dict]) -> Iterator[tuple[str, dict[str, str]]]:
    """Job -> role -> name of the job that makes this input."""
    made = artefacts(jobs).values()
    maker = {path: each.job for each in made for path in (each.path, *each.outputs.values())}
    for each in made:
        inputs = (each.inputs or {}).items()
        yield each.job, {role: maker[path] for role, path in inputs if path in maker}


def _of_steps(jobs: dict[str, dict]) -> Iterator[tuple[str, dict[str, str]]]:
    """The same for the steps of volumes: job -> earlier step -> its job."""
    for dataset in [job["dataset"] for job in jobs.values() if job["job"] == "gate"]:
        chain = steps(dataset)
        names = {step: f"imaging/{dataset}/{step}" for step in chain} | {"slab": f"slice/{dataset}"}
        for place, step in enumerate(chain):
            yield names[step], {earlier: names[earlier] for earlier in chain[:place]}
