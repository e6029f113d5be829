"""One slice of CT in a gzipped DICOM file: Hounsfield units, and the few header fields that place it.

Everything else in the header, names and identifiers of studies and devices, stays where it is.
"""

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import defect
from latent_anatomy.provenance.unpacking import check_size, gunzip

MODALITY, PATIENT, KERNEL, POSITION = "0008|0060", "0010|0020", "0018|1210", "0020|0032"
RESCALED = {"0028|1052": "intercept", "0028|1053": "slope"}
AGAIN = "fetch it again"


class CtSlice(NamedTuple):
    """hu (H, W) float32; place (5,) in mm: its first voxel, and the distances of columns and rows."""

    hu: NDArray[np.float32]
    place: tuple[float, ...]
    patient: str
    kernel: str


def read(path: Path) -> CtSlice:
    """ValueError, one line, unless it holds one whole slice of CT that says how values become HU."""
    import SimpleITK

    try:
        content = gunzip(path.read_bytes(), path)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise defect(path, "a whole gzip file", f"a damaged one ({_line(error)})", AGAIN) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    with TemporaryDirectory() as folder:
        unpacked = Path(folder) / "slice.dcm"
        unpacked.write_bytes(content)
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(unpacked))
        try:
            reader.ReadImageInformation()
            header = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
            _check(path, header, reader.GetSize())
            image = reader.Execute()  # which applies slope and intercept
        except RuntimeError as error:
            found = _line(error).rsplit("Error: ", 1)[-1].replace(str(unpacked), "its content")
            raise defect(path, "a DICOM file", f"another ({found})", AGAIN) from error
    hu = SimpleITK.GetArrayFromImage(image)[0].astype(np.float32)
    if not np.isfinite(hu).all():
        raise defect(path, "finite values", "NaN or infinities", AGAIN)
    place = (*map(float, header[POSITION].split("\\")), *image.GetSpacing()[:2])
    return CtSlice(hu, place, header[PATIENT], header[KERNEL])


def _check(path: Path, header: dict[str, str], size: tuple[int, ...]) -> None:
    if header.get(MODALITY) != "CT":
        raise defect(path, "the modality CT", header.get(MODALITY) or "none", "choose slices of CT")
    if missing := [name for key, name in RESCALED.items() if not header.get(key)]:
        raise defect(path, "slope and intercept, which give HU", f"no {missing[0]}", "export it anew")
    for key, name in ((PATIENT, "patient"), (KERNEL, "reconstruction kernel"), (POSITION, "position")):
        if not header.get(key):
            raise defect(path, f"a {name} ({key})", "none", "export it anew")
    if len(size) > 2 and size[2] != 1:
        raise defect(path, "one slice", f"{size[2]}", "export slices one by one")
    check_size(path, 8 * size[0] * size[1])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
