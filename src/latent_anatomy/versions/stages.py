"""dvc.yaml, written from params.yaml: a stage for each job, under the name of its file below .params.

Each depends on its job's file and on what it is made of, and asks Snakemake for its target, so that a study,
a data set or a run of any name is in both tools. What is made of what is `pipeline.artefacts`' to say.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from shlex import quote

import yaml

from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import layout, raw_jobs, reports
from latent_anatomy.pipeline.artefacts import artefacts
from latent_anatomy.pipeline.imaging_steps import of_subject
from latent_anatomy.pipeline.layout import LEDGER, Artefact
from latent_anatomy.pipeline.params import Params
from latent_anatomy.pipeline.resolve import resolve
from latent_anatomy.provenance.files import write_text_if_changed

FILE = Path("dvc.yaml")
HEAD = """\
# Written by `latent-anatomy sync stages` from params.yaml; not meant to be read, and not to be edited.
# DVC decides by content which stage is stale; Snakemake does its work, so every command asks it for one
# rule's targets, by force. Nothing may be `persist`: a stage that fails to make its output must leave none.
"""
GIT = {  # the small files of results, which git keeps; everything else is in DVC's cache
    *("metrics.json", "scores.npz", "passport.json", "qc.csv"),
    *(PurePosixPath(path).name for path in layout.LEDGERS),
}
HISTORY = {"x": "epoch"}  # and of the columns the last, the loss of validation
PARAMETERS = {
    "cmd": "latent-anatomy sync jobs",
    "deps": ["notebooks", "papers", "src/latent_anatomy"],
    "params": ["collections", "data", "imaging", "methods", "studies", "training"],
    "outs": [".params"],
}


def text(params: Params) -> str:
    """Content of dvc.yaml for the collection `params.data`, in the project that is the current folder.

    Of that folder it matters which studies have results of real data, which come with the repository.
    Raises ParamsError as `resolve`.
    """
    jobs = resolve(params)
    made = artefacts(jobs)
    stages = {"parameters": PARAMETERS}
    stages |= {name: _stage(name, artefact, params) for name, artefact in made.items()}
    trained = [name for name, chosen in params.collection.studies.items() if chosen.trained]
    described = {"slices": ("data/slices", "dataset", "Images, labels and splits of every data set")}
    described |= {
        f"models-{name}": (f"models/{name}", "model", f"Checkpoints of the study {name}") for name in trained
    }
    keys = ("path", "type", "desc")
    kept = {name: dict(zip(keys, words, strict=True)) for name, words in described.items()}
    content = {"stages": stages, "plots": list(_plots(made, jobs)), "artifacts": kept}
    return HEAD + yaml.dump(content, Dumper=_Plain, sort_keys=False, width=1000)


def write(params: Params) -> None:
    """Write dvc.yaml, if it says something else; ParamsError as in `text`."""
    write_text_if_changed(FILE, text(params))


def agree(params: Params) -> bool:
    """Whether dvc.yaml is what `write` would write."""
    return FILE.is_file() and FILE.read_text(encoding="utf-8") == text(params)


class _Plain(yaml.SafeDumper):
    """Writes lists and mappings out wherever they occur."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _stage(name: str, artefact: Artefact, params: Params) -> dict:
    kind, place = name.split("/")[0], PurePosixPath(name).name
    job = name if kind in (LEDGER, "imaging") else f"{name}.json"  # of several jobs, or of one
    cores = "all" if kind == "imaging" else "1"  # Snakemake takes the subjects one by one
    target = f"raw-{place}" if kind == "raw" else artefact.path
    allowed = f"--allowed-rules {_rules(kind, place)} --force " if _rules(kind, place) else ""
    return {
        "cmd": f"snakemake --cores {cores} {allowed}-- {quote(target)}",
        "deps": [f".params/{job}", *_inputs(kind, place, artefact, params)],
        **_kinds(_outputs(kind, place, artefact)),
    }


