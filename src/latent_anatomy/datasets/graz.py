"""GRAZPEDWRI-DX: X-rays of children's wrists, with the boxes of what is wrong with them.

Nagy et al.: A pediatric wrist trauma X-ray dataset. Scientific Data 9 (2022), figshare 14825193, CC BY 4.0.
Raw layout, below the folder of the data set: `dataset.csv`, and in whatever folders `<filestem>.png` (8 or 16
bits) and `<filestem>.xml`, its boxes in the form of Pascal VOC. RA (Bercea et al., Table 2) has of it

    normal     frontal (projection 1) without cast, visible fracture, metal, osteopenia or AO code: 2,856
    tested     every box of seven classes on a frontal image; `text` marks the side, `bonelesion` is dropped
    images     see `squares`, all of its steps; not augmented

That rule knows nothing of four classes, so that some of RA's normals have boxes, and its lists do not keep
patients apart. Here

    graz               nobody normal has a box (but `text`), and patients stay in one split: who has one that
                       counts is tested; of the others the hash of the number decides, in about RA's shares
    graz-as-released   the rule as it is: an image with a box of those classes is a normal one of any split,
                       and it is tested too; so an image counts as a subject, by itself or with its boxes

RA's own lists of normals (1,600, 201 and 1,039 of 2,840) are not published with the paper, and neither are
its masks of healthy tissue: "foreground" is what is not air. Labels: 0 normal, 1 with a box.
"""

import csv
import hashlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import squares, voc
from latent_anatomy.datasets.lgg_flair import head_of

TABLE = "dataset.csv"
NOT_NORMAL = ("cast", "fracture_visible", "metal", "osteopenia", "ao_classification")
COLUMNS = ("filestem", "patient_id", "projection", *NOT_NORMAL)
FRONTAL = "1"
CLASSES = {  # as in the files -> as in RA
    "boneanomaly": "bone-anomaly",
    "foreignbody": "foreign-body",
    "fracture": "fracture",
    "metal": "metal",
    "periostealreaction": "periosteal-reaction",
    "pronatorsign": "pronator-sign",
    "softtissue": "soft-tissue",
}
SIDE, DROPPED = "text", ("text", "bonelesion")
BOX_NAMES = tuple(CLASSES.values())
MASK_NAMES = ("foreground",)
SHARES = (("train", 56), ("val", 63), ("test", 100))  # up to these per cent: RA's 1,600, 201 and 1,039


