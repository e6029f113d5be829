"""A volume in memory, and NIfTI files in and out.

Reading is strict: what is no single brain volume, or does not say where it lies, is refused with the reason.
NIfTI-1 and NIfTI-2, one file, plain or gzipped (the content decides, not the name), of either byte order.
"""

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import headers
from latent_anatomy.provenance import unpacking
from latent_anatomy.provenance.files import atomic_write

GZIP = b"\x1f\x8b"
FEWEST_VOXELS = 8  # along an axis
EXTENT_MM = (60, 400)  # of a head, or of a field of view around it
SHEAR = 1e-3  # largest cosine between two axes: 0.2 mm across a head; ITK has no sheared grids
ROUNDING = 1e-3  # of a mask's mark that a slope scales
COMPRESSION = 6  # of a 1 mm head: 4 MB in 0.3 s; level 9 is 1 % smaller and takes twice the time


@dataclass(frozen=True, eq=False)
class Volume:
    """Intensities on a grid in the world; a mask is a volume of 0 and 1.

    values    (X, Y, Z) float32, finite; the axes run towards the right, the front and the top (RAS+)
    affine    (4, 4) float64: voxel indices to millimetres, RAS+
    replaced  how many values of the file were not finite and became 0

    Raises ValueError for other shapes or types, and for values that are not finite.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    replaced: int = 0

    def __post_init__(self) -> None:
        for name, dtype, dimensions in (("values", np.float32, 3), ("affine", np.float64, 2)):
            array = getattr(self, name)
            expected = f"a finite {np.dtype(dtype)} array of {dimensions} dimensions"
            if array.dtype != dtype or array.ndim != dimensions:
                raise defect(f"volume, {name}", expected, f"{array.dtype} {array.shape}", "convert it first")
            if not np.isfinite(array).all():
                raise defect(f"volume, {name}", expected, "NaN or infinities", "replace them first")
        if self.affine.shape != (4, 4):
            raise defect("volume, affine", "shape (4, 4)", self.affine.shape, "use homogeneous coordinates")

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) distance in millimetres between neighbours along each axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


def read(path: Path) -> Volume:
    """The volume of a NIfTI file with its axes flipped and swapped to the closest RAS+; nothing resampled.

    Slope and intercept are applied, trailing axes of size 1 dropped, NaN and infinities (also what float32
    cannot hold) become 0 and are counted. Raises ValueError for what is no brain volume: not NIfTI, damaged,
    complex or colour, several frames, fewer than 8 voxels along an axis, an extent outside 60 to 400 mm,
    a header that contradicts itself or does not tell the orientation (see `headers`), a grid that is sheared,
    wholly NaN, or constant.
    """
    volume = _read(path)
    if volume.replaced == volume.values.size:
        raise defect(path, "finite intensities", "none", "export the image again")
    if volume.values.min() == volume.values.max():
        raise defect(path, "an image", f"the constant {volume.values.flat[0]:g}", "export the image again")
    return volume


def read_mask(path: Path) -> Volume:
    """A mask as 0 and 1, from a file of 0 and one positive whole number; may be empty. Otherwise as `read`.

    What is asked of masks that others drew: see `masks`.
    """
    volume = _read(path)
    marks = np.unique(volume.values[volume.values != 0])
    if len(marks) > 1 or volume.replaced:
        found = f"{len(marks)} other values and {volume.replaced} NaN"
        raise defect(path, "a mask of 0 and one other value", found, "choose the label or threshold it first")
    if len(marks) and not (marks[0] > 0 and abs(marks[0] - round(float(marks[0]))) < ROUNDING):
        remedy = "store background as 0 and the marked voxels as 1"
        raise defect(path, "a mask that marks voxels by a positive whole number", f"{marks[0]:g}", remedy)
    return replace(volume, values=(volume.values != 0).astype(np.float32))


def write(path: Path, volume: Volume, kind: Literal["float32", "uint8"] = "float32") -> None:
    """Write `path` (.nii.gz) atomically; the same volume gives the same bytes.

    The affine is stored as sform and as qform, in float32. Raises ValueError for a name that does not end in
    .nii.gz, and as uint8 for values other than whole numbers from 0 to 255.
    """
    import nibabel

    if not Path(path).name.endswith(".nii.gz"):
        raise defect(path, "a name ending in .nii.gz", Path(path).name, "rename the output")
    stored = volume.values.astype(kind)
    if not np.array_equal(stored, volume.values):
        raise defect(path, f"values that {kind} holds exactly", "others", "threshold or round them first")
    image = nibabel.Nifti1Image(stored, volume.affine)
    image.set_sform(volume.affine, code="aligned")
    image.set_qform(volume.affine, code="aligned")
    image.header.set_xyzt_units("mm")
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())


def _read(path: Path) -> Volume:
    import nibabel

    image = parse(path)
    shape = image.shape[:3]
    if len(shape) < 3 or min(shape) < FEWEST_VOXELS:
        raise defect(
            path, f"at least {FEWEST_VOXELS} voxels along each of three axes", image.shape, "no head"
        )
    if math.prod(image.shape[3:]) != 1:
        remedy = "extract the frame that is meant into a file of its own"
        raise defect(path, "one volume", f"several frames, {image.shape}", remedy)
    affine = _affine(path, image)
    with np.errstate(over="ignore"):
        values = image.get_fdata(caching="unchanged").reshape(shape).astype(np.float32)
    finite = np.isfinite(values)
    values[~finite] = 0
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine))
    values = np.ascontiguousarray(turned.dataobj)
    return Volume(values, turned.affine, replaced=int(np.count_nonzero(~finite)))


def parse(path: Path):
    """The nibabel image of a whole file whose numbers are real."""
    from nibabel import Nifti1Image, Nifti2Image
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    again = "fetch or export it again"
    content = Path(path).read_bytes()
    try:
        # All of it is unpacked, so that the checksum at its end is seen.
        content = unpacking.gunzip(content, path) if content.startswith(GZIP) else content
    except (EOFError, OSError, zlib.error) as error:
        raise defect(path, "a whole gzip file", f"a damaged one ({error})", again) from error
    if content[344:348] == b"n+1\0":
        kind = Nifti1Image
    elif content[4:12] == b"n+2\0\r\n\x1a\n":
        kind = Nifti2Image
    else:
        raise defect(path, "a NIfTI file (.nii or .nii.gz)", "another format", "convert it to NIfTI")
    try:
        raw = kind.header_class(content[: kind.header_class.sizeof_hdr], check=False)
        image = kind.from_bytes(content)
    except (HeaderDataError, ImageFileError, ValueError, KeyError) as error:
        raise defect(path, "a sound NIfTI header", f"a damaged one ({error})", again) from error
    headers.check_sizes(path, raw)
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise defect(
            path, "one real number for each voxel", f"{dtype}", "export the magnitude or one channel"
        )
    end = int(image.dataobj.offset) + math.prod(image.shape) * dtype.itemsize
    if len(content) < end:  # seen here, before memory is asked for that a damaged header may invent
        raise defect(path, f"{end:,} bytes", f"{len(content):,}", again)
    return image


def _affine(path: Path, image) -> NDArray[np.float64]:
    """The affine of a header that has one fit for a head."""
    affine = headers.affine(path, image)
    axes = affine[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    cosines = axes.T @ axes / np.outer(spacing, spacing) - np.eye(3)
    if np.abs(cosines).max() > SHEAR:
        found = f"sheared ones, cosine {np.abs(cosines).max():.4f}"
        raise defect(path, "axes at right angles", found, "resample the image onto a rectangular grid")
    extent = spacing * image.shape[:3]
    if not (extent.min() >= EXTENT_MM[0] and extent.max() <= EXTENT_MM[1]):
        found = " x ".join(f"{length:.4g}" for length in extent)
        expected = f"an extent of {EXTENT_MM[0]} to {EXTENT_MM[1]} mm along each axis"
        raise defect(path, expected, found, "check the voxel size and its unit, and that this is a head")
    return affine
