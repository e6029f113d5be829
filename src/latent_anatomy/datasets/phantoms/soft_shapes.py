"""Soft shapes on a square from -1 to 1, y downwards, with which pictures of phantoms are drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Random = np.random.Generator


@dataclass(eq=False)
class Sheet:
    """A picture (H, W) float64, painted over; a pixel is `2 / W` wide, edges are about `edge` wide."""

    size: int
    edge: float = 0.03

    def __post_init__(self) -> None:
        self.y, self.x = np.meshgrid(*(2 * [(np.arange(self.size) + 0.5) / self.size * 2 - 1]), indexing="ij")
        self.values = np.zeros((self.size, self.size))

    def ellipse(self, x: float, y: float, wide: float, high: float, angle: float = 0.0) -> Array:
        """Soft mask in [0, 1] of an ellipse with these half axes."""
        along = (self.x - x) * np.cos(angle) + (self.y - y) * np.sin(angle)
        across = (self.y - y) * np.cos(angle) - (self.x - x) * np.sin(angle)
        depth = (1 - np.hypot(along / wide, across / high)) * min(wide, high)
        return self.soft(depth)

    def soft(self, depth: Array) -> Array:
        """1 inside, 0 outside, of how deep each pixel lies inside a shape."""
        return np.clip(depth / self.edge + 0.5, 0, 1)

    def paint(self, shade: float | Array, mask: Array) -> None:
        self.values += (shade - self.values) * mask

    def pixels(self, mask: Array) -> tuple[int, int, int, int]:
        """The box around a mask in pixels: left, top, width, height."""
        rows, columns = (np.flatnonzero((mask > 0.5).any(axis=axis)) for axis in (1, 0))
        return (
            int(columns[0]),
            int(rows[0]),
            int(columns[-1] - columns[0] + 1),
            int(rows[-1] - rows[0] + 1),
        )


def noisy(values: Array, random: Random, noise: float, grain: float) -> Array:
    """With smooth grain and white noise of these standard deviations, at least 0."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(random.standard_normal(values.shape), 1.5)
    made = values * (1 + grain * smooth / smooth.std()) + noise * random.standard_normal(values.shape)
    return np.maximum(made, 0)
