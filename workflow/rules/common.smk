# What the rules share: the checked parameters, what is built of them, and where files lie.
import json
import re
import shutil
import sys
from pathlib import Path

from snakemake.cli import get_argument_parser

from latent_anatomy.data import cohorts
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import (
    evaluation_jobs,
    imaging_steps,
    job_files,
    layout,
    layout_of_volumes,
    params,
    raw_jobs,
    reports,
    targets,
    volume_files,
    weights,
)


def asked():
    """The targets on the command line, which Snakemake gives its workflow only after this has been read."""
    if "snakemake" not in Path(sys.argv[0]).parts[-2:]:  # neither the command nor `python -m snakemake`
        return []
    known, _ = get_argument_parser().parse_known_args(sys.argv[1:])
    return map(str, known.targets)


def checked():
    """The parameters, less what cannot be made without files that cannot be had, and the copies of the jobs' files."""
    try:
        left, jobs = job_files.prepare(params.validate(config))
        # Told here, because Snakemake only says that no rule makes them.
        targets.check(asked(), jobs, left.data)
        return left, jobs
    except ValueError as error:
        sys.exit(str(error))


PARAMS, JOBS = checked()
STUDIES = PARAMS.studies
PAPERS = {study: reports.paper(study) for study in STUDIES if reports.paper(study)}
CHOSEN = PARAMS.collection.studies
DATASETS = PARAMS.collection.datasets
VOLUMES = [datasets.find(name) for name in PARAMS.collection.volumes]
PHANTOM = datasets.find(DATASETS[0]).phantom
LEDGER = "results/ledger-phantom.csv" if PHANTOM else "results/ledger.csv"
# Of everything, so that what this collection has nothing of is said.
REPORTS = [*STUDIES, "qc"]
# A job asks for the GPU only where there is one, so that processors are not left idle elsewhere.
GPU = int(shutil.which("nvidia-smi") is not None)
JOB = "{study}/{dataset}/{run}/{replicate}"


# Rules make what this collection builds, and nothing else: results of other data sets, as they come with
# the repository, are taken as they lie.
wildcard_constraints:
    study="|".join(map(re.escape, STUDIES)),
    run="|".join(map(re.escape, PARAMS.methods)),
    dataset="|".join(
        map(
            re.escape,
            dict.fromkeys([*DATASETS, *(name for each in CHOSEN.values() for name in each.tested)]),
        )
    ),
    replicate=cohorts.REPLICATE.pattern,


def raw_files(dataset):
    """The raw files of a data set."""
    return [f"data/raw/{dataset}/{file.name}" for file in datasets.find(dataset).files]


def job(name):
    """What a job reads in place of its file, which others may write anew while this workflow goes on.

    A function of the wildcards alone, so that Snakemake remembers with which of them an output was made.
    """

    def copy(wildcards):
        path = name.format(**wildcards)
        return JOBS.get(path, path)  # of a job that is not there the rule's own input tells

    return copy


def memory(wildcards, input):
    """Of a training or an evaluation, in MB: what libraries take, and the slices, in whose file masks are small."""
    return round(4000 + 8 * input.size_mb)


def made_of(artefact):
    """Input function: what a `layout.model` or `layout.result` is made of, by role, as its job says."""

    def inputs(wildcards):
        names = wildcards.study, wildcards.dataset, wildcards.run, cohorts.replicate(wildcards.replicate)
        job = JOBS.get(f".params/{artefact(*names).job}.json")
        # Of a job that is not there the rule's own input tells.
        return artefact(*names, json.loads(Path(job).read_text()) if job else {}).inputs

    return inputs


def options(input, *roles):
    """Options of a verb for those inputs that this job has."""
    return [
        word
        for role in roles
        if role in input.keys()
        for word in (f"--{role.replace('_', '-')}", str(input[role]))
    ]


def of_runs(pattern, study, names, chosen=None):
    """The files of all runs, or those `chosen`, and replicates of a study on the data sets and cohorts `names`."""
    return [
        pattern.format(study=study, dataset=name, run=run, replicate=replicate)
        for name in names
        for run in (chosen or CHOSEN[study].runs(name, STUDIES[study].runs))
        for replicate in CHOSEN[study].replicates(name, run)
    ]


def metrics(study):
    """The metrics that this collection makes for a study."""
    tested = CHOSEN[study].tested
    names = [name for name in tested if CHOSEN[study].runs(name, STUDIES[study].runs)]
    compared = expand("results/{study}/comparison/{dataset}/metrics.json", study=study, dataset=names)
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
