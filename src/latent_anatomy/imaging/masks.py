"""Masks that others drew, before they are believed: on the grid of their image, and of a possible meaning.

What a mask says cannot be checked, but what it cannot say can be:

    grid      the shape and the affine of the image that it belongs to, in the same order of axes; a mask that
              was saved without its affine, mirrored or some slices off would be resampled to somewhere else
    values    0 and one positive whole number, with some 0
    corners   not all eight of the grid: an inverted mask marks the air
    volume    ML: with a large stroke or glioma a third of a litre is ill, while an inverted lesion mask has
              the volume of a brain or a head; a brain is that of a small child or of the largest adult
"""

from pathlib import Path

import numpy as np

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging import nifti, volume
from latent_anatomy.imaging.volume import Volume

ML = {"lesion": (0, 600), "brain": (300, 2500)}


def numbers(lesion: Volume, brain: Volume) -> dict[str, float]:
    """Of a lesion mask in atlas space: `lesion_ml`, and `lesion_outside_percent` of it beyond the brain.

    The latter is missing where no lesion is marked.
    """
    ill = lesion.values > 0.5
    found = {"lesion_ml": float(ill.sum() * lesion.spacing_mm.prod() / 1000)}
    if ill.any():
        found["lesion_outside_percent"] = float(100 * (brain.values[ill] <= 0.5).mean())
    return found


def read(path: Path, kind: str, image_path: Path) -> Volume:
    """The mask of a "lesion", which may be empty, or of a "brain", on the grid of the image at `image_path`.

    Raises ValueError for a file that cannot be one, and as `volume.read`.
    """
    nifti.same_place(image_path, volume.parse(image_path), path, volume.parse(path))
    mask = volume.read_mask(path)
    marked = mask.values > 0.5
    low, high = ML[kind]
    ml = float(marked.sum() * mask.spacing_mm.prod() / 1000)
    if marked.all():
        found = "one in which every voxel is marked"
    elif marked[np.ix_(*[(0, -1)] * 3)].all():
        found = "one that marks all corners of its grid, as an inverted one does"
    elif not low <= ml <= high:
        found = f"one of {ml:.0f} ml, where {low} to {high} are possible"
    else:
        return mask
    raise defect(path, f"a mask of a {kind}", found, "look at it, and export it again")
