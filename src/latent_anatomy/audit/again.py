"""Make an artefact again, by the job in its passport and the sources of its commit: the same bits?"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import torch

from latent_anatomy.audit import alike, orders
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, Link, State
from latent_anatomy.pipeline.layout import Artefact, as_sealed
from latent_anatomy.provenance.files import write_json
from latent_anatomy.provenance.formats import read_passport
from latent_anatomy.provenance.sources import PACKAGE_ROOT, source_digest
from latent_anatomy.training.environment import device_name

SHOWN = 3  # differences in a message
OWN = ("lock", "python")  # of an environment, what is no library


class Again:
    """Makes artefacts of one project again, each in a folder of its own."""

    def __init__(self, files: Files, jobs: Jobs, say: Callable[[str], None]) -> None:
        self.files, self.jobs, self.say = files, jobs, say

    def link(self, artefact: Artefact) -> Link:
        """Whether the same bits come out, on the same kind of device with one thread.

        A difference is a break where the same sources and versions of libraries ran on a CPU, else nothing is
        proven: a GPU does not promise bits.
        """
        path, root = artefact.path, self.files.root.resolve()
        check = "retrain" if artefact.says["job"] == "train" else "recompute"
        if not self.files.here(path):
            return Link(path, check, State.NOT_HERE, f"nothing to make again: {path} is not here")
        try:
            passport = read_passport(root / path)
            artefact = as_sealed(artefact, passport)
            made = orders.Order.of(artefact, passport)
        except (ValueError, OSError, LookupError) as error:
            return Link(
                path, check, State.BROKEN, f"nothing to compare with: {error}", self.jobs.make(artefact)
            )
        if made is None:
            said = "older passport, which does not say what it was made with"
            return Link(path, check, State.UNPROVEN, said, self.jobs.make(artefact))
        if absent := [each for each in made.inputs if not self.files.here(each)]:
            return Link(path, check, State.NOT_HERE, f"nothing to make it of: {absent[0]} is not here")
        if (own := passport["device"]) != "cpu" and (device := device_here()) != own:
            said = f"it was made on {own}, and this is {device}"
            return Link(path, check, State.UNPROVEN, said, f"audit it on {own}")
        self.say(f"{check} {path}")
        with tempfile.TemporaryDirectory() as name:
            state, said = self._compare(made, passport, root, Path(name))
        return Link(
            path, check, state, said, "" if state is State.HOLDS else self.jobs.make(artefact, passport)
        )

    def _compare(self, made: "orders.Order", passport: dict, root: Path, folder: Path) -> tuple[State, str]:
        write_json(folder / "job.json", passport["job"])
        for path, place in made.beside.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).symlink_to(root / path)
        sources, others = self._sources(passport, folder)
        if error := verb(made.words(folder), root, sources):
            state = State.UNPROVEN if others else State.BROKEN
            return state, f"it could not be made again: {error}{_because(others)}"
        here = [path for path in made.outputs if self.files.here(path)]
        differing = [
            each for path in here for each in alike.differences(root / path, folder / made.outputs[path])
        ]
        if not differing:
            return State.HOLDS, f"made again, {len(here)} file{'s' * (len(here) > 1)} with the same bits"
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        said = f"made again, {'; '.join(differing[:SHOWN])}{more}{_because(others)}"
        return (State.UNPROVEN if others else State.BROKEN), said

    def _sources(self, passport: dict, folder: Path) -> tuple[Path, list[str]]:
        """Where the package lies that made it; and what runs here otherwise than it did then, in words."""
        then = {name: version for name, version in passport["environment"].items() if name not in OWN}
        now = {name: _installed(name) for name in then}
        others = [f"{name} {then[name]} then, {now[name]} now" for name in then if then[name] != now[name]]
        others += [f"on {passport['device']}"] if passport["device"] != "cpu" else []
        job, commit = passport["job"], self.jobs.history.of(passport)
        modules = job.get("modules", ())
        try:
            if job.get("source") == source_digest(*modules):
                return PACKAGE_ROOT.parent, others
        except ValueError:  # a module has another name now
            pass
        if commit is None:
            return PACKAGE_ROOT.parent, ["other sources then", *others]
        return commit.unpack(folder / "sources"), others


def device_here() -> str:
    """The kind of device that a job gets which takes what there is."""
    return device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _installed(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "none"


def _because(others: Sequence[str]) -> str:
    return f" ({', '.join(others)})" if others else ""


def verb(words: Sequence[str], root: Path, sources: Path) -> str:
    """Run a verb of the package below `sources` in the folder `root`; its last word, if it failed."""
    paths = os.pathsep.join([str(sources), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "latent_anatomy", *words]
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""
