"""What a passport says of where it was made, held against the git history and the lock."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from latent_anatomy.audit.git_history import History
from latent_anatomy.audit.links import Found, State, listed
from latent_anatomy.provenance.passport import LIBRARIES, pins

SHORT = 12  # digits of a hash in a message
CORRECTIONS = "docs/corrections.md"


class Origins:
    """Seals, sources and environments of passports, by the commits that they name."""

    def __init__(self, root: Path, history: History) -> None:
        self.root, self.history = root, history
        self._digests: dict[tuple[str, tuple[str, ...]], str] = {}

    def seal(self, passport: dict, make: str) -> Found:
        """What a missing seal says: that it was taken off, unless the passport is older than seals are."""
        there = self.history.of(passport)
        if there is not None and there.seals:
            commit = passport["source"]["commit"][:SHORT]
            return State.BROKEN, f"expected the seal that the code of commit {commit} sets, found none", make
        return (
            State.UNPROVEN,
            "older passport without a content hash, which proves nothing about the file",
            make,
        )

    def sources(self, passport: dict, due: Iterable[str], make: str) -> Found:
        """Whether the sources that ran are those of the commit, as git has them.

        `due` are the modules that such a job runs now; those that the commit has must have been among them.
        """
        made, source = passport["job"], passport["source"]
        commit, dirty = source.get("commit"), source.get("dirty")
        if commit is None:
            return State.UNPROVEN, "made outside a git checkout, so that nobody knows the sources", make
        short = str(commit)[:SHORT]
        if dirty:
            said = f"expected the sources of a commit, found some that differed from {short}"
            return State.BROKEN, said, f"commit them, and then {make}"
        if self.history.of(passport) is None:
            return State.UNPROVEN, f"commit {short} not in this repository", "fetch it with git"
        if "modules" not in made:
            return State.UNPROVEN, "older passport, which does not say which modules ran", make
        there = self.history.of(passport).sources
        if unnamed := [each for each in due if each not in made["modules"] and there.text(each) is not None]:
            return State.BROKEN, f"expected that {listed(unnamed)} ran, found it left out", make
        try:
            actual = self._digest(str(commit), tuple(made["modules"]))
        except ValueError as error:
            return State.BROKEN, f"at commit {short}, {error}", make
        if actual == made.get("source"):
            return State.HOLDS, f"sources {actual[:SHORT]} are those of commit {short}", ""
        said = f"expected sources {str(made.get('source'))[:SHORT]}, found {actual[:SHORT]} at commit {short}"
        return State.BROKEN, f"{said}: they were changed while the job waited or ran", make

    def _digest(self, commit: str, modules: tuple[str, ...]) -> str:
        """Of the sources at a commit, which the jobs of all subjects share."""
        if (commit, modules) not in self._digests:
            self._digests[commit, modules] = self.history.at(commit).sources.digest(*modules)
        return self._digests[commit, modules]

    def environment(self, path: str, passport: dict, make: str) -> Found:
        """Whether the lock of the environment is that of the commit, and pins the versions that ran."""
        environment = dict(passport["environment"])
        lock, commit = environment.pop("lock", None), str(passport["source"].get("commit"))[:SHORT]
        ran = ", ".join(f"{name} {version}" for name, version in sorted(environment.items()))
        if lock is None:
            return State.UNPROVEN, f"no lock is named; what ran: {ran}", ""
        there = self.history.of(passport)
        if there is None:
            return (
                State.UNPROVEN,
                f"lock {lock[:SHORT]}, of a commit that is not in this repository; {ran}",
                "",
            )
        if there.lock is None or hashlib.sha256(there.lock).hexdigest() != lock:
            return State.UNPROVEN, f"lock {lock[:SHORT]} is not that of commit {commit}; what ran: {ran}", ""
        environment.pop("python", None)
        pinned = pins(there.lock.decode())
        others = [
            f"{name} {version} where it pins {pinned.get(name.lower())}"
            for name, version in sorted(environment.items())
            if version != pinned.get(name.lower())
        ]
        if others and f"`{path}`, seal {str(passport.get('seal'))[:SHORT]}" in self._corrections:
            return (
                State.UNPROVEN,
                f"lock {lock[:SHORT]}, but {', '.join(others)}, which {CORRECTIONS} says",
                "",
            )
        if others:
            said = (
                f"expected the versions of the lock {lock[:SHORT]} that it names, found {', '.join(others)}"
            )
            return State.BROKEN, said, make
        if unnamed := set(LIBRARIES.get(passport["job"].get("job"), ())) - environment.keys():
            return State.UNPROVEN, f"it does not name the versions of {listed(sorted(unnamed))}", make
        threads = passport.get("threads")
        by = "" if threads is None else f", {threads} thread" + ("s" if threads != 1 else "")
        return State.HOLDS, f"lock {lock[:SHORT]} of that commit; {ran}; on {passport.get('device')}{by}", ""

    @cached_property
    def _corrections(self) -> str:
        path = self.root / CORRECTIONS
        return path.read_text(encoding="utf-8") if path.is_file() else ""
