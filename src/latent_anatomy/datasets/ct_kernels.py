"""Patches of lung of two patients, each slice reconstructed with a soft and a sharp kernel.

Lung-PET-CT-Dx (Li et al., The Cancer Imaging Archive 2020, CC BY 4.0): 12 slices of each patient, at one
position twice from the same scan. Beside them 14 single slices of 13 patients of TCGA-LUAD and TCGA-LUSC (CC
BY 3.0), of other scanners and kernels, without pairs. Raw layout: `index.csv` and gzipped DICOM files of CT.

Slices are cut into a grid of patches of 28 x 28, of their own pixel size, that are lung, all but a tenth;
what is lung, the slice of the soft kernel says for both. Of the single slices nine have twelve such patches;
the others show shoulders or the belly, and are left out. Names and identifiers stay in the files.

subject     patient-1, patient-2; other-1 to other-9
modality    "CT soft kernel" (Philips B, Siemens B40f), "CT sharp kernel" (Philips L, Siemens B70f), or "CT
            other kernel" of a slice that is alone
site        manufacturer and model of the scanner, as the index has them
pair        the same patch under the other kernel

Patient 1 trains and patient 2 is tested, or in the fold turns-1 the other way round; the others validate.
**Two patients show that the machinery works on real kernels, and nothing else**: no interval over patients
can be had.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data import supplied  # and not the package, which has all data sets
from latent_anatomy.data.cohorts import Cohort, draw
from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices, defect
from latent_anatomy.datasets.lgg_flair import rows_of
from latent_anatomy.imaging import dicom

MANIFEST = Path(__file__).with_suffix(".sha256")
INDEX = "index.csv"
PAIRED = "paired_kernels"  # the set of the index whose slices have partners
SOFT = {"B": True, "L": False, "B40f": True, "B70f": False}
MODALITIES = ("CT soft kernel", "CT sharp kernel")
ALONE = "CT other kernel"
PAIRS, OTHERS = ("patient-1", "patient-2"), tuple(f"other-{number}" for number in range(1, 10))
FOLDS = ("turns-0", "turns-1")
WINDOW = (-1024.0, 400.0)  # HU that become 0 and 255
AIR = -400.0  # HU; what is darker and does not touch the edge is lung
CLOSED = 5  # pixels, so that vessels are lung too
PATCH, WITHIN, LEAST = 28, 0.9, 12  # pixels; of a patch is lung; patches of a single slice
SEED = 1333
AGAIN = "fetch it again"


class Scan(NamedTuple):
    """What the index says of a file."""

    patient: str
    place: float
    kernel: str
    scanner: str
    file: str


@dataclass(frozen=True)
class CtKernels(Dataset):
    """The data set `ct-kernels`."""

    name: str = "ct-kernels"
    family = "ct"
    note = "two patients with lung cancer, not fibrosis, 12 positions each: machinery, no evidence"
    task = ""
    has = of_three_splits()
    licence = "CC BY 4.0; the slices that validate: CC BY 3.0"
    folds = FOLDS

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        return supplied.manifest(MANIFEST)

    def cohort(self, fold: str, labelled: float) -> Cohort:
        """One of the two trains, the other is tested."""
        if fold not in FOLDS:
            raise defect(f"{self.name}: fold", f"one of {', '.join(FOLDS)}", repr(fold), "choose one")
        train, test = PAIRS if fold == FOLDS[0] else PAIRS[::-1]
        return Cohort((train,), OTHERS, (test,), draw((train,), labelled, SEED))

    def to_slices(self, raw_dir: Path) -> Slices:
        """Images uint8 (N, 1, 28, 28); ValueError for anything unexpected in the files."""
        for file in self.files:
            file.verify(raw_dir / file.name)
        paired, alone = scans_of(raw_dir / INDEX)
        cut = [(scan, patches(*both_of(scan, other, raw_dir))) for scan, other in partners(paired)]
        single = [(scan, patches(read(scan, raw_dir))) for scan in alone]
        single = [(scan, found) for scan, found in single if len(found) >= LEAST]
        subject = _called([scan for scan, _ in cut], PAIRS) + _called([scan for scan, _ in single], OTHERS)
        counts = [len(found) for _, found in (*cut, *single)]
        of_pairs = sum(counts[: len(cut)])
        pair = np.full(sum(counts), -1, np.int64)
        pair[:of_pairs] = np.arange(of_pairs).reshape(-1, 2)[:, ::-1].ravel()
        subject = np.repeat(subject, counts)
        splits = dict(zip(PAIRS, ("train", "test"), strict=True))
        return Slices(
            images=np.concatenate([found for _, found in (*cut, *single)])[:, None],
            pair=pair,
            subject=subject,
            slice=np.concatenate([_positions(subject[pair >= 0]) // 2, _positions(subject[pair < 0])]),
            split=np.array([splits.get(name, "val") for name in subject]),
            modality=np.array(MODALITIES * (of_pairs // 2) + (ALONE,) * (len(pair) - of_pairs)),
            site=np.repeat([scan.scanner for scan, _ in (*cut, *single)], counts),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def scans_of(path: Path) -> tuple[list[Scan], list[Scan]]:
    """What the index lists, of slices with partners and of those without, by patient and place."""
    rows = rows_of(path, {"file", "set", "patient", "manufacturer", "model", "kernel", "z"})
    lists: tuple[list[Scan], list[Scan]] = ([], [])
    for row in rows:
        scanner = f"{row['manufacturer']} {row['model']}"
        scan = Scan(row["patient"], float(row["z"]), row["kernel"], scanner, row["file"])
        lists[row["set"] != PAIRED].append(scan)
        if row["set"] == PAIRED and scan.kernel not in SOFT:
            raise defect(f"{path}: {scan.file}", f"a kernel of {', '.join(SOFT)}", scan.kernel, AGAIN)
    return sorted(lists[0]), sorted(lists[1])


def partners(scans: list[Scan]) -> list[tuple[Scan, Scan]]:
    """The soft and the sharp one at each place of each patient; ValueError for one without its partner."""
    found = []
    for (patient, place), own in groupby(scans, key=lambda scan: scan[:2]):
        both = sorted(own, key=lambda scan: not SOFT[scan.kernel])
        if [SOFT[scan.kernel] for scan in both] != [True, False]:
            kernels = " and ".join(scan.kernel for scan in both)
            raise defect(f"{patient} at {place:g} mm", "a soft and a sharp kernel", kernels, AGAIN)
        found.append((both[0], both[1]))
    return found


def read(scan: Scan, raw_dir: Path) -> dicom.CtSlice:
    """A file; ValueError where it is of another patient or kernel than the index says."""
    found = dicom.read(raw_dir / scan.file)
    for what in ("patient", "kernel"):
        if getattr(found, what) != getattr(scan, what):
            expected, other = (f"{what} {getattr(each, what)}" for each in (scan, found))
            raise defect(raw_dir / scan.file, expected, other, AGAIN)
    return found


def both_of(soft: Scan, sharp: Scan, raw_dir: Path) -> tuple[dicom.CtSlice, dicom.CtSlice]:
    """Both files; ValueError unless they are of one grid at one place."""
    one, other = read(soft, raw_dir), read(sharp, raw_dir)
    if one.place != other.place or one.hu.shape != other.hu.shape:
        expected = f"the grid of {soft.file}, {one.hu.shape} at {one.place} mm"
        raise defect(raw_dir / sharp.file, expected, f"{other.hu.shape} at {other.place} mm", AGAIN)
    return one, other


def lungs_of(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What is air within the body in a slice (H, W), with its vessels."""
    from scipy import ndimage

    dark, _ = ndimage.label(hu < AIR)
    outside = np.unique(np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]]))
    inside = np.pad((dark > 0) & ~np.isin(dark, outside), CLOSED)
    return ndimage.binary_closing(inside, iterations=CLOSED)[CLOSED:-CLOSED, CLOSED:-CLOSED]


