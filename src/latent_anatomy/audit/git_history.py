"""What the repository's git objects say of commits, and of what was edited since. Nothing is checked out."""

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from latent_anatomy.provenance import unpacking
from latent_anatomy.provenance.passport import LOCK
from latent_anatomy.provenance.sources import PACKAGE, Sources

PACKAGE_PATH = f"src/{PACKAGE}"


class Commit:
    """The package's sources and the lock of the environment at a commit."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    @cached_property
    def sources(self) -> Sources:
        return Sources(lambda name: self._files.get(f"{PACKAGE_PATH}/{name}"))

    @property
    def lock(self) -> bytes | None:
        return self._files.get(LOCK.name)

    @property
    def seals(self) -> bool:
        """Whether passports that were made by these sources have a seal."""
        return b"def sealed(" in (self.sources.text(f"{PACKAGE}.provenance.passport") or b"")

    def unpack(self, folder: Path) -> Path:
        """Write it all below `folder`; the folder that Python has to look in for the package."""
        for name, content in self._files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder / Path(PACKAGE_PATH).parent


@dataclass(frozen=True)
class Change:
    """A commit that changed or removed files which stood there before."""

    commit: str
    subject: str
    files: tuple[str, ...]


class History:
    """The commits of the repository around `root`, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._commits: dict[str, Commit | None] = {}

    @cached_property
    def here(self) -> bool:
        """Whether there is a commit at all."""
        return self._git("rev-parse", "--verify", "--quiet", "HEAD").returncode == 0

    @cached_property
    def shallow(self) -> bool:
        """Whether the history was cut when it was fetched."""
        return self._git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def at(self, commit: str) -> Commit | None:
        """The commit; None if this repository does not have it, or has no such package there."""
        if commit not in self._commits:
            self._commits[commit] = self._read(commit)
        return self._commits[commit]

    @cached_property
    def results(self) -> frozenset[str]:
        """The paths of the results that the last commit has."""
        return frozenset(self.committed("results"))

    def of(self, passport: dict) -> Commit | None:
        """The commit that a passport names; None as in `at`."""
        return self.at(str(passport["source"].get("commit")))

    def committed(self, *places: str) -> dict[str, str]:
        """Path below `root` -> the object that the last commit has of it, of the files in these places."""
        listed = self._git("ls-tree", "-r", "-z", "HEAD", "--", *places).stdout.decode()
        fields = (entry.partition("\t") for entry in listed.split("\0") if entry)
        return {path: about.split()[2] for about, _, path in fields}

    def edited(self, *places: str) -> dict[str, str]:
        """Path -> "edited" or "removed", of what differs from the last commit, whatever git's index says."""
        return {
            path: "edited" if (self.root / path).is_file() else "removed"
            for path, stored in self.committed(*places).items()
            if not (self.root / path).is_file() or _object(self.root / path, stored) != stored
        }

    def changes(self, *places: str) -> list[Change]:
        """The commits that changed or removed files in these places, the newest first."""
        options = ("-c", "--relative", "--diff-filter=MDRT", "--name-only", "--format=%x01%h %s")
        logged = self._git("-c", "core.quotepath=off", "log", *options, "--", *places).stdout.decode()
        changes = []
        for entry in logged.split("\x01")[1:]:
            line, *files = filter(None, entry.split("\n"))
            if files:  # a merge of branches that changed different files changed none itself
                changes.append(Change(*line.split(" ", 1), tuple(files)))
        return changes

    def _git(self, *words: str) -> subprocess.CompletedProcess:
        # Replaced objects would show another history than the one that was committed.
        environment = os.environ | {"GIT_NO_REPLACE_OBJECTS": "1"}
        command = ["git", "-C", str(self.root), *words]
        try:
            return subprocess.run(command, capture_output=True, check=False, env=environment)
        except FileNotFoundError:  # no git on this machine is no history
            return subprocess.CompletedProcess(command, 127, b"", b"")

    def _read(self, commit: str) -> Commit | None:
        if not re.fullmatch("[0-9a-f]{40,64}", commit):
            return None
        listed = self._git("ls-tree", "--name-only", commit, "--", PACKAGE_PATH, LOCK.name)
        names = listed.stdout.decode().split()
        if listed.returncode or PACKAGE_PATH not in names:
            return None
        sizes = self._git("ls-tree", "-r", "--long", commit, "--", *names).stdout.decode().splitlines()
        # Of a line with mode, type, name and size before the path; of a submodule the size is "-".
        found = (line.split(maxsplit=4)[3] for line in sizes)
        unpacking.check_size(f"commit {commit}", sum(int(size) for size in found if size.isdecimal()))
        archive = self._git("archive", "--format=tar", commit, "--", *names)
        archive.check_returncode()
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            return Commit({each.name: tar.extractfile(each).read() for each in tar if each.isfile()})


def known(sources: Sources, modules: Iterable[str], names: Iterable[str]) -> set[str]:
    """Of `names`, those which stand as a field or as a key in the modules, or in what they import.

    ValueError for a module that is not there.
    """
    text = b"\n".join(map(sources.text, sources.reached(*modules))).decode()
    pattern = r"^\s+{0}\s*:|[\"']{0}[\"']"
    return {name for name in names if re.search(pattern.format(re.escape(name)), text, re.MULTILINE)}


def _object(path: Path, like: str) -> str:
    """The name that git gives to a file's content, by the algorithm of the name `like`."""
    content = path.read_bytes()
    algorithm = hashlib.sha1 if len(like) == hashlib.sha1().digest_size * 2 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()
