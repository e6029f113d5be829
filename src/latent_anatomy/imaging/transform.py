"""Linear transforms between the worlds of two volumes, their files, and the one resampling.

A transform is written as an ITK text file, which ITK, ANTs and 3D Slicer read. ITK counts millimetres
towards the left, the back and the top (LPS), so that the file's numbers are those of the matrix here (RAS)
with the signs of the mixed terms changed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.provenance.files import write_text

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS to LPS and back
HEADER = "#Insight Transform File V1.0"
LINEAR = ("AffineTransform_", "MatrixOffsetTransformBase_")  # kinds that are a matrix about a centre
SUFFIXES = (".txt", ".tfm")  # ITK chooses the format by the name, and takes .mat for MATLAB's binary one


@dataclass(frozen=True, eq=False)
class Transform:
    """Where a point of the fixed world lies in the moving world.

    matrix   (4, 4) float64, RAS+ mm: moving point = matrix @ fixed point, in homogeneous coordinates.
             This is the direction in which images are resampled: every voxel of the fixed grid asks where
             in the moving image its value is.

    Raises ValueError for another shape, for values that are not finite, and for a matrix without inverse.
    """

    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, np.float64)
        affine = matrix.shape == (4, 4) and np.isfinite(matrix).all() and (matrix[3] == (0, 0, 0, 1)).all()
        if not (affine and np.linalg.det(matrix[:3, :3]) > 0):
            found = matrix.tolist()
            raise defect(
                "transform", "a finite affine (4, 4) matrix that keeps left and right", found, "check"
            )
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> "Transform":
        """Both worlds are the same."""
        return cls(np.eye(4))

    @property
    def scale(self) -> float:
        """How much larger things are in the moving world: the cube root of their volumes' ratio."""
        return float(np.cbrt(np.linalg.det(self.matrix[:3, :3])))

    @property
    def stretch(self) -> float:
        """The largest scale in any direction over the smallest, from 1."""
        scales = np.linalg.svd(self.matrix[:3, :3], compute_uv=False)
        return float(scales[0] / scales[-1])

    def points(self, fixed: NDArray) -> NDArray[np.float64]:
        """Points (..., 3) of the fixed world, RAS+ mm, as points of the moving world."""
        return fixed @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def compose(self, next: "Transform") -> "Transform":
        """First this one, then `next`, whose fixed world is this one's moving world."""
        return Transform(next.matrix @ self.matrix)

    def inverse(self) -> "Transform":
        """From the moving to the fixed world."""
        matrix = np.linalg.inv(self.matrix)
        matrix[3] = (0, 0, 0, 1)
        return Transform(matrix)

    def write(self, path: Path) -> None:
        """Write an ITK text transform (.txt or .tfm) atomically; 17 digits, so that reading gives it back."""
        _check_name(path)
        matrix = LPS @ self.matrix @ LPS
        numbers = [*matrix[:3, :3].ravel(), *matrix[:3, 3]]
        lines = (
            HEADER,
            "#Transform 0",
            "Transform: AffineTransform_double_3_3",
            "Parameters: " + " ".join(f"{number + 0.0:.17g}" for number in numbers),  # no minus zero
            "FixedParameters: 0 0 0",
        )
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Transform":
        """The transform of an ITK text file with one linear transform about any centre; ValueError else."""
        _check_name(path)
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        pairs = [line.partition(":")[::2] for line in text.splitlines() if not line.startswith("#")]
        entries = {key.strip(): value.strip() for key, value in pairs if key.strip()}
        remedy = "write it again, or convert it with ITK"
        if not text.startswith(HEADER) or text.count("\nTransform:") != 1:
            raise defect(path, "an ITK text file with one transform", "another content", remedy)
        kind = entries["Transform"]
        if not kind.startswith(LINEAR) or not kind.endswith("_3_3"):
            raise defect(path, "an affine transform of three dimensions", kind, remedy)
        try:
            numbers = np.array(entries["Parameters"].split(), np.float64)
            centre = np.array(entries["FixedParameters"].split(), np.float64)
            linear, shift = numbers[:9].reshape(3, 3), numbers[9:].reshape(3)
            offset = shift + centre.reshape(3) - linear @ centre
        except (KeyError, ValueError) as error:
            raise defect(path, "12 parameters and a centre", f"others ({error})", remedy) from error
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = linear, offset
        return cls(LPS @ matrix @ LPS)


def resample(
    volume: Volume, like: Volume, transform: Transform, interpolation: Literal["linear", "nearest"]
) -> Volume:
    """`volume` on the grid of `like`, with one interpolation; 0 outside of its field of view.

    `transform` leads from the world of `like` (fixed) to that of `volume` (moving); compose transforms
    first, so that an image is never interpolated twice. Images: "linear". Masks: "nearest", which keeps
    them 0 and 1 and on average keeps their volume; a threshold of 0.5 on linear values would shrink a
    lesion of one voxel to 27 % of its volume.
    """
    voxels = np.linalg.inv(volume.affine) @ transform.matrix @ like.affine
    values = ndimage.affine_transform(
        volume.values,
        voxels[:3, :3],
        voxels[:3, 3],
        output_shape=like.values.shape,
        order={"linear": 1, "nearest": 0}[interpolation],
    )
    return Volume(values, like.affine)


def _check_name(path: Path) -> None:
    if Path(path).suffix not in SUFFIXES:
        found = f"{Path(path).name!r}"
        remedy = "rename it: ITK chooses the format by the name, and takes .mat for a binary one"
        raise defect(path, f"a name ending in {' or '.join(SUFFIXES)}", found, remedy)
