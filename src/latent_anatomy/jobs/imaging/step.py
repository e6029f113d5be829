"""Where a step of `imaging` finds a subject's files, and what it leaves beside its volumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from latent_anatomy.data.dataset import Subject, Volumes, checked
from latent_anatomy.pipeline.volume_files import NUMBERS, PASSPORT, PICTURE, files_of, volume_name
from latent_anatomy.provenance.files import atomic_write, hashes, write_json
from latent_anatomy.provenance.passport import sealed


@dataclass(frozen=True)
class Place:
    """A subject's files: raw ones below `raw`, those of each step below `interim`/<subject>/<step>.

    It is given the data set and does not find it by name, so that the sources of a step do not depend on
    those of all data sets.
    """

    dataset: Volumes
    subject: Subject
    raw: Path
    interim: Path

    def raw_images(self) -> dict[str, Path]:
        """Image -> raw file, its checksum found right."""
        return self._checked(self.subject.images)

    def raw_masks(self) -> dict[str, Path]:
        """Mask -> raw file, its checksum found right."""
        return self._checked(self.subject.masks)

    def step(self, name: str) -> Path:
        """The folder of a step."""
        return self.interim / self.subject.name / name

    def volume(self, step: str, name: str) -> Path:
        """An image or mask that a step made."""
        return self.step(step) / volume_name(name)

    def _checked(self, files: Mapping[str, str]) -> dict[str, Path]:
        return {name: checked(self.dataset, file, self.raw) for name, file in files.items()}


def finish(place: Place, step: str, proof: dict, numbers: Mapping[str, float], picture: bytes) -> None:
    """Write picture (PNG), numbers (name -> number) and the passport, which proves them and the volumes.

    The passport has the subject's name too, as `subject`.
    """
    out = place.step(step)
    with atomic_write(out / PICTURE) as temporary:
        temporary.write_bytes(picture)
    write_json(out / NUMBERS, {name: float(value) for name, value in numbers.items()})
    names = [*files_of(place.dataset, step), PICTURE, NUMBERS]
    outputs = hashes({name: out / name for name in names})
    # The job is the same for everybody, so that only this says whose the files are.
    write_json(out / PASSPORT, sealed(proof, subject=place.subject.name, outputs=outputs))
