"""Chest X-rays of children: 65 normal ones and 65 with pneumonia, each of another patient.

Kermany et al.: Identifying medical diagnoses and treatable diseases by image-based deep learning. Cell 172
(2018), CC BY 4.0; the part `kermany-130`, 640 pixels wide. Raw layout: `index.csv` and `<label>/<file>.jpeg`.

For RA's Table 3 in kind: normal images train and validate, pneumonia is told from other normal ones, children
against children of one hospital. Folds turns-0 to turns-4 test every patient once: of the normal ones 39
train, 13 validate and 13 are tested, with 13 of pneumonia. Without folds the normal ones are split as in
turns-0, and all of pneumonia are tested.

Images are stretched to squares, as those of RA's database were, and smoothed: they are of different shapes,
and this leaves no bars at their sides. Labels: 0 normal, 1 pneumonia.
"""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import squares

MANIFEST = Path(__file__).with_suffix(".sha256")
INDEX = "index.csv"
LABELS = ("NORMAL", "PNEUMONIA")
FOLDS = tuple(f"turns-{fold}" for fold in range(5))
SEED = 1333


@dataclass(frozen=True)
class Kermany(Dataset):
    """The data set `kermany-130`."""

    name = "kermany-130"
    family = "chest_kermany"
    note = "130 children of one hospital, one image each, 640 pixels wide: not RSNA's adults"
    task = "binary-class"
    classes = 2
    licence = "CC BY 4.0"
    folds = FOLDS
    has = of_three_splits()
    size: int = 128

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def cohort(self, fold: str, labelled: float) -> Cohort:
        """A fifth of both classes is tested, the next fifth of the normal validates, the others train."""
        if fold not in self.folds:
            raise defect(f"{self.name}: fold", f"one of {', '.join(self.folds)}", repr(fold), "choose one")
        names = [file.name for file in self.files if file.name != INDEX]
        parts = [np.array_split(_shuffled(names, label), len(self.folds)) for label in LABELS]
        turn = self.folds.index(fold)
        (test, val, *train), ill = parts[0][turn:] + parts[0][:turn], parts[1][turn]
        people = tuple(np.concatenate(train).tolist())
        tested = (*test.tolist(), *ill.tolist())
        return Cohort(people, tuple(val.tolist()), tested, draw(people, labelled, SEED))

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (130, 1, size, size); ValueError for anything unexpected in the files."""
        listed = read_index(checked(self, INDEX, raw_dir))
        files = [file.name for file in self.files if file.name != INDEX]
        if sorted(listed) != sorted(files):
            raise defect(raw_dir / INDEX, "a row for each image", f"{len(listed)} rows", "fetch it again")
        first = self.cohort(FOLDS[0], 100)
        split = dict.fromkeys(first.train, "train") | dict.fromkeys(first.val, "val")
        images = []
        for name in files:
            image = squares.picture(checked(self, name, raw_dir))
            squares.varied(image, name)
            images.append(squares.resized(squares.unit_range(image), self.size, smooth=True))
        subjects = [_patient(name) for name in files]
        return Slices(
            images=np.stack(images)[:, None],
            labels=np.array([LABELS.index(name.split("/")[0]) for name in files], np.int64),
            subject=np.array(subjects),
            slice=np.zeros(len(files), np.int32),
            split=np.array([split.get(subject, "test") for subject in subjects]),
            modality=np.full(len(files), "chest X-ray"),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def read_index(path: Path) -> list[str]:
    """The files of the index; ValueError without its columns or with another label."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if missing := [name for name in ("label", "file") if name not in (rows.fieldnames or ())]:
        raise defect(path, "the columns label, file", f"no {', '.join(missing)}", "fetch it again")
    listed = []
    for row in rows:
        if row["label"] not in LABELS:
            raise defect(path, f"labels {', '.join(LABELS)}", repr(row["label"]), "fetch it again")
        listed.append(f"{row['label']}/{row['file']}")
    return listed


def _patient(name: str) -> str:
    """The patient of a file, of which there is one for each."""
    return Path(name).stem


def _shuffled(names: list[str], label: str) -> np.ndarray:
    """The patients of a class in an order that their names do not tell."""
    own = sorted(_patient(name) for name in names if name.startswith(f"{label}/"))
    return np.random.default_rng(SEED).permutation(own)


DATASETS = (Kermany(),)
