"""The phantom of fastMRI with the boxes of fastMRI+: drawn heads, eight kinds of pathology, the same files.

A head is an axial T1 slice: scalp, skull, cortex, white matter, ventricles with their septum. The kinds
differ in what they change: a mass and a lesion are dark and round, of two sizes; an oedema is large and
faint; a resection leaves a hole of fluid at the surface, a craniotomy a gap in the skull; ventricles grow, or
lose their septum; white-matter lesions are small. Boxes lie around the change. No number measured on them
says anything about the real images.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.datasets.fastmri import ANNOTATIONS, COLUMNS, NORMAL, FastMri
from latent_anatomy.datasets.phantoms.soft_shapes import Array, Random, Sheet, noisy  # not the package
from latent_anatomy.provenance.files import atomic_write

KINDS = (
    "Mass",
    "Edema",
    "Nonspecific lesion",
    "Nonspecific white matter lesion",
    "Resection cavity",
    "Enlarged ventricles",
    "Craniotomy",
    "Absent septum pellucidum",
)
FLUID, GREY, WHITE, BONE, FAT = 0.2, 0.55, 0.8, 0.06, 1.0
NOISE, GRAIN = 0.02, 0.03
GAIN = 3e-4  # fastMRI's images are as small
TESTED_SLICE = 1
SLICES = 2


@dataclass(frozen=True)
class PhantomFastMri(Phantom, FastMri):
    """Read as `FastMri`: `normals` healthy people, and three of every kind; a mass comes with a lesion."""

    name = "phantom-fastmri"
    note = "drawn by this project in the layout of fastMRI and fastMRI+"
    seed: int = 0
    normals: int = 66
    grid: int = 72
    size: int = 64
    validation: int = 8
    tested: int = 16
    normal_slice: int = TESTED_SLICE
    listed: tuple[tuple[str, tuple[int, ...]], ...] = tuple(
        (f"file_brain_AXT1_902_{number:07d}", (TESTED_SLICE,)) for number in range(3 * len(KINDS))
    )

    @property
    def healthy(self) -> list[str]:
        return [f"file_brain_AXT1_901_{number:07d}" for number in range(self.normals)]

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        names = [*self.healthy, *(file for file, _ in self.listed)]
        return (RawFile(ANNOTATIONS), *(RawFile(f"{name}.h5") for name in names))

    def generate(self, raw_dir: Path) -> None:
        """Write the volumes and `brain.csv` into `raw_dir`; equal fields give equal bytes."""
        rows = [
            dict(zip(COLUMNS, (file, 0, "Yes", "", "", "", "", NORMAL), strict=True)) for file in self.healthy
        ]
        for number, file in enumerate(self.healthy):
            self._write(raw_dir / f"{file}.h5", np.random.default_rng([self.seed, 0, number]), ())
        for number, (file, _) in enumerate(self.listed):
            kind = KINDS[number % len(KINDS)]
            kinds = (kind, "Nonspecific lesion") if kind == "Mass" else (kind,)
            boxes = self._write(raw_dir / f"{file}.h5", np.random.default_rng([self.seed, 1, number]), kinds)
            for label, box in zip(kinds, boxes, strict=True):
                values = (file, TESTED_SLICE, "No", *box, label)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        with atomic_write(raw_dir / ANNOTATIONS) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    def _write(self, path: Path, random: Random, kinds: tuple[str, ...]) -> list[tuple[int, int, int, int]]:
        """One volume, upside down as the scanner has it; the boxes of `kinds` on its tested slice."""
        import h5py

        planes, boxes = np.zeros((SLICES, self.grid, self.grid), np.float32), []
        for position in range(SLICES):
            sheet, found = head(random, self.grid, kinds if position == TESTED_SLICE else ())
            planes[position] = GAIN * noisy(sheet.values, random, NOISE, GRAIN)[::-1]
            boxes += [sheet.pixels(mask) for mask in found]
        with atomic_write(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            file["reconstruction_rss"] = planes
        return boxes


def head(random: Random, size: int, kinds: tuple[str, ...] = ()) -> tuple[Sheet, list[Array]]:
    """A drawn head, and of each of `kinds` the soft mask (size, size) of what is changed."""
    sheet = Sheet(size)
    wide, high = random.uniform(0.7, 0.78), random.uniform(0.84, 0.9)
    x, y = random.uniform(-0.04, 0.04, 2)
    turn = random.uniform(-0.06, 0.06)

    def oval(part: float) -> Array:
        return sheet.ellipse(x, y, part * wide, part * high, turn)

    sheet.paint(FAT * random.uniform(0.85, 1.0), oval(1.0))
    skull, brain = oval(0.92) * (1 - oval(0.84)), oval(0.82)
    sheet.paint(BONE, oval(0.92))
    sheet.paint(FLUID, oval(0.84))
    folds = 0.82 + 0.025 * np.sin(12 * np.arctan2(sheet.y - y, sheet.x - x) + random.uniform(0, 6))
    sheet.paint(
        GREY, np.clip(sheet.soft((folds - np.hypot((sheet.x - x) / wide, (sheet.y - y) / high)) * wide), 0, 1)
    )
    sheet.paint(WHITE * random.uniform(0.95, 1.05), oval(0.68))
    grown = random.uniform(1.8, 2.3) if "Enlarged ventricles" in kinds else random.uniform(0.9, 1.1)
    ventricles = np.zeros_like(sheet.values)
    for side in (-1, 1):
        horn = sheet.ellipse(
            x + side * 0.085 * grown**0.7, y - 0.02, 0.062 * grown, 0.24 * grown**0.5, side * 0.25
        )
        ventricles = np.maximum(ventricles, horn)
    septum = sheet.ellipse(x, y - 0.05, 0.022, 0.2)
    sheet.paint(FLUID, ventricles)
    sheet.paint(FLUID if "Absent septum pellucidum" in kinds else WHITE, septum)
    for side in (-1, 1):
        sheet.paint(GREY * 1.1, sheet.ellipse(x + side * 0.24, y + 0.05, 0.09, 0.17, -side * 0.3))
    return sheet, list(_changes(sheet, random, kinds, (x, y, wide, high), ventricles, septum, skull, brain))


def _changes(
    sheet: Sheet,
    random: Random,
    kinds: tuple[str, ...],
    place: tuple[float, float, float, float],
    ventricles: Array,
    septum: Array,
    skull: Array,
    brain: Array,
) -> Iterator[Array]:
    """Paint what each of `kinds` changes, and give its mask."""
    x, y, wide, high = place
    side = random.choice((-1, 1))
    for number, kind in enumerate(kinds):
        angle = random.uniform(-0.9, 0.9) + (0 if side * (-1) ** number > 0 else np.pi)
        radius = random.uniform(0.42, 0.55)
        at = x + radius * wide * np.cos(angle), y + radius * high * np.sin(angle)
        rim = x + 0.72 * wide * np.cos(angle), y + 0.72 * high * np.sin(angle)
        if kind == "Enlarged ventricles":
            mask = ventricles
        elif kind == "Absent septum pellucidum":
            mask = septum
        elif kind == "Craniotomy":
            mask = skull * sheet.ellipse(
                x + 0.88 * wide * np.cos(angle), y + 0.88 * high * np.sin(angle), 0.2, 0.2
            )
            sheet.paint(GREY, mask)
        elif kind == "Resection cavity":
            mask = brain * sheet.ellipse(*rim, 0.17, 0.2)
            sheet.paint(FLUID, mask)
        elif kind == "Edema":
            mask = sheet.ellipse(*at, 0.26, 0.22, angle)
            sheet.paint(0.5, 0.6 * mask)
        else:
            size = {"Mass": 0.17, "Nonspecific lesion": 0.09}.get(kind, 0.05) * random.uniform(0.9, 1.15)
            mask = sheet.ellipse(*at, size, size * random.uniform(0.85, 1.0), angle)
            sheet.paint(0.32, mask)
        yield mask


DATASETS = (PhantomFastMri(),)
