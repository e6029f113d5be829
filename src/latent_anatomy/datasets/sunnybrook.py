"""Sunnybrook Cardiac Data: short-axis cine MR of four people with heart failure, left ventricle delineated.

Radau et al.: Evaluation framework for algorithms segmenting short axis cardiac MRI. The MIDAS Journal (2009);
www.cardiacatlas.org. Here, per patient, one `.npz` (names and SHA-256: `sunnybrook.sha256`) with

    image (S, 20, 128, 128) int16         positions and frames, a window of the scan around the heart
    endo_mask, epi_mask, has_endo, has_epi   what an expert drew, and where: endocardium at ED and ES,
                                             epicardium at ED alone, on the positions that show the ventricle
    pixel_spacing (2,), slice_thickness   in mm; slices are taken to touch, as no other distance is recorded

Planes are the myocardium (between both contours) and the left ventricle (inside the endocardium, papillary
muscles included), each drawn where its contours are. ED and ES are the two frames with contours, ED the one
with more left ventricle. The ventricle's volume is that of the drawn positions; those beyond its base and
apex, where the expert drew nothing, count as not delineated, not as empty.

Images as in `cardiac`, all frames of a patient normalised by the whole cine, resampled to 1.37 mm so that
what was learnt on ACDC can be tried here, and 128 x 128: there is nothing beyond the window.

Folds leave one out: loo-0 tests the first patient, validates with the next one and trains on the others.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import NOT_DELINEATED, Slices, defect
from latent_anatomy.imaging import cardiac
from latent_anatomy.imaging.cardiac import Stack
from latent_anatomy.provenance import unpacking

MANIFEST = Path(__file__).with_suffix(".sha256")
PATIENTS = ("SCD0000101", "SCD0000201", "SCD0000301", "SCD0000401")
FOLDS = tuple(f"loo-{fold}" for fold in range(len(PATIENTS)))
MASKS = ("myocardium", "left-ventricle")
MODALITY = "MR cine"
SIZE = 128
DRAW_SEED = 1
ARRAYS = ("image", "endo_mask", "epi_mask", "has_endo", "has_epi", "pixel_spacing", "slice_thickness")


@dataclass(frozen=True)
class Sunnybrook(Dataset):
    """The data set `sunnybrook`."""

    name = "sunnybrook"
    note = (
        "four people with heart failure; endocardium at ED and ES, epicardium at ED; the distance of "
        "positions is the slice thickness"
    )
    task = "segmentation"
    has = of_three_splits(*MASKS)
    licence = "CC0"
    folds = FOLDS

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def cohort(self, fold: str, labelled: float) -> Cohort:
        """Two train, one validates, one is tested; ValueError for another fold or if nobody is labelled."""
        if fold not in self.folds:
            raise defect(f"{self.name}: fold", f"one of {', '.join(self.folds)}", repr(fold), "choose one")
        first = self.folds.index(fold)
        test, val, *train = PATIENTS[first:] + PATIENTS[:first]
        return Cohort(tuple(sorted(train)), (val,), (test,), draw(sorted(train), labelled, DRAW_SEED))

    def to_slices(self, raw_dir: Path) -> Slices:
        """Every frame of every patient; ValueError for anything unexpected in the files."""
        paths = [checked(self, file.name, raw_dir) for file in self.files]
        stacks = [stack for path in paths for stack in stacks_of(path.stem, _read(path), path)]
        return cardiac.table(stacks, self.cohort(self.folds[0], 100), self.name, MASKS)


def stacks_of(patient: str, raw: dict[str, NDArray], where: object) -> list[Stack]:
    """ED, ES and the other frames of a patient, in the order of time, all of the same size."""
    pixel, distance = tuple(map(float, raw["pixel_spacing"])), float(raw["slice_thickness"])
    positions, frames, *shape = raw["image"].shape

    def fine(name: str, order: int) -> tuple[NDArray, tuple[float, float]]:
        flat, grid = cardiac.resampled(raw[name].reshape(-1, *shape), pixel, order)
        return flat.reshape(positions, frames, *flat.shape[1:]), grid

    image, grid = fine("image", order=1)
    images = cardiac.quantised(cardiac.square(cardiac.unit_range(image, where), SIZE))
    endo, epi = (cardiac.square(fine(name, order=0)[0], SIZE) for name in ("endo_mask", "epi_mask"))
    has_endo, has_epi = raw["has_endo"] == 1, raw["has_epi"] == 1
    masks = np.stack([epi & ~endo & 1, endo], axis=2)
    masks[~(has_endo & has_epi), 0] = NOT_DELINEATED
    masks[~has_endo, 1] = NOT_DELINEATED
    phase = _phases(raw["endo_mask"], has_endo, where)
    return [
        Stack(
            subject=patient,
            modality=MODALITY,
            images=images[:, frame],
            masks=masks[:, frame],
            phase=phase.get(frame, f"frame-{frame + 1:02d}"),
            spacing_mm=(*grid, distance),
        )
        for frame in range(frames)
    ]


def _phases(endo: NDArray[np.uint8], has_endo: NDArray[np.bool_], where: object) -> dict[int, str]:
    """Frame -> "ED" or "ES"; ValueError unless there are two frames with contours."""
    drawn = np.flatnonzero(has_endo.any(axis=0))
    if len(drawn) != 2:
        found = f"{len(drawn)} labelled frames"
        raise defect(where, "endocardial contours at two frames, ED and ES", found, "fetch the file again")
    area = endo.sum(axis=(0, 2, 3), dtype=np.int64)
    late, full = sorted(drawn.tolist(), key=lambda frame: area[frame])
    return {full: "ED", late: "ES"}


def _read(path: Path) -> dict[str, NDArray]:
    """The arrays of a file, of the shapes and with the values described above."""
    again = "fetch it again"
    raw = unpacking.read_npz(path, remedy=again)
    if missing := sorted(set(ARRAYS) - set(raw)):
        raise defect(path, f"arrays {', '.join(ARRAYS)}", f"no {', '.join(missing)}", again)
    shape = raw["image"].shape
    if len(shape) != 4 or shape[2:] != (SIZE, SIZE):
        raise defect(path, f"image (positions, frames, {SIZE}, {SIZE})", shape, again)
    shapes = {"endo_mask": shape, "epi_mask": shape, "has_endo": shape[:2], "has_epi": shape[:2]}
    shapes |= {"pixel_spacing": (2,), "slice_thickness": ()}
    for name, expected in shapes.items():
        if raw[name].shape != expected:
            raise defect(path, f"{name} of the grid of its image, {expected}", raw[name].shape, again)
    for name in ("endo_mask", "epi_mask", "has_endo", "has_epi"):
        if unknown := sorted(set(np.unique(raw[name]).tolist()) - {0, 1}):
            raise defect(path, f"labels 0 and 1 in {name}", unknown[:5], again)
    sizes = [*raw["pixel_spacing"], raw["slice_thickness"]]
    if not (np.isfinite(sizes).all() and min(sizes) > 0):
        raise defect(path, "positive distances in mm", sizes, again)
    return raw


DATASETS = (Sunnybrook(),)
