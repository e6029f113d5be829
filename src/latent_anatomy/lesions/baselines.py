"""Anomaly maps without a model: what any model of normal anatomy has to beat.

    intensity      the image itself: in FLAIR, lesions are bright
    HealthyBrain   the distance of each voxel to its mean over healthy brains, in their standard deviations
    chance         uniform noise

All are maps (S, H, W) float32 >= 0, and go the way of a model's residuals from there on.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from latent_anatomy.lesions.stacks import check_masks

FLOOR = 0.01  # of the intensity range [0, 1]: keeps voxels that hardly vary from ruling the map


def intensity(images: NDArray, brain: NDArray) -> NDArray[np.float32]:
    """Images (S, H, W) float32 >= 0 in units of the median of their brain, a mask (S, H, W) bool.

    One factor per stack, so that one threshold can serve patients whose scans differ in scale; nothing
    is clipped, so that no voxels tie at the bright end, where lesions are.
    """
    check_masks(images.shape, brain)
    inside = images[brain]
    scale = np.median(inside) if inside.size else 0
    if not scale > 0:
        raise ValueError(
            f"expected a brain whose median intensity is above 0, found {scale} over {inside.size} voxels: "
            "check the brain mask"
        )
    return (images / scale).astype(np.float32)


def chance(shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Scores drawn uniformly from [0, 1); give each stack a seed of its own."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


class HealthyBrain:
    """Mean and standard deviation (n - 1) of each voxel over healthy slices of the same position.

    It means something where slices of one position show the same anatomy: in atlas space. Moments are
    kept in float64 by Welford's update (1962), one slice after another.
    """

    def __init__(self) -> None:
        self._moments: dict[int, tuple[int, NDArray, NDArray]] = {}

    def update(self, images: NDArray, positions: ArrayLike) -> None:
        """Add healthy slices (S, H, W) float at positions (S,) int."""
        for image, position in zip(images, np.asarray(positions).tolist(), strict=True):
            count, mean, squares = self._moments.get(
                position, (0, np.zeros(image.shape), np.zeros(image.shape))
            )
            if image.shape != mean.shape:
                raise ValueError(f"expected slices of {mean.shape} pixels, found {image.shape}")
            before = image - mean
            mean = mean + before / (count + 1)
            self._moments[position] = count + 1, mean, squares + before * (image - mean)

    def anomaly_map(self, images: NDArray, positions: ArrayLike, floor: float = FLOOR) -> NDArray[np.float32]:
        """|x - mean| / (sd + floor) of slices (S, H, W) at positions (S,), of which two or more are known."""
        positions = np.asarray(positions).tolist()
        rare = [place for place in positions if self._moments.get(place, (0,))[0] < 2]
        if rare:
            raise ValueError(
                f"expected positions with two healthy slices or more, found fewer at {sorted(set(rare))}: "
                "train on the slices that are tested, or count positions in coarser steps"
            )
        maps = []
        for image, place in zip(images, positions, strict=True):
            count, mean, squares = self._moments[place]
            maps.append(np.abs(image - mean) / (np.sqrt(squares / (count - 1)) + floor))
        return np.stack(maps).astype(np.float32)
