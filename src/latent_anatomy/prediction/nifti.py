"""Maps as NIfTI files, NaN where nothing was modelled, on whatever grid an image was given."""

import gzip
from pathlib import Path

import nibabel
from numpy.typing import NDArray

from latent_anatomy.imaging.volume import COMPRESSION
from latent_anatomy.prediction.space import Grid
from latent_anatomy.provenance.files import atomic_write


def write(path: Path, values: NDArray, grid: Grid) -> None:
    """Write `path` (.nii.gz) atomically: float32 as it is, masks (bool) as uint8; same values, same bytes."""
    stored = values.astype("uint8" if values.dtype == bool else "float32")
    image = nibabel.Nifti1Image(stored, grid.affine)
    image.set_sform(grid.affine, code="scanner")
    image.set_qform(grid.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
