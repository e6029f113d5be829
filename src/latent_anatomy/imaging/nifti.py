"""NIfTI files of hearts, of which less is asked than of heads, and whether a mask lies on its image.

Hearts have few positions and often many frames.
"""

from pathlib import Path

import numpy as np

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import headers
from latent_anatomy.imaging.volume import parse

SAME_SIZE_MM = 1e-3  # headers store float32
AGAIN = "fetch both files again, or export the mask on the grid of its image, with that image's affine"


def read(path: Path, dimensions: int):
    """The nibabel image of a whole file with finite real numbers and so many axes; otherwise ValueError."""
    image = parse(path)
    if image.ndim != dimensions or 0 in image.shape:
        raise defect(path, f"an image of {dimensions} axes", image.shape, "check that this is the right file")
    if not np.isfinite(values(image)).all():
        raise defect(path, "finite intensities", "NaN or infinities", "export the image again")
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
        raise defect(mask_path, f"the grid of {path.name}, {expected}", found, AGAIN)


def same_place(path: Path, image, mask_path: Path, mask) -> None:
    """`same_grid`, and ValueError unless both headers say where that grid lies in the world, and the same."""
    where, there = headers.affine(path, image), headers.affine(mask_path, mask)
    same_grid(path, image, mask_path, mask)
    if headers.apart(image.shape[:3], where, there) > headers.SAME_PLACE:
        expected = f"the place of {path.name}, {where[:3].round(2).tolist()}"
        raise defect(mask_path, expected, there[:3].round(2).tolist(), AGAIN)


def check_drawn(mask_path: Path, mask) -> None:
    """ValueError for a label map in which nothing is drawn, or all corners are, as in an inverted one."""
    labels = np.asanyarray(mask.dataobj)
    if not labels.any():
        raise defect(mask_path, "a label map with a heart", "an empty one", "export it again")
    if labels[np.ix_(*[(0, -1)] * labels.ndim)].all():
        remedy = "store the background as 0"
        raise defect(mask_path, "a label map of 0 around the heart", "labels in all corners", remedy)


def _mm(sizes: tuple[float, ...]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
