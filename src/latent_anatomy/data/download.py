"""Files of other publishers that a step or a method needs: an atlas, a teacher's weights.

They lie among the raw files and come as those of a data set do (see `fetch`): from the mirror folder or from
their publisher, with their checksum.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from latent_anatomy.data.dataset import RawFile, mirror_folder

DATA = Path("data/raw")  # below the project's folder, where all raw files lie


@dataclass(frozen=True)
class Download:
    """Files that `data.fetch.fetch` takes; see `data.dataset.Dataset` for the fields."""

    name: str
    files: tuple[RawFile, ...]
    licence: str
    how_to_get: str
    family: str = "weights"
    phantom: bool = False

    @classmethod
    def of_job(cls, job: dict) -> "Download":
        """From the resolved job that `job` makes."""
        files = tuple(RawFile(**file) for file in job["download"]["files"])
        return cls(**{**job["download"], "files": files})

    @property
    def job(self) -> dict:
        """Its resolved job."""
        return {"job": "raw", "download": asdict(self)}

    @property
    def checksums(self) -> dict[str, str]:
        """<name>/<file> -> <algorithm>:<checksum>, as the job of a training names what it is given."""
        return {f"{self.name}/{file.name}": f"{file.algorithm}:{file.checksum}" for file in self.files}

    def bring(self, data: Path = DATA) -> tuple[Path, ...]:
        """Where the files lie in `data`, fetched if they are missing; their checksums are verified."""
        from latent_anatomy.data.fetch import fetch

        fetch(self, data / self.name, mirror_folder())
        return tuple(data / self.name / file.name for file in self.files)


def takes_weights(source: Path) -> bool:
    """Whether a method or protocol declares `weights`, by its source file.

    Not by importing it, which takes longer than all of a dry run.
    """
    return "\ndef weights(" in source.read_text(encoding="utf-8")


def registered(checksums: dict[str, str]) -> Iterable[RawFile]:
    """The files that `Download.checksums` names, to be verified."""
    for name, value in checksums.items():
        algorithm, _, checksum = value.partition(":")
        yield RawFile(name, None, algorithm, checksum)
