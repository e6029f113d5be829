"""A rotation that is optimised: the other reading of Pan et al.

Pan et al., arXiv 2509.11436 (2025), see `training.rotations`: one summary speaks of a learnable orthogonal
matrix. All here is inferred. R = exp(A - A'), of `rank` technical columns, minimises over pairs

    mean |bio_a - bio_b|^2 / (d - r)  +  mean log(1 + exp(-(tech_b - tech_a) . (v_b - v_a)))

with Adam on A and the weights v of the settings. Rotations keep lengths: nothing can collapse, and what the
biological part loses of the differences the technical part has.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from latent_anatomy.data.slices import defect
from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.optimisers import Adam
from latent_anatomy.training.rotations import Rotation, RotationParams, orthonormal


class Params(RotationParams):
    """Parameters of the learned rotation; all are inferred."""

    rank: int = Field(4, ge=1, description="Technical directions.")
    steps: int = Field(200, ge=1, description="Of Adam, each on all pairs.")
    learning_rate: float = Field(0.02, gt=0, description="Adam's.")


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    Params = Params

    def directions(self, latents: Tensor, found: Pairs) -> Tensor:
        """The technical columns of R, as rows."""
        differences = latents[found.rows[:, 1]] - latents[found.rows[:, 0]]
        width, rank = differences.shape[1], self.params.rank
        if rank >= width:
            raise defect("rank", f"at most {width - 1}", rank, "set a lower rank")
        with torch.enable_grad():
            free = (0.01 * torch.randn(width, width, dtype=torch.float64)).to(differences.device)
            free.requires_grad_(True)
            heads = differences.new_zeros((len(found.names), rank), requires_grad=True)
            solver = Adam([free, heads], lr=self.params.learning_rate)
            for _ in range(self.params.steps):
                turned = differences @ torch.matrix_exp(free - free.T)
                scores = (turned[:, :rank] @ heads.T).gather(1, found.settings)
                loss = turned[:, rank:].square().mean() + F.softplus(scores[:, 0] - scores[:, 1]).mean()
                solver.zero_grad()
                loss.backward()
                solver.step()
            return orthonormal(torch.matrix_exp(free - free.T).detach()[:, :rank].T)
