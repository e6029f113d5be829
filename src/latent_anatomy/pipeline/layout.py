"""Which artefact lies where, what made it and of what it is made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePosixPath
from types import MappingProxyType

from latent_anatomy.data.cohorts import Replicate, dataset_of, replicate
from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import registry as datasets

COMPARISON = "comparison"
PASSPORT = "passport.json"
PAIRED_TESTS = "paired-tests"
OUTPUTS = {"metrics": "metrics.json", "scores": "scores.npz", "arrays": "arrays.npz"}
TABLES = "tables"  # folder beside them, with what the protocols made
OLDER = {"roc": "roc.csv", "psnr": "psnr.csv"}  # outputs of evaluations without scores and tables
LEDGER = "ledger"
INDEX = "index"  # the page that leads to all reports
LEDGERS = ("results/ledger.csv", "results/ledger-phantom.csv")  # of real data, of phantoms
NO_MORE: Mapping = MappingProxyType({})  # a job that says no more than its names do


@dataclass(frozen=True)
class Artefact:
    """A file that has a passport, or is one, and what belongs to it.

    path      from the root of the project
    job       name of the job that makes it, as below .params
    says      what the job in its passport says of itself
    inputs    role -> path of what it is made of, None where only the passport can tell
    outputs   role -> path of the files beside it that its passport speaks for
    made_of   the artefacts among its inputs, or those of which its inputs are outputs
    """

    path: str
    job: str
    says: dict = field(hash=False)
    inputs: dict[str, str] | None = field(default=None, hash=False)
    outputs: dict[str, str] = field(default_factory=dict, hash=False)
    made_of: tuple["Artefact", ...] = ()


def raw(dataset: str) -> Artefact:
    """The raw files of a data set; they have no passport, but a publisher or a drawing."""
    files = {file.name: f"data/raw/{dataset}/{file.name}" for file in datasets.find(dataset).files}
    return Artefact(f"data/raw/{dataset}", f"raw/{dataset}", {}, {}, files)


def weights(checksums: Mapping[str, str]) -> list[Artefact]:
    """The files of others that a training is given, by download; see `data.download.Download.checksums`."""
    downloads: dict[str, dict[str, str]] = {}
    for name, checksum in checksums.items():
        downloads.setdefault(name.split("/")[0], {})[name] = checksum
    return [
        Artefact(
            f"data/raw/{name}",
            f"raw/{name}",
            {"checksums": own},
            {},
            {each: f"data/raw/{each}" for each in own},
        )
        for name, own in downloads.items()
    ]


def slices(dataset: str) -> Artefact:
    """The slices of a data set; of volumes without what they are made of, which `layout_of_volumes` tells."""
    if SEPARATOR in dataset:
        below = tuple(map(slices, dataset.split(SEPARATOR)))
        inputs = {each.says["dataset"]: each.path for each in below}
    else:
        below = () if of_volumes(dataset) else (raw(dataset),)
        inputs = below[0].outputs if below else None
    says = {"job": "slice", "dataset": dataset}
    return Artefact(f"data/slices/{dataset}.h5", f"slice/{dataset}", says, inputs, {}, below)


@cache
def of_volumes(dataset: str) -> bool:
    """Whether a data set is one of volumes. Asked once, because it may take a look at the user's folder."""
    return datasets.of_volumes(datasets.find(dataset))


def model(study: str, dataset: str, run: str, replicate: Replicate, job: Mapping = NO_MORE) -> Artefact:
    """A checkpoint, with its history. `job`: its resolved one, where the run may stand on another."""
    where, below = f"{study}/{dataset}/{run}/{replicate}", slices(dataset_of(dataset))
    says = {"job": "train", "study": study, "dataset": dataset, "run": run, "seed": replicate.seed}
    if replicate.fold is not None:
        says["fold"] = replicate.fold
    path = f"models/{where}/model.safetensors"
    outputs = {"history": f"models/{where}/history.csv"}
    inputs, made_of = {"slices": below.path}, [below]
    if on := job.get("on"):
        made_of.append(model(on["study"], dataset, on["run"], replicate, on))
        inputs["on"] = made_of[-1].path
    for below in weights(job.get("weights", {})):
        made_of.append(below)
        inputs |= {f"weights/{name}": f"data/raw/{name}" for name in below.says["checksums"]}
    return Artefact(path, f"train/{where}", says, inputs, outputs, tuple(made_of))


