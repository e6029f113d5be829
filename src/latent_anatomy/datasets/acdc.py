"""ACDC, the Automated Cardiac Diagnosis Challenge of 2017: cine MR of 100 patients in the challenge's layout.

Bernard et al. 2018 (see `acdc_patients`); humanheart-project.creatis.insa-lyon.fr, after registration.

    training/patient001/Info.cfg                         ED: 1, ES: 12, Group: DCM, ...
    training/patient001/patient001_4d.nii.gz             the cine, (X, Y, positions, frames)
    training/patient001/patient001_frame01.nii.gz        a labelled frame, numbered from 1
    training/patient001/patient001_frame01_gt.nii.gz     0, 1 right ventricle, 2 myocardium, 3 left ventricle

Images as in `cardiac`, with the file's second axis as rows, as pictures are usually shown and as in
`acdc_frames`; SDNet's code takes the first, which gives the transpose. Labelled frames are normalised by
themselves, the others, without masks, by the whole cine, as in that code. It compares frame numbers from 1
with indices from 0, and so keeps ED and ES among its unlabelled images and loses the frames after them: here
exactly the labelled frames are left out. Frames that are wholly 0 are left out too.

The slices are large: 1.3 GB of images and, in memory, 3.8 GB of masks, most of them not drawn.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort
from latent_anatomy.data.dataset import Dataset, RawFile, checked
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets import acdc_patients
from latent_anatomy.datasets.acdc_patients import FOLDS, LABELS, MASKS, MODALITY, PATIENTS
from latent_anatomy.imaging import cardiac, nifti
from latent_anatomy.imaging.cardiac import Stack

FRAME = re.compile(r"training/(?P<who>patient\d{3})/(?P=who)_frame(?P<number>\d{2,3})(?P<gt>_gt)?\.nii\.gz")
# Not the ._* files that some copies have beside each.
PLACES = ("training/patient*/Info.cfg", "training/patient*/patient*.nii.gz")


@dataclass(frozen=True)
class Acdc(Dataset):
    """The data set `acdc`."""

    name = stands_for = "acdc"
    family = "acdc"
    note = "its publisher gives no checksums: the files are those of the user's SHA256SUMS"
    task = "segmentation"
    has = of_three_splits(*MASKS)
    licence = "CC BY-NC-SA 4.0"
    patients: tuple[str, ...] = PATIENTS
    folds: tuple[str, ...] = FOLDS
    size: int = cardiac.SIZE
    spacing_mm: float = cardiac.SPACING_MM

    @property
    def how_to_get(self) -> str:
        what = (
            "the folder training of the challenge (in database or acdc_challenge_20170617, from "
            "humanheart-project.creatis.insa-lyon.fr), so that there is acdc/training/patient001/Info.cfg,"
        )
        return supplied.how_to_get(self.name, what, "heart-data")

    def cohort(self, fold: str, labelled: float) -> Cohort:
        return acdc_patients.cohort(fold, labelled)

    def group(self, patient: str) -> str:
        return acdc_patients.group(patient)

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        folder = supplied.folder_of(self.name)
        if folder is None:
            return ()
        sums = supplied.listed(folder, PLACES)
        names = [f"training/{patient}/Info.cfg" for patient in self.patients]
        names += [_cine(patient) for patient in self.patients]
        frames = (FRAME.fullmatch(name) for name in sums)
        names += [frame.string for frame in frames if frame and frame["who"] in self.patients]
        return supplied.raw_files(folder, names, sums)

    def to_slices(self, raw_dir: Path) -> Slices:
        """Every frame of every patient; ValueError for anything unexpected in the files."""
        stacks = [stack for patient in self.patients for stack in self._stacks(patient, raw_dir)]
        return cardiac.table(stacks, self.cohort(self.folds[0], 100), self.name, MASKS)

    def _stacks(self, patient: str, raw_dir: Path) -> list[Stack]:
        """ED and ES with their masks, then the other frames."""
        phases = _phases(patient, self.group(patient), checked(self, f"training/{patient}/Info.cfg", raw_dir))
        frames = [match for file in self.files if (match := FRAME.fullmatch(file.name))]
        labelled = {int(match["number"]) for match in frames if match["who"] == patient and match["gt"]}
        if labelled != phases.keys():
            expected = f"masks of its frames {' and '.join(map(str, phases))} (ED and ES)"
            found = f"those of {', '.join(map(str, sorted(labelled)))}" if labelled else "none"
            raise defect(f"{self.name}: {patient}", expected, found, "fetch the patient's files again")
        stacks = [self._labelled(patient, number, phases[number], raw_dir) for number in sorted(labelled)]
        return [*stacks, *self._cine(patient, labelled, raw_dir)]

    def _labelled(self, patient: str, number: int, phase: str, raw_dir: Path) -> Stack:
        start = f"training/{patient}/{patient}_frame{number:02d}"
        path = checked(self, f"{start}.nii.gz", raw_dir)
        mask_path = checked(self, f"{start}_gt.nii.gz", raw_dir)
        image, mask = nifti.read(path, 3), nifti.read(mask_path, 3)
        nifti.same_grid(path, image, mask_path, mask)
        nifti.check_drawn(mask_path, mask)
        columns_mm, rows_mm, positions_mm = (float(size) for size in image.header.get_zooms())
        volume, pixel = cardiac.resampled(
            nifti.values(image).T, (rows_mm, columns_mm), order=1, target_mm=self.spacing_mm
        )
        labels, _ = cardiac.resampled(
            nifti.values(mask).T, (rows_mm, columns_mm), order=0, target_mm=self.spacing_mm
        )
        return Stack(
            subject=patient,
            modality=MODALITY,
            images=cardiac.quantised(cardiac.square(cardiac.unit_range(volume, path), self.size)),
            masks=cardiac.square(cardiac.planes(labels, LABELS, mask_path), self.size),
            phase=phase,
            spacing_mm=(*pixel, positions_mm),
        )

    def _cine(self, patient: str, labelled: set[int], raw_dir: Path) -> list[Stack]:
        """The frames without masks."""
        path = checked(self, _cine(patient), raw_dir)
        image = nifti.read(path, 4)
        if image.shape[3] < max(labelled):
            found = f"{image.shape[3]} frames"
            raise defect(path, f"ED and ES among its frames, {sorted(labelled)}", found, "fetch it again")
        columns_mm, rows_mm, positions_mm = (float(size) for size in image.header.get_zooms()[:3])
        cine = nifti.values(image).T  # frames, positions, rows, columns
        flat, pixel = cardiac.resampled(
            cine.reshape(-1, *cine.shape[2:]), (rows_mm, columns_mm), order=1, target_mm=self.spacing_mm
        )
        images = cardiac.quantised(cardiac.square(cardiac.unit_range(flat, path), self.size))
        images = images.reshape(*cine.shape[:2], *images.shape[1:])
        return [
            Stack(patient, MODALITY, own, None, f"frame-{number:02d}", (*pixel, positions_mm))
            for number, own in enumerate(images, start=1)
            if number not in labelled and cine[number - 1].any()
        ]


def _cine(patient: str) -> str:
    return f"training/{patient}/{patient}_4d.nii.gz"


def _phases(patient: str, group: str, path: Path) -> dict[int, str]:
    """Frame number -> "ED" or "ES", as Info.cfg says; ValueError for another group."""
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    info = {key.strip(): value.strip() for key, _, value in lines}
    remedy = "fetch it again"
    for key in ("ED", "ES"):
        if not info.get(key, "").isdecimal():
            raise defect(path, f"{key} with a frame's number", info.get(key, "none"), remedy)
    if info.get("Group") != group:
        expected = f"Group {group}, as the folds of {patient} are stratified by"
        raise defect(path, expected, info.get("Group", "none"), "check that this is the training set of 2017")
    if info["ED"] == info["ES"]:
        raise defect(path, "two frames, ED and ES", f"frame {info['ED']} for both", remedy)
    return {int(info["ED"]): "ED", int(info["ES"]): "ES"}


DATASETS = (Acdc(),)
