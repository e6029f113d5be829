"""What a NIfTI header says of sizes and places; where it contradicts itself, it is refused and never guessed.

nibabel repairs headers while it reads them: a voxel size of 0 becomes 1, a negative one positive, another
qfac than 1 and -1 becomes 1. So sizes are looked at as they lie in the file. Of sform and qform nibabel takes
the first that is there, other programs the other one, so that both must say the same of left and right.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import defect

# Between neighbours: below it nobody alive is imaged, and a slice with its gap is hardly above 10 mm.
SPACING_MM = (0.1, 15.0)
SAME_SIZE = 0.01  # part by which the sform's voxel sizes may differ: 2 mm across a head
SAME_PLACE = 0.5  # of the shortest side of a voxel, at any corner of the grid: less than one slice off
UNITS = {1: "metres", 3: "micrometres"}  # 2 is mm, and 0 is unknown, which everybody takes for mm
QFAC = (-1, 0, 1)  # 0 counts as 1


def check_sizes(path: Path, header) -> None:
    """ValueError unless an unrepaired nibabel header has plausible voxel sizes along its first three axes."""
    sizes = header["pixdim"][1:4].astype(np.float64)
    low, high = SPACING_MM
    if not (np.isfinite(sizes).all() and (sizes >= low).all() and (sizes <= high).all()):
        expected = f"positive voxel sizes (pixdim) of {low:g} to {high:g} mm"
        raise defect(path, expected, _listed(sizes), "write the right ones into the header")
    if (unit := UNITS.get(int(header["xyzt_units"]) & 7)) is not None:
        raise defect(path, "voxel sizes in mm (xyzt_units)", unit, "write them into the header in mm")
    qfac = float(header["pixdim"][0])
    if header["qform_code"] > 0 and qfac not in QFAC:
        remedy = "left and right cannot be told apart: write the right one into the header"
        raise defect(path, "a qfac (pixdim[0]) of 1 or -1", f"{qfac:g}", remedy)


def affine(path: Path, image) -> NDArray[np.float64]:
    """(4, 4) voxel indices to millimetres, RAS+, of a nibabel image whose header says where it lies.

    Raises ValueError where neither sform nor qform does, where it cannot be inverted, where the sform has
    other voxel sizes than pixdim, and where sform and qform disagree: in the direction of an axis, or in
    the place although they mean the same space.
    """
    header, found = image.header, image.affine.astype(np.float64)
    sform, qform = (int(header[f"{form}_code"]) for form in ("sform", "qform"))
    if sform <= 0 and qform <= 0:
        remedy = "left and right cannot be told apart: write the orientation into the header"
        raise defect(path, "an orientation (sform or qform)", "neither", remedy)
    axes = found[:3, :3]
    spacing = np.linalg.norm(axes, axis=0)
    if not (np.isfinite(found).all() and (spacing > 0).all() and np.linalg.matrix_rank(axes / spacing) == 3):
        raise defect(path, "an affine that can be inverted", found.tolist(), "write a correct one")
    sizes = header["pixdim"][1:4].astype(np.float64)
    if sform > 0 and not np.allclose(spacing, sizes, rtol=SAME_SIZE, atol=0):
        expected = f"an sform with the voxel sizes of pixdim, {_listed(sizes)}"
        raise defect(path, expected, _listed(spacing), "write the right ones into both")
    if sform > 0 and qform > 0:
        _agree(path, image.shape[:3], found, header, same_space=sform == qform)
    return found


def apart(shape: tuple[int, ...], one: NDArray, other: NDArray) -> float:
    """The farthest that corners of a grid (X, Y, Z) lie apart under two affines, in shortest voxel sides."""
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in shape], [1.0])).reshape(4, -1)
    distance = np.linalg.norm(((one - other) @ corners)[:3], axis=0).max()
    return float(distance / np.linalg.norm(one[:3, :3], axis=0).min())


def directions(affine: NDArray) -> str:
    """Where the axes of a grid run to, such as "RAS" for right, front and top."""
    import nibabel

    return "".join(str(letter) for letter in nibabel.aff2axcodes(affine))


def _agree(path: Path, shape: tuple[int, ...], sform: NDArray, header, same_space: bool) -> None:
    remedy = "find out which is right, and write it into both"
    try:
        qform = header.get_qform()
    except ValueError as error:
        raise defect(path, "a qform that is a rotation", f"another ({error})", remedy) from error
    away = apart(shape, sform, qform)
    if away <= SAME_PLACE:
        return
    if directions(sform) != directions(qform) or np.linalg.det(sform) * np.linalg.det(qform) < 0:
        found = f"axes towards {directions(sform)} and {directions(qform)}"
        raise defect(path, "sform and qform with the same axes", found, remedy)
    if same_space:
        expected = "sform and qform, which name the same space, at the same place"
        raise defect(path, expected, f"corners {away:.3g} voxels apart", remedy)


def _listed(sizes: NDArray) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
