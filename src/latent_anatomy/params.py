"""params.yaml, typed and validated before anything runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latent_anatomy import datasets, methods


class ParamsError(ValueError):
    """A key of params.yaml is unknown, of the wrong type or impossible; one line that names it."""


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Training(Strict):
    """Numerical choices of all trainings; described in `training.TrainingParams`."""

    precision: Literal["fp32", "bf16"]
    compile: bool


class Change(Strict):
    """Other parameters for some runs on some data sets (all of them, where not named)."""

    runs: list[str]
    datasets: list[str] | None = None
    params: dict[str, object]


class Collection(Strict):
    """Data sets and seeds that are built together, with what is changed for them.

    `evaluation` changes settings of the study's protocols; there, `datasets` names those of the
    collection on which a protocol runs (all of them, where it does not).
    """

    datasets: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    changes: list[Change] = []
    evaluation: dict[str, dict] = {}


class Study(Strict):
    """A paper: the runs that it compares, how they are evaluated and on which collections."""

    runs: list[str] = Field(min_length=1)
    evaluation: dict[str, dict]
    collections: dict[str, Collection]


class Params(Strict):
    """The whole of params.yaml."""

    data: str
    training: Training
    methods: dict[str, dict]
    studies: dict[str, Study]

    @model_validator(mode="after")
    def _names_agree(self) -> "Params":
        for run, block in self.methods.items():
            if block.get("method") not in methods.names():
                raise ValueError(
                    f"methods.{run}.method: expected one of {', '.join(methods.names())}, "
                    f"found {block.get('method')!r}"
                )
        for name, study in self.studies.items():
            where = f"studies.{name}"
            _among(f"{where}.collections", [self.data], study.collections, "data")
            _among(f"{where}.runs", study.runs, self.methods, "methods")
            for label, collection in study.collections.items():
                here = f"{where}.collections.{label}"
                _among(f"{here}.datasets", collection.datasets, datasets.NAMES, "the known data sets")
                if len({datasets.find(dataset).phantom for dataset in collection.datasets}) > 1:
                    raise ValueError(f"{here}.datasets: expected phantoms or real data sets, found both")
                _among(f"{here}.evaluation", collection.evaluation, study.evaluation, f"{where}.evaluation")
                for protocol, block in collection.evaluation.items():
                    chosen = block.get("datasets", [])
                    key = f"{here}.evaluation.{protocol}.datasets"
                    _among(key, chosen, collection.datasets, f"{here}.datasets")
                for change in collection.changes:
                    _among(f"{here}.changes.runs", change.runs, study.runs, f"{where}.runs")
                    chosen = change.datasets or []
                    _among(f"{here}.changes.datasets", chosen, collection.datasets, f"{here}.datasets")
        return self

    def without(self, missing: Iterable[str]) -> "Params":
        """The collection `data` less the data sets `missing`; ParamsError when nothing is left of it."""
        studies = {}
        for name, study in self.studies.items():
            collection = study.collections[self.data]
            left = [dataset for dataset in collection.datasets if dataset not in missing]
            if left:
                reduced = collection.model_copy(update={"datasets": left})
                studies[name] = study.model_copy(update={"collections": {self.data: reduced}})
        if not studies:
            raise ParamsError(f"params.yaml: data: none of the data sets of {self.data!r} can be had")
        return self.model_copy(update={"studies": studies})


def _among(key: str, found: Iterable[str], allowed: Iterable[str], source: str) -> None:
    for name in found:
        if name not in allowed:
            raise ValueError(f"{key}: expected names of {source} ({', '.join(allowed)}), found {name!r}")


def validate(content: Mapping) -> Params:
    """Parameters from the mapping of params.yaml; ParamsError, one line per fault, names the key."""
    try:
        return Params.model_validate(dict(content))
    except ValidationError as error:
        raise ParamsError(faults(error)) from error


def load(path: Path) -> Params:
    """Parameters from a YAML file; ParamsError as in `validate`."""
    with Path(path).open(encoding="utf-8") as stream:
        return validate(yaml.safe_load(stream))


def faults(error: ValidationError, prefix: str = "") -> str:
    """One line for each fault: the key from the root of params.yaml, what is wrong, what was found."""
    lines = []
    for fault in error.errors():
        key = ".".join(map(str, (*([prefix] if prefix else []), *fault["loc"])))
        message = fault["msg"].removeprefix("Value error, ")
        found = "" if fault["type"] in ("value_error", "missing") else f", found {fault['input']!r}"
        lines.append(f"params.yaml: {key}{': ' if key else ''}{message}{found}")
    return "\n".join(lines)
