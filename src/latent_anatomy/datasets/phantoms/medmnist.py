"""Phantoms of the five MedMNIST sets, at each size: drawings in the same file layout, classes and shape.

The drawings (`drawings`) are exposed and tinted at random, strongly enough that the mean intensity
alone is a poor classifier, and get faint noise. Every image depends only on the seed, its data set, its
split, its position there and its label. They show no patient, and no number measured on them says anything
about the real sets.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets.medmnist import (
    SIZE,
    SIZES,
    SPLITS,
    OfMedMnist,
    file_name,
    from_arrays,
    info,
    read_npz,
)
from latent_anatomy.datasets.phantoms.drawings import Square, blood, breast, derma, pneumonia, retina
from latent_anatomy.provenance.files import atomic_write

NOISE = 0.008  # standard deviation of the pixel noise, of 1


@dataclass(frozen=True)
class PhantomMedMnist(Phantom, OfMedMnist):
    """A phantom of the MedMNIST set `published`, drawn by `draw(label, random, square)`."""

    published: str
    draw: Callable[[int, np.random.Generator, Square], np.ndarray] = field(repr=False)
    size: int = SIZE
    train: int = 256
    val: int = 64
    test: int = 128
    seed: int = 0

    @property
    def name(self) -> str:
        return f"phantom-{file_name(self.published, self.size)}"

    @property
    def note(self) -> str:
        return f"drawn by this project in the layout of {info(self.published)['python_class']}{self.at_size}"

    @property
    def files(self) -> tuple[RawFile, ...]:
        return (RawFile(f"{self.name}.npz"),)

    def generate(self, raw_dir: Path) -> None:
        """Write `<name>.npz` atomically; equal fields give equal bytes."""
        arrays = {}
        for split in SPLITS:
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = self._split(split)
        with atomic_write(raw_dir / self.files[0].name) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # stored, not deflated: the bytes do not depend on the zlib at hand

    def to_slices(self, raw_dir: Path) -> Slices:
        path = raw_dir / self.files[0].name
        sizes = {split: getattr(self, split) for split in SPLITS}
        return from_arrays(read_npz(path, self.files[0]), path, self.name, self.published, sizes, self.size)

    def _split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, size, size[, 3]) and labels (n, 1), uint8, the classes equally often and shuffled."""
        count, key = getattr(self, split), [self.seed, zlib.crc32(self.name.encode()), SPLITS.index(split)]
        labels = np.random.default_rng(key).permutation(np.arange(count) % self.classes)
        square = Square(self.size)
        images = [
            self._image(label, np.random.default_rng([*key, i]), square) for i, label in enumerate(labels)
        ]
        return np.stack(images), labels[:, None].astype(np.uint8)

    def _image(self, label: int, random: np.random.Generator, square: Square) -> np.ndarray:
        """One image as a camera would give it: exposed, tinted, faintly noisy, rounded to uint8."""
        image = np.clip(self.draw(int(label), random, square), 0, 1) ** random.uniform(0.8, 1.25)
        image = image * random.uniform(0.8, 1.0) * (1 + random.uniform(-0.04, 0.04, image.shape[2]))
        image = np.clip(image + NOISE * random.standard_normal(image.shape), 0, 1)
        colour = [3] if self.channels == 3 else []
        return np.round(255 * image).astype(np.uint8).reshape(self.size, self.size, *colour)


DRAWN = {
    "bloodmnist": blood,
    "breastmnist": breast,
    "dermamnist": derma,
    "pneumoniamnist": pneumonia,
    "retinamnist": retina,
}
DATASETS = (
    *(PhantomMedMnist(published, draw) for published, draw in DRAWN.items()),
    # fewer, because a drawing takes as long as it has pixels
    *(
        PhantomMedMnist(published, draw, size, train=64, val=16, test=32)
        for published, draw in DRAWN.items()
        for size in SIZES[1:]
    ),
)
