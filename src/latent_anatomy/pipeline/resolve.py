"""From params.yaml to jobs: one small file per job with just what decides its result.

A job's file holds its own parameters, complete with the defaults, its seed and the digest of the
sources that it runs. It is written at parse time, only when its content differs, and is an input of
its job, so that staleness travels with content and not with anybody's memory of earlier runs. It
becomes the job's passport.
"""

import re
from dataclasses import asdict

from latent_anatomy.data.cohorts import SEPARATOR, Replicate, dataset_of
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import imaging_steps, reports
from latent_anatomy.pipeline.params import Params, ParamsError, Study, typed
from latent_anatomy.pipeline.selection import Chosen
from latent_anatomy.provenance.sources import source_digest

PACKAGE = "latent_anatomy"


def resolve(params: Params) -> dict[str, dict]:
    """All jobs of the collection `params.data`: name (its path below `.params`) -> content."""
    jobs: dict[str, dict] = {}
    for dataset in params.collection.datasets:
        jobs[f"raw/{dataset}"] = _raw(dataset)
    for dataset in params.collection.images:
        jobs[f"slice/{dataset}"] = _with_source({"job": "slice", "dataset": dataset})
    for dataset in params.collection.volumes:
        steps = imaging_steps.jobs(params.imaging, dataset)
        jobs[f"slice/{dataset}"] = _with_source(steps.pop("slab"))
        jobs |= {f"imaging/{dataset}/{step}": _with_source(job) for step, job in steps.items()}
    for name, chosen in params.collection.studies.items():
        study = params.studies[name]
        for dataset, trained_on in chosen.tested.items():
            jobs[f"paired-tests/{name}/{dataset}"] = _paired_tests(name, study, chosen, dataset)
            for run in chosen.runs(dataset, study.runs):
                for replicate in chosen.replicates(dataset):
                    train = _train(params, name, chosen, run, trained_on, replicate)
                    if dataset == trained_on:
                        jobs[f"train/{name}/{dataset}/{run}/{replicate}"] = train
                    evaluate = _evaluate(params, name, study, chosen, train, dataset)
                    jobs[f"evaluate/{name}/{dataset}/{run}/{replicate}"] = evaluate
        if reports.paper(name):
            jobs[f"ledger/{name}"] = _with_source({"job": "ledger", "study": name})
        jobs[f"report/{name}"] = _report(params, name, study, chosen)
    qc = {"job": "report", "study": "qc", "data": params.data, "datasets": params.collection.volumes}
    return jobs | {"report/qc": _with_source(qc)}


def _modules_of(job: dict) -> tuple[str, ...]:
    """The modules that a job runs; they and all that they import are the sources that decide its result.

    Of the data sets it is the job's own alone, so that a new one leaves the others as they are.
    """
    kind = job["job"]
    if kind in ("raw", "slice"):
        source = datasets.find(job["dataset"])
        own = type(source).__module__.removeprefix(f"{PACKAGE}.")
        if kind == "raw":
            return (own,)
        return (own, "jobs.imaging.slab" if hasattr(source, "subjects") else "data.slices_file")
    if kind in imaging_steps.STEPS:
        return (f"jobs.imaging.{kind}",)
    if kind == "train":
        return ("jobs.train", f"methods.{job['method']}")
    if kind == "evaluate":
        asked = (f"evaluation.protocols.{name}" for name in job["evaluation"])
        return ("jobs.evaluate", f"methods.{job['method']}", *asked)
    if kind == "report":
        shown = reports.modules(reports.notebook(job["study"]))
        return ("jobs.seal", *(module.removeprefix(f"{PACKAGE}.") for module in shown))
    return {
        "paired-tests": ("jobs.paired_tests", "evaluation.paired_tests"),
        "ledger": ("ledger.build",),
    }[kind]


def _with_source(job: dict) -> dict:
    """The job with the modules that it runs and the digest of their sources."""
    modules = [f"{PACKAGE}.{module}" for module in _modules_of(job)]
    return job | {"modules": modules, "source": source_digest(*modules)}


