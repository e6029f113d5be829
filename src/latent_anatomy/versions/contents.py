"""What a version says: its parameters, packages, passports, metrics and ledgers, as plain values.

Values of one kind are mappings, so that two versions can be compared key by key. What belongs to a
version but is not here is named with the way to get it, and left out of the mappings.
"""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.pipeline.layout import COMPARISON, LEDGERS, PASSPORT
from latent_anatomy.pipeline.params import on_as_a_word
from latent_anatomy.versions.read import INTERIM, NotHere, Version

PARAMS, REQUIREMENTS = "params.yaml", "requirements.lock"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Run(NamedTuple):
    """A run of a study on a data set; "comparison" for the paired tests between the runs."""

    study: str
    dataset: str
    run: str


class Result(NamedTuple):
    """The metrics of a run with one seed (of a comparison: None), and the path of its arrays."""

    metrics: dict[str, float]
    arrays: str


@dataclass(frozen=True)
class Content:
    """Everything but the pictures.

    params: key in dots -> value as JSON. packages: name -> version. passports: job, as below .params ->
    passport; of a step of volumes imaging/<dataset>/<subject>/<step>. subjects: "<dataset>/<subject>" -> row
    of the table of who passed. results: run -> seed -> result. ledgers: path -> row's key -> row. not_here:
    path -> how to get it.
    """

    version: Version
    params: dict[str, str]
    packages: dict[str, str]
    passports: dict[str, dict] = field(default_factory=dict)
    subjects: dict[str, dict[str, str]] = field(default_factory=dict)
    results: dict[Run, dict[int | None, Result]] = field(default_factory=dict)
    ledgers: dict[str, dict[tuple[str, ...], dict[str, str]]] = field(default_factory=dict)
    not_here: dict[str, str] = field(default_factory=dict)


def gather(version: Version) -> Content:
    """The content of a version; ValueError, naming file and version, for a file that is damaged."""
    if PARAMS not in version.files:
        raise ValueError(f"{version.name}: expected {PARAMS} in this version, found none: name a later one")
    pinned = version.read(REQUIREMENTS).decode() if REQUIREMENTS in version.files else ""
    params = yaml.safe_load(version.read(PARAMS))
    params |= {"methods": on_as_a_word(params.get("methods", {}))}
    content = Content(version, flatten(_with_the_name_of_data(params)), dict(PINNED.findall(pinned)))
    for path in version.paths:
        name = PurePosixPath(path)
        if path.startswith("results/") and name.name == "metrics.json":
            _try(content, path, _add_result)
        elif path.startswith("models/") and name.suffix == ".safetensors":
            _try(content, path, _add_passport_of(_of_checkpoint))
        elif path.startswith("data/slices/") and name.suffix == ".h5":
            _try(content, path, _add_passport_of(_of_slices))
        elif path.startswith(("data/interim/", "results/imaging/")) and name.name == PASSPORT:
            _try(content, path, _add_step)
        elif path.startswith("results/imaging/") and name.name == "qc.csv":
            _try(content, path, _add_subjects)
        elif name.parent.as_posix() == INTERIM and not any(map(_in(path), version.paths)):
            _try(content, path, _open)
    for path in LEDGERS:
        _try(content, path, _add_ledger)
    for seeds in content.results.values():
        for seed, result in seeds.items():
            if seed is not None:
                _try(content, result.arrays, _open)
    return content


def figures(version: Version, path: str) -> dict[str, NDArray]:
    """The pictures in an arrays.npz, name without "figure/" -> (n, C, H, W) uint8; NotHere as `open`."""
    try:
        with np.load(io.BytesIO(version.read(path)), allow_pickle=False) as archive:
            names = [name for name in archive.files if name.startswith("figure/")]
            return {name.removeprefix("figure/"): archive[name] for name in names}
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} at {version.name}: expected arrays, found: {error}") from error


def flatten(value: object, key: str = "") -> dict[str, str]:
    """Nested mappings, and lists of mappings, as one mapping: key in dots -> value as JSON."""
    if isinstance(value, Mapping) and (value or not key):
        parts = {f"{key}.{name}" if key else str(name): each for name, each in value.items()}
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        parts = {f"{key}[{index}]": each for index, each in enumerate(value)}
    else:
        return {key: json.dumps(value, ensure_ascii=False, sort_keys=True)}
    return {name: text for part, each in parts.items() for name, text in flatten(each, part).items()}


