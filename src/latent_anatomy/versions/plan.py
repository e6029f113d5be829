"""What will be made again and why, before anything runs, by Snakemake as by DVC.

Both make a job again when its file below .params has another content, or when what it is made of is made
again. So the jobs of params.yaml, as they resolve now, are held against those that made what lies here.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from latent_anatomy.data.dataset import mirror_folder
from latent_anatomy.pipeline import availability
from latent_anatomy.pipeline.artefacts import artefacts
from latent_anatomy.pipeline.job_files import FOLDER
from latent_anatomy.pipeline.layout import LEDGER, Artefact
from latent_anatomy.pipeline.params import Params
from latent_anatomy.pipeline.resolve import PACKAGE, resolve
from latent_anatomy.provenance.formats import read_passport
from latent_anatomy.provenance.verify import MADE_BY
from latent_anatomy.versions.contents import flatten
from latent_anatomy.versions.differences import changes

NOT_HERE, MADE_OF_THESE = "not here", "made of these"
SHORT = 60  # characters of a value


def plan(params: Params) -> dict[str, list[str]]:
    """Job, as below .params -> why it will be made again, those first that others are made of.

    For the collection `params.data` in the project that is the current folder; of what the files that can be
    had allow. Writes nothing. Jobs that stay as they are have no entry.
    """
    jobs = resolve(availability.reduced(params, Path("data/raw"), mirror_folder())[0])
    walk = _Walk(jobs, artefacts(jobs))
    for artefact in walk.artefacts.values():
        walk.again(artefact)
    return walk.why


def text(why: dict[str, list[str]]) -> str:
    """The plan for people: each reason once, with its jobs; what only follows from others last."""
    if not why:
        return "Nothing to make: what lies here was made with these parameters and sources."
    groups: dict[str, list[str]] = {}
    for job, reasons in why.items():
        groups.setdefault("; ".join(reasons), []).append(job)
    ordered = sorted(groups, key=lambda reason: reason == MADE_OF_THESE)
    blocks = ["\n  ".join([reason, *groups[reason]]) for reason in ordered]
    return "\n".join([*blocks, f"Jobs that snakemake and dvc repro will run: {len(why)}"])


class _Walk:
    """Goes down to what each artefact is made of; `why` has each reason of a job once, of all subjects."""

    def __init__(self, jobs: dict[str, dict], artefacts: dict[str, Artefact]) -> None:
        self.jobs, self.artefacts, self.why = jobs, artefacts, {}
        self._again: dict[str, bool] = {}

    def again(self, artefact: Artefact) -> bool:
        """Whether the artefact will be made again."""
        artefact = self.artefacts.get(artefact.job, artefact)  # of volumes, which are known there alone
        if artefact.path not in self._again:
            below = [self.again(each) for each in artefact.made_of]
            own = list(self._own(artefact))
            self._again[artefact.path] = bool(own) or any(below)
            if self._again[artefact.path]:
                reasons = self.why.setdefault(artefact.job, [])
                reasons += [reason for reason in own or [MADE_OF_THESE] if reason not in reasons]
        return self._again[artefact.path]

    def _own(self, artefact: Artefact) -> Iterable[str]:
        """Reasons that do not lie in what it is made of."""
        if not all(Path(path).exists() for path in (artefact.path, *artefact.outputs.values())):
            return [NOT_HERE]
        names = [name for name in self.jobs if name == artefact.job or name.startswith(f"{artefact.job}/")]
        return [reason for name in names for reason in differences(made_by(artefact, name), self.jobs[name])]


def made_by(artefact: Artefact, name: str) -> dict:
    """The job in the artefact's passport; of what has none, the job's file as it was last written."""
    if artefact.job != LEDGER and not artefact.job.startswith("raw/"):
        with suppress(ValueError, LookupError):
            return read_passport(Path(artefact.path))["job"]
    file = FOLDER / f"{name}.json"
    job = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {key: value for key, value in job.items() if key != MADE_BY}


def differences(made: dict, job: dict) -> Iterable[str]:
    """What a job has otherwise than the one that made its artefact, in words."""
    if not made:
        yield "nothing says with which parameters it was made"
        return
    for key, before, now in (each[:3] for each in changes(flatten(made), flatten(job))):
        if key == "source" and made.get("modules") == job.get("modules"):
            modules = ", ".join(name.removeprefix(f"{PACKAGE}.") for name in job.get("modules", []))
            yield f"sources of {modules}"
        elif key != "source":
            yield f"{key}: {_short(before)} -> {_short(now)}"


def _short(value: str | None) -> str:
    value = "nothing" if value is None else value
    return value if len(value) <= SHORT else f"{value[:SHORT]}..."
