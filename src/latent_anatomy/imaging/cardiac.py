"""What all readers of hearts do to their volumes: the preprocessing of SDNet.

Chartsias et al.: Disentangled representation learning in cardiac image analysis. Medical Image Analysis 58
(2019), section 4.1, and the code published with it. In this order:

1. `resampled`  every slice to 1.37 x 1.37 mm, bilinear for images and nearest neighbour for labels, without
                anti-aliasing; positions are left as they are
2. `unit_range` clipped to the 5th and 95th percentile of the resampled volume (not in the paper, in its code)
                and scaled to [0, 1]; the method itself makes [-1, 1] of it
3. `planes`     label map to one plane per structure
4. `square`     cropped or padded around the centre to 224 x 224
5. `quantised`  uint8, which is ours: ACDC's 25,000 slices take 1.3 GB instead of 5.1. The price: a step is
                0.008 of [-1, 1], which moves values by 0.002 in the mean, below the noise of the images

A pixel of the written grid is the field of view divided by the rounded number of pixels, not exactly 1.37 mm:
this is what `resampled` returns, and what millilitres are computed from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.cohorts import Cohort
from latent_anatomy.data.slices import NOT_DELINEATED, Slices, defect

SPACING_MM = 1.37
SIZE = 224
PERCENTILES = (5.0, 95.0)


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of one subject in one phase, ready to be written.

    images      (S, H, W) uint8
    masks       (S, K, H, W) uint8 of 0 and 1, a plane wholly 255 where it is not drawn; None: none is
    phase       "ED", "ES" or "frame-07"; None where a heart was imaged at rest or over the whole cycle
    spacing_mm  between rows, columns and positions; None where it is not known
    """

    subject: str
    modality: str
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8] | None
    phase: str | None = None
    spacing_mm: tuple[float, float, float] | None = None


def resampled(
    volume: NDArray, spacing_mm: tuple[float, float], order: int, target_mm: float = SPACING_MM
) -> tuple[NDArray, tuple[float, float]]:
    """(S, H, W) with pixels of `spacing_mm` (rows, columns) -> (S, H', W') and the new distances.

    H' is round(H * spacing / target); pixel centres are aligned, and what lies beyond the image counts as 0.
    `order` 1 is bilinear and gives float32, 0 the nearest neighbour and keeps the type.
    """
    from scipy import ndimage

    shape = volume.shape[1:]
    fine = [int(np.round(mm / target_mm * length)) for mm, length in zip(spacing_mm, shape, strict=True)]
    factors = [new / length for new, length in zip(fine, shape, strict=True)]
    out = np.empty((len(volume), *fine), np.float32 if order else volume.dtype)
    for index, image in enumerate(volume):
        ndimage.zoom(image, factors, out[index], order=order, mode="grid-constant", grid_mode=True)
    return out, tuple(mm / factor for mm, factor in zip(spacing_mm, factors, strict=True))


def unit_range(
    volume: NDArray, where: object, percentiles: tuple[float, float] = PERCENTILES
) -> NDArray[np.float32]:
    """Clipped to its percentiles and scaled to [0, 1]; ValueError, naming `where`, without contrast."""
    values = volume.astype(np.float64)
    low, high = np.percentile(values, percentiles)
    if not low < high:  # NaN fails this too
        found = f"{low:g} at {percentiles[0]:g} % and {high:g} at {percentiles[1]:g} %"
        raise defect(where, "an image with contrast", found, "look at it, and export it again")
    return ((np.clip(values, low, high) - low) / (high - low)).astype(np.float32)


def quantised(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] as 0..255, to the nearest."""
    return np.round(images * np.float32(255)).astype(np.uint8)


def planes(labels: NDArray, values: Mapping[str, tuple[int, ...]], where: object) -> NDArray[np.uint8]:
    """A label map (S, H, W) as (S, K, H, W) of 0 and 1: one plane for each structure, of all of its values.

    Raises ValueError, naming `where`, for any other value but 0.
    """
    known = sorted({0, *(value for own in values.values() for value in own)})
    if unknown := sorted(set(np.unique(labels).tolist()) - set(known)):
        expected = f"labels among {', '.join(f'{value:g}' for value in known)}"
        found = ", ".join(f"{value:g}" for value in unknown[:5])
        raise defect(where, expected, found, "check that this is the label map of this data set")
    return np.stack([np.isin(labels, own) for own in values.values()], axis=1).astype(np.uint8)


def square(images: NDArray, size: int = SIZE) -> NDArray:
    """(..., H, W) cropped or padded around the centre to (..., size, size).

    As the code of SDNet does it: a crop takes ceil(excess / 2) from both ends, padding repeats the edge, and
    where the rest is odd, the end gets one pixel more. So 225 pixels are cropped to 223 and padded again.
    """
    for axis in (-2, -1):
        excess = images.shape[axis] - size
        if excess > 0:
            cut = (excess + 1) // 2
            images = np.take(images, range(cut, images.shape[axis] - cut), axis)
        missing = size - images.shape[axis]
        if missing > 0:
            widths = [(0, 0)] * images.ndim
            widths[axis] = (missing // 2, missing - missing // 2)
            images = np.pad(images, widths, mode="edge")
    return images


def table(stacks: Sequence[Stack], cohort: Cohort, dataset: str, mask_names: tuple[str, ...]) -> Slices:
    """All stacks as slices, one after the other, split as in `cohort`."""
    split = {subject: name for name in ("train", "val", "test") for subject in getattr(cohort, name)}
    counts = [len(stack.images) for stack in stacks]
    images = np.concatenate([stack.images for stack in stacks])[:, None]
    masks = np.full((len(images), len(mask_names), *images.shape[2:]), NOT_DELINEATED, np.uint8)
    for end, count, stack in zip(np.cumsum(counts), counts, stacks, strict=True):
        if stack.masks is not None:
            masks[end - count : end] = stack.masks
    phases = [stack.phase for stack in stacks]
    spacings = [stack.spacing_mm for stack in stacks]
    return Slices(
        images=images,
        masks=masks,
        mask_names=mask_names,
        subject=np.repeat([stack.subject for stack in stacks], counts),
        slice=np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
        split=np.repeat([split[stack.subject] for stack in stacks], counts),
        modality=np.repeat([stack.modality for stack in stacks], counts),
        phase=None if None in phases else np.repeat(phases, counts),
        spacing_mm=None if None in spacings else np.repeat(np.array(spacings, np.float32), counts, axis=0),
        dataset=dataset,
        task="segmentation",
        classes=0,
    )
