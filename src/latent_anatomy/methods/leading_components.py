"""Leading principal components dropped: the control that takes what varies most for technical."""

from pydantic import Field
from torch import Tensor

from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.rotations import Rotation, RotationParams, by_difference


class Params(RotationParams):
    """How many."""

    rank: int = Field(4, ge=0, description="Components that are dropped.")


class Method(Rotation):
    """Capability `encode`: "biological", what is left, and "technical", what is dropped."""

    PAIRED = False
    Params = Params
    DETERMINISTIC = True

    def directions(self, latents: Tensor, found: Pairs | None) -> Tensor:
        """Principal directions of the latents, which are centred."""
        return by_difference(latents)
