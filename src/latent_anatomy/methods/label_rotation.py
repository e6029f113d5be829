"""The rotation by labels, for data without pairs: what a linear classifier reads the setting from.

Where no anatomy was seen in two settings (hospitals), only their labels are known. A multinomial logistic
regression of the setting, of standardised latents, has weights W; their right singular vectors are
technical, at most one fewer than settings. It is the other reading of Pan et al., arXiv 2509.11436 (see
`training.rotations`): the classifier sees latents, not differences. Where settings have other patients, the
directions have what these differ in: what is dropped may be biology. All here is inferred.
"""

import torch
from pydantic import Field
from torch import Tensor

from latent_anatomy.methods.rotation import FOREMOST
from latent_anatomy.training.latents import Named, Pairs, factor
from latent_anatomy.training.method import Data
from latent_anatomy.training.rotations import Rotation, RotationParams, orthonormal

STEPS = 1000


class Params(RotationParams):
    """Parameters of the rotation; all are inferred."""

    setting: Named = Field("", description="What is told: the column; empty: modality, else site.")
    c: float = Field(1.0, gt=0, description="Inverse strength of the classifier's penalty.")


class Method(Rotation):
    """Capability `encode`: "biological" and "technical"."""

    PAIRED = False
    Params = Params
    DETERMINISTIC = True

    def fit(self, train: Data) -> None:
        """As every rotation; ValueError where all rows have one setting."""
        self._setting = factor(train, self.params.setting)
        super().fit(train)

    def directions(self, latents: Tensor, found: Pairs | None) -> Tensor:
        """Right singular vectors of the classifier's weights."""
        from sklearn.linear_model import LogisticRegression

        solver = LogisticRegression(C=self.params.c, max_iter=STEPS)
        weights = torch.from_numpy(solver.fit(latents.cpu().numpy(), self._setting).coef_).to(latents)
        _, sizes, vectors = torch.linalg.svd(weights, full_matrices=False)
        return orthonormal(vectors[sizes > FOREMOST * sizes[0]])

    def _best_rank(self, latents: Tensor, found: Pairs | None, subject: tuple[str, ...]) -> int:
        return len(self.directions(latents, found))
