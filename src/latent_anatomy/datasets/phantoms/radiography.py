"""The phantom of the COVID-19 Radiography Database: drawn chests, normal or with opacities, the same files.

A chest is lungs with ribs and vessels, heart, spine and diaphragm, of different sizes and exposures.
Opacities are soft patches in the lungs, one to three, from faint to dense. No number measured on them says
anything about the real images.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.datasets.phantoms.soft_shapes import Array, Random, Sheet, noisy  # not the package
from latent_anatomy.datasets.radiography import Radiography
from latent_anatomy.provenance.files import atomic_write

NOISE, GRAIN = 0.012, 0.03


@dataclass(frozen=True)
class PhantomRadiography(Phantom, Radiography):
    """Read as `Radiography`; files of `grid` x `grid` pixels."""

    name: str = "phantom-radiography"
    ill: tuple[str, int, int] = ("Lung_Opacity", 1, 24)
    note: str = "drawn by this project in the layout of the COVID-19 Radiography Database"
    stands_for: None = None
    sizes: tuple[int, int, int] = (48, 12, 20)
    size: int = 64
    seed: int = 0
    grid: int = 96

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        kind, first, last = self.ill
        names = [("Normal", number) for number in range(1, sum(self.sizes) + 1)]
        names += [(kind, number) for number in range(first, last + 1)]
        return tuple(RawFile(f"{kind}/images/{kind}-{number}.png") for kind, number in names)

    def generate(self, raw_dir: Path) -> None:
        """Write the images into `raw_dir`; equal fields give equal bytes."""
        from PIL import Image

        for number, file in enumerate(self.files):
            random = np.random.default_rng([self.seed, number])
            values = chest(random, self.grid, ill=not file.name.startswith("Normal/"))
            image = np.round(255 * np.clip(noisy(values, random, NOISE, GRAIN), 0, 1)).astype(np.uint8)
            with atomic_write(raw_dir / file.name) as temporary:
                Image.fromarray(image).save(temporary, format="PNG")


def chest(random: Random, size: int, ill: bool) -> Array:
    """A drawn chest (size, size)."""
    sheet = Sheet(size, edge=0.05)
    x, lean = random.uniform(-0.05, 0.05), random.uniform(-0.06, 0.06)
    sheet.values += 0.08
    sheet.paint(0.62, sheet.ellipse(x, 0.25, random.uniform(0.88, 1.0), 1.25))
    wide, high = random.uniform(0.28, 0.33), random.uniform(0.62, 0.72)
    lungs = [sheet.ellipse(x + side * 0.42, -0.08, wide, high, side * 0.12 + lean) for side in (-1, 1)]
    field = np.maximum(*lungs)
    sheet.paint(random.uniform(0.18, 0.26), field)
    ribs = 0.5 + 0.5 * np.sin(13 * (sheet.y + 0.35 * np.abs(sheet.x - x)) + random.uniform(0, 6))
    sheet.paint(0.45, 0.3 * field * ribs**3)
    for side in (-1, 1):
        sheet.paint(0.5, 0.5 * sheet.ellipse(x + side * 0.22, -0.05, 0.1, 0.22, side * 0.4))
    for _ in range(random.integers(1, 4) if ill else 0):
        side = random.choice((-1, 1))
        at = x + side * 0.42 + random.uniform(-0.1, 0.1), random.uniform(-0.4, 0.35)
        patch = sheet.ellipse(*at, *random.uniform(0.12, 0.24, 2), random.uniform(0, 3))
        sheet.paint(0.62, random.uniform(0.4, 0.85) * patch * field)
    sheet.paint(0.72, sheet.ellipse(x + 0.13, 0.3, random.uniform(0.24, 0.32), 0.34, 0.5))
    sheet.paint(0.74, sheet.ellipse(x, -0.1, 0.075, 1.1))
    sheet.paint(0.7, sheet.soft(sheet.y - 0.62 - 0.5 * (sheet.x - x) ** 2 + 0.1))
    return sheet.values * random.uniform(0.85, 1.1)


DATASETS = (PhantomRadiography(),)