def result(study: str, dataset: str, run: str, replicate: Replicate, job: Mapping = NO_MORE) -> Artefact:
    """The metrics of a checkpoint, and the scores and arrays beside them; its tables are in its passport.

    `job`: its resolved one, where the checkpoint may be of another data set or stand on another.
    """
    where, below = f"{study}/{dataset}/{run}/{replicate}", slices(dataset_of(dataset))
    trained_on = job.get("trained_on")
    trained = model(study, trained_on or dataset, run, replicate, job)
    says = {**trained.says, "job": "evaluate", "dataset": dataset}
    inputs = {"model": trained.path, "slices": below.path}
    if trained_on:
        says |= {"trained_on": trained_on}
        inputs |= {"trained_on": trained.inputs["slices"]}
    if part := job.get("test_subjects"):
        says |= {"test_subjects": part}
    given = weights(job.get("evaluation_weights", {}))
    inputs |= {f"weights/{name}": f"data/raw/{name}" for each in given for name in each.says["checksums"]}
    outputs = {role: f"results/{where}/{name}" for role, name in OUTPUTS.items()}
    return Artefact(
        f"results/{where}/{PASSPORT}", f"evaluate/{where}", says, inputs, outputs, (trained, below, *given)
    )


def of_job(job: Mapping) -> Artefact:
    """What a resolved training or evaluation makes."""
    make = {"train": model, "evaluate": result}[job["job"]]
    return make(job["study"], job["dataset"], job["run"], Replicate(job["seed"], job.get("fold")), job)


def comparison(study: str, dataset: str, results: Iterable[Artefact]) -> Artefact:
    """The paired tests between those `results` of a study on a data set that are of all test subjects."""
    results = tuple(each for each in results if "test_subjects" not in each.says)
    folder = f"results/{study}/{COMPARISON}/{dataset}"
    scores = [each.outputs["scores"] for each in results]
    return Artefact(
        f"{folder}/{PASSPORT}",
        f"paired-tests/{study}/{dataset}",
        {"job": "paired-tests", "study": study, "dataset": dataset},
        {path.removeprefix(f"results/{study}/{dataset}/"): path for path in scores},
        {"metrics": f"{folder}/metrics.json"},
        results,
    )


def as_sealed(artefact: Artefact, passport: dict) -> Artefact:
    """A result with the files that its passport speaks for, a comparison with those that it was made of.

    Its passport alone can tell: which tables the protocols made; and whether it is an older one, before
    there were scores, when comparisons were made of arrays.
    """
    if artefact.says.get("job") == "evaluate":
        folder, names = artefact.path.removesuffix(PASSPORT), OUTPUTS | OLDER
        roles = dict.fromkeys(["metrics", *passport.get("outputs", ["arrays"])])
        places = {role: role if role.startswith(f"{TABLES}/") else names.get(role) for role in roles}
        return replace(artefact, outputs={role: folder + name for role, name in places.items() if name})
    if artefact.says.get("job") == PAIRED_TESTS:
        names = OUTPUTS["scores"], OUTPUTS["arrays"]
        if any(role.endswith(names[1]) for role in passport["inputs"]):
            older = {role.replace(*names): path.replace(*names) for role, path in artefact.inputs.items()}
            return replace(artefact, inputs=older)
    return artefact


def ledger(results: Iterable[Artefact]) -> Artefact:
    """The ledgers of the `results` and comparisons of a collection; they have no passport."""
    results = tuple(results)
    metrics = [each.outputs["metrics"] for each in results]
    inputs = {path.removeprefix("results/"): path for path in metrics}
    return Artefact(LEDGERS[0], LEDGER, {"job": LEDGER}, inputs, {"phantom": LEDGERS[1]}, results)


def report(study: str) -> Artefact:
    """The report of a study, of imaging ("qc"), or of all ("index"); what it shows says its passport."""
    return Artefact(f"reports/{study}.html", f"report/{study}", {"job": "report", "study": study})


def place_of(path: str) -> tuple[str, str, str, Replicate]:
    """Study, data set, run and replicate of results/<study>/<dataset>/<run>/<replicate>/<file>."""
    _, study, dataset, run, name, _ = PurePosixPath(path).parts
    return study, dataset, run, replicate(name)
