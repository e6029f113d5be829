"""From params.yaml to jobs: one small file per job with just what decides its result.

A job's file holds its own parameters, complete with the defaults, its seed and the digest of the
sources that it runs. It is written at parse time, only when its content differs, and is an input of
its job, so that staleness travels with content and not with anybody's memory of earlier runs. It
becomes the job's passport.
"""

import json
import re
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from latent_anatomy import datasets, methods, preparation
from latent_anatomy.chosen import Chosen
from latent_anatomy.datasets.cohorts import SEPARATOR, Replicate, dataset_of
from latent_anatomy.params import Params, ParamsError, Study, typed
from latent_anatomy.provenance import (
    PACKAGE_ROOT,
    canonical_json,
    digest,
    sha256_file,
    source_digest,
    write_json,
    write_text_if_changed,
)

FOLDER = Path(".params")
WRITTEN = "written.json"
PACKAGE = "latent_anatomy"
SHOWN = (  # what the notebooks of the studies import
    *("datasets", "datasets.cohorts", "departures", "figures", "figures_factors", "figures_lesions"),
    *("figures_segmentation", "ledger_table", "papers", "provenance", "report", "results", "statistics"),
)


def write(params: Params, folder: Path = FOLDER) -> None:
    """Write the files of all jobs of the collection `params.data` below `folder`.

    Raises ParamsError, naming the key, for a parameter that its method or protocol does not have.

    Resolving imports torch, which takes longer than all the rest of a dry run. So `folder`/written.json
    keeps the digest of what the jobs were resolved from and the hashes of the files, and where both
    still hold there is nothing to resolve.
    """
    names = params.collection.datasets
    # A user's folder changes without any source doing so.
    files = {name: [[file.name, file.checksum] for file in datasets.find(name).files] for name in names}
    basis = digest({"params": params.model_dump(mode="json"), "sources": _all_sources(), "files": files})
    record = folder / WRITTEN
    if _holds(record, basis):
        return
    record.unlink(missing_ok=True)
    written = {}
    for name, job in resolve(params).items():
        path = folder / f"{name}.json"
        write_text_if_changed(path, canonical_json(job))
        written[path.relative_to(folder).as_posix()] = sha256_file(path)
    for path in folder.rglob("*.json"):  # so that what lies here is decided by the parameters alone
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()
    write_json(record, {"basis": basis, "files": written})


def _all_sources() -> dict[str, str]:
    paths = PACKAGE_ROOT.rglob("*.py")
    return {path.relative_to(PACKAGE_ROOT).as_posix(): sha256_file(path) for path in paths}


def _holds(record: Path, basis: str) -> bool:
    if not record.is_file():
        return False
    content = json.loads(record.read_text(encoding="utf-8"))
    return content["basis"] == basis and all(
        (record.parent / name).is_file() and sha256_file(record.parent / name) == expected
        for name, expected in content["files"].items()
    )


def resolve(params: Params) -> dict[str, dict]:
    """All jobs of the collection `params.data`: name (its path below `.params`) -> content."""
    jobs: dict[str, dict] = {}
    for dataset in params.collection.datasets:
        jobs[f"raw/{dataset}"] = _raw(dataset)
    for dataset in params.collection.images:
        jobs[f"slice/{dataset}"] = _with_source({"job": "slice", "dataset": dataset})
    for dataset in params.collection.volumes:
        steps = preparation.jobs(params.imaging, dataset)
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
        return (own, "jobs.slab" if hasattr(source, "subjects") else "slices_file")
    if kind in preparation.STEPS:
        return (f"jobs.{kind}",)
    if kind == "train":
        return ("jobs.train", f"methods.{job['method']}")
    if kind == "evaluate":
        protocols = (f"evaluation.{name}" for name in job["evaluation"])
        return ("jobs.evaluate", f"methods.{job['method']}", *protocols)
    if kind == "report" and job["study"] == "qc":
        return ("jobs.seal", "figures", "provenance", "qc", "report")
    return {
        "paired-tests": ("jobs.paired_tests", "evaluation.comparison"),
        "ledger": ("ledger",),
        "report": ("jobs.seal", *SHOWN),
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
    from latent_anatomy import evaluation  # here, because it loads torch

    here = f"collections.{params.data}.studies.{name}"
    protocols = {}
    for protocol, block in study.evaluation.items():
        if protocol not in evaluation.PROTOCOLS:
            raise ParamsError(
                f"params.yaml: studies.{name}.evaluation: expected protocols among "
                f"{', '.join(evaluation.PROTOCOLS)}, found {protocol!r}"
            )
        model = import_module(f"{PACKAGE}.evaluation.{protocol}").Params
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
        protocols[protocol] = settings
    elsewhere = {} if dataset == train["dataset"] else {"trained_on": train["dataset"]}
    return _with_source(
        {**train, "job": "evaluate", "dataset": dataset, **elsewhere, "evaluation": protocols}
    )


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
