"""What the repository's git objects say of a commit that a passport names. Nothing is checked out."""

import io
import re
import subprocess
import tarfile
from functools import cached_property
from pathlib import Path

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


class History:
    """The commits of the repository around `root`, each read once."""

    def __init__(self, root: Path) -> None:
        self._git = ["git", "-C", str(root)]
        self._commits: dict[str, Commit | None] = {}

    def at(self, commit: str) -> Commit | None:
        """The commit; None if this repository does not have it, or has no such package there."""
        if commit not in self._commits:
            self._commits[commit] = self._read(commit)
        return self._commits[commit]

    def _read(self, commit: str) -> Commit | None:
        if not re.fullmatch("[0-9a-f]{40,64}", commit):
            return None
        listed = subprocess.run(
            [*self._git, "ls-tree", "--name-only", commit, "--", PACKAGE_PATH, LOCK.name],
            capture_output=True,
            text=True,
            check=False,
        )
        if listed.returncode or PACKAGE_PATH not in listed.stdout.split("\n"):
            return None
        names = listed.stdout.split()
        archive = subprocess.run(
            [*self._git, "archive", "--format=tar", commit, "--", *names], capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            return Commit({each.name: tar.extractfile(each).read() for each in tar if each.isfile()})
