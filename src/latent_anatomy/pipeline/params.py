"""params.yaml, typed and validated before anything runs."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline.selection import Chosen, Strict, Sweep


class ParamsError(ValueError):
    """A key of params.yaml is unknown, of the wrong type or impossible; one line that names it."""


NOTHING = Chosen(seeds=[1])


class Training(Strict):
    """Numerical choices of all trainings; described in `training.TrainingParams`."""

    precision: Literal["fp32", "bf16"]
    compile: bool


class Collection(Strict):
    """What is built together: the data sets of all its studies, those of images and those of volumes."""

    images: list[str] = Field(default_factory=list)
    volumes: list[str] = Field(default_factory=list)
    studies: dict[str, Chosen]

    @property
    def datasets(self) -> list[str]:
        """All data sets of the collection."""
        return [*self.images, *self.volumes]


class Prepared(Strict):
    """How the volumes of one data set become slices, where otherwise than `imaging` says."""

    steps: dict[str, dict] = Field(default_factory=dict)
    excluded: dict[str, str] = Field(default_factory=dict, description="Subject -> why it is left out.")


class Imaging(Strict):
    """How volumes become slices: the parameters of each step of `imaging`, for all data sets and for some."""

    steps: dict[str, dict] = Field(default_factory=dict)
    datasets: dict[str, Prepared] = Field(default_factory=dict)


class Study(Strict):
    """A paper: the runs that it compares and how they are evaluated."""

    runs: list[str] = Field(min_length=1)
    evaluation: dict[str, dict]


class Params(Strict):
    """The whole of params.yaml; `data` is the name of the chosen collection."""

    data: str
    training: Training
    imaging: Imaging = Imaging()
    methods: dict[str, dict]
    studies: dict[str, Study]
    collections: dict[str, Collection]

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
        _among("imaging.datasets", self.imaging.datasets, self._volumes(), "the volumes of a collection")
        for label, collection in self.collections.items():
            here = f"collections.{label}.studies"
            _among(here, collection.studies, self.studies, "studies")
            _check_kinds(f"collections.{label}", collection)
            for name, chosen in collection.studies.items():
                _check(f"{here}.{name}", chosen, f"studies.{name}", self.studies[name], self.methods)
        return self

    def _volumes(self) -> list[str]:
        return sorted({name for collection in self.collections.values() for name in collection.volumes})

    @property
    def collection(self) -> Collection:
        """The collection `data`, with nothing of those studies that it does not name."""
        found = self.collections[self.data]
        studies = {name: found.studies.get(name, NOTHING) for name in self.studies}
        return found.model_copy(update={"studies": studies})

    @property
    def chosen(self) -> dict[str, Chosen]:
        """What the collection `data` has of each study that has data sets in it."""
        return {name: each for name, each in self.collection.studies.items() if each.trained}

    @property
    def untrained(self) -> list[str]:
        """Runs that the collection `data` trains nowhere."""
        trained = {
            run
            for name, chosen in self.collection.studies.items()
            for dataset in chosen.trained
            for run in chosen.runs(dataset, self.studies[name].runs)
        }
        return [run for run in self.methods if run not in trained]

    def without(self, missing: Iterable[str]) -> "Params":
        """The collection `data` less the data sets `missing`; ParamsError when nothing is left of it."""
        kinds = {kind: _less(getattr(self.collection, kind), missing) for kind in ("images", "volumes")}
        studies = {}
        for name, chosen in self.collection.studies.items():
            left = _less(chosen.datasets, missing)
            external = [
                each for each in chosen.external if each.dataset not in missing and each.trained_on in left
            ]
            sweeps = {
                label: sweep.model_copy(update={"datasets": _less(sweep.datasets, missing)})
                for label, sweep in chosen.sweeps.items()
            }
            update = {"datasets": left, "external": external, "sweeps": sweeps}
            studies[name] = chosen.model_copy(update=update)
        collection = self.collection.model_copy(update={**kinds, "studies": studies})
        reduced = self.model_copy(update={"collections": {self.data: collection}})
        if not reduced.chosen:
            raise ParamsError(f"params.yaml: data: none of the data sets of {self.data!r} can be had")
        return reduced


def _less(names: Iterable[str], missing: Iterable[str]) -> list[str]:
    return [name for name in names if name not in missing]


def _check_kinds(here: str, collection: Collection) -> None:
    """Every data set of a study is listed, and once, under its kind; others are only prepared."""
    for kind, names in (("images", collection.images), ("volumes", collection.volumes)):
        unknown = [name for name in names if not datasets.known(name)]
        _among(f"{here}.{kind}", unknown, datasets.NAMES, "the known data sets")
        wrong = [name for name in names if (kind == "volumes") != hasattr(datasets.find(name), "subjects")]
        if wrong:
            raise ValueError(f"{here}.{kind}: expected data sets of {kind}, found {wrong[0]!r}")
    used = {name for chosen in collection.studies.values() for name in chosen.sources}
    listed = collection.datasets
    wrong = sorted(used - set(listed)) or sorted(name for name in listed if listed.count(name) > 1)
    if wrong:
        raise ValueError(
            f"{here}: expected each data set of its studies once under images or volumes, "
            f"found {wrong[0]!r} {listed.count(wrong[0])} times"
        )
    if len({datasets.find(name).phantom for name in listed}) > 1:
        raise ValueError(f"{here}: expected phantoms or real data sets, found both")


def _check(here: str, chosen: Chosen, where: str, study: Study, methods: Iterable[str]) -> None:
    for each in chosen.external:
        _among(f"{here}.external", [each.trained_on], chosen.datasets, f"{here}.datasets")
        if each.dataset in chosen.datasets:
            raise ValueError(
                f"{here}.external: expected data sets not under datasets, found {each.dataset!r}"
            )
    for label, sweep in chosen.sweeps.items():
        _check_sweep(f"{here}.sweeps.{label}", sweep, methods)
    runs = [*study.runs, *(run for sweep in chosen.sweeps.values() for run in sweep.runs or [])]
    names = (*chosen.tested, *chosen.sources)
    _among(f"{here}.evaluation", chosen.evaluation, study.evaluation, f"{where}.evaluation")
    for protocol, block in chosen.evaluation.items():
        key = f"{here}.evaluation.{protocol}.datasets"
        _among(key, block.get("datasets", []), names, f"{here}.datasets")
    for change in chosen.changes:
        _among(f"{here}.changes.runs", change.runs or [], runs, f"{where}.runs and sweeps")
        _among(f"{here}.changes.datasets", change.datasets or [], names, f"{here}.datasets")
        _among(f"{here}.changes.evaluation", change.evaluation, study.evaluation, f"{where}.evaluation")


def _check_sweep(here: str, sweep: Sweep, methods: Iterable[str]) -> None:
    """Its runs and folds are there, and every part of a fold leaves somebody labelled."""
    _among(f"{here}.runs", sweep.runs or [], methods, "methods")
    for name in sweep.datasets:
        dataset = datasets.find(name)
        folds = [f"{split}-{fold}" for split, fold in product(sweep.splits, sweep.folds)]
        _among(f"{here}.folds", folds, getattr(dataset, "folds", ()), f"the folds of {name}")
        for fold, part in product(folds, sweep.labelled):
            try:
                dataset.cohort(fold, part)
            except ValueError as error:
                raise ValueError(f"{here}.labelled: {name}, {fold}: {error}") from error


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


def typed(model: type[BaseModel], block: Mapping, key: str) -> dict:
    """The block, complete with the model's defaults, as plain JSON values; ParamsError names `key`."""
    try:
        return model.model_validate(dict(block)).model_dump(mode="json")
    except ValidationError as error:
        raise ParamsError(faults(error, key)) from error
