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
| site       | (N,)         | text             | hospital or scanner; optional                        |
| time       | (N,)         | float32          | days to the event or the last follow-up; optional    |
| event      | (N,)         | uint8            | 1 where it happened then, 0 if not; goes with time   |
| covariates | (N, K)       | float32          | K further numbers of the subject; optional           |
| subject    | (N,)         | text             | who was imaged                                       |
| slice      | (N,)         | int32            | position in the volume, 0 for a single image         |
| split      | (N,)         | text             | train, val, test or unlabelled                       |
| modality   | (N,)         | text             | such as "chest X-ray" or "MR FLAIR"                  |

Masks are one plane per structure, not one label map, because structures overlap (a lesion lies inside the
brain mask). A plane is either delineated, all of it 0 or 1, or wholly 255: nobody has delineated this
structure on this slice. So a volume of which a few frames are delineated stays with its subject in one
split, and the split "unlabelled" is for subjects of whom nothing is. The slices of one subject, modality and
phase are one volume. Boxes are in pixels from the upper left corner.
`pair` is -1 for a slice without a partner, and partners belong to one subject.

`site`, `time`, `event` and `covariates` belong to the subject: all of its slices have the same. A time or
covariate that is not known is NaN, and who has no known time has no event. A class among the covariates is a
number, as the data set says.

Root attributes: `schema`, `dataset`, `task`, `classes`, `mask_names`, `box_names`, `passport` and, where
there are any, `covariate_names`, canonical JSON. The same slices give the same bytes: fixed file format
version, no times. Masks alone are compressed, each slice by itself: they are planes of one value, or nearly.

Every defect raises ValueError that names the file, what was expected, what was found and what to do
(`slices_check`). `slices_file` writes and reads.
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
    "site": (1, ("text",)),
    "time": (1, ("float32",)),
    "event": (1, ("uint8",)),
    "covariates": (2, ("float32",)),
    "subject": (1, ("text",)),
    "slice": (1, ("int32",)),
    "split": (1, ("text",)),
    "modality": (1, ("text",)),
}
OPTIONAL = (
    *("labels", "masks", "boxes", "pair", "spacing_mm", "phase"),
    *("site", "time", "event", "covariates"),
)
OF_SUBJECT = ("site", "time", "event", "covariates")  # the same on all slices of one


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
    site: np.ndarray | None = None
    time: np.ndarray | None = None
    event: np.ndarray | None = None
    covariates: np.ndarray | None = None
    mask_names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()
    covariate_names: tuple[str, ...] = ()

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

    def fewer(self, split: str, count: int) -> "Slices":
        """The same with at most `count` subjects of one split, evenly spaced from the first to the last."""
        own = list(dict.fromkeys(self.subject[self.split == split].tolist()))
        places = np.linspace(0, len(own) - 1, min(count, len(own))).astype(int)
        kept = (self.split != split) | np.isin(self.subject, [own[place] for place in places])
        return self._rows(np.flatnonzero(kept))

    def _rows(self, rows: np.ndarray) -> "Slices":
        """Some of the slices, with `boxes` and `pair` pointing at their new rows; -1 without the partner."""
        new = {name: values[rows] for name, values in self.columns().items() if name != "boxes"}
        moved_to = np.full(len(self), -1, np.int64)
        moved_to[rows] = np.arange(len(rows))
        if self.pair is not None:
            new["pair"] = np.where(new["pair"] < 0, -1, moved_to[new["pair"]])
        if self.boxes is not None:
            kept = self.boxes[moved_to[self.boxes[:, 0]] >= 0]
            new["boxes"] = np.column_stack([moved_to[kept[:, 0]], kept[:, 1:]]).astype(np.int32)
        return replace(self, **new)
