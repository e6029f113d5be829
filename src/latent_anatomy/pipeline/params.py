"""params.yaml, typed and validated before anything runs."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import bases
from latent_anatomy.pipeline.agreement import among, check_chosen, check_kinds
from latent_anatomy.pipeline.narrowing import narrowed
from latent_anatomy.pipeline.selection import Chosen, Collection, Name, Names, Strict, Study


class ParamsError(ValueError):
    """A key of params.yaml is unknown, of the wrong type or impossible; one line that names it."""


NOTHING = Chosen(seeds=[1])


class Training(Strict):
    """Numerical choices of all trainings; described in `training.TrainingParams`."""

    precision: Literal["fp32", "bf16"]
    compile: bool


class Prepared(Strict):
    """How the volumes of one data set become slices, where otherwise than `imaging` says."""

    steps: dict[str, dict] = Field(default_factory=dict)
    excluded: dict[str, str] = Field(default_factory=dict, description="Subject -> why it is left out.")


class Imaging(Strict):
    """How volumes become slices: the parameters of each step of `imaging`, for all data sets and for some."""

    steps: dict[str, dict] = Field(default_factory=dict)
    datasets: dict[str, Prepared] = Field(default_factory=dict)


def on_as_a_word(methods: Mapping[str, Mapping]) -> dict[str, dict]:
    """The same with the key `on` where YAML 1.1, which takes the word for one that says yes, has true."""
    return {
        run: {"on" if key is True else key: value for key, value in block.items()}
        for run, block in methods.items()
    }


class Params(Strict):
    """The whole of params.yaml; `data` is the chosen collection, `runs` and `protocols` a part of it."""

    data: str
    runs: Names = None
    protocols: Names = None
    training: Training
    imaging: Imaging = Imaging()
    methods: dict[Name, dict]
    studies: dict[Name, Study]
    collections: dict[Name, Collection]

    @field_validator("methods", mode="before")
    @classmethod
    def _on_as_a_word(cls, content: object) -> object:
        """As in `on_as_a_word`, of what has the form of methods; all else is refused with its type."""
        blocks = content.values() if isinstance(content, Mapping) else [content]
        return on_as_a_word(content) if all(isinstance(each, Mapping) for each in blocks) else content

    @model_validator(mode="after")
    def _names_agree(self) -> "Params":
        for run, block in self.methods.items():
            if block.get("method") not in methods.names():
                raise ValueError(
                    f"methods.{run}.method: expected one of {', '.join(methods.names())}, "
                    f"found {block.get('method')!r}"
                )
        for name, study in self.studies.items():
            among(f"studies.{name}.runs", study.runs, self.methods, "methods")
        bases.check(self.methods, self.studies)
        among("data", [self.data], self.collections, "collections")
        among("imaging.datasets", self.imaging.datasets, self._volumes(), "the volumes of a collection")
        for label, collection in self.collections.items():
            here = f"collections.{label}.studies"
            among(here, collection.studies, self.studies, "studies")
            check_kinds(f"collections.{label}", collection)
            trained = bases.trained(self.methods, self.studies, collection.studies)
            for name, chosen in collection.studies.items():
                where, study = f"studies.{name}", self.studies[name]
                check_chosen(f"{here}.{name}", chosen, where, study, self.methods, trained[name])
        return self

    def _volumes(self) -> list[str]:
        return sorted({name for collection in self.collections.values() for name in collection.volumes})

    @property
    def collection(self) -> Collection:
        """The collection `data`, with nothing of those studies that it does not name."""
        chosen = self.collections[self.data]
        studies = {name: chosen.studies.get(name, NOTHING) for name in self.studies}
        return chosen.model_copy(update={"studies": studies})

    @property
    def chosen(self) -> dict[str, Chosen]:
        """What the collection `data` has of each study that has data sets in it."""
        return {name: each for name, each in self.collection.studies.items() if each.trained}

    @property
    def trained(self) -> dict[str, dict[str, list[str]]]:
        """Study -> data set or cohort -> the runs that the collection `data` trains: see `bases`."""
        return bases.trained(self.methods, self.studies, self.collection.studies)

    @property
    def untrained(self) -> list[str]:
        """Runs that the collection `data` trains nowhere."""
        runs = (runs for sets in self.trained.values() for runs in sets.values())
        trained = set(chain.from_iterable(runs))
        return [run for run in self.methods if run not in trained]

    def without_runs(self, missing: Iterable[str]) -> "Params":
        """The same less the runs `missing` and those that stand on them."""
        chains = {run: bases.chain(self.methods, run) for run in self.methods}
        left = [run for run, chain in chains.items() if chain.isdisjoint(missing)]
        studies = {
            name: study.model_copy(update={"runs": [run for run in study.runs if run in left]})
            for name, study in self.studies.items()
        }
        chosen = {}
        for name, each in self.collection.studies.items():
            sweeps = {
                label: sweep.model_copy(
                    update={
                        "runs": None if sweep.runs is None else [run for run in sweep.runs if run in left]
                    }
                )
                for label, sweep in each.sweeps.items()
            }
            only = {name: [run for run in runs if run in left] for name, runs in each.only.items()}
            chosen[name] = each.model_copy(update={"sweeps": sweeps, "only": only})
        collection = self.collection.model_copy(update={"studies": chosen})
        return self.model_copy(update={"studies": studies, "collections": {self.data: collection}})

    def without_protocols(self, missing: Iterable[tuple[str, str]]) -> "Params":
        """The same less the protocols `missing`, each with its study."""
        studies = {}
        for name, study in self.studies.items():
            left = {each: block for each, block in study.evaluation.items() if (name, each) not in missing}
            studies[name] = study.model_copy(update={"evaluation": left})
        return self.model_copy(update={"studies": studies})

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
            only = {name: runs for name, runs in chosen.only.items() if name in left}
            update = {"datasets": left, "external": external, "sweeps": sweeps, "only": only}
            studies[name] = chosen.model_copy(update=update)
        collection = self.collection.model_copy(update={**kinds, "studies": studies})
        reduced = self.model_copy(update={"collections": {self.data: collection}})
        if not reduced.collection.datasets:
            raise ParamsError(
                f"params.yaml: data: none of the data sets of {self.data!r} can be had: choose "
                "another collection, or bring their files"
            )
        return reduced


def _less(names: Iterable[str], missing: Iterable[str]) -> list[str]:
    return [name for name in names if name not in missing]


def validate(content: Mapping) -> Params:
    """Parameters from the mapping of params.yaml, less what `narrowed` takes; ParamsError names the key."""
    try:
        whole = Params.model_validate(dict(content))
    except ValidationError as error:
        raise ParamsError(faults(error)) from error
    chosen = whole.collections[whole.data]
    try:
        studies, collection = narrowed(whole.data, whole.studies, chosen, whole.runs, whole.protocols)
    except ValueError as error:
        raise ParamsError(f"params.yaml: {error}") from error
    collections = whole.collections | {whole.data: collection}
    return whole.model_copy(update={"studies": studies, "collections": collections})


def load(path: Path) -> Params:
    """Parameters from a YAML file; ParamsError as in `validate`."""
    return validate(parsed(path))


def parsed(path: Path) -> Mapping:
    """The mapping of a YAML file; ParamsError for no mapping, no file and, with its place, no YAML."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError as error:
        remedy = "change to the root of a checkout"
        raise ParamsError(f"{path}: expected this file here, found none: {remedy}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        found = " ".join(filter(None, (error.problem, error.context)))
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        raise ParamsError(f"{path}: {where}: expected YAML, found that {found}: correct it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ParamsError(f"{path}: expected YAML in UTF-8, found {found}: save it as UTF-8 text") from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise ParamsError(f"{path}: expected keys such as `methods`, found a {kind}: see params.yaml")
    return content


def faults(error: ValidationError, prefix: str = "", fields: Iterable[str] = ()) -> str:
    """One line for each fault: the key from the root of params.yaml, what is wrong, what was found.

    `fields` are the keys that the block could have had, for who has misspelt one.
    """
    lines = []
    for fault in error.errors():
        place = [part for part in fault["loc"] if part != "[key]"]
        key = ".".join(map(str, (*([prefix] if prefix else []), *place))).replace("\n", "\\n")
        message = fault["msg"].removeprefix("Value error, ")
        value = "" if fault["type"] in ("value_error", "missing") else f", found {fault['input']!r}"
        known = (
            f": expected one of {', '.join(fields)}" if fault["type"] == "extra_forbidden" and fields else ""
        )
        lines.append(f"params.yaml: {key}{': ' if key else ''}{message}{value}{known}")
    return "\n".join(lines)


def typed(model: type[BaseModel], block: Mapping, key: str) -> dict:
    """The block, complete with the model's defaults, as plain JSON values; ParamsError names `key`."""
    try:
        return model.model_validate(dict(block)).model_dump(mode="json")
    except ValidationError as error:
        raise ParamsError(faults(error, key, model.model_fields)) from error
