"""A phantom of MM-WHS: seven structures of drawn hearts under an MR and a CT contrast, in its layout.

    mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz     to 1006
    ct_train/ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz     to 1006

Axial volumes of chests (`chests`) with hearts near ED, turned a little and of all groups; in the MR
labels of even numbers a part of the left atrium has the value 421, as it happened in MM-WHS. Everything about
a subject depends only on the seed, its modality and its number; MR and CT show different people. They show no
patient, and no number measured on them says anything about MM-WHS.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.datasets.mmwhs import LABELS, MODALITIES, Mmwhs, files_of
from latent_anatomy.datasets.phantoms import chests  # not the package, which has all of them
from latent_anatomy.datasets.phantoms.hearts import BODY, GROUPS, STRUCTURES, Array, Heart

CODES = np.array([0, *(LABELS[name][0] for name in STRUCTURES)], np.int16)
UP = np.array([0.0, -4.0, 10.0])  # of the heart lies the middle of the volume, body's directions
LEFT_ATRIUM, SLIP = LABELS["left-atrium"]


@dataclass(frozen=True)
class PhantomMmwhs(Phantom, Mmwhs):
    """Read as `Mmwhs`, onto a smaller and coarser grid.

    shape      voxels of a volume: to the right, to the front, up
    voxel_mm   their sizes, which differ by up to 5 % between people
    """

    seed: int = 0
    shape: tuple[int, int, int] = (64, 64, 16)
    voxel_mm: tuple[float, float, float] = (2.4, 2.4, 7.0)
    name = "phantom-mmwhs"
    note = "drawn by this project in the layout of MM-WHS"
    numbers: tuple[int, ...] = tuple(range(1001, 1007))
    train: int = 4
    validation: int = 1
    size: int = 64
    spacing_mm: float = 2.4

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        pairs = (files_of(modality, number) for modality in MODALITIES for number in self.numbers)
        return tuple(RawFile(name) for pair in pairs for name in pair)

    def generate(self, raw_dir: Path) -> None:
        """Write image and label map of everybody into `raw_dir`; equal fields give equal bytes."""
        for modality in MODALITIES:
            for number in self.numbers:
                self._write(modality, number, raw_dir)

    def _write(self, modality: str, number: int, raw_dir: Path) -> None:
        random = np.random.default_rng([self.seed, MODALITIES.index(modality), number])
        heart = Heart.draw(random, list(GROUPS)[number % len(GROUPS)])
        phase = random.uniform(0, 0.1)
        grid, spacing = self._grid(heart, random)
        image = chests.scan(heart, np.array([phase]), modality.lower(), grid, self.shape, random)[0]
        labels = CODES[chests.labels(heart, phase, grid, self.shape)]
        if modality == "MR" and number % 2 == 0:
            lower = labels[..., : self.shape[2] // 2]
            lower[lower == LEFT_ATRIUM] = SLIP
        for name, values in zip(files_of(modality, number), (image, labels), strict=True):
            chests.write(raw_dir / name, values, spacing)

    def _grid(self, heart: Heart, random: np.random.Generator) -> tuple[Array, tuple[float, float, float]]:
        """Voxels, in the body's directions, -> heart (4, 4); and their sizes."""
        from scipy.spatial.transform import Rotation  # slow to load, and only drawing needs it

        turned = Rotation.from_euler("xyz", random.uniform(-10, 10, 3), degrees=True).as_matrix()
        spacing = tuple(round(mm * random.uniform(0.95, 1.05), 4) for mm in self.voxel_mm)
        centre = np.array([-16.0, 0.0, 0.7 * heart.base(0)]) + BODY @ UP + random.uniform(-4, 4, 3)
        grid = np.eye(4)
        grid[:3, :3] = BODY @ turned @ np.diag(spacing)
        grid[:3, 3] = centre - grid[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return grid, spacing


DATASETS = (PhantomMmwhs(),)
