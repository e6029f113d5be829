"""What an audit says: links, each of which holds or not, and the files that they are about."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from latent_anatomy.provenance.files import sha256_file

SHOWN = 3  # names in a message


class State(StrEnum):
    """How a link came out, from the best to the worst.

    unproven   nothing contradicts it, but something is not known that would prove it
    not here   what would prove it is not in this checkout
    broken     what is here contradicts it
    """

    HOLDS = "holds"
    UNPROVEN = "unproven"
    NOT_HERE = "not here"
    BROKEN = "broken"


@dataclass(frozen=True)
class Link:
    """One statement about the artefact at `path`.

    `check` is what was looked at, `said` what was found and `remedy` what to do, if the link does not hold.
    """

    path: str
    check: str
    state: State
    said: str
    remedy: str = ""

    @property
    def message(self) -> str:
        """What was found, and what to do, in one line."""
        return f"{self.said}: {self.remedy}" if self.remedy else self.said


Found = tuple[State, str, str]  # what a check came to: state, what was found, what to do


def worst(states: Iterable[State]) -> State:
    """The state of a chain of links: that of its weakest."""
    return max(states, key=list(State).index, default=State.HOLDS)


def listed(names: Collection[str]) -> str:
    """The first few names of many, in their order."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(list(names)[:SHOWN]) + more


def several(files: dict[str, str]) -> str:
    """The one path of role -> path, or how many there are."""
    return f"{len(files)} files" if len(files) > 1 else next(iter(files.values()))


class Files:
    """The files below `root`, by their paths from there, each hashed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hashes: dict[str, str] = {}

    def here(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file()

    def sha256(self, path: str) -> str:
        """SHA-256 of the file's bytes."""
        if path not in self._hashes:
            self._hashes[path] = sha256_file(self.root / path)
        return self._hashes[path]

    def name_of(self, sha256: str, aside: str = "") -> str:
        """In words, which file but `aside`, of those hashed so far, has this hash; empty if none has."""
        same = [path for path, known in self._hashes.items() if known == sha256 and path != aside]
        return f", which is {same[0]}" if same else ""

    def hashes(self) -> dict[str, str]:
        """All files that were hashed: path -> SHA-256."""
        return dict(sorted(self._hashes.items()))
