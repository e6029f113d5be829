"""FLAIR slices of 110 patients with low-grade glioma: a part of the LGG segmentation data set.

Buda, Saha, Mazurowski: Association of genomic subtypes of lower-grade gliomas with shape features
automatically extracted by a deep learning algorithm. Computers in Biology and Medicine 109 (2019). The
scans are those of TCGA-LGG (The Cancer Imaging Archive), from five hospitals.

Raw layout: `index.csv` and, for each of its rows, `<patient>/<file_stem>.png`, a slice of 256 x 256 uint8,
and `<patient>/<file_stem>_mask.png`, the tumour, 0 or 255. Three or four slices of each patient, not
adjacent: two with tumour, the others without. `clinical.csv` has a row for each patient: the hospital, days
of survival and whether they ended in death (known of 102, of whom 30 died), and as covariates the age in
years, the sex (0 female, 1 male) and the grade. Names and SHA-256 of all files: `lgg_flair.sha256`.

Neither stripped nor registered, and brightness differs between hospitals, so here

    head      everything brighter than HEAD_LEVEL, smoothed and with its holes filled: its largest component
    interior  what of it is further than RIM pixels from its edge: scalp and skull are narrower
    images    are on the scale of `imaging.intensity`, the interior being the tissue

`lgg-flair` has the slices as they are, `lgg-flair-128` means over 2 x 2 pixels of the same, and of the masks
what covers at least half of them.

Split by patient, by a permutation with a fixed seed: training on slices without tumour alone, the tumour
slices of training patients are left out; validation and test on all slices. Training patients are ill too,
so that their slices are free of delineated tumour, not healthy; slices beside a tumour may show its oedema.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.imaging import intensity

SIZE = 256
HEAD_LEVEL = 20
RIM = 14
MASK_NAMES = ("head", "interior", "lesion")
PATIENTS = {"train": 66, "val": 11, "test": 33}
SEED = 1333
MANIFEST = Path(__file__).with_suffix(".sha256")
INDEX, CLINICAL = "index.csv", "clinical.csv"
COVARIATES = ("age", "sex", "grade")
SEXES = {"F": "0", "M": "1"}


@dataclass(frozen=True)
class LggFlair(Dataset):
    """The data sets `lgg-flair` and `lgg-flair-128`."""

    name: str = "lgg-flair"
    size: int = SIZE
    family = "lgg_flair"
    note = (
        "low-grade gliomas in place of MS lesions; trained on tumour-free slices of patients, not of healthy "
        "people; not stripped, not registered, three or four slices of each patient"
    )
    task = "lesions"
    has = of_three_splits(*MASK_NAMES)
    licence = "CC BY-NC-SA 4.0"

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 and masks; ValueError for anything unexpected in the files."""
        for file in self.files:
            file.verify(raw_dir / file.name)
        rows = rows_of(raw_dir / INDEX, {"patient", "file_stem", "slice"})
        split = _splits(sorted({row["patient"] for row in rows}))
        images, masks, kept = [], [], []
        for patient in split:
            own = sorted(
                (row for row in rows if row["patient"] == patient), key=lambda row: int(row["slice"])
            )
            stems = [raw_dir / patient / row["file_stem"] for row in own]
            raw = np.stack([png(stem.with_suffix(".png")) for stem in stems])
            tumour = np.stack([png(stem.with_name(f"{stem.name}_mask.png")) for stem in stems]) > 0
            head = np.stack([head_of(image) for image in raw])
            chosen = [not (split[patient] == "train" and ill) for ill in tumour.any((1, 2))]
            images.append(_smaller(normalised(raw, head)[chosen], self.size))
            planes = np.stack([head, interior_of(head), tumour], axis=1)[chosen]
            masks.append(_smaller(255 * planes.astype(np.uint8), self.size) > 127)
            kept += [row for row, keep in zip(own, chosen, strict=True) if keep]
        patients = np.array([row["patient"] for row in kept])
        return Slices(
            images=np.concatenate(images)[:, None],
            masks=np.concatenate(masks).astype(np.uint8),
            mask_names=MASK_NAMES,
            subject=patients,
            slice=np.array([int(row["slice"]) for row in kept], np.int32),
            split=np.array([split[patient] for patient in patients]),
            modality=np.full(len(kept), "MR FLAIR"),
            **known_of(patients.tolist(), raw_dir / CLINICAL),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def head_of(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The head in a slice (H, W); ValueError for a slice without one."""
    from scipy import ndimage

    lit = ndimage.binary_fill_holes(ndimage.gaussian_filter(image.astype(np.float32), 1) > HEAD_LEVEL)
    components, count = ndimage.label(lit)
    if not count:
        raise ValueError(f"expected a head brighter than {HEAD_LEVEL} of 255, found none: check the slice")
    return components == 1 + np.bincount(components.ravel())[1:].argmax()


def interior_of(heads: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What of heads (S, H, W) is further than RIM pixels from their edges."""
    from scipy import ndimage

    return np.stack([ndimage.distance_transform_edt(head) > RIM for head in heads])


def normalised(images: NDArray[np.uint8], heads: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A patient's slices (S, H, W) on a common scale, see above; ValueError for heads that are all rim."""
    inner = interior_of(heads)
    if not inner.any():
        raise ValueError(f"expected a head wider than {2 * RIM} pixels, found none: check the slices")
    return np.round(255 * intensity.on_scale(images, images[inner])).astype(np.uint8)


def _smaller(planes: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Planes (..., SIZE, SIZE) of `size`: means over squares, rounded up from a half."""
    factor = SIZE // size
    squares = planes.reshape(*planes.shape[:-2], size, factor, size, factor)
    return np.floor(squares.mean(axis=(-3, -1)) + 0.5).astype(np.uint8)


def known_of(patients: Sequence[str], path: Path) -> dict[str, object]:
    """`site`, `time`, `event` and covariates of `Slices` for the patient of each slice, from `path`."""
    table = rows_of(path, {"patient", "hospital", "survival_days", "died", *COVARIATES})
    clinical = {row["patient"]: row for row in table}
    if missing := sorted(set(patients) - clinical.keys()):
        raise defect(path, "a row for every patient", f"none of {missing[0]}", "fetch it again")
    rows = [clinical[patient] for patient in patients]
    numbers = [[SEXES.get(row[name], row[name]) or np.nan for name in COVARIATES] for row in rows]
    return {
        "site": np.array([row["hospital"] for row in rows]),
        "time": np.array([row["survival_days"] or np.nan for row in rows], np.float32),
        "event": np.array([row["died"] or 0 for row in rows], np.uint8),
        "covariates": np.array(numbers, np.float32),
        "covariate_names": COVARIATES,
    }


def rows_of(path: Path, needed: set[str]) -> list[dict[str, str]]:
    """The rows of a table, column -> text; ValueError without the columns `needed`."""
    table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if not needed.issubset(table.fieldnames or ()):
        raise defect(path, f"the columns {', '.join(sorted(needed))}", table.fieldnames, "fetch it again")
    return list(table)


def _splits(patients: list[str]) -> dict[str, str]:
    """Patient -> split, in the order of their names."""
    if len(patients) != sum(PATIENTS.values()):
        raise defect(INDEX, f"{sum(PATIENTS.values())} patients", len(patients), "fetch it again")
    names = np.repeat(list(PATIENTS), list(PATIENTS.values()))
    order = np.random.default_rng(SEED).permutation(len(patients))
    return {patient: str(names[place]) for patient, place in zip(patients, order, strict=True)}


def png(path: Path) -> NDArray[np.uint8]:
    """A slice (256, 256) or its mask; ValueError for one of another form."""
    from PIL import Image

    with Image.open(path) as picture:
        image = np.array(picture)
    if image.shape != (SIZE, SIZE) or image.dtype != np.uint8:
        raise defect(path, f"uint8 {(SIZE, SIZE)}", f"{image.dtype} {image.shape}", "fetch it again")
    return image


DATASETS = (LggFlair(), LggFlair("lgg-flair-128", SIZE // 2))
