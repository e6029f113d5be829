"""From params.yaml to jobs: one small file per job with just what decides its result.

A job's file holds its own parameters, complete with the defaults, its seed and the digest of the
sources that it runs. It is written at parse time, only when its content differs, and is an input of
its job, so that staleness travels with content and not with anybody's memory of earlier runs. It
becomes the job's passport.
"""

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.pipeline import evaluation_jobs, imaging_steps, reports
from latent_anatomy.pipeline.layout import INDEX
from latent_anatomy.pipeline.params import Params, ParamsError, Study
from latent_anatomy.pipeline.selection import Chosen
from latent_anatomy.pipeline.training_jobs import deterministic, training
from latent_anatomy.provenance.sources import source_digest

PACKAGE = "latent_anatomy"


def resolve(params: Params) -> dict[str, dict]:
    """All jobs of the collection `params.data`: name (its path below `.params`) -> content."""
    jobs: dict[str, dict] = {}
    for dataset in params.collection.datasets:
        jobs[f"raw/{dataset}"] = _raw(dataset)
    for dataset in params.collection.images:
        jobs[f"slice/{dataset}"] = _with_source({"job": "slice", "dataset": dataset})
    for dataset in params.collection.pools:
        job = {"job": "slice", "dataset": dataset, "members": dataset.split(SEPARATOR)}
        jobs[f"slice/{dataset}"] = _with_source(job)
    for dataset in params.collection.volumes:
        steps = imaging_steps.jobs(params.imaging, dataset)
        jobs[f"slice/{dataset}"] = _with_source(steps.pop("slab"))
        jobs |= {f"imaging/{dataset}/{step}": _with_source(job) for step, job in steps.items()}
    jobs |= {f"raw/{each.name}": each.job for each in evaluation_jobs.downloads(params)}
    for name, chosen in params.collection.studies.items():
        study = params.studies[name]
        for dataset, trained_on in chosen.tested.items():
            jobs[f"paired-tests/{name}/{dataset}"] = _paired_tests(params, name, chosen, dataset)
            for run in chosen.runs(dataset, study.runs):
                for replicate in chosen.replicates(dataset, run):
                    train = _with_source(training(params, name, run, trained_on, replicate))
                    if dataset == trained_on:
                        jobs |= _with_bases(train, replicate)
                    evaluate = _evaluate(params, name, train, dataset)
                    jobs[f"evaluate/{name}/{dataset}/{run}/{replicate}"] = evaluate
        if reports.paper(name):
            jobs[f"ledger/{name}"] = _with_source({"job": "ledger", "study": name})
        jobs[f"report/{name}"] = _report(params, name, study, chosen)
    qc = {"job": "report", "study": "qc", "data": params.data, "datasets": params.collection.volumes}
    pages = {"report/qc": _with_source(qc), f"report/{INDEX}": _with_source(_index(params, jobs))}
    if taken := sorted(pages.keys() & jobs.keys()):
        name = taken[0].removeprefix("report/")
        raise ParamsError(
            f"params.yaml: studies: expected no study {name!r}, which is the name of a page of all: rename it"
        )
    return jobs | pages


def _modules_of(job: dict) -> tuple[str, ...]:
    """The modules that a job runs; they and all that they import are the sources that decide its result.

    Of the data sets it is the job's own alone, so that a new one leaves the others as they are.
    """
    kind = job["job"]
    if "members" in job:
        return ("data.pool", "data.slices_file")
    if kind in ("raw", "slice"):
        source = datasets.find(job["dataset"])
        own = type(source).__module__.removeprefix(f"{PACKAGE}.")
        if kind == "raw":
            return (own,)
        return (own, "jobs.imaging.slab" if hasattr(source, "subjects") else "data.slices_file")
    if kind in imaging_steps.STEPS:
        return (f"jobs.imaging.{kind}",)
    if kind == "train":
        return ("jobs.train", *_methods_of(job))
    if kind == "evaluate":
        asked = (f"evaluation.protocols.{name}" for name in job["evaluation"])
        return ("jobs.evaluate", *_methods_of(job), *asked)
    if kind == "report" and job["study"] == INDEX:
        return ("reports.index",)
    if kind == "report":
        shown = reports.modules(reports.notebook(job["study"]))
        return ("jobs.report", *(module.removeprefix(f"{PACKAGE}.") for module in shown))
    return {
        "paired-tests": ("jobs.paired_tests", "evaluation.paired_tests"),
        "ledger": ("ledger.build",),
    }[kind]


