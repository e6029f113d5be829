"""The one HDF5 schema in which every data set reaches training and evaluation.

A file holds N slices (2-D images) of one data set, read whole, once:

| dataset    | shape        | type             | meaning                                              |
|------------|--------------|------------------|------------------------------------------------------|
| images     | (N, C, H, W) | uint8 or float32 | intensities, 0..255 as uint8 or [0, 1] as float32    |
| labels     | (N,)         | int64            | class 0..classes-1, -1 where not known; optional     |
| masks      | (N, K, H, W) | uint8            | K planes, 0 outside and 1 inside; optional           |
| boxes      | (M, 6)       | int32            | slice, left, top, width, height, class; optional     |
| pair       | (N,)         | int64            | row of the same anatomy in another setting; optional |
| spacing_mm | (N, 3)       | float32          | between rows, columns and positions; optional        |
| phase      | (N,)         | text             | of the heart's cycle: ED, ES, frame-07; optional     |
| subject    | (N,)         | text             | who was imaged                                       |
| slice      | (N,)         | int32            | position in the volume, 0 for a single image         |
| split      | (N,)         | text             | train, val, test or unlabelled                       |
| modality   | (N,)         | text             | such as "chest X-ray" or "MR FLAIR"                  |

Masks are one plane per structure, not one label map, because structures overlap (a lesion lies inside the
brain mask). A plane is either drawn, all of it 0 or 1, or wholly 255: nobody has delineated this structure
on this slice. So a volume of which a few frames are delineated stays with its subject in one split, and
the split "unlabelled" is for subjects of whom nothing is. The slices of one subject, modality and phase are
one volume. Boxes are in pixels from the upper left corner.
`pair` is -1 for a slice without a partner, and partners belong to one subject.

Root attributes: `schema`, `dataset`, `task`, `classes`, `mask_names`, `box_names` and `passport`, canonical
JSON. The same slices give the same bytes: fixed file format version, no times. Masks alone are compressed,
each slice by itself: they are planes of one value, or nearly.

Every defect raises ValueError that names the file, what was expected, what was found and what to do.
`slices_file` writes and reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

SPLITS = ("train", "val", "test", "unlabelled")
NOT_DELINEATED = 255

# Number of dimensions and admissible types; "text" is numpy unicode in memory, fixed-length UTF-8 on disk.
COLUMNS = {
    "images": (4, ("uint8", "float32")),
    "labels": (1, ("int64",)),
    "masks": (4, ("uint8",)),
    "boxes": (2, ("int32",)),
    "pair": (1, ("int64",)),
    "spacing_mm": (2, ("float32",)),
    "phase": (1, ("text",)),
    "subject": (1, ("text",)),
    "slice": (1, ("int32",)),
    "split": (1, ("text",)),
    "modality": (1, ("text",)),
}
OPTIONAL = ("labels", "masks", "boxes", "pair", "spacing_mm", "phase")


def defect(where: object, expected: object, found: object, remedy: str) -> ValueError:
    """The one form of every complaint about data: where, expected, found, what to do."""
    return ValueError(f"{where}: expected {expected}, found {found}: {remedy}")


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices in memory, one row each; shapes and types as in the table of the module.

    >>> slices = Slices(
    ...     images=np.zeros((3, 1, 28, 28), np.uint8),
    ...     subject=np.array(["ann", "ann", "ben"]),
    ...     slice=np.array([0, 1, 0], np.int32),
    ...     split=np.array(["train", "train", "test"]),
    ...     modality=np.full(3, "MR T1"),
    ...     dataset="heads",
    ...     task="",
    ...     classes=0,
    ... )
    >>> slices.select("train").images.shape
    (2, 1, 28, 28)
    >>> slices.resplit({"ann": "test"}).split.tolist()
    ['test', 'test']
    """

    images: np.ndarray
    subject: np.ndarray
    slice: np.ndarray
    split: np.ndarray
    modality: np.ndarray
    dataset: str
    task: str
    classes: int
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    boxes: np.ndarray | None = None
    pair: np.ndarray | None = None
    spacing_mm: np.ndarray | None = None
    phase: np.ndarray | None = None
    mask_names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns that are there, by name."""
        present = {field.name: getattr(self, field.name) for field in fields(self) if field.name in COLUMNS}
        return {name: values for name, values in present.items() if values is not None}

    def select(self, split: str) -> "Slices":
        """The slices of one split."""
        return self._rows(np.flatnonzero(self.split == split))

    def resplit(self, split: Mapping[str, str]) -> "Slices":
        """The slices of the subjects in `split`, a split for each of them."""
        chosen = self._rows(np.flatnonzero(np.isin(self.subject, list(split))))
        return replace(chosen, split=np.array([split[subject] for subject in chosen.subject]))

    def _rows(self, rows: np.ndarray) -> "Slices":
        """Some of the slices, with `pair` and `boxes` pointing at their new rows."""
        new = {name: values[rows] for name, values in self.columns().items() if name != "boxes"}
        moved_to = np.full(len(self), -1, np.int64)
        moved_to[rows] = np.arange(len(rows))
        if self.pair is not None:  # a pair is one subject, all of whose slices are chosen, or none
            new["pair"] = np.where(new["pair"] < 0, -1, moved_to[new["pair"]])
        if self.boxes is not None:
            kept = self.boxes[moved_to[self.boxes[:, 0]] >= 0]
            new["boxes"] = np.column_stack([moved_to[kept[:, 0]], kept[:, 1:]]).astype(np.int32)
        return replace(self, **new)


def check(slices: Slices, where: object) -> None:
    """Raise ValueError, beginning with `where`, for the first thing in `slices` that breaks the schema."""
    columns, count = slices.columns(), len(slices)
    for name, (dimensions, types) in COLUMNS.items():
        if name not in columns:
            continue
        values = columns[name]
        found = "text" if values.dtype.kind == "U" else str(values.dtype)
        expected = f"{name} of {dimensions} dimension(s) and type {' or '.join(types)}"
        if values.ndim != dimensions or found not in types:
            raise defect(
                where, expected, f"shape {values.shape} and type {found}", "convert it before writing"
            )
        if name != "boxes" and len(values) != count:
            raise defect(
                where, f"{count} rows of {name}, as of images", len(values), "give one for each image"
            )
    if 0 in slices.images.shape:
        raise defect(where, "at least one image of one pixel", slices.images.shape, "check the raw data")
    _check_values(slices, where)
    _check_annotations(slices, where)


def _check_values(slices: Slices, where: object) -> None:
    images = slices.images
    if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):  # NaN fails this too
        found = "NaN" if np.isnan(images).any() else f"{images.min():g} to {images.max():g}"
        raise defect(where, "float32 images within [0, 1]", found, "normalise the images")
    for name in ("subject", "split", "modality", "phase"):
        if name in slices.columns() and (getattr(slices, name) == "").any():
            raise defect(where, f"a {name} for every slice", "an empty one", "name it")
    unknown = sorted(set(np.unique(slices.split)) - set(SPLITS))
    if unknown:
        raise defect(where, f"splits among {', '.join(SPLITS)}", ", ".join(unknown), "rename them")
    pairs = np.unique(np.stack([slices.subject, slices.split]), axis=1)
    names, uses = np.unique(pairs[0], return_counts=True)
    if (uses > 1).any():
        shared = ", ".join(names[uses > 1][:3])
        raise defect(where, "every subject in one split", f"{shared} in more than one", "split by subject")
    if (slices.slice < 0).any():
        raise defect(where, "slice positions from 0", slices.slice.min(), "count slices from 0")
    spacing = slices.spacing_mm
    if spacing is not None and not (
        spacing.shape[1] == 3 and np.isfinite(spacing).all() and (spacing > 0).all()
    ):
        found = f"shape {spacing.shape}, least value {spacing.min(initial=np.inf):g}"
        raise defect(
            where, "three positive distances in mm for every slice", found, "leave unknown spacing out"
        )


def _check_annotations(slices: Slices, where: object) -> None:
    count, _, height, width = slices.images.shape
    labels, masks, boxes, pair = slices.labels, slices.masks, slices.boxes, slices.pair
    if slices.classes < 0 or (labels is None) != (slices.classes == 0):
        found = f"{slices.classes} classes and {'no' if labels is None else 'the'} labels"
        raise defect(where, "labels and their number of classes, or neither", found, "give both or none")
    if labels is not None and not (labels.min() >= -1 and labels.max() < slices.classes):
        expected = f"labels 0..{slices.classes - 1}, or -1 where not known"
        raise defect(where, expected, f"{labels.min()}..{labels.max()}", "check the raw labels")
    if masks is not None:
        shape = (count, len(slices.mask_names), height, width)
        if masks.shape != shape:
            raise defect(where, f"masks of shape {shape}", masks.shape, "one plane per mask name")
        planes = masks.reshape(count, -1, height * width)
        drawn = (planes <= 1).all(axis=2) | (planes == NOT_DELINEATED).all(axis=2)
        if not drawn.all():
            row, plane = np.argwhere(~drawn)[0]
            found = f"other values in slice {row}, {slices.mask_names[plane]}"
            raise defect(where, "mask planes of 0 and 1, or wholly 255", found, "one plane per structure")
    if boxes is not None:
        expected = f"boxes (slice, left, top, width, height, class) inside {width} x {height} pixels"
        if boxes.shape[1] != 6:
            raise defect(where, expected, f"{boxes.shape[1]} numbers for a box", "give six")
        row, left, top, wide, high, kind = boxes.T.astype(np.int64)
        inside = (boxes >= 0).all(axis=1) & (row < count) & (kind < len(slices.box_names))
        inside &= (wide > 0) & (high > 0) & (left + wide <= width) & (top + high <= height)
        if not inside.all():
            raise defect(where, expected, boxes[~inside][0].tolist(), "clip the boxes to their images")
    if pair is not None:
        rows = np.flatnonzero(pair >= 0)
        if pair.min() < -1 or pair.max() >= count or (pair[rows] == rows).any():
            expected = f"pair rows 0..{count - 1} other than the row itself, or -1"
            raise defect(where, expected, f"{pair.min()}..{pair.max()}", "index rows of this file")
        if (slices.subject[pair[rows]] != slices.subject[rows]).any():
            raise defect(
                where, "pairs within one subject", "a pair of two", "pair slices of the same anatomy"
            )