def _rules(kind: str, place: str) -> str:
    """The rules that may run; those before it have their own stages. Empty for all that it asks for."""
    if kind == "raw":
        brought = raw_jobs.of(datasets.find(place)) if datasets.known(place) else [f"raw-{place}"]
        return f"raw-{place}" if f"raw-{place}" in brought else ""
    if kind == "imaging":
        return " ".join(["gate", *(f"{step}-{place}" for step in of_subject(place))])
    if kind == "slice":
        return "slab" if layout.of_volumes(place) else "pool" if SEPARATOR in place else "slice"
    own = {"qc": "qc_report", layout.INDEX: layout.INDEX} if kind == "report" else {}
    return own.get(place, kind.replace("-", "_"))


def _inputs(kind: str, place: str, artefact: Artefact, params: Params) -> list[str]:
    """What a stage depends on; whole folders of raw files, volumes and results, which are many files."""
    if kind == "imaging":
        return [f"data/raw/{place}"]
    if kind == "slice" and layout.of_volumes(place):
        return [f"data/interim/{place}", f"results/imaging/{place}/qc.csv"]
    if kind == "slice":
        return [below.path for below in artefact.made_of]
    if kind == LEDGER:
        studies = filter(reports.paper, params.studies)
        return ["papers", *(folder for study in studies for folder in _results(study, params))]
    if kind == "report" and place == "qc":
        volumes = params.collection.volumes
        below = [(f"data/interim/{each}", f"results/imaging/{each}/qc.csv") for each in volumes]
        return ["notebooks/qc.ipynb", *(path for paths in below for path in paths)]
    if kind == "report" and place == layout.INDEX:
        tables = [f"results/imaging/{each}/qc.csv" for each in params.collection.volumes]
        printed = [path for study in params.studies if (path := reports.paper(study))]
        pages = [layout.report(each).path for each in reports.shown(params)]
        return [*printed, *(layout.LEDGERS if printed else ()), *tables, *pages]
    if kind == "report":
        models = [f"models/{place}"] if params.collection.studies[place].trained else []
        ledger = layout.LEDGERS[datasets.find(params.collection.datasets[0]).phantom]
        printed = [paper, ledger] if (paper := reports.paper(place)) else []
        return [reports.notebook(place), *printed, *models, *_results(place, params)]
    return [] if kind == "raw" else list(artefact.inputs.values())


def _outputs(kind: str, place: str, artefact: Artefact) -> list[str]:
    if kind == "raw":
        return [artefact.path]
    folders = {"imaging": [f"data/interim/{place}"], "evaluate": [_tables(artefact)]}
    return [artefact.path, *artefact.outputs.values(), *folders.get(kind, [])]


def _plots(made: dict[str, Artefact], jobs: dict[str, dict]) -> Iterator[dict]:
    """The tables that protocols want drawn, of the runs whose methods can answer them."""
    for name, artefact in sorted(made.items()):
        for protocol in jobs[name]["evaluation"] if name.startswith("evaluate/") else ():
            asked, method = protocols.load(protocol), methods.load(jobs[name]["method"]).Method
            if any(all(hasattr(method, need.split()[0]) for need in line) for line in asked.NEEDS):
                for table, drawn in getattr(asked, "PLOTS", {}).items():
                    yield {f"{_tables(artefact)}/{protocol}.{table}.csv": drawn}


def _tables(result: Artefact) -> str:
    return str(PurePosixPath(result.path).with_name(layout.TABLES))


def _results(study: str, params: Params) -> Iterator[str]:
    """The folder of a study's results, where this collection makes some or there are some of real data."""
    committed = (path.parts[2] for path in Path("results", study).glob("*/*/*seed-*/metrics.json"))
    if params.collection.studies[study].tested or any(not name.startswith("phantom-") for name in committed):
        yield f"results/{study}"


def _kinds(outputs: Iterable[str]) -> dict[str, list]:
    """Outputs as DVC has them apart: metrics, plots and others, each with what it is to know of it."""
    kinds: dict[str, list] = {}
    for path in outputs:
        name = PurePosixPath(path).name
        kind = {"metrics.json": "metrics", "history.csv": "plots"}.get(name, "outs")
        properties = {"cache": False} if name in GIT else HISTORY if kind == "plots" else None
        kinds.setdefault(kind, []).append({path: properties} if properties else path)
    return kinds
