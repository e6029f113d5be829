"""T1 slices with low-grade glioma beside those of healthy people: RA's class "Mass" in kind.

The patients and tumour masks of `lgg_flair`, as T1 before contrast (404 of its slices, of 104 patients, have
it), and the healthy people of `ixi-hh-slices`. Nobody was imaged in both, and that is what has to be watched:

    train    the training people of ixi-hh-slices; nobody with a tumour
    val      its validation people; no patient, so that thresholds are of the healthy alone
    test     its test people, and all patients: 208 slices with tumour (label 1) and 196 without (label 0)
    site     HH, the hospital of IXI, or the patient's: where slices without tumour score higher than those of
             HH, hospital and scanner are told, not the tumour

Both are on a common scale and have the mask "head", as in their own files, neither registered nor stripped.
The patients' 256 x 256 pixels are halved, smoothed; a mask has a pixel where it has half of it. A pixel is 2
mm in IXI, and what it is in the patients is not recorded. The mask "lesion" was drawn on FLAIR; its box, of
the class
"mass", is the smallest around all of it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import squares
from latent_anatomy.datasets.healthy import beside
from latent_anatomy.datasets.ixi import IxiSlices
from latent_anatomy.datasets.lgg_flair import CLINICAL, head_of, known_of, normalised

MANIFEST = Path(__file__).with_suffix(".sha256")
HEALTHY = IxiSlices()
IMAGES, MASKS, IXI = "lgg_t1", "lgg_flair", "ixi"  # folders
SIZE = 128
AIR, TISSUE = 8, 85
MASK_NAMES = ("head", "lesion")
BOX_NAMES = ("mass",)


@dataclass(frozen=True)
class LggT1(Dataset):
    """The data set `lgg-t1`; its files are of three folders of the mirror."""

    name = "lgg-t1"
    note = (
        "low-grade gliomas of five hospitals against healthy people of another, at 2 mm: a score says as "
        "much about the hospital as about the tumour; not registered, not stripped"
    )
    task = "binary-class"
    has = of_three_splits(*MASK_NAMES)
    classes = 2
    licence = "CC BY-NC-SA 4.0 (patients), CC BY-SA 3.0 (IXI)"

    @property
    def how_to_get(self) -> str:
        return "put the folders lgg_t1, lgg_flair and ixi into the folder named by LATENT_ANATOMY_MIRROR"

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, 128, 128) of both; ValueError for anything unexpected in the files."""
        for file in self.files:
            checked(self, file.name, raw_dir)
        file = next(file for file in self.files if file.name.startswith(f"{IXI}/"))
        healthy = replace(HEALTHY, file=file).to_slices(raw_dir)
        names = [file.name for file in self.files if file.name.startswith(f"{IMAGES}/")]
        return beside(self.name, (HEALTHY.name, healthy), ("lgg", patients(raw_dir, names)))


def patients(raw_dir: Path, names: list[str]) -> Slices:
    """The patients' slices of the image files `names`, all of them in the test split."""
    images, masks, boxes, subjects, positions = [], [], [], [], []
    for patient, own in groupby(sorted(names), key=lambda name: name.split("/")[1]):
        stems = sorted((Path(name).stem for name in own), key=_position)
        raw = np.stack([_square(raw_dir / IMAGES / patient / f"{stem}.png") for stem in stems])
        tumours = np.stack([_square(raw_dir / MASKS / patient / f"{stem}_mask.png") for stem in stems]) > 0
        heads = np.stack([head_of(image) for image in _lit(raw, patient)])
        for image, head, tumour in zip(normalised(raw, heads), heads, tumours, strict=True):
            if tumour.any():
                boxes.append((len(images), *_box(tumour, patient), 0))
            images.append(squares.resized(image / 255, SIZE, smooth=True))
            masks.append([_halved(head), _halved(tumour)])
        subjects += [patient] * len(stems)
        positions += map(_position, stems)
    known = known_of(subjects, raw_dir / MASKS / CLINICAL)
    marked = {row for row, *_ in boxes}
    return Slices(
        images=np.stack(images)[:, None],
        labels=np.array([int(row in marked) for row in range(len(images))], np.int64),
        masks=np.array(masks, np.uint8),
        mask_names=MASK_NAMES,
        boxes=np.array(boxes, np.int32),
        box_names=BOX_NAMES,
        subject=np.array(subjects),
        slice=np.array(positions, np.int32),
        split=np.full(len(images), "test"),
        modality=np.full(len(images), "MR T1"),
        site=known["site"],
        dataset=LggT1.name,
        task=LggT1.task,
        classes=LggT1.classes,
    )


def _position(stem: str) -> int:
    return int(stem.rsplit("_", 1)[1])


def _square(path: Path) -> NDArray[np.uint8]:
    image = squares.picture(path)
    if image.shape != (2 * SIZE, 2 * SIZE) or image.dtype != np.uint8:
        found = f"{image.dtype} {image.shape}"
        raise defect(path, f"uint8 {(2 * SIZE, 2 * SIZE)}", found, "fetch it again")
    return image


def _lit(images: NDArray[np.uint8], patient: str) -> NDArray[np.uint8]:
    """A patient's slices with tissue at a third of the range: in T1 it may be darker than air is in FLAIR."""
    tissue = images[images > AIR]
    if not tissue.size:
        raise defect(patient, f"slices with something brighter than {AIR} of 255", "none", "fetch them again")
    return np.clip(images * (TISSUE / np.median(tissue)), 0, 255).astype(np.uint8)


def _halved(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3)) >= 0.5


def _box(mask: NDArray[np.bool_], where: str) -> tuple[int, int, int, int]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
    return squares.box_in((columns[0], rows[0], wide, high), mask.shape, SIZE, where)


DATASETS = (LggT1(),)
