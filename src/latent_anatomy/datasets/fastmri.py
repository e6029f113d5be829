"""fastMRI brain T1 with the boxes of fastMRI+: healthy people to train on, 13 kinds of pathology to find.

Zbontar et al.: fastMRI (2018), fastmri.org, after its agreement. Zhao et al.: fastMRI+. Scientific Data 9
(2022), github.com/microsoft/fastmri-plus (MIT). Raw layout, below the folder of the data set:

    <anything>/<file>.h5   `reconstruction_rss` (slices, H, W) float32, of T1 without contrast (AXT1)
    brain.csv              of fastMRI+: file, slice, study_level, x, y, width, height, label

Whom RA (Bercea et al., "Towards Universal Unsupervised Anomaly Detection in Medical Imaging", Table 1)
tests is known: 92 files, with 171 boxes of 13 classes on one slice each (`fastmri_slices` has the slices on
which the boxes are exactly those of its lists; of several, the one nearest to NORMAL_SLICE, on which most
agree). What is not published, and inferred or chosen here:

    normals   files with the study label "Normal for age" and no box; RA's 176 are these and a few others
    split     of the normals by a permutation with a fixed seed: 15 validate, 30 are tested, as many as in RA,
              the others train. RA trains on 581 people of IXI as well, who are not here.
    slice     of a normal: NORMAL_SLICE
    images    divided by their 98th percentile, see `squares`; RA's are taken to have been so
    head      the mask "head", as in `lgg_flair`, in place of RA's brain foreground, which is not distributed

Slices count from 0, from below. Boxes are drawn on images upside down, so images are turned. Labels: 0
normal, 1 with a box. A box elsewhere in a volume is no matter of ours.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import squares
from latent_anatomy.datasets.fastmri_slices import LISTED
from latent_anatomy.datasets.lgg_flair import head_of
from latent_anatomy.provenance import unpacking

ANNOTATIONS = "brain.csv"
COLUMNS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")
NORMAL = "Normal for age"
CLASSES = {  # label of fastMRI+ -> class of RA
    "Posttreatment change": "posttreatment",
    "Mass": "mass",
    "Extra-axial mass": "mass",
    "Nonspecific lesion": "lesion",
    "Enlarged ventricles": "ventricles",
    "Edema": "edema",
    "Craniotomy": "craniotomy",
    "Craniectomy": "craniotomy",
    "Resection cavity": "resection",
    "Dural thickening": "dural",
    "Nonspecific white matter lesion": "wml",
    "Paranasal sinus opacification": "sinus",
    "Absent septum pellucidum": "septum",
    "Encephalomalacia": "encephalomalacia",
    "Intraventricular substance": "intraventricular",
}
OTHERS = (  # labels of fastMRI+ that mark none of the 13
    *("Possible artifact", "Motion artifact", "Normal variant", "Lacunar infarct", "Likely cysts"),
    *("Pineal cyst", "Colpocephaly", "Craniectomy with Cranioplasty", "Extra-axial collection"),
    *("Possible demyelinating disease", "Global Ischemia", "Global white matter disease", NORMAL),
    *("Innumerable bilateral focal brain lesions",),
    "Global label: Small vessel chronic white matter ischemic change",
)
BOX_NAMES = tuple(dict.fromkeys(CLASSES.values()))
MASK_NAMES = ("head",)
NORMAL_SLICE = 3
SEED = 1333
VALIDATION, TESTED = 15, 30  # of the normals


class Mark(NamedTuple):
    """A row of fastMRI+; without a box (None) it is about the whole study."""

    position: int
    label: str
    box: squares.Box | None


@dataclass(frozen=True)
class FastMri(Dataset):
    """The data set `fastmri`."""

    name = stands_for = "fastmri"
    family = "fastmri"
    note = (
        "its publisher gives no checksums: the files are those of the user's SHA256SUMS; slices and split of "
        "healthy people, scale and head masks are our own, as the paper's are not published; trained "
        "without IXI"
    )
    task = "binary-class"
    has = of_three_splits(*MASK_NAMES)
    classes = 2
    licence = "of fastMRI: for research, not to be passed on"
    size: int = 128
    validation: int = VALIDATION
    tested: int = TESTED
    listed: tuple[tuple[str, tuple[int, ...]], ...] = LISTED  # of each tested file, slices that would do
    normal_slice: int = NORMAL_SLICE

    @property
    def how_to_get(self) -> str:
        what = "the AXT1 volumes of fastMRI's brains (fastmri.org, registration) and brain.csv of fastMRI+"
        return supplied.how_to_get(self.family, what, "anomaly-data")

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return self.supplied_files()

    def supplied_files(self) -> tuple[RawFile, ...]:
        """Those of the user's folder; none without it."""

        def chosen(names: Iterable[str]) -> list[str]:
            return [ANNOTATIONS, *(name for name in names if name.endswith(".h5"))]

        return supplied.files_of((self.family, self.name), ["**/*.h5"], chosen)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, size, size), masks "head" and boxes; ValueError for anything unexpected."""
        marks = read_marks(checked(self, ANNOTATIONS, raw_dir))
        chosen = {file: nearest(slices, self.normal_slice) for file, slices in self.listed}
        normals = [file for file, own in marks.items() if _normal(own) and "_AXT1_" in file]
        volumes = {PurePosixPath(file.name).stem: file.name for file in self.files}
        if missing := [file for file in (*chosen, *normals) if file not in volumes]:
            raise defect(
                f"{self.name}: volumes",
                f"{missing[0]}.h5 and {len(missing) - 1} more",
                "none",
                self.how_to_get,
            )
        split = dict.fromkeys(chosen, "test") | self._splits(normals)
        images, boxes = [], []
        for row, file in enumerate(split):
            position = chosen.get(file, self.normal_slice)
            where = f"{volumes[file]}, slice {position}"
            raw = read_slice(checked(self, volumes[file], raw_dir), position)
            images.append(squares.resized(squares.squared(squares.bright(raw, where)), self.size))
            for mark in marks.get(file, []) if file in chosen else []:
                if mark.box and mark.position == position and mark.label in CLASSES:
                    kind = BOX_NAMES.index(CLASSES[mark.label])
                    boxes.append((row, *squares.box_in(mark.box, raw.shape, self.size, where), kind))
        count = len(images)
        return Slices(
            images=np.stack(images)[:, None],
            labels=np.array([int(file in chosen) for file in split], np.int64),
            masks=np.stack([head_of(image) for image in images])[:, None].astype(np.uint8),
            mask_names=MASK_NAMES,
            boxes=np.array(boxes, np.int32).reshape(-1, 6),
            box_names=BOX_NAMES,
            subject=np.array(list(split)),
            slice=np.array([chosen.get(file, self.normal_slice) for file in split], np.int32),
            split=np.array(list(split.values())),
            modality=np.full(count, "MR T1"),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )

    def _splits(self, normals: Sequence[str]) -> dict[str, str]:
        """File -> split, of healthy people."""
        least = self.validation + self.tested + 1
        if len(normals) < least:
            raise defect(
                f"{self.name}: {ANNOTATIONS}", f"{least} normal files", len(normals), "fetch it again"
            )
        order = np.random.default_rng(SEED).permutation(sorted(normals)).tolist()
        names = ["val"] * self.validation + ["test"] * self.tested
        return {file: names[place] if place < len(names) else "train" for place, file in enumerate(order)}


def read_marks(path: Path) -> dict[str, list[Mark]]:
    """File -> its rows in the table of fastMRI+; ValueError for missing columns or an unknown label."""
    table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise defect(path, f"the columns {', '.join(COLUMNS)}", f"no {', '.join(missing)}", "fetch it again")
    marks: dict[str, list[Mark]] = {}
    for row in table:
        if row["label"] not in CLASSES and row["label"] not in OTHERS:
            where = f"{path}, line {table.line_num}"
            raise defect(where, "a label of fastMRI+", repr(row["label"]), "correct the table")
        whole = row["study_level"] == "Yes"
        box = None if whole else tuple(float(row[name]) for name in ("x", "y", "width", "height"))
        marks.setdefault(row["file"], []).append(Mark(int(row["slice"]), row["label"], box))
    return marks


def nearest(slices: Sequence[int], wanted: int) -> int:
    """The one of `slices` nearest to `wanted`, the lower of two."""
    return min(slices, key=lambda each: (abs(each - wanted), each))


def read_slice(path: Path, position: int) -> NDArray[np.float64]:
    """One slice (H, W) as boxes are drawn on it; ValueError for a volume without it."""
    import h5py

    with h5py.File(path, "r") as file:
        unpacking.check_hdf5(file, path)
        if "reconstruction_rss" not in file or file["reconstruction_rss"].ndim != 3:
            raise defect(
                path, "reconstruction_rss (slices, H, W)", ", ".join(file) or "nothing", "fetch again"
            )
        volume = file["reconstruction_rss"]
        if position >= len(volume):
            raise defect(
                path, f"a slice {position}, from 0", f"{len(volume)} slices", "fetch the whole volume"
            )
        return volume[position][::-1].astype(np.float64)


def _normal(marks: Sequence[Mark]) -> bool:
    return any(mark.label == NORMAL for mark in marks) and not any(mark.box for mark in marks)


DATASETS = (FastMri(),)
