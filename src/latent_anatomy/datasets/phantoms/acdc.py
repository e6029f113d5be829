"""A phantom of ACDC: cine MR of drawn hearts of the five groups of patients, in the challenge's own layout.

    training/patient001/Info.cfg                         ED: 1, ES: 4, Group: DCM, Height: 168.0, ...
    training/patient001/patient001_4d.nii.gz             the cine
    training/patient001/patient001_frame01.nii.gz        ED, the first of its frames; and likewise ES
    training/patient001/patient001_frame01_gt.nii.gz     0, 1 right ventricle, 2 myocardium, 3 left ventricle

As in ACDC, patients are ordered by group, and pixels and distances of positions differ. Hearts
(`hearts`) lie askew in the picture. All of the left ventricle is covered, and its volume is known
exactly: `heart(patient).volume_ml(0)` at ED, `volume_ml(1)` at ES. Everything about a patient depends only on
the seed, its number and its group. They show no patient, and no number measured on them says anything about
ACDC.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.dataset import Phantom, RawFile
from latent_anatomy.data.slices import defect
from latent_anatomy.datasets.acdc import Acdc
from latent_anatomy.datasets.acdc_patients import GROUPS, PATIENTS
from latent_anatomy.datasets.phantoms import chests  # not the package, which has all of them
from latent_anatomy.datasets.phantoms.hearts import STRUCTURES, Array, Heart, contraction, end_systole
from latent_anatomy.provenance.files import atomic_write

LABELS = {"right-ventricle": 1, "myocardium": 2, "left-ventricle": 3}
CODES = np.array([0, *(LABELS.get(name, 0) for name in STRUCTURES)], np.uint8)
CENTRE = (-14.0, 0.0)  # of the heart in the picture, u and v
BEAT_S = 0.9


@dataclass(frozen=True)
class PhantomAcdc(Phantom, Acdc):
    """Read as `Acdc`, onto a smaller and coarser grid. As many `patients` of each group, at least three.

    Of every group, a fold tests one and validates on the next; nobody is tested in two folds.
    frames                    of the cine
    pixels_mm, positions_mm   ranges of the spacing      field_mm   field of view along columns and rows
    """

    patients: tuple[str, ...] = PATIENTS[:20]
    frames: int = 8
    seed: int = 0
    pixels_mm: tuple[float, float] = (1.4, 1.8)
    positions_mm: tuple[float, float] = (9.0, 10.0)
    field_mm: tuple[float, float] = (148.0, 132.0)
    name = "phantom-acdc"
    note = "drawn by this project in the layout of ACDC"
    folds: tuple[str, ...] = ("fold-0", "fold-1")
    size: int = 64
    spacing_mm: float = 2.25

    @property
    def people(self) -> int:
        """How many there are of each group."""
        return len(self.patients) // len(GROUPS)

    def group(self, patient: str) -> str:
        return GROUPS[self.patients.index(patient) // self.people]

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        ends = ["Info.cfg", "{}_4d.nii.gz"]
        for number in (1, 1 + end_systole(self.frames)):
            ends += [f"{{}}_frame{number:02d}.nii.gz", f"{{}}_frame{number:02d}_gt.nii.gz"]
        return tuple(RawFile(f"training/{who}/{end.format(who)}") for who in self.patients for end in ends)

    def cohort(self, fold: str, labelled: float) -> Cohort:
        """The people of a fold, `labelled` % of those of training with their masks; ValueError if none."""
        if fold not in self.folds:
            raise defect(f"{self.name}: fold", f"one of {', '.join(self.folds)}", repr(fold), "choose one")
        tested = self.folds.index(fold)
        place = np.arange(len(self.patients)) % self.people
        val, test = (place == (tested + 1) % self.people), place == tested
        train, val, test = (
            tuple(np.array(self.patients)[chosen].tolist()) for chosen in (~(val | test), val, test)
        )
        return Cohort(train, val, test, draw(train, labelled, self.seed))

    def generate(self, raw_dir: Path) -> None:
        """Write the files of everybody into `raw_dir`; equal fields give equal bytes."""
        for patient in self.patients:
            self._write(patient, raw_dir / "training" / patient)

    def heart(self, patient: str) -> Heart:
        """The anatomy that is drawn; `volume_ml(0)` is the LV's at ED, `volume_ml(1)` at ES."""
        return Heart.draw(self._random(patient, 0), self.group(patient))

    def _write(self, patient: str, folder: Path) -> None:
        heart, random = self.heart(patient), self._random(patient, 1)
        grid, shape, spacing = self._grid(heart, random)
        phases, end = contraction(self.frames), end_systole(self.frames)
        cine = chests.scan(heart, phases, "cine", grid, shape, random)
        seconds = round(BEAT_S / self.frames, 4)
        start = folder / patient
        chests.write(Path(f"{start}_4d.nii.gz"), np.moveaxis(cine, 0, 3), (*spacing, seconds))
        for frame in (0, end):
            mask = CODES[chests.labels(heart, phases[frame], grid, shape)]
            chests.write(Path(f"{start}_frame{frame + 1:02d}.nii.gz"), cine[frame], spacing)
            chests.write(Path(f"{start}_frame{frame + 1:02d}_gt.nii.gz"), mask, spacing)
        info = {
            "ED": 1,
            "ES": end + 1,
            "Group": self.group(patient),
            "Height": round(random.uniform(155, 190), 1),
            "NbFrame": self.frames,
            "Weight": round(random.uniform(55, 100), 1),
        }
        with atomic_write(folder / "Info.cfg") as temporary:
            text = "".join(f"{key}: {value}\n" for key, value in info.items())
            temporary.write_text(text, encoding="utf-8", newline="\n")

    def _grid(self, heart: Heart, random: np.random.Generator) -> tuple[Array, tuple, tuple]:
        """Voxels -> heart (4, 4), numbers of voxels and their sizes: short-axis slices from base to apex."""
        pixel, distance = (round(random.uniform(*mm), 4) for mm in (self.pixels_mm, self.positions_mm))
        angle = np.radians(random.uniform(-25, 25))
        first = heart.base(0) + distance * random.uniform(0.2, 0.8)
        columns, rows = (round(field / pixel) for field in self.field_mm)
        grid = np.eye(4)
        grid[:2, 0] = pixel * np.cos(angle), pixel * np.sin(angle)
        grid[:2, 1] = pixel * np.sin(angle), -pixel * np.cos(angle)  # downwards
        grid[2, 2] = -distance
        centre = np.add(CENTRE, random.uniform(-6, 6, 2))
        grid[:3, 3] = *(centre - grid[:2, :2] @ [(columns - 1) / 2, (rows - 1) / 2]), first
        return grid, (columns, rows, 1 + int(first / distance)), (pixel, pixel, distance)

    def _random(self, patient: str, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(patient.removeprefix("patient")), what])


DATASETS = (PhantomAcdc(),)
