"""The directions in which pairs differ most: SVD of their differences, without a classifier.

The simplest control of the rotation of Pan et al., arXiv 2509.11436 (2025), see `training.rotations`. Right
singular vectors of the stacked differences z_b - z_a, not centred, by their share of the differences' energy.
"""

from torch import Tensor

from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.rotations import Rotation, RotationParams, by_difference


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    Params = RotationParams
    DETERMINISTIC = True

    def directions(self, latents: Tensor, found: Pairs) -> Tensor:
        """Right singular vectors of the differences."""
        return by_difference(latents[found.rows[:, 1]] - latents[found.rows[:, 0]])
