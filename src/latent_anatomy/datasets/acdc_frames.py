"""The labelled frames of ACDC as they are at hand where the challenge's own files are not.

All 100 training patients, ED and ES, 200 volumes, 1,902 slices, in files `patient001_frame01.h5`:

    image_index   (S, H, W) uint16, and image_values (V,) float32 in [0, 1]: the image is values[index]
    label         (S, H, W) uint8: 0, 1 right ventricle, 2 myocardium, 3 left ventricle

The first frame of a patient is ED, the second ES. Names and SHA-256 of all files: `acdc_frames.sha256`. That
images were scaled to [0, 1] by volume makes no difference to the clipping and scaling of `cardiac`. The size
of a pixel is not recorded, so that nothing is resampled to 1.37 mm and there are no millilitres.

    acdc-frames      224 x 224 in the native pixels, otherwise as `cardiac`
    acdc-frames-96   the 192 x 192 pixels in the middle at half the resolution: images are the mean of two by
                     two pixels, masks the most frequent label of the four (in a tie, that of the upper left)
"""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import acdc_patients
from latent_anatomy.datasets.acdc_patients import FOLDS, LABELS, MASKS, MODALITY
from latent_anatomy.imaging import cardiac

MANIFEST = Path(__file__).with_suffix(".sha256")
FILE = re.compile(r"(?P<who>patient\d{3})_frame(?P<number>\d{2})\.h5")
PHASES = ("ED", "ES")
HALF = 96
COLUMNS = {"image_index": (3, "uint16"), "image_values": (1, "float32"), "label": (3, "uint8")}
NOTE = (
    "ACDC's patients and masks, from copies without the size of a pixel, so not resampled to 1.37 mm; "
    "the unlabelled images are labelled frames too, of which the masks are withheld, not the rest of the cine"
)


@dataclass(frozen=True)
class AcdcFrames(Dataset):
    """The data set `acdc-frames`, or at half its resolution `acdc-frames-96`."""

    name: str
    note: str
    halved: bool
    stands_for: str | None = None
    family = "acdc"
    task = "segmentation"
    has = of_three_splits(*MASKS)
    licence = "CC BY-NC-SA 4.0"
    folds: tuple[str, ...] = FOLDS

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def cohort(self, fold: str, labelled: float) -> Cohort:
        return acdc_patients.cohort(fold, labelled)

    def to_slices(self, raw_dir: Path) -> Slices:
        """ED and ES of every patient; ValueError for anything unexpected in the files."""
        names = sorted(file.name for file in self.files)
        stacks = []
        for patient, frames in groupby(names, key=lambda name: FILE.fullmatch(name)["who"]):
            frames = list(frames)
            if len(frames) != len(PHASES):
                raise defect(f"{self.name}: {patient}", "two frames", f"{len(frames)}", "complete its files")
            for phase, name in zip(PHASES, frames, strict=True):
                images, masks = self._pictures(checked(self, name, raw_dir))
                stacks.append(cardiac.Stack(patient, MODALITY, images, masks, phase))
        return cardiac.table(stacks, self.cohort(self.folds[0], 100), self.name, MASKS)

    def _pictures(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Images (S, H, W) and planes (S, K, H, W) of a volume at the size of this data set."""
        volume, label = _read(path)
        images, masks = cardiac.unit_range(volume, path), cardiac.planes(label, LABELS, path)
        if self.halved:
            images, masks = half(cardiac.square(images, 2 * HALF), cardiac.square(masks, 2 * HALF))
        else:
            images, masks = cardiac.square(images), cardiac.square(masks)
        return cardiac.quantised(images), masks


def half(images: NDArray[np.float32], masks: NDArray[np.uint8]) -> tuple[NDArray, NDArray[np.uint8]]:
    """Every two by two pixels of (S, H, W) and of planes (S, K, H, W), of which at most one is 1, as one."""
    background = 1 - masks.sum(axis=1, keepdims=True, dtype=np.uint8)
    each = _blocks(np.concatenate([background, masks], axis=1))
    # Two more for each of the four and one for the upper left: no tie is left.
    winner = (2 * each.sum(axis=(-3, -1)) + each[..., 0, :, 0]).argmax(axis=1)
    planes = np.stack([winner == label for label in range(1, 1 + masks.shape[1])], axis=1)
    return _blocks(images).mean(axis=(-3, -1)), planes.astype(np.uint8)


def _blocks(array: NDArray) -> NDArray:
    """(..., H, W) -> (..., H / 2, 2, W / 2, 2)."""
    *rest, height, width = array.shape
    return array.reshape(*rest, height // 2, 2, width // 2, 2)


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and label map (S, H, W) of a file."""
    again = "fetch it again"
    try:
        with h5py.File(path, "r") as file:
            if set(file) != set(COLUMNS):
                raise defect(path, ", ".join(COLUMNS), ", ".join(file), again)
            arrays = {name: file[name][()] for name in COLUMNS}
    except OSError as error:
        raise defect(path, "a whole HDF5 file", f"a damaged one ({error})", again) from error
    for name, (dimensions, dtype) in COLUMNS.items():
        array = arrays[name]
        if array.ndim != dimensions or array.dtype != dtype:
            raise defect(path, f"{name} {dtype} of {dimensions} axes", f"{array.dtype} {array.shape}", again)
    index, values, label = arrays.values()
    if index.shape != label.shape:
        raise defect(path, f"a label map on the grid of its image, {index.shape}", label.shape, again)
    if index.max() >= len(values):
        raise defect(path, f"indices below {len(values)}, the number of values", index.max(), again)
    return values[index], label


DATASETS = (
    AcdcFrames("acdc-frames", NOTE, halved=False, stands_for="acdc"),
    AcdcFrames("acdc-frames-96", f"{NOTE}; half the resolution, 96 x 96", halved=True),
)
