"""`phantom-<name>-pairs`: a phantom of MedMNIST, each drawing with a twin as in `datasets.medmnist_pairs`."""

from dataclasses import dataclass
from pathlib import Path

from latent_anatomy.data.dataset import Phantom
from latent_anatomy.datasets.medmnist_pairs import OfTwins
from latent_anatomy.datasets.phantoms import medmnist


@dataclass(frozen=True)
class PhantomPairs(Phantom, OfTwins):
    """Of a phantom of MedMNIST, whose one file is its own too."""

    base: medmnist.PhantomMedMnist

    @property
    def note(self) -> str:
        return f"{self.base.note}, each beside a twin whose kernel, brightness or noise was changed"

    def generate(self, raw_dir: Path) -> None:
        self.base.generate(raw_dir)


DATASETS = tuple(map(PhantomPairs, medmnist.DATASETS))
