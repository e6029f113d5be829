"""Is one artefact what its passport says, and is the passport that of its job, its sources, its inputs?"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from latent_anatomy.audit import subjects
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, Link, State, listed
from latent_anatomy.data.dataset import Dataset, unregistered
from latent_anatomy.data.download import Download, registered
from latent_anatomy.data.supplied import SUMS
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger.papers import PHANTOM
from latent_anatomy.pipeline.layout import Artefact, as_sealed
from latent_anatomy.pipeline.layout_of_volumes import QC
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import sha256_file

SHORT = 12  # digits of a hash in a message
BY_GIT = ("metrics.json", "scores.npz", "qc.csv")  # what git brings beside passports
# Who says what a raw file is: publishers give MD5 sums; SHA-256 sums are taken from files that were had once.
LISTS = {"md5": "its publisher", "sha256": "this project's list"}
USERS = f"the user's {SUMS}"


class Checks:
    """The checks of the artefacts of one project."""

    def __init__(self, files: Files, jobs: Jobs) -> None:
        self.files, self.jobs = files, jobs

    def artefact(self, artefact: Artefact, here: bool) -> list[Link]:
        """All links of an artefact with a passport.

        With `here` false it is known that the artefact's chain is not in this checkout, so that what is
        missing is no break.
        """
        path, root = artefact.path, self.files.root
        if not self.files.here(path):
            message = f"expected this file, found none: {self.jobs.bring(artefact)}"
            return [Link(path, "file", State.BROKEN if here else State.NOT_HERE, message)]
        try:
            passport = formats.read_passport(root / path)
            held = formats.content_of(root / path) if "content" in passport else None
            place = _place(artefact, passport, root)
        except (ValueError, OSError, LookupError) as error:
            return [Link(path, "passport", State.BROKEN, f"{error}: {self.jobs.make(artefact)}")]
        artefact = as_sealed(artefact, passport)
        make = self.jobs.make(artefact, passport)
        older = "seal" not in passport
        links = [_content(path, passport, held, make)]
        if place:
            links.append(Link(path, "place", State.BROKEN, f"{place}: {make}"))
        elif phantom := self._phantom(artefact, passport):
            message = f"{phantom}: no phantom under a real name: {make}"
            links.append(Link(path, "phantom", State.BROKEN, message))
        else:  # it was made by the job of this name
            links.append(Link(path, "job", *self.jobs.parameters(artefact, passport)))
        if not older or passport["source"].get("dirty"):
            links.append(Link(path, "sources", *self.jobs.sources(passport, make)))
        if not older:
            links.append(Link(path, "environment", *self.jobs.environment(passport)))
        roles = {role: role for role in passport["inputs"]} if artefact.inputs is None else artefact.inputs
        if QC in roles:  # slices of volumes
            roles = subjects.passed(roles, passport)
            links.append(Link(path, "subjects", *subjects.subjects(self.files, artefact, passport, make)))
        if QC in artefact.outputs and roles and self._unchanged(roles, passport["inputs"]):
            links.append(Link(path, "verdicts", *subjects.verdicts(self.files, artefact, passport, make)))
        for check, expected in (("inputs", roles), ("outputs", artefact.outputs)):
            links += self._hashes(artefact, check, expected, passport, here)
        return links

    def _phantom(self, artefact: Artefact, passport: dict) -> str:
        """By what an artefact with the name of a real data set is one of a phantom; empty if by nothing."""
        if artefact.says.get("dataset", PHANTOM).startswith(PHANTOM):
            return ""
        if PHANTOM in json.dumps(passport):
            return f"expected a real data set, found a passport that speaks of {PHANTOM}..."
        for path in sorted(self.files.root.glob(f"data/slices/{PHANTOM}*.h5")):
            name = path.relative_to(self.files.root).as_posix()
            if self.files.sha256(name) in passport["inputs"].values():
                return f"expected a real data set, found that it was made of {name}"
        return ""

    def _hashes(
        self, artefact: Artefact, check: str, expected: dict[str, str], passport: dict, here: bool
    ) -> Iterator[Link]:
        """Whether the inputs, or the files beside the artefact, are those that its passport names."""
        named, make = passport.get(check, {}), self.jobs.make(artefact, passport)
        absent = [path for path in expected.values() if not self.files.here(path)]
        for path in absent:
            if check == "outputs" and (here or Path(path).name in BY_GIT):
                message = f"expected this file, of which {artefact.path} speaks, found none"
                yield Link(path, "file", State.BROKEN, f"{message}: {self.jobs.bring(artefact, passport)}")
        # An input that is missing where it should be is a break of its own artefact.
        if absent and (check == "inputs" or not here):
            message = f"{listed(absent)} not in this checkout: {self.jobs.bring(artefact, passport)}"
            yield Link(artefact.path, check, State.NOT_HERE, message)
        if named.keys() != expected.keys():
            if "seal" not in passport:
                return
            lacks, more = sorted(expected.keys() - named.keys()), sorted(named.keys() - expected.keys())
            message = f"expected {listed(lacks) or 'no more'} in its passport, found {listed(more) or 'none'}"
            yield Link(artefact.path, check, State.BROKEN, f"{message}: {make}")
        present = [role for role in expected if role in named and expected[role] not in absent]
        wrong = [role for role in present if self.files.sha256(expected[role]) != named[role]]
        for role in wrong:
            yield self._unlike(artefact, check, expected[role], named[role], here, make)
        if named.keys() == expected.keys() and named and not (absent or wrong):
            files = _several(expected)
            yield Link(artefact.path, check, State.HOLDS, f"{files}, as its passport names them")

    def _unchanged(self, expected: dict[str, str], named: dict[str, str]) -> bool:
        """Whether all these files are here, and those that a passport names."""
        return all(
            self.files.here(path) and self.files.sha256(path) == named.get(role)
            for role, path in expected.items()
        )

    def _unlike(
        self, artefact: Artefact, check: str, path: str, expected: str, here: bool, make: str
    ) -> Link:
        actual = self.files.sha256(path)
        message = f"expected {path} with sha256 {expected[:SHORT]}{self.files.name_of(expected)}, found "
        message += f"{actual[:SHORT]}{self.files.name_of(actual, path)}: "
        if check == "outputs":
            message += f"it was changed after {artefact.path} was sealed: {make}"
        elif artefact.inputs is None:
            message += f"{artefact.path} is stale: {make}"
        elif here:
            message += f"{artefact.path} was made of another version, or this one was changed since: {make}"
        else:
            message += f"another version than {artefact.path} was made of"
        state = State.BROKEN if here or check == "outputs" else State.NOT_HERE
        return Link(artefact.path, check, state, message)

    def raw(self, artefact: Artefact) -> list[Link]:
        """Whether the raw files have the checksums that were registered or, for a phantom, are what this
        project draws."""
        dataset = _source(artefact)
        if not dataset.files:  # where only the folder could tell them
            message = f"expected the folder of {dataset.name}, found none: {dataset.how_to_get}"
            return [Link(artefact.path, "file", State.BROKEN, message)]
        absent = [path for path in artefact.outputs.values() if not self.files.here(path)]
        if absent:
            message = f"expected this file, found none: {self.jobs.bring(artefact)}"
            return [Link(path, "file", State.BROKEN, message) for path in absent]
        if dataset.phantom:
            return list(self._drawn(artefact))
        users = any(file.name == SUMS for file in dataset.files)
        broken, lists = [], set()
        for file in dataset.files:
            path = artefact.outputs[file.name]
            try:
                if untrusted := unregistered(dataset, file):
                    raise untrusted
                if file.algorithm != "sha256" or self.files.sha256(path) != file.checksum:
                    file.verify(self.files.root / path)
                lists.add(f"{file.algorithm} of {USERS if users else LISTS[file.algorithm]}")
            except ValueError as error:
                broken.append(Link(path, "checksum", State.BROKEN, str(error)))
        message = f"{_several(artefact.outputs)}: {', '.join(sorted(lists))}"
        return broken or [Link(artefact.path, "checksum", State.HOLDS, message)]

    def _drawn(self, artefact: Artefact) -> Iterator[Link]:
        dataset = datasets.find(artefact.job.removeprefix("raw/"))
        with tempfile.TemporaryDirectory() as folder:
            dataset.generate(Path(folder))
            drawn = {file.name: sha256_file(Path(folder, file.name)) for file in dataset.files}
        changed = [name for name, path in artefact.outputs.items() if self.files.sha256(path) != drawn[name]]
        for name in changed:
            path = artefact.outputs[name]
            message = (
                f"expected the phantom that this checkout draws, sha256 {drawn[name][:SHORT]}, found "
                f"{self.files.sha256(path)[:SHORT]}: it was changed, or the drawing was: "
                f"{self.jobs.make(artefact)}"
            )
            yield Link(path, "drawing", State.BROKEN, message)
        if not changed:
            message = "a phantom, drawn by this project: drawn again, the same bytes"
            message = f"{_several(artefact.outputs)}: {message}"
            yield Link(artefact.path, "drawing", State.HOLDS, message)


def _source(artefact: Artefact) -> Dataset | Download:
    """The data set of raw files; or weights, as the training names them that was given them."""
    name, weights = artefact.job.removeprefix("raw/"), artefact.says.get("checksums")
    return datasets.find(name) if weights is None else Download(name, tuple(registered(weights)), "", "")


def _several(files: dict[str, str]) -> str:
    return f"{len(files)} files" if len(files) > 1 else next(iter(files.values()))


def _content(path: str, passport: dict, held: str | None, make: str) -> Link:
    if "seal" not in passport:
        message = f"older passport without a content hash, which proves nothing about the file: {make}"
        return Link(path, "passport", State.UNPROVEN, message)
    if held is None:
        return Link(path, "passport", State.HOLDS, "as it was sealed")
    if held == passport["content"]:
        return Link(path, "content", State.HOLDS, "its passport was sealed for this very content")
    message = (
        f"expected the content {passport['content'][:SHORT]} that its passport was sealed for, found "
        f"{held[:SHORT]}: it was edited, or its passport is that of another file: {make}"
    )
    return Link(path, "content", State.BROKEN, message)


def _place(artefact: Artefact, passport: dict, root: Path) -> str:
    """What the passport, or the data set that slices name, has otherwise than the place; empty if nothing."""
    for key in ("inputs", "job", "source", "environment"):
        if not isinstance(passport.get(key), dict):
            raise ValueError(f"{artefact.path}: expected {key} in its passport, found none")
    hashes = [*passport["inputs"].values(), *passport.get("outputs", {}).values()]
    hashes.append(passport.get("content", ""))
    if not all(isinstance(value, str) for value in hashes):
        raise ValueError(f"{artefact.path}: expected hashes in its passport, found {hashes}")
    said = {key: passport["job"].get(key) for key in artefact.says}
    if artefact.path.endswith(".h5"):
        with h5py.File(root / artefact.path, "r") as file:
            said["dataset in the file"] = file.attrs["dataset"]
    expected = artefact.says | {"dataset in the file": artefact.says.get("dataset")}
    wrong = [key for key in said if said[key] != expected[key]]
    if wrong:
        own = ", ".join(f"{key} {expected[key]}" for key in wrong)
        return f"expected {own}, as of its path, found " + ", ".join(f"{key} {said[key]}" for key in wrong)
    return ""
