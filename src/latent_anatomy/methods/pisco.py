"""PISCO: content is what has much energy and differs little between pairs.

Ngweta, Maity, Gittens, Sun, Yurochkin: Simple Disentanglement of Style and Content in Visual
Representations. ICML 2023 (arXiv 2302.09795), as a rotation (see `training.rotations`); Pan et al. is called
an extension of it. Of all latents Z (n, d), not centred, and differences Delta (n_d, d),

    p_j   direction of a logistic regression of setting j against the first
    M     = -Z'Z / n + lambda Delta'Delta / n_d
    Q     its eigenvectors from the smallest eigenvalue on: the content

Deviations: a strict rotation, so that p_j and then the eigenvectors from the largest eigenvalue down are
made orthonormal in this order (the paper's p_j are oblique), and how many are technical is chosen by
retrieval. `eta` is the paper's: floor(eta d) - m eigenvectors are kept. The p_j are of pair differences.
"""

import torch
from pydantic import Field
from torch import Tensor

from latent_anatomy.methods.rotation import classifier
from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.rotations import Rotation, RotationParams, orthonormal


class Params(RotationParams):
    """Parameters of PISCO; those printed are grids."""

    strength: float = Field(10.0, ge=0, description="lambda; printed: 0, 1, 10 or 50.")
    eta: float | None = Field(None, gt=0, le=1, description="Printed: .9 to 1. None: rank by retrieval.")


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    Params = Params
    DETERMINISTIC = True

    def directions(self, latents: Tensor, found: Pairs) -> Tensor:
        """Directions of style, then what is least content."""
        differences = latents[found.rows[:, 1]] - latents[found.rows[:, 0]]
        style = classifier(differences, found.settings, len(found.names), c=1.0)
        style = style[1:] - style[:1]
        content = latents.T @ latents / len(latents)
        matrix = self.params.strength * differences.T @ differences / len(differences) - content
        return orthonormal(torch.cat([style, torch.linalg.eigh(matrix)[1].flip(1).T]))

    def _best_rank(self, latents: Tensor, found: Pairs, subject: tuple[str, ...]) -> int:
        if self.params.eta is None:
            return super()._best_rank(latents, found, subject)
        width, styles = latents.shape[1], len(found.names) - 1
        return width - max(int(self.params.eta * width) - styles, 1)
