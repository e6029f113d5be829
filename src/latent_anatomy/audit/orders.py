"""Which verb makes an artefact again, of which files, and where what it makes then lies."""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from latent_anatomy.audit import subjects
from latent_anatomy.pipeline.imaging_steps import OF_SUBJECT
from latent_anatomy.pipeline.layout import OUTPUTS, TABLES, Artefact
from latent_anatomy.pipeline.layout_of_volumes import QC

JOB = "job.json"  # in the folder in which it is made again


@dataclass(frozen=True)
class Order:
    """`verb` with `given` options, and those of `places`, which are files of the folder of what is made.

    inputs    paths in the project that it is made of
    outputs   path in the project -> path below the folder
    beside    path in the project -> path below the folder at which the verb looks for it
    """

    verb: tuple[str, ...]
    given: dict[str, str]
    places: dict[str, str]
    inputs: tuple[str, ...]
    outputs: dict[str, str]
    beside: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(artefact: Artefact, passport: dict) -> "Order | None":
        """That of an artefact with this passport; None where it does not say enough."""
        return ORDERS[artefact.says["job"]](artefact, passport)

    def words(self, folder: Path) -> list[str]:
        """The command line, the program aside."""
        options = self.given | {name: str(folder / place) for name, place in self.places.items()}
        return [
            *self.verb,
            *(f"--{name}={value}" for name, value in options.items()),
            f"--params={folder / JOB}",
        ]


def _step(artefact: Artefact, passport: dict) -> Order:
    _, interim, dataset, subject, step, _ = PurePosixPath(artefact.path).parts
    folder = f"data/{interim}/{dataset}"
    made = {path: path.replace(folder, interim, 1) for path in artefact.outputs.values()}
    earlier = [path for path in artefact.inputs.values() if path.startswith(f"{folder}/")]
    # Beside the files of an earlier step their passport, by which the job knows them.
    earlier += sorted({str(PurePosixPath(path).with_name("passport.json")) for path in earlier})
    beside = {path: path.replace(folder, interim, 1) for path in earlier}
    given, places = {"raw": f"data/raw/{dataset}"}, {"interim": interim}
    verb = ("image", step, dataset, subject)
    return Order(verb, given, places, tuple(artefact.inputs.values()), made, beside)


def _slices(artefact: Artefact, passport: dict) -> Order:
    dataset, inputs = artefact.says["dataset"], artefact.inputs
    if QC in inputs:
        inputs = subjects.passed(inputs, passport)
        verb = ("image", "slab", dataset)
        given = {"qc": inputs[QC], "interim": f"data/interim/{dataset}"}
    elif "members" in passport["job"]:
        verb, given = ("pool", *inputs.values()), {}
    else:
        verb, given = ("slice", dataset), {"raw": f"data/raw/{dataset}"}
    made = {artefact.path: "slices.h5"}
    return Order(verb, given, {"out": "slices.h5"}, tuple(inputs.values()), made)


def _train(artefact: Artefact, passport: dict) -> Order:
    given = {role: path for role, path in artefact.inputs.items() if role in ("slices", "on")}
    given |= {"raw": "data/raw", "device": _device(passport)}
    places = {"model": "model.safetensors", "history": "history.csv", "scratch": "scratch"}
    outputs = {artefact.path: places["model"], artefact.outputs["history"]: places["history"]}
    return Order(("train",), given, places, tuple(artefact.inputs.values()), outputs)


def _evaluate(artefact: Artefact, passport: dict) -> Order:
    weights = {role for role in artefact.inputs if role.startswith("weights/")}
    own = {role: path for role, path in artefact.inputs.items() if role not in weights}
    given = {role.replace("_", "-"): path for role, path in own.items()} | {"device": _device(passport)}
    given |= {"raw": "data/raw"} if weights else {}  # older sources do not have the option
    places = OUTPUTS | {"tables": TABLES, "passport": "passport.json"}
    outputs = {path: OUTPUTS.get(role, role) for role, path in artefact.outputs.items()}
    return Order(("evaluate",), given, places, tuple(artefact.inputs.values()), outputs)


def _paired_tests(artefact: Artefact, passport: dict) -> Order:
    given = {"results": f"results/{artefact.says['study']}/{artefact.says['dataset']}"}
    places = {"metrics": "metrics.json", "passport": "passport.json"}
    outputs = {artefact.outputs["metrics"]: places["metrics"]}
    return Order(("paired-tests",), given, places, tuple(artefact.inputs.values()), outputs)


def _report(artefact: Artefact, passport: dict) -> Order | None:
    if "parameters" not in passport:
        return None
    [notebook] = [path for path in passport["inputs"] if path.endswith(".ipynb")]
    given = {"notebook": notebook, "parameters": json.dumps(passport["parameters"])}
    made = {artefact.path: "report.html"}
    return Order(("report",), given, {"out": "report.html"}, tuple(passport["inputs"]), made)


def _device(passport: dict) -> str:
    return "cpu" if passport["device"] == "cpu" else "auto"


ORDERS = dict.fromkeys(OF_SUBJECT, _step) | {
    "slice": _slices,
    "train": _train,
    "evaluate": _evaluate,
    "paired-tests": _paired_tests,
    "report": _report,
}
