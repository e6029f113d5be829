"""The artefacts that a collection builds and what each is made of: the graph that both tools work on."""

from dataclasses import replace

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import layout, layout_of_volumes
from latent_anatomy.pipeline.layout import INDEX, LEDGER, PAIRED_TESTS, Artefact


def artefacts(jobs: dict[str, dict]) -> dict[str, Artefact]:
    """Name of a job -> what it makes, of all `jobs` that `resolve` names; "ledger" is one, of all studies.

    The steps of volumes, which make files for each subject, are below "imaging/<data set>", their gate.
    """
    made: dict[str, Artefact] = {}
    for name, job in sorted(jobs.items()):
        kind = job["job"]
        if kind == "raw" and "dataset" in job:
            made[name] = layout.raw(job["dataset"])
        elif kind == "slice":
            made[name] = layout.slices(job["dataset"])
        elif kind in ("train", "evaluate"):
            made[name] = layout.of_job(job)
            given = job.get("weights", {}) | job.get("evaluation_weights", {})
            made |= {each.job: each for each in layout.weights(given)}
    for job in [job for _, job in sorted(jobs.items()) if job["job"] == "gate"]:
        source, excluded = datasets.find(job["dataset"]), job["excluded"]
        made[f"imaging/{source.name}"] = layout_of_volumes.gate(source, excluded)
        made[f"slice/{source.name}"] = layout_of_volumes.slices(source, excluded)
    for name, job in sorted(jobs.items()):
        if job["job"] == PAIRED_TESTS:
            results = _of(made, f"evaluate/{job['study']}/{job['dataset']}/")
            made |= {name: layout.comparison(job["study"], job["dataset"], results)} if results else {}
    with_paper = [name.removeprefix(f"{LEDGER}/") for name in sorted(jobs) if name.startswith(f"{LEDGER}/")]
    if with_paper:
        made[LEDGER] = layout.ledger(
            each
            for study in with_paper
            for kind in ("evaluate", PAIRED_TESTS)
            for each in _of(made, f"{kind}/{study}/")
        )
    for name, job in sorted(jobs.items()):
        if job["job"] == "report":
            study, kinds = job["study"], ("train", "evaluate", PAIRED_TESTS)
            shown = [each for kind in kinds for each in _of(made, f"{kind}/{study}/")]
            shown += [made[LEDGER]] if study in with_paper else []
            below = _of(made, "imaging/") if study == "qc" else shown
            made[name] = replace(layout.report(study), made_of=tuple(below))
    index = layout.report(INDEX)
    if index.job in made:
        below = [*_of(made, LEDGER), *_of(made, "imaging/"), *_of(made, "report/")]
        made[index.job] = replace(index, made_of=tuple(each for each in below if each.job != index.job))
    return made


def _of(made: dict[str, Artefact], prefix: str) -> list[Artefact]:
    return [artefact for name, artefact in made.items() if name.startswith(prefix)]
