"""MM-WHS, the Multi-Modality Whole Heart Segmentation challenge of 2017: 20 MR and 20 CT hearts.

Zhuang et al.: Evaluation of algorithms for multi-modality whole heart segmentation: an open-access grand
challenge. Medical Image Analysis 58 (2019); zmiclab.github.io/zxh/0/mmwhs, after registration. The labels of
its test hearts are withheld, so that the 40 of training are all there is.

    mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz     to 1020
    ct_train/ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz     to 1020

SDNet (section 5.3) prepares them "as in" a paper that says little of it; what is done here is our own choice:

- axial slices (after flipping and swapping axes to RAS+), rows from front to back, columns from the patient's
  right to the left
- in-plane 1 mm, bilinear (labels: nearest neighbour), the middle 224 x 224: the heart and the great vessels
- every nth position, so that they are about 1.2 mm apart: about as many as in the paper (129 of a CT)
- images clipped to the 1st and 99th percentile of the volume: bright blood stays, spikes and padding go

Subjects are "mr-1001" and "ct-1001", different people. The split is ours too, as the paper's is not
published: in both modalities 1001 to 1014 train, 1015 to 1017 validate and 1018 to 1020 are tested. In the
other two folds the row of hearts begins with the last three, or six: nobody is tested twice. The part
`labelled` of a cohort is "mr-100-ct-12.5": so many per cent of the training hearts of each. The others are
not used, as the paper trains on labelled hearts alone; nor is anybody of a modality with 0 %, in any split.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.imaging import cardiac, nifti

LABELS = {
    "left-ventricle": (500,),
    "right-ventricle": (600,),
    "left-atrium": (420, 421),  # 421 is a slip of the pen in the MR labels
    "right-atrium": (550,),
    "myocardium": (205,),
    "aorta": (820,),
    "pulmonary-artery": (850,),
}
MASKS = tuple(LABELS)
MODALITIES = ("MR", "CT")
NUMBERS = tuple(range(1001, 1021))
TRAIN, VALIDATION = 14, 3  # of each modality; the others are tested
FOLDS = ("given-0", "given-1", "given-2")
PARTS = re.compile(r"mr-(?P<MR>\d+(?:\.\d+)?)-ct-(?P<CT>\d+(?:\.\d+)?)")
DRAW_SEED = 1

SPACING_MM = 1.0
POSITIONS_MM = 1.2
PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True)
class Mmwhs(Dataset):
    """The data set `mmwhs`."""

    name = stands_for = "mmwhs"
    family = "mmwhs"
    note = (
        "its publisher gives no checksums: the files are those of the user's SHA256SUMS; preprocessing and "
        "split are our own, as the paper's are not published"
    )
    task = "segmentation"
    has = of_three_splits(*MASKS)
    licence = "of the challenge: for research, not to be passed on"
    numbers: tuple[int, ...] = NUMBERS
    folds: tuple[str, ...] = FOLDS
    train: int = TRAIN
    validation: int = VALIDATION
    size: int = cardiac.SIZE
    spacing_mm: float = SPACING_MM

    @property
    def how_to_get(self) -> str:
        what = "the folders mr_train and ct_train of the challenge (zmiclab.github.io/zxh/0/mmwhs)"
        return supplied.how_to_get(self.name, what, "heart-data")

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        folder = supplied.folder_of(self.name)
        if folder is None:
            return ()
        sums = supplied.listed(folder, ())
        pairs = [files_of(modality, number) for modality in MODALITIES for number in self.numbers]
        return supplied.raw_files(folder, [name for pair in pairs for name in pair], sums)

    def cohort(self, fold: str, labelled: str) -> Cohort:
        return cohort(fold, labelled, self.numbers, self.train, self.validation)

    def to_slices(self, raw_dir: Path) -> Slices:
        """All hearts; ValueError for anything unexpected in the files."""
        stacks = [
            stack_of(
                *(checked(self, name, raw_dir) for name in files_of(modality, number)),
                modality,
                number,
                self.size,
                self.spacing_mm,
            )
            for modality in MODALITIES
            for number in self.numbers
        ]
        return cardiac.table(stacks, self.cohort(self.folds[0], "mr-100-ct-100"), self.name, MASKS)


def cohort(
    fold: str,
    labelled: str,
    numbers: Sequence[int] = NUMBERS,
    training: int = TRAIN,
    validation: int = VALIDATION,
) -> Cohort:
    """Whom "mr-<per cent>-ct-<per cent>" means; ValueError for another form and where nobody is left."""
    if fold not in FOLDS:
        raise defect("MM-WHS: fold", f"one of {', '.join(FOLDS)}", repr(fold), "choose one")
    parts = PARTS.fullmatch(str(labelled))
    if parts is None:
        remedy = "say of both modalities how many per cent of their training hearts are used"
        raise defect("MM-WHS: labelled", "a name such as mr-100-ct-12.5", repr(labelled), remedy)
    used = {modality: float(parts[modality]) for modality in MODALITIES if float(parts[modality])}
    if not used:
        raise defect("MM-WHS: labelled", "some hearts of a modality", labelled, "give another percentage")
    tested = len(numbers) - training - validation
    first = len(numbers) - FOLDS.index(fold) * tested
    row = [*numbers[first:], *numbers[:first]]
    people = {modality: [_subject(modality, number) for number in row] for modality in used}
    train = [
        who
        for modality, percent in used.items()
        for who in sorted(draw(people[modality][:training], percent, DRAW_SEED))
    ]
    val = [who for own in people.values() for who in own[training : training + validation]]
    test = [who for own in people.values() for who in own[training + validation :]]
    return Cohort(tuple(train), tuple(val), tuple(test), labelled=tuple(train))


def stack_of(
    path: Path,
    mask_path: Path,
    modality: str,
    number: int,
    size: int = cardiac.SIZE,
    spacing_mm: float = SPACING_MM,
) -> cardiac.Stack:
    """The axial slices of a heart, from feet to head."""
    image, mask = nifti.read(path, 3), nifti.read(mask_path, 3)
    nifti.same_place(path, image, mask_path, mask)
    nifti.check_drawn(mask_path, mask)
    volume, spacing = _axial(image)
    labels, _ = _axial(mask)
    chosen, distance = _positions(len(volume), spacing[2])
    fine, pixel = cardiac.resampled(volume[chosen], spacing[:2], 1, spacing_mm)
    coarse, _ = cardiac.resampled(labels[chosen], spacing[:2], 0, spacing_mm)
    return cardiac.Stack(
        subject=_subject(modality, number),
        modality=modality,
        images=cardiac.quantised(cardiac.square(cardiac.unit_range(fine, path, PERCENTILES), size)),
        masks=cardiac.square(cardiac.planes(coarse, LABELS, mask_path), size),
        spacing_mm=(*pixel, distance),
    )


def _axial(image) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """(S, H, W) from feet to head, front to back, right to left; distances of rows, columns and positions."""
    import nibabel

    upright = nibabel.as_closest_canonical(image)
    columns_mm, rows_mm, positions_mm = (float(size) for size in upright.header.get_zooms())
    return nifti.values(upright).T[:, ::-1, ::-1], (rows_mm, columns_mm, positions_mm)


def _positions(count: int, spacing_mm: float) -> tuple[NDArray[np.int64], float]:
    """Of `count` positions, every nth, about POSITIONS_MM apart; and how far apart they are."""
    step = max(1, round(POSITIONS_MM / spacing_mm))
    return np.arange(0, count, step), step * spacing_mm


def _subject(modality: str, number: int) -> str:
    return f"{modality.lower()}-{number}"


def files_of(modality: str, number: int) -> tuple[str, str]:
    """Image and label map of a heart."""
    folder = f"{modality.lower()}_train"
    return f"{folder}/{folder}_{number}_image.nii.gz", f"{folder}/{folder}_{number}_label.nii.gz"


DATASETS = (Mmwhs(),)
