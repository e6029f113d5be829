"""Is one artefact what its passport says, and is the passport that of its job, its sources, its inputs?"""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py

from latent_anatomy.audit import subjects
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, Link, State, listed, several
from latent_anatomy.audit.origins import Origins
from latent_anatomy.ledger.papers import PHANTOM
from latent_anatomy.pipeline.layout import TABLES, Artefact, as_sealed
from latent_anatomy.pipeline.layout_of_volumes import QC
from latent_anatomy.provenance import formats

SHORT = 12  # digits of a hash in a message
BY_GIT = ("metrics.json", "scores.npz", "qc.csv")  # what git brings beside passports


class Checks:
    """The checks of the artefacts of one project."""

    def __init__(self, files: Files, jobs: Jobs) -> None:
        self.files, self.jobs = files, jobs
        self.origins = Origins(files.root, jobs.history)

    def artefact(self, artefact: Artefact, here: bool) -> list[Link]:
        """All links of an artefact with a passport.

        With `here` false it is known that the artefact's chain is not in this checkout, so that what is
        missing is no break.
        """
        path, root = artefact.path, self.files.root
        if not self.files.here(path):
            state = State.BROKEN if here else State.NOT_HERE
            return [Link(path, "file", state, "expected this file, found none", self.jobs.bring(artefact))]
        try:
            passport = formats.read_passport(root / path)
            held = formats.content_of(root / path) if "content" in passport else None
            place = _place(artefact, passport, root)
        except (ValueError, OSError, LookupError) as error:
            return [Link(path, "passport", State.BROKEN, str(error), self.jobs.make(artefact))]
        usual, artefact = artefact, as_sealed(artefact, passport)
        make = self.jobs.make(artefact, passport)
        older = "seal" not in passport
        links = [
            Link(path, "passport", *self.origins.seal(passport, make))
            if older
            else _content(path, passport, held, make)
        ]
        if unnamed := [] if older else self._unnamed(usual, artefact):
            said = f"expected {listed(unnamed)} in its passport, found them left out"
            links.append(Link(path, "outputs", State.BROKEN, said, make))
        if place:
            links.append(Link(path, "place", State.BROKEN, place, make))
        elif phantom := self._phantom(artefact, passport):
            said = f"{phantom}: no phantom under a real name"
            links.append(Link(path, "phantom", State.BROKEN, said, make))
        else:  # it was made by the job of this name
            links.append(Link(path, "job", *self.jobs.parameters(artefact, passport)))
        if not older or passport["source"].get("dirty"):
            due = self.jobs.modules(artefact, passport)
            links.append(Link(path, "sources", *self.origins.sources(passport, due, make)))
        if not older:
            links.append(Link(path, "environment", *self.origins.environment(path, passport, make)))
        roles = {role: role for role in passport["inputs"]} if artefact.inputs is None else artefact.inputs
        if QC in roles:  # slices of volumes
            roles = subjects.passed(roles, passport)
            links.append(Link(path, "subjects", *subjects.subjects(self.files, artefact, passport, make)))
        if QC in artefact.outputs and roles and self._unchanged(roles, passport["inputs"]):
            links.append(Link(path, "verdicts", *subjects.verdicts(self.files, artefact, passport, make)))
        for check, expected in (("inputs", roles), ("outputs", artefact.outputs)):
            links += self._hashes(artefact, check, expected, passport, here)
        return links

    def _unnamed(self, usual: Artefact, sealed: Artefact) -> list[str]:
        """Files that lie where the artefact's outputs belong, of which its passport does not speak."""
        tables = sorted((self.files.root / usual.path).parent.glob(f"{TABLES}/*.csv"))
        lying = [*usual.outputs.values(), *(path.relative_to(self.files.root).as_posix() for path in tables)]
        return [path for path in lying if self.files.here(path) and path not in sealed.outputs.values()]

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
                said = f"expected this file, of which {artefact.path} speaks, found none"
                yield Link(path, "file", State.BROKEN, said, self.jobs.bring(artefact, passport))
        # An input that is missing where it should be is a break of its own artefact.
        if absent and (check == "inputs" or not here):
            said, bring = f"{listed(absent)} not in this checkout", self.jobs.bring(artefact, passport)
            yield Link(artefact.path, check, State.NOT_HERE, said, bring)
        if named.keys() != expected.keys():
            if "seal" not in passport:
                return
            lacks, more = sorted(expected.keys() - named.keys()), sorted(named.keys() - expected.keys())
            said = f"expected {listed(lacks) or 'no more'} in its passport, found {listed(more) or 'none'}"
            yield Link(artefact.path, check, State.BROKEN, said, make)
        present = [role for role in expected if role in named and expected[role] not in absent]
        wrong = [role for role in present if self.files.sha256(expected[role]) != named[role]]
        for role in wrong:
            yield self._unlike(artefact, check, expected[role], named[role], here, make)
        if named.keys() == expected.keys() and named and not (absent or wrong):
            files = several(expected)
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
        said = f"expected {path} with sha256 {expected[:SHORT]}{self.files.name_of(expected)}, found "
        said += f"{actual[:SHORT]}{self.files.name_of(actual, path)}: "
        if check == "outputs":
            said += f"it was changed after {artefact.path} was sealed"
        elif artefact.inputs is None:
            said += f"{artefact.path} is stale"
        elif here:
            said += f"{artefact.path} was made of another version, or this one was changed since"
        else:
            said, make = f"{said}another version than {artefact.path} was made of", ""
        state = State.BROKEN if here or check == "outputs" else State.NOT_HERE
        return Link(artefact.path, check, state, said, make)


def _content(path: str, passport: dict, held: str | None, make: str) -> Link:
    if held is None:
        return Link(path, "passport", State.HOLDS, "as it was sealed")
    if held == passport["content"]:
        return Link(path, "content", State.HOLDS, "its passport was sealed for this very content")
    said = (
        f"expected the content {passport['content'][:SHORT]} that its passport was sealed for, found "
        f"{held[:SHORT]}: it was edited, or its passport is that of another file"
    )
    return Link(path, "content", State.BROKEN, said, make)


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
