"""A rotation that is optimised: the other reading of Pan et al.

Pan et al., arXiv 2509.11436 (2025), see `training.rotations`: one summary speaks of a learnable orthogonal
matrix. All here is inferred. R, of `rank` technical columns Q, minimises over pairs

    mean |bio_a - bio_b|^2 / (d - r)  +  mean log(1 + exp(-(tech_b - tech_a) . (v_b - v_a)))

with Adam on a matrix (d, r), whose QR decomposition gives Q, and on the weights v of the settings. Of R only
Q matters: rotations keep lengths, so that the first term is (tr C - tr Q'CQ) / (d - r), C being the mean
square of the differences (d, d). Nothing can collapse, and what the biological part loses of the
differences the technical part has.
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
    steps: int = Field(200, ge=1, description="Of Adam.")
    pairs_per_step: int = Field(4096, ge=1, description="Of which the second term is in each step, at most.")
    learning_rate: float = Field(0.05, gt=0, description="Adam's.")


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    Params = Params

    def directions(self, latents: Tensor, found: Pairs) -> Tensor:
        """The technical columns of R, as rows."""
        differences = latents[found.rows[:, 1]] - latents[found.rows[:, 0]]
        width, rank = differences.shape[1], self.params.rank
        if rank >= width:
            raise defect("rank", f"at most {width - 1}", rank, "set a lower rank")
        square = differences.T @ differences / len(differences)
        with torch.enable_grad():
            drawn = torch.randn(width, rank, dtype=torch.float64) / width**0.5  # columns of length 1, nearly
            free = drawn.to(differences.device).requires_grad_(True)
            heads = differences.new_zeros((len(found.names), rank), requires_grad=True)
            solver = Adam([free, heads], lr=self.params.learning_rate)
            for _ in range(self.params.steps):
                technical = torch.linalg.qr(free)[0]
                part = self._part(len(differences), differences.device)
                scores = (differences[part] @ technical @ heads.T).gather(1, found.settings[part])
                kept = square.trace() - (technical * (square @ technical)).sum()
                loss = kept / (width - rank) + F.softplus(scores[:, 0] - scores[:, 1]).mean()
                solver.zero_grad()
                loss.backward()
                solver.step()
            return orthonormal(technical.detach().T)

    def _part(self, count: int, device: torch.device) -> Tensor | slice:
        """The pairs of a step, of `count`: all, where they are not too many."""
        if count <= self.params.pairs_per_step:
            return slice(None)
        return torch.randint(count, (self.params.pairs_per_step,)).to(device)
