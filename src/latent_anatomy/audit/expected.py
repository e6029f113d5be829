"""What a passport says of its job, held against params.yaml, the git history and the lock."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import yaml

from latent_anatomy.audit.git_history import History
from latent_anatomy.audit.links import State
from latent_anatomy.pipeline import layout, params, resolve
from latent_anatomy.pipeline.layout import Artefact
from latent_anatomy.provenance.formats import read_passport

SHORT = 12  # digits of a hash in a message
SHOWN = 3  # differing parameters in a message
SOURCES = ("modules", "source")


class Jobs:
    """The jobs of every collection of params.yaml; the commits that passports name; commands that help."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params = params.load(root / "params.yaml")
        self.history = History(root)
        self._digests: dict[tuple[str, tuple[str, ...]], str] = {}

    @cached_property
    def collections(self) -> dict[str, dict[str, dict]]:
        """Collection -> job's name -> job, the chosen collection first."""
        names = sorted(self.params.collections, key=lambda name: name != self.params.data)
        return {name: resolve.resolve(self.params.model_copy(update={"data": name})) for name in names}

    def excluded(self, dataset: str) -> set[str]:
        """The subjects of a data set of volumes that params.yaml leaves out."""
        own = self.params.imaging.datasets.get(dataset)
        return set() if own is None else set(own.excluded)

    def result(self, path: str) -> Artefact:
        """The result with its passport at `path`, made of what params.yaml says.

        A result that no collection has is made of what its passport says.
        """
        place, name = layout.place_of(path), "/".join(["evaluate", *Path(path).parts[1:-1]])
        made = next((jobs[name] for jobs in self.collections.values() if name in jobs), None)
        if made is None:
            with suppress(ValueError, OSError, LookupError, TypeError, AttributeError):  # the checks tell
                return layout.result(*place, read_passport(self.root / path)["job"])
        return layout.result(*place, made or {})

    def parameters(self, artefact: Artefact, passport: dict) -> tuple[State, str]:
        """Whether the job is one that params.yaml resolves to, its sources aside.

        The chosen collection decides, where it has the job; else any that has it.
        """
        made, having = passport["job"], self._having(artefact)
        if made.get("job") == "report":  # it shows one collection, or as much of it as could be had
            having = {name: job for name, job in having.items() if name == made.get("data")}
        elif self.params.data in having:
            having = {self.params.data: having[self.params.data]}
        if not having:
            message = "no collection of params.yaml has this job: put it back, or delete its files"
            return State.UNPROVEN, message
        faults = {name: list(_differences(made, job)) for name, job in having.items()}
        alike = next((name for name, fault in faults.items() if not fault), None)
        if alike is not None:
            own = made.get("source") == having[alike].get("source")
            note = "" if own else ", by other sources than this checkout's"
            seed = f"seed {made['seed']}, " if "seed" in made else ""
            return State.HOLDS, f"{seed}as params.yaml has it for {alike}{note}"
        name, fault = next(iter(faults.items()))
        more = f" and {len(fault) - SHOWN} more" if len(fault) > SHOWN else ""
        state = State.BROKEN if "seal" in passport else State.UNPROVEN  # older ones had other jobs
        return state, (
            f"expected the parameters of params.yaml for {name}, found {'; '.join(fault[:SHOWN])}{more}: "
            f"another job of this name made it: {self.make(artefact)}"
        )

    def sources(self, passport: dict, make: str) -> tuple[State, str]:
        """Whether the sources that ran are those of the commit, as git has them."""
        made, source = passport["job"], passport["source"]
        commit, dirty = source.get("commit"), source.get("dirty")
        if commit is None:
            return State.UNPROVEN, f"made outside a git checkout, so that nobody knows the sources: {make}"
        short = str(commit)[:SHORT]
        if dirty:
            message = f"expected the sources of a commit, found some that differed from {short}"
            return State.BROKEN, f"{message}: commit them, and then {make}"
        there = self.history.at(str(commit))
        if there is None:
            return State.UNPROVEN, f"commit {short} not in this repository: fetch it with git"
        if "modules" not in made:
            return State.UNPROVEN, f"older passport, which does not say which modules ran: {make}"
        try:
            actual = self._digest(str(commit), tuple(made["modules"]))
        except ValueError as error:
            return State.BROKEN, f"at commit {short}, {error}: {make}"
        if actual == made.get("source"):
            return State.HOLDS, f"sources {actual[:SHORT]} are those of commit {short}"
        return State.BROKEN, (
            f"expected sources {str(made.get('source'))[:SHORT]}, found {actual[:SHORT]} at commit {short}: "
            f"they were changed while the job waited or ran: {make}"
        )

    def _digest(self, commit: str, modules: tuple[str, ...]) -> str:
        """Of the sources at a commit, which the jobs of all subjects share."""
        if (commit, modules) not in self._digests:
            self._digests[commit, modules] = self.history.at(commit).sources.digest(*modules)
        return self._digests[commit, modules]

    def environment(self, passport: dict) -> tuple[State, str]:
        """Whether the lock of the environment is that of the commit."""
        environment = dict(passport["environment"])
        lock, commit = environment.pop("lock", None), passport["source"].get("commit")
        ran = ", ".join(f"{name} {version}" for name, version in sorted(environment.items()))
        if lock is None:
            return State.UNPROVEN, f"no lock is named; what ran: {ran}"
        there = None if commit is None else self.history.at(str(commit))
        if there is None:
            return State.UNPROVEN, f"lock {lock[:SHORT]}, of a commit that is not in this repository; {ran}"
        if there.lock is None or hashlib.sha256(there.lock).hexdigest() != lock:
            return (
                State.UNPROVEN,
                f"lock {lock[:SHORT]} is not that of commit {commit[:SHORT]}; what ran: {ran}",
            )
        return State.HOLDS, f"lock {lock[:SHORT]} of that commit; {ran}; on {passport.get('device')}"

    def make(self, artefact: Artefact, passport: dict | None = None) -> str:
        """The command that makes an artefact again, whatever Snakemake thinks of it.

        It names the collection that has the job, if possible with the parameters in `passport`.
        """
        raw = artefact.job.startswith("raw/")
        target = next(iter(artefact.outputs.values()), artefact.path) if raw else artefact.path
        having = self._having(artefact)
        made = {} if passport is None else passport["job"]
        alike = [name for name, job in having.items() if not list(_differences(made, job))]
        name = next(iter(alike or having), self.params.data)
        data = "" if name == self.params.data else f" --config data={name}"
        return f"snakemake --cores all{data} --force -- {target}"

    def bring(self, artefact: Artefact, passport: dict | None = None) -> str:
        """The command that brings a version of an artefact that is not here, or makes it."""
        files = map(Path, (artefact.path, *artefact.outputs.values()))
        if self._recorded & {place.as_posix() for path in files for place in (path, *path.parents)}:
            return f"latent-anatomy sync restore (or dvc pull {artefact.path})"
        return self.make(artefact, passport).replace(" --force", "")

    def _having(self, artefact: Artefact) -> dict[str, dict]:
        """The artefact's job in each collection that has it."""
        return {name: jobs[artefact.job] for name, jobs in self.collections.items() if artefact.job in jobs}

    @cached_property
    def _recorded(self) -> set[str]:
        """Files and folders of which dvc.lock has a version."""
        lock = self.root / "dvc.lock"
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
        return {out["path"] for stage in stages.values() for out in stage.get("outs", [])}


def _differences(made: dict, job: dict, prefix: str = "") -> Iterator[str]:
    """What a job was made with otherwise, in words; sources aside, which are held against their commit."""
    for key in sorted(made.keys() | job.keys()):
        one, other = made.get(key, "nothing"), job.get(key, "nothing")
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{prefix}{key}.")
        elif (
            one != other
            and (prefix.replace("on.", "") or key not in SOURCES)
            and not _fewer(made, key, one, other)
        ):
            yield f"{prefix}{key} {one} in place of {other}"


def _fewer(made: dict, key: str, one: object, other: object) -> bool:
    """Whether a report is of fewer data sets, because the others could not be had when it was made."""
    return made.get("job") == "report" and key == "datasets" and set(one) <= set(other)