def _methods_of(job: dict) -> list[str]:
    """The module of a training's method, and those of the methods that it stands on."""
    own = f"methods.{job['method']}"
    return [own, *(name for name in _methods_of(job["on"]) if name != own)] if "on" in job else [own]


def _with_source(job: dict) -> dict:
    """The job, and that which it stands on, with the modules that it runs and the digest of their sources."""
    on = {"on": _with_source(job["on"])} if "on" in job else {}
    modules = [f"{PACKAGE}.{module}" for module in _modules_of(job)]
    return job | on | {"modules": modules, "source": source_digest(*modules)}


def _raw(dataset: str) -> dict:
    """What decides the raw files: the drawing's source (phantoms), or the publisher's checksums.

    Not the source of the fetch: a file with the right checksum is right whoever brought it.
    """
    source = datasets.find(dataset)
    if source.phantom:
        return _with_source({"job": "raw", "dataset": dataset})
    checksums = {file.name: f"{file.algorithm}:{file.checksum}" for file in source.files}
    return {"job": "raw", "dataset": dataset, "checksums": checksums}


def _with_bases(train: dict, replicate: Replicate) -> dict[str, dict]:
    """The job of a training under its name, and those of the runs that it stands on."""
    jobs = {f"train/{train['study']}/{train['dataset']}/{train['run']}/{replicate}": train}
    return jobs | _with_bases(train["on"], replicate) if "on" in train else jobs


def _evaluate(params: Params, name: str, train: dict, dataset: str) -> dict:
    """The evaluation of a training on a data set or cohort."""
    run = train["run"]
    asked = evaluation_jobs.asked(params, name, run, dataset)
    part = evaluation_jobs.part(params, name, run, dataset)
    checksums = {
        file: each
        for protocol, settings in asked.items()
        for given in protocols.weights(protocol, settings)
        for file, each in given.checksums.items()
    }
    more = {} if dataset == train["dataset"] else {"trained_on": train["dataset"]}
    more |= {"test_subjects": part} if part else {}
    more |= {"evaluation_weights": checksums} if checksums else {}
    return _with_source({**train, "job": "evaluate", "dataset": dataset, **more, "evaluation": asked})


def _paired_tests(params: Params, name: str, chosen: Chosen, dataset: str) -> dict:
    folds = chosen.folds(dataset)
    runs = evaluation_jobs.compared(params, name, dataset)
    changed = {run: seeds for run in runs if (seeds := chosen.seeds_of(dataset, run)) != chosen.seeds}
    job = {
        "job": "paired-tests",
        "study": name,
        "dataset": dataset,
        **({} if folds == [None] else {"folds": folds}),
        "runs": runs,
        "seeds": chosen.seeds,
        **({"seeds_of": changed} if changed else {}),
        "without_randomness": [run for run in runs if deterministic(params, run)],
    }
    return _with_source(job)


def _index(params: Params, jobs: dict[str, dict]) -> dict:
    """The page of all reports: the runs of each study, and the results that this collection makes."""
    kind = "evaluate/"
    return {
        "job": "report",
        "study": INDEX,
        "data": params.data,
        "phantom": datasets.find(params.collection.datasets[0]).phantom,
        "compared": sorted(f"{name}/{run}" for name in params.studies for run in params.studies[name].runs),
        "results": sorted(name.removeprefix(kind) for name in jobs if name.startswith(kind)),
    }


def _report(params: Params, name: str, study: Study, collection: Chosen) -> dict:
    job = {
        "job": "report",
        "study": name,
        "data": params.data,
        "runs": list(
            dict.fromkeys(run for name in collection.tested for run in collection.runs(name, study.runs))
        ),
        "datasets": list(collection.tested),
        "seeds": collection.seeds,
    }
    return _with_source(job)