@dataclass(frozen=True)
class Graz(Dataset):
    """The data sets `graz` and `graz-as-released`."""

    leak: bool = False  # whether images with boxes may be normal, as in the released lists
    stands_for = "graz"
    family = "graz"
    task = "binary-class"
    has = of_three_splits(*MASK_NAMES)
    classes = 2
    licence = "CC BY 4.0"
    size: int = 128
    shares: tuple[tuple[str, int], ...] = SHARES

    @property
    def name(self) -> str:
        return "graz-as-released" if self.leak else "graz"

    @property
    def note(self) -> str:
        note = "its normals are split by our own rule, as the paper's lists and masks are not published"
        other = "some of its normals have boxes and patients are in several splits, as released"
        return f"{note}; {other if self.leak else 'nobody normal has a box, by patient: not as released'}"

    @property
    def how_to_get(self) -> str:
        what = "images, Pascal VOC boxes and dataset.csv (figshare.com, 10.6084/m9.figshare.14825193)"
        return supplied.how_to_get(self.family, what, "anomaly-data")

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        def chosen(names: Iterable[str]) -> list[str]:
            return [TABLE, *(name for name in names if PurePosixPath(name).suffix in (".png", ".xml"))]

        return supplied.files_of((self.family, self.name), ["**/*.png"], chosen)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, size, size), masks "foreground", boxes; ValueError for anything unexpected."""
        table = read_table(checked(self, TABLE, raw_dir))
        paths = {PurePosixPath(file.name).name: file.name for file in self.files}

        def path_of(name: str) -> Path:
            if name not in paths:
                raise defect(f"{self.name}: files", f"{name}, as in {TABLE}", "none", self.how_to_get)
            return checked(self, paths[name], raw_dir)

        marks = {
            stem: read_boxes(path_of(f"{stem}.xml"))
            for stem, row in table.items()
            if row["projection"] == FRONTAL
        }
        images, heads, boxes, kept = [], [], [], []
        labels = {stem: {box.label for box in own} for stem, own in marks.items()}
        for stem, subject, split, marked in chosen(table, labels, self.leak, self.shares):
            raw = squares.picture(path_of(f"{stem}.png"))
            image = squares.squared(squares.bright(squares.unit_range(raw), stem))
            images.append(squares.resized(image, self.size))
            heads.append(head_of(images[-1]))
            for label, box in marks[stem] if marked else []:
                if label in DROPPED:
                    continue
                where = squares.box_in(box, raw.shape, self.size, f"{stem}.xml")
                boxes.append((len(kept), *where, BOX_NAMES.index(CLASSES[label])))
            kept.append((subject, split, int(marked)))
        subjects, splits, ill = zip(*kept, strict=True)
        return Slices(
            images=np.stack(images)[:, None],
            labels=np.array(ill, np.int64),
            masks=np.stack(heads)[:, None].astype(np.uint8),
            mask_names=MASK_NAMES,
            boxes=np.array(boxes, np.int32).reshape(-1, 6),
            box_names=BOX_NAMES,
            subject=np.array(subjects),
            slice=np.arange(len(kept), dtype=np.int32),
            split=np.array(splits),
            modality=np.full(len(kept), "wrist X-ray"),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Stem of the file -> its row; ValueError for missing columns or a stem twice."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
        raise defect(path, f"the columns {', '.join(COLUMNS)}", f"no {', '.join(missing)}", "fetch it again")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["filestem"] in table:
            raise defect(path, "every image once", f"{row['filestem']} again", "fetch it again")
        table[row["filestem"]] = row
    return table


def normal(row: Mapping[str, str]) -> bool:
    """Whether the rule of RA calls the image of this row normal."""
    return row["projection"] == FRONTAL and not any(row[name] for name in NOT_NORMAL)


def split_of(who: str, shares: Sequence[tuple[str, int]] = SHARES) -> str:
    """The split of a healthy patient or, as released, of a normal image."""
    percent = int(hashlib.sha256(who.encode()).hexdigest()[:8], 16) % 100
    return next(split for split, end in shares if percent < end)


def chosen(
    table: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, Collection[str]],
    leak: bool,
    shares: Sequence[tuple[str, int]] = SHARES,
) -> list[tuple[str, str, str, bool]]:
    """Stem, subject, split and whether it stands for its boxes, of every image that is used, normals first.

    `labels`: of each frontal image, what its boxes are called.
    """
    marked = [stem for stem, own in labels.items() if set(own) & CLASSES.keys()]
    ill = {table[stem]["patient_id"] for stem in marked}
    rows = []
    for stem, row in table.items():
        if normal(row) and (leak or not set(labels[stem]) - {SIDE}):
            patient = row["patient_id"]
            split = split_of(stem if leak else patient, shares) if leak or patient not in ill else "test"
            rows.append((stem, f"{stem} normal" if leak else patient, split, False))
    for stem in marked:
        rows.append((stem, f"{stem} boxes" if leak else table[stem]["patient_id"], "test", True))
    return rows


def read_boxes(path: Path) -> list[voc.Named]:
    """The boxes of an image; ValueError for one of an unknown class."""
    boxes = voc.read(path)
    for box in boxes:
        if box.label not in CLASSES and box.label not in DROPPED:
            expected = f"boxes of {', '.join((*CLASSES, *DROPPED))}"
            raise defect(path, expected, repr(box.label), "correct the file")
    return boxes


DATASETS = (Graz(), Graz(leak=True))
