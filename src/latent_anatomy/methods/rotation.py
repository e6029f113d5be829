"""The rotation by a linear classifier of pair differences, and SVD: the primary reading of Pan et al.

Pan et al., arXiv 2509.11436 (2025); see `training.rotations` for what is known. Summaries of the paper say:
a linear classifier is trained on paired latents to predict the technical difference, and SVD identifies
technical variation. Neither the classifier's input, nor whose SVD, nor the number of directions could be
read. Here, of differences delta = z_b - z_a of pairs in the settings a and b,

    p(b, not a, is the second) = sigmoid(delta . (w_b - w_a))      L2, all w sum to 0
    first    right singular vectors of W, the weights of all settings: at most one fewer than these
    then     right singular vectors of the differences, the first projected out (`rest: svd`)

    rest: none   the strict form: the classifier's directions alone, all of them where `rank` is None
    C            of the classifier; inferred, scikit-learn's default, on the sum of the losses
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.optimisers import LBFGS
from latent_anatomy.training.rotations import Rotation, RotationParams, by_difference, orthonormal

STEPS = 100
FOREMOST = 1e-4  # of the largest singular value of W: what is below it is no direction


class Params(RotationParams):
    """Parameters of the rotation; all are inferred."""

    rest: Literal["svd", "none"] = Field("svd", description="What follows the classifier's directions.")
    c: float = Field(1.0, gt=0, description="Inverse strength of the classifier's penalty.")


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    Params = Params
    DETERMINISTIC = True

    def directions(self, latents: Tensor, found: Pairs) -> Tensor:
        """The classifier's directions, then those of what is left of the differences."""
        differences = latents[found.rows[:, 1]] - latents[found.rows[:, 0]]
        weights = classifier(differences, found.settings, len(found.names), self.params.c)
        _, sizes, vectors = torch.linalg.svd(weights, full_matrices=False)
        first = orthonormal(vectors[sizes > FOREMOST * sizes[0]])
        if self.params.rest == "none":
            return first
        left = differences - differences @ first.T @ first
        return orthonormal(torch.cat([first, by_difference(left)]))

    def _best_rank(self, latents: Tensor, found: Pairs, subject: tuple[str, ...]) -> int:
        if self.params.rest == "none":
            return len(self.directions(latents, found))
        return super()._best_rank(latents, found, subject)


def classifier(differences: Tensor, settings: Tensor, count: int, c: float) -> Tensor:
    """Weights W (count, d) that tell from differences (P, d) which of settings (P, 2) the second row has.

    The minimum of sum log(1 + exp(-delta . (w_b - w_a))) + |W|^2 / (2 c), by L-BFGS from 0.
    """
    with torch.enable_grad():
        weights = differences.new_zeros((count, differences.shape[1]), requires_grad=True)
        solver = LBFGS(
            [weights], max_iter=STEPS, tolerance_grad=1e-9, history_size=20, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            solver.zero_grad()
            scores = differences @ weights.T
            of_pair = scores.gather(1, settings)
            value = F.softplus(of_pair[:, 0] - of_pair[:, 1]).sum() + weights.square().sum() / (2 * c)
            value = value / len(differences)
            value.backward()
            return value

        solver.step(loss)
    return weights.detach()
