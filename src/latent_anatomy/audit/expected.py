"""What a passport says of its job, held against params.yaml; and commands that help."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import yaml

from latent_anatomy.audit.git_history import History, known
from latent_anatomy.audit.links import Found, State, listed
from latent_anatomy.pipeline import layout, params, resolve
from latent_anatomy.pipeline.layout import Artefact
from latent_anatomy.provenance.formats import read_passport
from latent_anatomy.provenance.sources import running_sources

SHOWN = 3  # differing parameters in a message
SOURCES = ("modules", "source")
NOTHING = "nothing"  # in the place of a parameter that is not there


class Jobs:
    """The jobs of every collection of params.yaml; the history around them; commands that help."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params = params.load(root / "params.yaml")
        self.history = History(root)

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

    def parameters(self, artefact: Artefact, passport: dict) -> Found:
        """Whether the job is one that params.yaml resolves to, its sources aside.

        The chosen collection decides, where it has the job; else any that has it. A job that only lacks what
        did not exist when it ran is unproven: nothing contradicts it.
        """
        made, having = passport["job"], self._having(artefact)
        if made.get("job") == "report":  # it shows one collection, or as much of it as could be had
            having = {name: job for name, job in having.items() if name == made.get("data")}
        elif self.params.data in having:
            having = {self.params.data: having[self.params.data]}
        if not having:
            return (
                State.UNPROVEN,
                "no collection of params.yaml has this job",
                "put it back, or delete its files",
            )
        faults = {name: list(_differences(made, job)) for name, job in having.items()}
        alike = next((name for name, fault in faults.items() if not fault), None)
        if alike is not None:
            own = made.get("source") == having[alike].get("source")
            note = "" if own else ", by other sources than this checkout's"
            seed = f"seed {made['seed']}, " if "seed" in made else ""
            return State.HOLDS, f"{seed}as params.yaml has it for {alike}{note}", ""
        name, fault = min(faults.items(), key=lambda each: len(each[1]))
        make = self.make(artefact)
        if self._older(passport, having[name], fault):
            names = listed([key for key, _, _ in fault])
            return (
                State.UNPROVEN,
                f"it was made before there was {names}, for which params.yaml has a value",
                make,
            )
        more = f" and {len(fault) - SHOWN} more" if len(fault) > SHOWN else ""
        shown = "; ".join(f"{key} {one} in place of {other}" for key, one, other in fault[:SHOWN])
        said = f"expected the parameters of params.yaml for {name}, found {shown}{more}: another job made it"
        return (
            (State.BROKEN if "seal" in passport else State.UNPROVEN),
            said,
            make,
        )  # older ones had other jobs

    def _older(self, passport: dict, job: dict, fault: list[tuple[str, object, object]]) -> bool:
        """Whether it only lacks parameters which the job's sources know, and those of its commit did not."""
        there, modules = self.history.of(passport), passport["job"].get("modules")
        if there is None or not modules or any(one != NOTHING for _, one, _ in fault):
            return False
        with suppress(ValueError):  # sources that the commit does not have are told by `origins`
            names = [key.rpartition(".")[2] for key, _, _ in fault]
            then, now = known(there.sources, modules, names), known(running_sources(), job["modules"], names)
            return not then and now == set(names)
        return False

    def modules(self, artefact: Artefact, passport: dict) -> list[str]:
        """The modules that the job in a passport runs today, none where params.yaml has another job."""
        alike = (
            job for job in self._having(artefact).values() if not any(_differences(passport["job"], job))
        )
        return next(alike, {}).get("modules", [])

    def make(self, artefact: Artefact, passport: dict | None = None) -> str:
        """The command that makes an artefact again, whatever Snakemake thinks of it.

        It names the collection that has the job, if possible with the parameters in `passport`.
        """
        raw = artefact.job.startswith("raw/")
        target = next(iter(artefact.outputs.values()), artefact.path) if raw else artefact.path
        having = self._having(artefact)
        made = {} if passport is None else passport["job"]
        alike = [name for name, job in having.items() if not any(_differences(made, job))]
        return self.command(next(iter(alike or having), self.params.data), [target], " --force")

    def command(self, collection: str, targets: Sequence[str], force: str = "") -> str:
        """The command that makes files of a collection."""
        data = "" if collection == self.params.data else f" --config data={collection}"
        return f"snakemake --cores all{data}{force} -- {' '.join(targets)}"

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


def _differences(made: dict, job: dict, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    """(key, made with, expected) of what differs; sources aside, which are held against their commit."""
    for key in sorted(made.keys() | job.keys()):
        one, other = made.get(key, NOTHING), job.get(key, NOTHING)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{prefix}{key}.")
        elif (
            one != other
            and (prefix.replace("on.", "") or key not in SOURCES)
            and not _fewer(made, key, one, other)
        ):
            yield f"{prefix}{key}", one, other


def _fewer(made: dict, key: str, one: object, other: object) -> bool:
    """Whether a report is of less, because the rest could not be had, or was not there, when it was made."""
    lists = ("datasets", "compared", "results")
    return made.get("job") == "report" and key in lists and set(one) <= set(other)
