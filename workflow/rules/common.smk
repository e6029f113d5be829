# What the rules share: the checked parameters, what is built of them, and where files lie.
import json
import re
import shutil
import sys
from pathlib import Path

from latent_anatomy.data import cohorts
from latent_anatomy.data.dataset import mirror_folder
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import (
    availability,
    imaging_steps,
    job_files,
    layout_of_volumes,
    params,
    reports,
    volume_files,
)


def checked():
    """The parameters, less the data sets that cannot be had, with the file of each job written."""
    try:
        found = params.validate(config)
        missing = availability.missing(found.collection.datasets, Path("data/raw"), mirror_folder())
        for _, reason in missing:
            print(f"Not built: {reason}", file=sys.stderr)
        found = found.without([name for name, _ in missing])
        job_files.write(found)
    except ValueError as error:
        sys.exit(str(error))
    return found


PARAMS = checked()
STUDIES = PARAMS.studies
PAPERS = {study: reports.paper(study) for study in STUDIES if reports.paper(study)}
CHOSEN = PARAMS.collection.studies
DATASETS = PARAMS.collection.datasets
VOLUMES = [datasets.find(name) for name in PARAMS.collection.volumes]
REPLICATES = sorted(
    {str(it) for each in CHOSEN.values() for name in each.trained for it in each.replicates(name)}
)
PHANTOM = datasets.find(DATASETS[0]).phantom
LEDGER = "results/ledger-phantom.csv" if PHANTOM else "results/ledger.csv"
# Of everything, so that what this collection has nothing of is said, and DVC's stages are the same for all.
REPORTS = [*STUDIES, "qc"]
# A job asks for the GPU only where there is one, so that processors are not left idle elsewhere.
GPU = int(shutil.which("nvidia-smi") is not None)
JOB = "{study}/{dataset}/{run}/{replicate}"
# DVC's stages depend on whole folders, which must be there even if this collection has nothing in them.
for folder in (
    "data/interim",
    "results/imaging",
    *(f"{top}/{each}" for top in ("models", "results") for each in STUDIES),
):
    Path(folder).mkdir(parents=True, exist_ok=True)


# Rules make what this collection builds, and nothing else: results of other data sets, as they come with
# the repository, are taken as they lie.
wildcard_constraints:
    study="|".join(map(re.escape, STUDIES)),
    run="|".join(sorted({re.escape(run) for study in STUDIES.values() for run in study.runs})),
    dataset="|".join(
        map(
            re.escape,
            dict.fromkeys([*DATASETS, *(name for each in CHOSEN.values() for name in each.tested)]),
        )
    ),
    replicate="|".join(map(re.escape, REPLICATES)),


def raw_files(dataset):
    """The raw files of a data set."""
    return [f"data/raw/{dataset}/{file.name}" for file in datasets.find(dataset).files]


def slices_of(wildcards):
    """The slices of a data set, or of the one that a cohort is of."""
    return f"data/slices/{cohorts.dataset_of(wildcards.dataset)}.h5"


def memory(wildcards, input):
    """Of a training or an evaluation, in MB: what libraries take, and the slices, in whose file masks are small."""
    return round(4000 + 8 * input.size_mb)


def trained_on(study, dataset):
    """The data set whose models are evaluated on `dataset`."""
    return CHOSEN[study].tested[dataset]


def model_tested(wildcards):
    """The checkpoint that is evaluated, and the slices that it was trained on where they are others."""
    origin = trained_on(wildcards.study, wildcards.dataset)
    job = JOB.format(**{**wildcards, "dataset": origin})
    files = {"model": f"models/{job}/model.safetensors"}
    return files if origin == wildcards.dataset else {**files, "trained_on": f"data/slices/{origin}.h5"}


def of_runs(pattern, study, names):
    """The files of all runs and replicates of a study on the data sets and cohorts `names`."""
    return [
        pattern.format(study=study, dataset=name, run=run, replicate=replicate)
        for name in names
        for run in CHOSEN[study].runs(name, STUDIES[study].runs)
        for replicate in CHOSEN[study].replicates(name)
    ]


def metrics(study):
    """The metrics that this collection makes for a study."""
    tested = CHOSEN[study].tested
    compared = expand("results/{study}/comparison/{dataset}/metrics.json", study=study, dataset=list(tested))
    return of_runs(f"results/{JOB}/metrics.json", study, tested) + compared


def committed_metrics(study):
    """The metrics of other real data sets, as they come with the repository."""
    results = Path("results", study)
    of_dataset = [(path.parts[2], path) for path in results.glob("*/*/*seed-*/metrics.json")]
    of_dataset += [(path.parts[3], path) for path in results.glob("comparison/*/metrics.json")]
    return sorted(
        str(path)
        for dataset, path in of_dataset
        if not dataset.startswith("phantom-") and dataset not in CHOSEN[study].tested
    )


def shown_metrics(study):
    """The metrics behind the ledger that the report shows."""
    return metrics(study) + ([] if PHANTOM else committed_metrics(study))


def notebook_parameters(wildcards, input):
    """The parameters of a study's notebook, as JSON."""
    paper = {"papers_file": input.papers, "ledger_file": input.ledger} if input.papers else {}
    return json.dumps(
        {
            "study": wildcards.study,
            "phantom": PHANTOM,
            "metrics_files": list(input.metrics),
            "arrays_files": list(input.arrays),
            "history_files": list(input.histories),
            **paper,
        }
    )
