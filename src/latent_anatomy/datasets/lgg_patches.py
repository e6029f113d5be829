"""Patches of brain of 109 patients with low-grade glioma from four hospitals, each with a simulated twin.

The slices of `lgg-flair` (see `lgg_flair`) cut into a grid of patches of 28 x 28 whose pixels are interior,
all but a tenth. Unlike there, the tumour slices of training patients stay.

site        the hospital. EZ is left out: it has one patient, who cannot be in training and in test
labels      1 where at least half of a patch is tumour, 0 where none is; patches between are left out
modality    "MR FLAIR", or "MR FLAIR, simulated" for the twin of the same patch, its `pair`
time, event, covariates    as in `lgg-flair`

Nobody was imaged in two hospitals: there are no real pairs. The twin is what a simulated scanner makes of the
slice: contrast (a power drawn for each patient), blur and noise. It stands for no hospital.

Split by patient within each hospital, by permutations with a fixed seed: of ten in turn six train, one
validates, three test.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets import lgg_flair
from latent_anatomy.datasets.lgg_flair import (
    CLINICAL,
    INDEX,
    head_of,
    interior_of,
    known_of,
    normalised,
    rows_of,
)

PATCH = 28
WITHIN = 0.9  # of a patch is interior
ALONE = "EZ"
TURNS = ("train",) * 6 + ("val",) + ("test",) * 3
POWERS, BLUR, NOISE = (0.6, 1.5), 0.6, 0.03  # range of powers, pixels, standard deviation of [0, 1]
MODALITIES = ("MR FLAIR", "MR FLAIR, simulated")
SEED = 1333


@dataclass(frozen=True)
class LggPatches(Dataset):
    """The data set `lgg-patches`."""

    name: str = "lgg-patches"
    family = "lgg_flair"
    note = (
        "patches of MR slices of gliomas in place of CT of fibrosis; no anatomy was imaged in two hospitals, "
        "so that pairs are simulated; three or four slices of each patient, 30 deaths"
    )
    task = "binary-class"
    has = of_three_splits()
    classes = 2
    licence = "CC BY-NC-SA 4.0"

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(lgg_flair.MANIFEST)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, 28, 28); ValueError for anything unexpected in the files."""
        for file in self.files:
            file.verify(raw_dir / file.name)
        table = rows_of(raw_dir / INDEX, {"patient", "file_stem", "slice"})
        rows = sorted(table, key=lambda row: (row["patient"], int(row["slice"])))
        names = sorted({row["patient"] for row in rows})
        hospital = dict(zip(names, known_of(names, raw_dir / CLINICAL)["site"].tolist(), strict=True))
        split = split_of({name: site for name, site in hospital.items() if site != ALONE})
        images, labels, subjects, positions = [], [], [], []
        for patient, own in groupby(rows, key=lambda row: row["patient"]):
            if patient not in split:
                continue
            found, of_tumour = patches(*_read(raw_dir / patient, [row["file_stem"] for row in own]), patient)
            images.append(found)
            labels.append(np.repeat(of_tumour, 2))
            subjects += [patient] * len(found)
            positions.append(np.arange(len(of_tumour), dtype=np.int32).repeat(2))
        count = len(subjects)
        return Slices(
            images=np.concatenate(images)[:, None],
            labels=np.concatenate(labels),
            pair=np.arange(count).reshape(-1, 2)[:, ::-1].ravel().astype(np.int64),
            subject=np.array(subjects),
            slice=np.concatenate(positions),
            split=np.array([split[patient] for patient in subjects]),
            modality=np.tile(MODALITIES, count // 2),
            **known_of(subjects, raw_dir / CLINICAL),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def patches(
    images: NDArray[np.uint8], tumours: NDArray[np.bool_], patient: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Patches (2 P, 28, 28) of a patient's slices (S, 256, 256), each before its twin, and labels (P,)."""
    heads = np.stack([head_of(image) for image in images])
    whole = normalised(images, heads) / 255
    twin = simulated(whole, patient)
    inside = interior_of(heads)
    found, labels = [], []
    places = range(0, whole.shape[1] - PATCH + 1, PATCH)
    for index, y, x in ((index, y, x) for index in range(len(whole)) for y in places for x in places):
        where = (index, slice(y, y + PATCH), slice(x, x + PATCH))
        ill = tumours[where].mean()
        if inside[where].mean() >= WITHIN and (ill == 0 or ill >= 0.5):
            found += [whole[where], twin[where]]
            labels.append(int(ill > 0))
    shown = np.array(found).reshape(-1, PATCH, PATCH)
    return np.round(255 * shown).astype(np.uint8), np.array(labels, np.int64)


def simulated(images: NDArray[np.float64], patient: str) -> NDArray[np.float64]:
    """What another scanner might make of a patient's slices (S, H, W) in [0, 1], the same each time."""
    from scipy import ndimage

    random = np.random.default_rng([SEED, *patient.encode()])
    power = np.exp(random.uniform(*np.log(POWERS)))
    blurred = ndimage.gaussian_filter(images**power, (0, BLUR, BLUR))
    return np.clip(blurred + NOISE * random.standard_normal(images.shape), 0, 1)


def split_of(hospital: dict[str, str]) -> dict[str, str]:
    """Patient -> split, of patient -> hospital."""
    split, random = {}, np.random.default_rng(SEED)
    for site in sorted(set(hospital.values())):
        own = sorted(name for name, other in hospital.items() if other == site)
        for turn, place in enumerate(random.permutation(len(own))):
            split[own[place]] = TURNS[turn % len(TURNS)]
    return split


def _read(folder: Path, stems: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    images = [lgg_flair.png(folder / f"{stem}.png") for stem in stems]
    return np.stack(images), np.stack([lgg_flair.png(folder / f"{stem}_mask.png") > 0 for stem in stems])


DATASETS = (LggPatches(),)
