"""Hearts of a few voxels, in the layouts in which data sets of hearts are published."""

from pathlib import Path

import nibabel
import numpy as np

from latent_anatomy.data import supplied
from latent_anatomy.provenance.files import sha256_file

ACDC_SHAPE = (20, 16, 2)  # columns, rows, positions, as in the files
FRAMES, ED, ES, EMPTY = 6, 1, 4, 6  # frames are numbered from 1


def take_checksums(folder: Path, name: str = supplied.SUMS, start: str = "./") -> Path:
    """Write `name` of all other files in `folder`, in the form of sha256sum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != name)
    lines = [f"{sha256_file(path)}  {start}{path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / name).write_text("".join(lines))
    return folder / name


def write_nifti(path: Path, values: np.ndarray, mm: tuple[float, ...], affine=None) -> None:
    """A NIfTI file of `values`; axes of `mm`, or `affine`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([*mm[:3], 1.0]) if affine is None else affine)
    nibabel.save(image, path)


def acdc_labels() -> np.ndarray:
    """On every position: right ventricle 3 x 4, myocardium 8 x 8 around a left ventricle of 4 x 4."""
    labels = np.zeros(ACDC_SHAPE, np.uint8)
    labels[2:5, 4:8] = 1
    labels[8:16, 4:12] = 2
    labels[10:14, 6:10] = 3
    return labels


def write_acdc_patient(folder: Path, patient: str, group: str, mm=(1.37, 1.37, 10.0)) -> np.ndarray:
    """Files of a patient in the layout of ACDC below `folder`; the cine (X, Y, positions, frames)."""
    random = np.random.default_rng(int(patient.removeprefix("patient")))
    cine = random.integers(1, 1000, (*ACDC_SHAPE, FRAMES)).astype(np.int16)
    cine[..., EMPTY - 1] = 0
    own = folder / "training" / patient
    write_nifti(own / f"{patient}_4d.nii.gz", cine, mm)
    for number in (ED, ES):
        start = f"{patient}_frame{number:02d}"
        write_nifti(own / f"{start}.nii.gz", cine[..., number - 1], mm)
        write_nifti(own / f"{start}_gt.nii.gz", acdc_labels(), mm)
    info = f"ED: {ED}\nES: {ES}\nGroup: {group}\nHeight: 180.0\nNbFrame: {FRAMES}\nWeight: 80.0\n"
    (own / "Info.cfg").write_text(info)
    return cine
