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
    """Data sets (none: not built) and seeds of a study that are built together, and what they change.

    `evaluation` changes settings of the study's protocols; there, `datasets` names those of the
    collection on which a protocol runs (all of them, where it does not).
    """

    datasets: list[str]
    seeds: list[int] = Field(min_length=1)
    changes: list[Change] = []
    evaluation: dict[str, dict] = {}


class Study(Strict):
    """A paper: the runs that it compares and how they are evaluated."""

    runs: list[str] = Field(min_length=1)
    evaluation: dict[str, dict]


class Params(Strict):
    """The whole of params.yaml; `data` is the name of the chosen collection."""

    data: str
    training: Training
    methods: dict[str, dict]
    studies: dict[str, Study]
    collections: dict[str, dict[str, Collection]]

    @model_validator(mode="before")
    @classmethod
    def _name_of_data(cls, content: dict) -> dict:
        """`data` as a name: in the file it is a YAML alias, so that dvc.yaml can look inside it."""
        if not isinstance(content.get("data"), Mapping):
            return content
        collections = content.get("collections", {})
        names = [name for name, collection in collections.items() if collection == content["data"]]
        if not names:
            raise ValueError(
                f"data: expected one of the collections, as *{' or *'.join(collections)}, found another "
                "mapping: change the collection, not its alias"
            )
        return content | {"data": names[0]}

    @model_validator(mode="after")
    def _names_agree(self) -> "Params":
        for run, block in self.methods.items():
            if block.get("method") not in methods.names():
                raise ValueError(
                    f"methods.{run}.method: expected one of {', '.join(methods.names())}, "
                    f"found {block.get('method')!r}"
                )
        for name, study in self.studies.items():
            _among(f"studies.{name}.runs", study.runs, self.methods, "methods")
        _among("data", [self.data], self.collections, "collections")
        for label, collections in self.collections.items():
            _among(f"collections.{label}", collections, self.studies, "studies")
            _among(f"collections.{label}", self.studies, collections, f"collections.{label}, as studies has")
            for name, collection in collections.items():
                _check(f"collections.{label}.{name}", collection, f"studies.{name}", self.studies[name])
        return self

    @property
    def chosen(self) -> dict[str, Collection]:
        """The collection `data` of each study that has data sets in it."""
        return {name: each for name, each in self.collections[self.data].items() if each.datasets}

    def without(self, missing: Iterable[str]) -> "Params":
        """The collection `data` less the data sets `missing`; ParamsError when nothing is left of it."""
        collections = {}
        for name, collection in self.collections[self.data].items():
            left = [dataset for dataset in collection.datasets if dataset not in missing]
            collections[name] = collection.model_copy(update={"datasets": left})
        reduced = self.model_copy(update={"collections": {self.data: collections}})
        if not reduced.chosen:
            raise ParamsError(f"params.yaml: data: none of the data sets of {self.data!r} can be had")
        return reduced


def _check(here: str, collection: Collection, where: str, study: Study) -> None:
    _among(f"{here}.datasets", collection.datasets, datasets.NAMES, "the known data sets")
    if len({datasets.find(dataset).phantom for dataset in collection.datasets}) > 1:
        raise ValueError(f"{here}.datasets: expected phantoms or real data sets, found both")
    _among(f"{here}.evaluation", collection.evaluation, study.evaluation, f"{where}.evaluation")
    for protocol, block in collection.evaluation.items():
        key = f"{here}.evaluation.{protocol}.datasets"
        _among(key, block.get("datasets", []), collection.datasets, f"{here}.datasets")
    for change in collection.changes:
        _among(f"{here}.changes.runs", change.runs, study.runs, f"{where}.runs")
        _among(f"{here}.changes.datasets", change.datasets or [], collection.datasets, f"{here}.datasets")


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
