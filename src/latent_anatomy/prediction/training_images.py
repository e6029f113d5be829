"""What the images looked like that a model was trained on, and in what others differ from them.

The measures of intensity are percentiles of an image's foreground, the pixels above 0, on the scale of
models, [0, 1]: of a patient's whole stack where images come from volumes, else of each image by itself.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import Slices

PERCENTILES = {"low": 5, "middle": 50, "high": 95}
MARGIN = 0.1  # beyond all training images, of the scale from 0 to 1
COARSER = 1.5  # times the coarsest voxels of training, or the finest divided by it


def summary(train: Slices, of_volumes: bool) -> dict:
    """JSON: how many images and subjects, size (C, H, W), spacing_mm, modalities, and of each level of
    PERCENTILES the lowest, median and highest of all training images."""
    units = [train.subject == who for who in dict.fromkeys(train.subject.tolist())]
    images = [train.images[rows] for rows in units] if of_volumes else train.images
    found = [levels(each) for each in images]
    table = {name: [each[name] for each in found if each] for name in PERCENTILES}
    return {
        "images": len(train),
        "subjects": len(units),
        "size": list(train.images.shape[1:]),
        "spacing_mm": None if train.spacing_mm is None else _rounded(np.median(train.spacing_mm, axis=0)),
        "modalities": sorted(set(train.modality.tolist())),
        "levels": {
            name: dict(
                zip(("lowest", "median", "highest"), _rounded(np.percentile(own, (0, 50, 100))), strict=True)
            )
            for name, own in table.items()
            if own
        },
    }


def levels(images: NDArray) -> dict[str, float]:
    """The percentiles of images of any shape, uint8 or float32 in [0, 1]; {} where nothing is above 0."""
    shown = images[images > 0]
    if not len(shown):
        return {}
    found = np.percentile(shown, list(PERCENTILES.values())) / (255 if images.dtype == np.uint8 else 1)
    return dict(zip(PERCENTILES, map(float, found), strict=True))


def coarseness(spacings: Iterable[NDArray]) -> dict | None:
    """Of the voxels of raw volumes, (3,) mm each: the finest and the coarsest side; None without any."""
    sides = np.array([sorted(each) for each in spacings])
    return {"finest": _rounded(sides.min(0)), "coarsest": _rounded(sides.max(0))} if len(sides) else None


def differences(images: NDArray, known: Mapping) -> list[str]:
    """In what images differ from those of a `summary`, in words."""
    found = levels(images)
    if not found:
        return ["nothing in it is above 0"]
    said = []
    for name, level in found.items():
        low, high = (known["levels"][name][end] for end in ("lowest", "highest"))
        if not low - MARGIN <= level <= high + MARGIN:
            part = f"{PERCENTILES[name]} % of its foreground lie below {level:.2f}"
            said.append(f"{part}: training has {low:.2f} to {high:.2f}")
    return said


def other_spacing(spacing_mm: NDArray, known: Mapping | None) -> list[str]:
    """That voxels (3,) mm are much finer or coarser than all that `coarseness` tells, in words."""
    if known is None:
        return []
    finest, coarsest = np.array(known["finest"]), np.array(known["coarsest"])
    sides = np.sort(spacing_mm)
    if (sides >= finest / COARSER).all() and (sides <= coarsest * COARSER).all():
        return []
    own, low, high = (" x ".join(f"{side:.3g}" for side in each) for each in (sides, finest, coarsest))
    return [f"voxels of {own} mm: training has {low} to {high}"]


def _rounded(values: NDArray) -> list[float]:
    """Six digits, so that no library's last bit is in an exported file."""
    return [float(f"{value:.6g}") for value in values]