def patches(*slices: dicom.CtSlice) -> NDArray[np.uint8]:
    """Patches (n P, 28, 28) of n slices of one place, side by side, where the first one is lung."""
    lungs = lungs_of(slices[0].hu)
    scaled = [np.clip((each.hu - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1) for each in slices]
    found = []
    for y in range(0, lungs.shape[0] - PATCH + 1, PATCH):
        for x in range(0, lungs.shape[1] - PATCH + 1, PATCH):
            where = np.s_[y : y + PATCH, x : x + PATCH]
            if lungs[where].mean() >= WITHIN:
                found += [image[where] for image in scaled]
    return np.round(255 * np.array(found).reshape(-1, PATCH, PATCH)).astype(np.uint8)


def _called(scans: list[Scan], names: tuple[str, ...]) -> list[str]:
    """The name in the slices of the patient of each scan; ValueError for another number of patients."""
    patients = sorted({scan.patient for scan in scans})
    if len(patients) != len(names):
        raise defect(INDEX, f"{len(names)} patients as {names[0]}", len(patients), AGAIN)
    return [names[patients.index(scan.patient)] for scan in scans]


def _positions(subject: NDArray) -> NDArray[np.int32]:
    """How many rows of the same subject are before each row: (N,)."""
    before: Counter[str] = Counter()
    found = []
    for name in subject.tolist():
        found.append(before[name])
        before[name] += 1
    return np.array(found, np.int32)


DATASETS = (CtKernels(),)
