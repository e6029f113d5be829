"""The phantom of GRAZPEDWRI-DX: drawn wrists of children, all seven classes of boxes, the same files.

A wrist is a frontal X-ray: radius and ulna with their growth plates, carpal bones, metacarpals, soft tissue.
The classes differ in what they change: a fracture is a thin dark gap, metal a bright plate, a foreign body a
bright speck in soft tissue; a bone anomaly is a round hole, a periosteal reaction a faint line beside the
bone, a pronator sign a dark stripe, swollen soft tissue a bulge. The table tells only two of them, so that
the others are normal by the rule of RA, as some are in the real set. No number measured here says anything
about that.
"""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.datasets import voc
from latent_anatomy.datasets.graz import CLASSES, COLUMNS, TABLE, Graz
from latent_anatomy.datasets.phantoms.soft_shapes import Array, Random, Sheet, noisy  # not the package
from latent_anatomy.provenance.files import atomic_write

KINDS = tuple(CLASSES)
TOLD = {"fracture": "fracture_visible", "metal": "metal"}  # the classes that the table tells
AIR, SOFT, BONE, CORTEX, METAL = 0.03, 0.22, 0.55, 0.72, 1.0
NOISE, GRAIN = 0.012, 0.03
CUT = 6  # columns that are cut off on each side, so that images are not square


@dataclass(frozen=True)
class PhantomGraz(Phantom, Graz):
    """Read as `Graz`: `normals` healthy children, and `each` images of every class."""

    name = "phantom-graz"
    note = "drawn by this project in the layout of GRAZPEDWRI-DX"
    stands_for = None
    seed: int = 0
    normals: int = 84
    each: int = 4
    shares: tuple[tuple[str, int], ...] = (("train", 60), ("val", 76), ("test", 100))
    grid: int = 84
    size: int = 64

    @property
    def stems(self) -> dict[str, str]:
        """Stem of the file -> kind, "" of the healthy."""
        healthy = {f"{number:04d}_01_WRI-L1": "" for number in range(1, self.normals + 1)}
        kinds = [kind for _ in range(self.each) for kind in KINDS]
        return healthy | {f"{number:04d}_01_WRI-R1": kind for number, kind in enumerate(kinds, start=9001)}

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        names = [f"{stem}.{kind}" for stem in self.stems for kind in ("png", "xml")]
        return (RawFile(TABLE), *map(RawFile, names))

    def generate(self, raw_dir: Path) -> None:
        """Write images, boxes and `dataset.csv` into `raw_dir`; equal fields give equal bytes."""
        from PIL import Image

        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
        table.writeheader()
        for number, (stem, kind) in enumerate(self.stems.items()):
            sheet, mask = wrist(np.random.default_rng([self.seed, number]), self.grid, kind)
            values = noisy(sheet.values, np.random.default_rng([self.seed, 1, number]), NOISE, GRAIN)
            image = np.round(np.clip(values, 0, 1) * 60000).astype(np.uint16)[:, CUT:-CUT]
            boxes = [voc.Named("text", (2, 2, 6, 6))]
            if mask is not None:
                left, top, wide, high = sheet.pixels(mask)
                boxes.append(voc.Named(kind, (left - CUT, top, wide, high)))
            with atomic_write(raw_dir / f"{stem}.png") as temporary:
                Image.fromarray(image).save(temporary, format="PNG")
            with atomic_write(raw_dir / f"{stem}.xml") as temporary:
                temporary.write_text(voc.written(boxes), encoding="utf-8")
            row = {"filestem": stem, "patient_id": stem.split("_")[0], "projection": "1"}
            table.writerow(row | ({TOLD[kind]: "1"} if kind in TOLD else {}))
        with atomic_write(raw_dir / TABLE) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8-sig")  # as the publisher has it


def wrist(random: Random, size: int, kind: str = "") -> tuple[Sheet, Array | None]:
    """A drawn wrist, and the soft mask (size, size) of what `kind` changes."""
    sheet = Sheet(size)
    sheet.values += AIR
    x, lean = random.uniform(-0.04, 0.04), random.uniform(-0.05, 0.05)
    wide = random.uniform(0.46, 0.52)
    middle = x + lean * sheet.y
    arm = sheet.soft(wide + 0.09 * sheet.y * (sheet.y < 0) - np.abs(sheet.x - middle))
    sheet.paint(SOFT * random.uniform(0.9, 1.1), arm)
    radius, ulna = x - 0.19, x + 0.21
    plate = random.uniform(0.08, 0.13)

    def shaft(at: float, half: float, top: float) -> Array:
        flare = half * (1 + 0.6 * np.exp(-np.maximum(sheet.y - top, 0) / 0.18))
        return sheet.soft(np.minimum(flare - np.abs(sheet.x - lean * sheet.y - at), sheet.y - top))

    for at, half, top in ((radius, 0.11, plate), (ulna, 0.075, plate + 0.05)):
        sheet.paint(CORTEX, shaft(at, half, top))
        sheet.paint(BONE, shaft(at, half - 0.035, top + 0.03))
        sheet.paint(BONE, sheet.ellipse(at + lean * top, top - 0.07, 1.55 * half, 0.045))
    for row, column in (
        (-0.12, -0.24),
        (-0.13, 0.0),
        (-0.1, 0.22),
        (-0.3, -0.26),
        (-0.32, -0.02),
        (-0.29, 0.2),
    ):
        sheet.paint(BONE, sheet.ellipse(x + column, row, *random.uniform(0.085, 0.105, 2)))
    for column in (-0.33, -0.12, 0.09, 0.29):
        sheet.paint(CORTEX, sheet.ellipse(x + 1.05 * column, -0.75, 0.075, 0.33, 0.25 * column))
        sheet.paint(BONE, sheet.ellipse(x + 1.05 * column, -0.75, 0.045, 0.3, 0.25 * column))
    mask = _change(sheet, random, kind, (radius, ulna, wide, lean)) if kind else None
    return sheet, mask


def _change(sheet: Sheet, random: Random, kind: str, place: tuple[float, float, float, float]) -> Array:
    """Paint what `kind` changes, and give its mask."""
    radius, ulna, wide, lean = place
    y = random.uniform(0.35, 0.7)
    at = (radius if random.random() < 0.7 else ulna) + lean * y
    if kind == "fracture":
        mask = sheet.ellipse(at, y, 0.15, 0.045, random.uniform(-0.4, 0.4))
        sheet.paint(SOFT, mask)
    elif kind == "metal":
        mask = sheet.ellipse(at, y, 0.06, 0.26)
        sheet.paint(METAL, mask)
    elif kind == "foreignbody":
        side = random.choice((-1, 1))
        mask = sheet.ellipse((radius + ulna) / 2 + side * (wide - 0.08), y, 0.04, 0.05)
        sheet.paint(0.9, mask)
    elif kind == "boneanomaly":
        mask = sheet.ellipse(radius + lean * y, y, 0.09, 0.12)
        sheet.paint(0.3, mask)
    elif kind == "periostealreaction":
        mask = sheet.ellipse(radius + lean * y - 0.165, y, 0.035, 0.2)
        sheet.paint(0.45, mask)
    elif kind == "pronatorsign":
        mask = sheet.ellipse((radius + ulna) / 2 + lean * y, y, 0.05, 0.22, 0.15)
        sheet.paint(0.08, mask)
    else:
        side = random.choice((-1, 1))
        mask = sheet.ellipse((radius + ulna) / 2 + side * wide, y, 0.16, 0.22)
        sheet.values = np.maximum(sheet.values, 0.34 * mask)
    return mask


DATASETS = (PhantomGraz(),)