def _with_the_name_of_data(params: dict) -> dict:
    """In older versions `data` is an alias of a collection: its name says it all."""
    names = [name for name, each in params.get("collections", {}).items() if each == params.get("data")]
    return params | {"data": names[0]} if names else params


def _try(content: Content, path: str, add: Callable[[Content, str], None]) -> None:
    try:
        add(content, path)
    except NotHere as missing:
        content.not_here.update([missing.args])
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} at {content.version.name}: expected a sound file, found {type(error).__name__}: {error}"
        ) from error


def _open(content: Content, path: str) -> None:
    content.version.open(path).close()


def _in(folder: str) -> Callable[[str], bool]:
    return lambda path: path.startswith(f"{folder}/")


def _add_step(content: Content, path: str) -> None:
    """Of data/interim/<dataset>/<subject>/<step>, or of the gate: results/imaging/<dataset>."""
    passport = json.loads(content.version.read(path))
    if not isinstance(passport, dict) or not isinstance(passport["job"], dict):
        raise ValueError("expected a passport, found none")
    folder = PurePosixPath(path).parts[2:-1]
    name = folder if path.startswith(INTERIM) else (*folder, "gate")
    content.passports["/".join(("imaging", *name))] = passport


def _add_subjects(content: Content, path: str) -> None:
    table = csv.DictReader(io.StringIO(content.version.read(path).decode()))
    if not {"subject", "passed", "reason"} <= set(table.fieldnames or ()):
        raise ValueError(f"expected a table of who passed, found the columns {table.fieldnames}")
    dataset = PurePosixPath(path).parts[2]
    content.subjects.update((f"{dataset}/{row['subject']}", row) for row in table)


def _add_result(content: Content, path: str) -> None:
    """Before passports had a file of their own, metrics.json held both."""
    document = json.loads(content.version.read(path))
    if not isinstance(document, dict):
        raise ValueError(f"expected name -> number, found {type(document).__name__}")
    if isinstance(document.get("passport"), dict):
        metrics, passport = document["metrics"], document["passport"]
    else:
        beside = str(PurePosixPath(path).with_name(PASSPORT))
        metrics, passport = document, json.loads(content.version.read(beside))
    for metric, number in metrics.items():
        if type(number) not in (int, float) or not math.isfinite(number):
            raise ValueError(f"{metric}: expected a finite number, found {number!r}")
    job = passport["job"]
    run = Run(job["study"], job["dataset"], job.get("run", COMPARISON))
    seeds = content.results.setdefault(run, {})
    seed = f"{job['seed']}, fold {job['fold']}" if "fold" in job else job.get("seed")
    if seed in seeds:
        raise ValueError(f"expected one result of {'/'.join(run)}, seed {seed}, found another")
    seeds[seed] = Result(metrics, str(PurePosixPath(path).with_name("arrays.npz")))
    content.passports[_name(job)] = passport


def _add_passport_of(reader: Callable[[BinaryIO], dict]) -> Callable[[Content, str], None]:
    def add(content: Content, path: str) -> None:
        with content.version.open(path) as stream:
            passport = reader(stream)
        content.passports[_name(passport["job"])] = passport

    return add


def _of_checkpoint(stream: BinaryIO) -> dict:
    """The passport in the header of a safetensors file: eight bytes of length, then JSON."""
    header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return json.loads(header["__metadata__"]["passport"])


def _of_slices(stream: BinaryIO) -> dict:
    with h5py.File(stream, "r") as file:
        return json.loads(file.attrs["passport"])


def _name(job: dict) -> str:
    """A job's name below .params."""
    parts = [job["job"], *(job[key] for key in ("study", "dataset", "run") if key in job)]
    return "/".join(parts + ([str(Replicate(job["seed"], job.get("fold")))] if "seed" in job else []))


def _add_ledger(content: Content, path: str) -> None:
    """Rows by what they are of; a claim that stands there once is of all its data sets together."""
    rows = {}
    read = list(csv.DictReader(io.StringIO(content.version.read(path).decode())))
    claims = Counter(_claim(row) for row in read if row["metric"] == "claim")
    for row in read:
        dataset = "" if claims[_claim(row)] == 1 and row["metric"] == "claim" else row["dataset"]
        key = (row["study"], row["table"], dataset, row["method"], row["metric"])
        if key in rows:
            found = f"expected one row of {' '.join(key)}, found two"
            raise ValueError(f"{path} of {content.version.name}: {found}: run the ledger rule again")
        rows[key] = row
    content.ledgers[path] = rows


def _claim(row: dict) -> tuple[str, ...]:
    return row["study"], row["table"], row["method"]
