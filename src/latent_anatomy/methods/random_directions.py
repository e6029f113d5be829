"""Random directions dropped: the control that says how much of a gain comes from fewer dimensions alone."""

import torch
from pydantic import Field
from torch import Tensor

from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.rotations import Rotation, RotationParams, orthonormal


class Params(RotationParams):
    """How many."""

    rank: int = Field(4, ge=0, description="Directions that are dropped.")


class Method(Rotation):
    """Capability `encode`: "biological", what is left, and "technical", what is dropped."""

    PAIRED = False
    Params = Params

    def directions(self, latents: Tensor, found: Pairs | None) -> Tensor:
        """Normal random directions, made orthonormal, whatever the latents are."""
        drawn = torch.randn(self.params.rank, latents.shape[1], dtype=torch.float64)
        return orthonormal(drawn.to(latents.device))
