"""From the anomaly map of a stack to its lesions (Baur et al. 2018, section 3).

A stack's maps are median filtered in three dimensions, multiplied by a slightly eroded brain mask and
cut at a threshold; small components are dropped. A released implementation of the successor study erodes
by 12 iterations at 128 x 128, multiplies before the filter, and connects components over the slices of
all patients in a row; here the order is the paper's, and a component ends with its stack.
"""

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from latent_anatomy.metrics.lesions.stacks import check_masks, check_scores

Connectivity = Literal[6, 18, 26]

NEIGHBOURS: dict[int, int] = {6: 1, 18: 2, 26: 3}  # voxels that touch -> scipy's connectivity


class PostProcessing(BaseModel):
    """What happens to the anomaly maps of a stack. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: Literal[1, 3, 5, 7] = Field(5, description="Edge of the cubic median window in voxels; 1: none.")
    erosion_element: Literal["cross", "square"] = Field(
        "cross", description="3 x 3 structuring element, applied slice by slice."
    )
    erosion_iterations: int = Field(
        2, ge=0, description='The paper says "slightly" only; 2 voxels are half the median window.'
    )
    minimum_voxels: int = Field(6, ge=1, description="Smaller components are dropped.")
    connectivity: Connectivity = Field(26, description="Neighbours by face, by edge too, or by corner too.")

    def region(self, brain: NDArray) -> NDArray[np.bool_]:
        """Where lesions are looked for: brain mask (S, H, W) bool, eroded."""
        return eroded(brain, self.erosion_element, self.erosion_iterations)

    def smooth(self, maps: NDArray, brain: NDArray) -> NDArray[np.float32]:
        """Maps (S, H, W) float32, filtered, and 0 outside of the eroded brain mask (S, H, W) bool."""
        return median(maps, self.region(brain), self.median)

    def segment(self, smoothed: NDArray, threshold: float) -> NDArray[np.bool_]:
        """Lesions (S, H, W) bool of smoothed maps: above the threshold and not small."""
        if not threshold >= 0:
            raise ValueError(f"expected a threshold of 0 or more, found {threshold}: all scores lie above it")
        above = smoothed > np.float32(threshold)
        return without_small(above, self.minimum_voxels, self.connectivity)


def median(maps: NDArray, region: NDArray, size: int) -> NDArray[np.float32]:
    """Median over size^3 voxels around each voxel of a region (S, H, W) bool, and 0 elsewhere.

    Maps (S, H, W) float32, mirrored at the faces of the stack, edge voxels repeated: inside the region
    the result is that of scipy.ndimage.median_filter(maps, size).
    """
    check_scores(maps)
    check_masks(maps.shape, region)
    if size % 2 == 0:
        raise ValueError(f"expected a median window of odd size, found {size}: it has no middle voxel")
    windows = sliding_window_view(np.pad(maps, size // 2, mode="symmetric"), (size,) * 3)
    filtered = np.zeros_like(maps)
    for plane, window, inside in zip(filtered, windows, region, strict=True):  # by slice, to bound memory
        values = window[inside].reshape(-1, size**3)
        values.partition(size**3 // 2, axis=1)
        plane[inside] = values[:, size**3 // 2]
    return filtered


def eroded(brain: NDArray, element: Literal["cross", "square"], iterations: int) -> NDArray[np.bool_]:
    """Brain mask (S, H, W) bool without its rim, slice by slice; outside of the image is no brain."""
    check_masks(brain.shape, brain)
    if not iterations:
        return brain.copy()
    neighbours = ndimage.generate_binary_structure(2, {"cross": 1, "square": 2}[element])
    return ndimage.binary_erosion(brain, neighbours[None], iterations=iterations)


def without_small(
    segmentation: NDArray, minimum_voxels: int, connectivity: Connectivity
) -> NDArray[np.bool_]:
    """Segmentation (S, H, W) bool of one stack without components of fewer than `minimum_voxels`.

    >>> without_small(np.array([[[True, True, False, True]]]), 2, 26)
    array([[[ True,  True, False, False]]])
    """
    components, _ = label(segmentation, connectivity)
    kept = np.bincount(components.ravel()) >= minimum_voxels
    kept[0] = False  # the background
    return kept[components]


def label(segmentation: NDArray, connectivity: Connectivity) -> tuple[NDArray[np.int32], int]:
    """Connected components of (S, H, W) bool: their numbers from 1, 0 for background; and how many."""
    check_masks(segmentation.shape, segmentation)
    neighbours = ndimage.generate_binary_structure(3, NEIGHBOURS[connectivity])
    return ndimage.label(segmentation, neighbours)
