"""Is everything there that params.yaml asks for: each run with each fold and seed, and their paired tests?

Somebody who leaves out a seed, everywhere, and seals the rest anew leaves nothing that contradicts itself.
"""

from collections.abc import Iterator
from pathlib import Path

from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Link, State, listed
from latent_anatomy.pipeline import layout
from latent_anatomy.pipeline.layout import COMPARISON, PASSPORT
from latent_anatomy.pipeline.training_jobs import deterministic


def place(study: str, dataset: str) -> str:
    """The folder that a link about all replicates of a study on a data set is of."""
    return f"results/{study}/{dataset}"


def lying(root: Path, folders: str) -> list[str]:
    """The places of passports of results in these folders, whether or not they are there themselves."""
    files = [*root.glob(f"{folders}/metrics.json"), *root.glob(f"{folders}/{PASSPORT}")]
    return sorted({path.with_name(PASSPORT).relative_to(root).as_posix() for path in files})


def check(jobs: Jobs) -> Iterator[Link]:
    """Whether the results of each study on each data set, of which any are here, are all that it should have.

    As with parameters, the chosen collection decides where it has the data set, else any that has it. What
    lies here beside those of the chosen collection is in no ledger, and no break.
    """
    for study in jobs.params.studies:
        here: dict[str, set[str]] = {}
        for path in lying(jobs.root, f"results/{study}/*/*/*seed-*"):
            _, dataset, run, replicate = layout.place_of(path)
            here.setdefault(dataset, set()).add(f"{run}/{replicate}")
        for path in lying(jobs.root, f"results/{study}/{COMPARISON}/*"):
            here.setdefault(path.split("/")[3], set())
        for dataset, names in sorted(here.items()):
            if found := _check(jobs, study, dataset, names):
                yield found


def _check(jobs: Jobs, study: str, dataset: str, here: set[str]) -> Link | None:
    chosen = {name: jobs.params.collections[name].studies.get(study) for name in jobs.collections}
    having = [name for name, each in chosen.items() if each and dataset in each.tested]
    if jobs.params.data in having:
        having = [jobs.params.data]
    if not having:  # which `job` says of each
        return None
    due = {name: _due(jobs, name, study, dataset) for name in having}
    name = min(having, key=lambda each: len(due[each] ^ here))
    lacks, more = sorted(due[name] - here), sorted(here - due[name])
    path = place(study, dataset)
    if lacks:
        said = (
            f"expected {len(due[name])} results as params.yaml has them for {name}, found no {listed(lacks)}"
        )
        return Link(
            path,
            "replicates",
            State.BROKEN,
            said,
            jobs.command(name, [f"{path}/{each}/{PASSPORT}" for each in lacks]),
        )
    if more and name != jobs.params.data:
        said = (
            f"expected {len(due[name])} results as params.yaml has them for {name}, found also {listed(more)}"
        )
        return Link(path, "replicates", State.BROKEN, said, "put them into params.yaml, or delete them")
    tests = layout.comparison(study, dataset, ())
    if not lying(jobs.root, str(Path(tests.path).parent)):
        said = f"expected paired tests between these {len(here)} results, found none"
        return Link(path, "replicates", State.BROKEN, said, jobs.command(name, [tests.path]))
    for one, other in _twins(jobs, path, here):
        said = f"expected that another seed gives other numbers, found the same in {one} and {other}"
        return Link(
            path, "replicates", State.BROKEN, said, jobs.command(name, [f"{path}/{other}/{PASSPORT}"])
        )
    return Link(
        path, "replicates", State.HOLDS, f"{len(due[name])} results, all that params.yaml has for {name}"
    )


def _twins(jobs: Jobs, path: str, here: set[str]) -> Iterator[tuple[str, str]]:
    """Pairs of results of one run that are byte by byte the same, but for runs without randomness."""
    seen: dict[tuple[str, bytes], str] = {}
    for each in sorted(here):
        run, metrics = each.partition("/")[0], jobs.root / path / each / "metrics.json"
        if run in jobs.params.methods and not deterministic(jobs.params, run) and metrics.is_file():
            first = seen.setdefault((run, metrics.read_bytes()), each)
            if first != each:
                yield first, each


def _due(jobs: Jobs, collection: str, study: str, dataset: str) -> set[str]:
    chosen = jobs.params.collections[collection].studies[study]
    return {
        f"{run}/{replicate}"
        for run in chosen.runs(dataset, jobs.params.studies[study].runs)
        for replicate in chosen.replicates(dataset, run)
    }
