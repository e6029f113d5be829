"""NIfTI files of hearts: few positions, often many frames, so that what is asked of heads does not fit."""

from pathlib import Path

import numpy as np

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging.volume import parse

SAME_SIZE_MM = 1e-3  # headers store float32
SAME_PLACE_MM = 0.1  # of an affine's entries: a header may have it as a rounded quaternion


def read(path: Path, dimensions: int):
    """The nibabel image of a whole file with finite real numbers and so many axes; otherwise ValueError."""
    image = parse(path)
    if image.ndim != dimensions or 0 in image.shape:
        raise defect(path, f"an image of {dimensions} axes", image.shape, "check that this is the right file")
    if not np.isfinite(values(image)).all():
        raise defect(path, "finite intensities", "NaN or infinities", "export the image again")
    sizes = image.header.get_zooms()[:3]
    if not all(np.isfinite(size) and size > 0 for size in sizes):
        raise defect(path, "positive voxel sizes", sizes, "write the right ones into the header")
    return image


def values(image) -> np.ndarray:
    """Intensities of a nibabel image with slope and intercept applied, float32."""
    return image.get_fdata(caching="unchanged", dtype=np.float32)


def same_grid(path: Path, image, mask_path: Path, mask) -> None:
    """ValueError unless both nibabel images have the same three axes: numbers of voxels and their sizes."""
    grids = [
        (one.shape[:3], tuple(float(size) for size in one.header.get_zooms()[:3])) for one in (image, mask)
    ]
    if grids[0][0] != grids[1][0] or not np.allclose(grids[0][1], grids[1][1], rtol=0, atol=SAME_SIZE_MM):
        expected, found = (f"{shape} voxels of {_mm(sizes)} mm" for shape, sizes in grids)
        raise defect(mask_path, f"the grid of {path.name}, {expected}", found, "fetch both files again")


def same_place(path: Path, image, mask_path: Path, mask) -> None:
    """`same_grid`, and ValueError unless that grid lies at the same place in the world."""
    same_grid(path, image, mask_path, mask)
    if not np.allclose(image.affine, mask.affine, rtol=0, atol=SAME_PLACE_MM):
        expected = f"the place of {path.name}, {image.affine[:3].round(2).tolist()}"
        raise defect(mask_path, expected, mask.affine[:3].round(2).tolist(), "fetch both files again")


def _mm(sizes: tuple[float, ...]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