def _raw(dataset: str) -> dict:
    """What decides the raw files: the drawing's source (phantoms), or the publisher's checksums.

    Not the source of the fetch: a file with the right checksum is right whoever brought it.
    """
    source = datasets.find(dataset)
    if source.phantom:
        return _with_source({"job": "raw", "dataset": dataset})
    checksums = {file.name: f"{file.algorithm}:{file.checksum}" for file in source.files}
    return {"job": "raw", "dataset": dataset, "checksums": checksums}


def _train(
    params: Params, study: str, collection: Chosen, run: str, dataset: str, replicate: Replicate
) -> dict:
    block = dict(params.methods[run])
    method = block.pop("method")
    model = methods.load(method).Method.Params
    chosen = typed(model, block, f"methods.{run}")
    for change in collection.changes:
        if change.concerns(run, dataset):
            block |= change.params
            chosen = typed(model, block, f"collections.{params.data}.studies.{study}.changes.params")
    job = {
        "job": "train",
        "study": study,
        "run": run,
        "dataset": dataset,
        **_cohort(dataset, replicate),
        "seed": replicate.seed,
        "method": method,
        "params": chosen,
        "training": params.training.model_dump(mode="json"),
    }
    return _with_source(job)


def _evaluate(params: Params, name: str, study: Study, chosen: Chosen, train: dict, dataset: str) -> dict:
    here = f"collections.{params.data}.studies.{name}"
    asked = {}
    for protocol, block in study.evaluation.items():
        if protocol not in protocols.names():
            raise ParamsError(
                f"params.yaml: studies.{name}.evaluation: expected protocols among "
                f"{', '.join(protocols.names())}, found {protocol!r}"
            )
        model = protocols.load(protocol).Params
        settings = typed(model, block, f"studies.{name}.evaluation.{protocol}")
        if protocol in chosen.evaluation:
            block = block | chosen.evaluation[protocol]
            if {dataset, dataset_of(dataset)}.isdisjoint(block.pop("datasets", chosen.tested)):
                continue
            settings = typed(model, block, f"{here}.evaluation.{protocol}")
        for change in chosen.changes:
            if protocol in change.evaluation and change.concerns(train["run"], dataset):
                block = block | change.evaluation[protocol]
                settings = typed(model, block, f"{here}.changes.evaluation.{protocol}")
        asked[protocol] = settings
    elsewhere = {} if dataset == train["dataset"] else {"trained_on": train["dataset"]}
    return _with_source({**train, "job": "evaluate", "dataset": dataset, **elsewhere, "evaluation": asked})


def _cohort(name: str, replicate: Replicate) -> dict:
    """The fold, and who is who in it; nothing for a data set that is used as it is split."""
    if replicate.fold is None:
        return {}
    dataset, split, labelled = name.split(SEPARATOR, 2)
    part = float(labelled) if re.fullmatch(r"[\d.]+", labelled) else labelled
    cohort = datasets.find(dataset).cohort(f"{split}-{replicate.fold}", part)
    return {"fold": replicate.fold, "cohort": {key: list(value) for key, value in asdict(cohort).items()}}


def _paired_tests(name: str, study: Study, collection: Chosen, dataset: str) -> dict:
    folds = [each.fold for each in collection.replicates(dataset) if each.seed == collection.seeds[0]]
    job = {
        "job": "paired-tests",
        "study": name,
        "dataset": dataset,
        **({} if folds == [None] else {"folds": folds}),
        "runs": collection.runs(dataset, study.runs),
        "seeds": collection.seeds,
    }
    return _with_source(job)


def _report(params: Params, name: str, study: Study, collection: Chosen) -> dict:
    job = {
        "job": "report",
        "study": name,
        "data": params.data,
        "runs": study.runs,
        "datasets": list(collection.tested),
        "seeds": collection.seeds,
    }
    return _with_source(job)
