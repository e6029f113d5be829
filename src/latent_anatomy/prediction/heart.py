"""The preparation of ACDC on a stack of short-axis slices of somebody else, and the way back.

Nothing is registered: the "atlas" here is the square that a model sees, whose pixels are a scaling and a
shift away from those of the image.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from latent_anatomy.imaging import cardiac, headers, nifti
from latent_anatomy.imaging.transform import Transform
from latent_anatomy.prediction.chain import Prepared, bring
from latent_anatomy.prediction.given import Given
from latent_anatomy.prediction.space import Grid, Slab

OTHERS = ("ct", "other")  # what cannot be the MR that it is asked for


def prepare(given: Given, imaging: Mapping, work: Path) -> Prepared:
    """As `datasets.acdc` does it. ValueError for other images than one volume of MR."""
    (kind, *others) = given.images
    if others or kind in OTHERS:
        found = ", ".join(given.images)
        raise ValueError(f"expected one image, of {imaging['modality']}, found {found}: give that alone")
    path = work / "heart.nii.gz"
    bring(given, kind, path)
    image = nifti.read(path, 3)
    values = nifti.values(image).T  # positions, rows, columns
    native = Grid(image.shape, headers.affine(path, image))
    columns_mm, rows_mm, _ = (float(size) for size in image.header.get_zooms())
    spacing_mm, size = imaging["hearts"]["spacing_mm"], imaging["hearts"]["size"]
    fine, _ = cardiac.resampled(values, (rows_mm, columns_mm), order=1, target_mm=spacing_mm)
    images = cardiac.quantised(cardiac.square(cardiac.unit_range(fine, path), size))
    levels = np.arange(len(images))
    square = Grid((size, size, len(images)), native.affine @ _pixels(values.shape, fine.shape, size))
    return Prepared(
        images=images.astype(np.float32) / 255,
        brain=np.ones(images.shape, bool),
        slab=Slab(square, levels, levels),
        to_atlas=Transform.identity(),
        native=native,
        inside=np.ones(native.shape, bool),
        numbers={},
        warnings=[*given.warnings, f"its modality cannot be told: taken for {imaging['modality']}"],
    )


def _pixels(raw: tuple[int, ...], fine: tuple[int, ...], size: int) -> np.ndarray:
    """(4, 4) from voxels of the square to those of the image: columns, rows, positions.

    The inverse of `cardiac.resampled`, which aligns pixel centres, and of `cardiac.square`, from shapes
    (positions, rows, columns); mirrored, as `Slab.filled` does it to slices.
    """
    matrix = np.eye(4)
    for axis, (own, scaled) in enumerate(zip(raw[:0:-1], fine[:0:-1], strict=True)):
        cut = (scaled - size + 1) // 2 if scaled > size else 0
        before = max(size - (scaled - 2 * cut), 0) // 2
        factor = own / scaled
        first = cut - before + size - 1  # the pixel before the crop that is voxel 0 of the mirrored square
        matrix[axis, axis] = -factor
        matrix[axis, 3] = (first + 0.5) * factor - 0.5
    return matrix
