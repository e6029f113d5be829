"""The files of a version: of a git revision with what DVC's cache has of it, or of the working tree.

Nothing is checked out, fetched or trained. Git is asked for the files that it has, dvc.lock of the
revision for the MD5 of all others, and DVC's cache for their bytes.
"""

import hashlib
import io
import json
import shlex
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import yaml

from latent_anatomy.pipeline.layout import PASSPORT

WORKSPACE = "workspace"  # the word for the working tree; a branch of this name is refs/heads/workspace
LOCK = "dvc.lock"
SOURCES = ("Snakefile", "dvc.yaml", "notebooks", "papers", "src", "workflow")
ARTEFACTS = ("results", "models", "data/slices")  # folders of the working tree that are looked through
INTERIM = "data/interim"  # folder of which only the passports are looked at


class NotHere(Exception):
    """A file that neither git nor the cache has: its path, and how to get it."""


@dataclass(frozen=True)
class Version:
    """A commit, or the working tree on top of it.

    `files` are the paths that git has (for the working tree: that lie there); `outputs` is dvc.lock,
    path -> MD5, None where there is no dvc.lock; `cache` the folder of DVC's cache that is named by MD5,
    None without DVC; `uncommitted` the lines of `git status`, empty for a commit; `inside` the passports in
    those folders of dvc.lock that hold the steps of volumes, path -> MD5, where the cache has the listing.
    """

    name: str
    commit: str
    subject: str
    uncommitted: tuple[str, ...]
    root: Path
    files: frozenset[str]
    outputs: dict[str, str] | None
    cache: Path | None
    inside: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """All files that the version knows of, here or not, sorted."""
        return sorted(self.files | self._recorded.keys())

    def open(self, path: str) -> BinaryIO:
        """The bytes of a file, unchecked; NotHere says how to get one that is not here."""
        if path in self.files:
            if self.name == WORKSPACE:
                return (self.root / path).open("rb")
            return io.BytesIO(_git(self.root, "cat-file", "blob", f"{self.commit}:{path}"))
        cached = self._cached(path)
        if cached is None:
            raise NotHere(path, self._how(path))
        return cached.open("rb")

    def read(self, path: str) -> bytes:
        """The bytes of a file; ValueError when those in the cache are not the ones that dvc.lock means."""
        with self.open(path) as stream:
            content = stream.read()
        if path in self.files:
            return content
        if hashlib.md5(content).hexdigest() != (md5 := self._recorded[path]):
            raise ValueError(
                f"{path} at {self.name}: expected the MD5 {md5} of dvc.lock, found another in "
                f"the cache: remove {self._cached(path)}, then dvc fetch --all-commits"
            )
        return content

    def with_insides(self) -> "Version":
        """The same, with the passports in the folders that hold the steps of volumes."""
        inside = {}
        for folder in self.outputs or {}:
            listing = self._cached(folder) if folder.startswith(f"{INTERIM}/") else None
            for each in json.loads(listing.read_bytes()) if listing else ():
                if each["relpath"].endswith(f"/{PASSPORT}"):
                    inside[f"{folder}/{each['relpath']}"] = each["md5"]
        return replace(self, inside=inside)

    @property
    def _recorded(self) -> dict[str, str]:
        return (self.outputs or {}) | self.inside

    def _cached(self, path: str) -> Path | None:
        md5 = self._recorded.get(path)
        if self.name == WORKSPACE or md5 is None or self.cache is None:
            return None
        place = self.cache / md5[:2] / md5[2:]
        return place if place.is_file() else None

    def _how(self, path: str) -> str:
        known = path in self._recorded
        if self.name == WORKSPACE:
            tool = "dvc pull" if known else "snakemake --cores 1 --"
            return f"not in the working tree: {tool} {shlex.quote(path)}"
        if known:
            return (
                "in dvc.lock, but not in the cache: dvc fetch --all-commits, if a remote has it; "
                "an output that DVC does not cache is made again from this commit"
            )
        return "neither in git nor in dvc.lock: it is made again from this commit"


def load(revision: str, folder: Path) -> Version:
    """The version that `revision` names in the checkout around `folder`; ValueError when there is none."""
    root = Path(_text(folder, "rev-parse", "--show-toplevel"))
    wanted = "HEAD" if revision == WORKSPACE else revision
    try:
        commit = _text(root, "rev-parse", "--verify", "--end-of-options", f"{wanted}^{{commit}}")
    except ValueError as error:
        expected = f"expected a commit, a branch or a tag of {root}, or {WORKSPACE}"
        raise ValueError(f"{expected}, found {wanted!r}: name a revision of git (git log)") from error
    if revision == WORKSPACE:
        status = _git(root, "--no-optional-locks", "status", "--porcelain").decode(errors="replace")
        uncommitted = tuple(status.splitlines())
        files = frozenset(_in_working_tree(root))
    else:
        uncommitted = ()
        files = frozenset(_names(_git(root, "ls-tree", "-r", "-z", "--name-only", commit)))
    version = Version(
        name=revision,
        commit=commit,
        subject=_text(root, "show", "--no-patch", "--format=%s", commit),
        uncommitted=uncommitted,
        root=root,
        files=files,
        outputs=None,
        cache=_cache(root),
    )
    if LOCK not in files:
        return version
    return replace(version, outputs=_outputs(version.read(LOCK))).with_insides()


def changed_sources(a: Version, b: Version) -> list[tuple[str, str, str]]:
    """Files of SOURCES that differ: (lines added, lines removed, path); "-" lines where they are binary.

    Files that git does not know yet are those of a working tree: "new" or "gone" instead of lines.
    """
    words = ["diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv"]
    commits = [version.commit for version in (a, b) if version.name != WORKSPACE]
    if len(commits) == 1 and a.name == WORKSPACE:
        words.append("-R")
    changed = []
    if commits:
        entries = _names(_git(a.root, "--no-optional-locks", *words, *commits, "--", *SOURCES))
        changed = [tuple(entry.split("\t", 2)) for entry in entries]
    if len(commits) == 1:
        command = ["ls-files", "--others", "--exclude-standard", "-z", "--", *SOURCES]
        word = ("gone", "") if a.name == WORKSPACE else ("new", "")
        changed += [(*word, path) for path in _names(_git(a.root, *command))]
    return sorted(changed, key=lambda each: each[2])


def _outputs(lock: bytes) -> dict[str, str]:
    stages = (yaml.safe_load(lock) or {}).get("stages", {})
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def _cache(root: Path) -> Path | None:
    """Where DVC keeps files by their MD5, which its configuration decides."""
    if not (root / ".dvc").is_dir():
        return None
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def _in_working_tree(root: Path) -> list[str]:
    files = [path for path in root.iterdir() if path.is_file()]
    files += [path for name in ARTEFACTS for path in (root / name).rglob("*") if path.is_file()]
    files += (root / INTERIM).rglob(PASSPORT)
    return [path.relative_to(root).as_posix() for path in files]


def _names(output: bytes) -> list[str]:
    return [name.decode(errors="surrogateescape") for name in output.split(b"\0") if name]


def _text(folder: Path, *words: str) -> str:
    return _git(folder, *words).decode(errors="replace").strip()


def _git(folder: Path, *words: str) -> bytes:
    result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True)
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip()
        raise ValueError(
            f"expected git {' '.join(words)} to answer, found {said!r}: change to a sound checkout"
        )
    return result.stdout
