"""What every rotation of a latent space shares: how many directions are technical, and what is left.

Pan et al.: Disentanglement of Biological and Technical Factors via Latent Space Rotation in Clinical Imaging
Improves Disease Pattern Discovery. arXiv 2509.11436, 2025. Only its abstract could be read, so that all here
is this project's reconstruction: a frozen encoder's latents z, standardised, are turned by an orthogonal R,

    z' = z R,   z' = [technical (r), biological (d - r)]

A method gives technical directions in an order; `rank` of them are taken. Where that is None, as many as
bring the most held-out pairs together: directions from every second subject, then partner retrieval (see
`metrics.retrieval`) among the others' pairs after each rank's directions are left out, and the smallest of
the best. Retrieval falls when biology is thrown away, so that no collapse is chosen. At last the directions
are of all training subjects.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.metrics.retrieval import partner_retrieval
from latent_anatomy.training.latents import LatentParams, Pairs, Standard, encoded, pairs, width_of
from latent_anatomy.training.method import Data, Shape

HELD_OUT = 1000  # pairs that judge a rank, at most
INDEPENDENT = 1e-8  # what is left of a direction of length 1 that the ones before it span


class RotationParams(LatentParams):
    """Parameters of every rotation."""

    rank: int | None = Field(None, ge=0, description="Technical directions. None: by held-out retrieval.")
    largest_rank: int = Field(32, ge=1, description="Considered, and at most half of the dimensions.")


def orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis (k, d) of rows (m, d), in their order: Gram-Schmidt, twice.

    A row that the ones before it span is left out.
    """
    basis = rows.new_zeros((0, rows.shape[1]))
    for row in rows:
        length = row.norm()
        for _ in range(2):
            row = row - basis.T @ (basis @ row)
        if len(basis) < rows.shape[1] and row.norm() > INDEPENDENT * length.clamp(min=1e-300):
            basis = torch.cat([basis, row[None] / row.norm()])
    return basis


def completed(rows: Tensor) -> Tensor:
    """A rotation (d, d), determinant 1, whose first columns are the orthonormal rows (k, d), k < d."""
    width = rows.shape[1]
    full = torch.cat([rows, torch.eye(width, dtype=rows.dtype, device=rows.device)])
    rotation = orthonormal(full).T
    if torch.linalg.det(rotation) < 0:
        rotation = torch.cat([rotation[:, :-1], -rotation[:, -1:]], dim=1)
    return rotation


def by_difference(differences: Tensor) -> Tensor:
    """Right singular vectors (d, d) of differences (P, d), not centred, the longest first, as rows."""
    _, vectors = torch.linalg.eigh(differences.T @ differences)
    vectors = vectors.flip(1).T
    signs = vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return vectors * signs


class Rotation(nn.Module):
    """Capability `encode`: "technical" (N, r) and "biological" (N, d - r). Orthogonal, so invertible."""

    ON = ("encode",)
    PAIRED = True  # whether `directions` needs pairs; a method that does not has a `rank`

    def __init__(self, params: RotationParams, shape: Shape, on: nn.Module):
        super().__init__()
        self.params, self.on = params, on
        width = width_of(on, shape, params.embedding)
        self.standard = Standard(width)
        self.register_buffer("rotation", torch.eye(width, dtype=torch.float64))
        self.register_buffer("rank", torch.zeros((), dtype=torch.int64))

    def directions(self, latents: Tensor, found: Pairs | None) -> Tensor:
        """Technical directions (k, d) of standardised latents (N, d), orthonormal, the foremost first."""
        raise NotImplementedError

    def fit(self, train: Data) -> None:
        """Standardisation, rank and rotation by the training split.

        ValueError where it has no pairs, or fewer than `rank`: they span no more directions.
        """
        found, rank = pairs(train) if self.PAIRED else None, self.params.rank
        latents = self.standard.fit(encoded(self.on, train.images, self.params.embedding))
        columns = self.standard.columns
        latents = latents[:, columns]
        if rank is None:
            rank = self._best_rank(latents, found, train.subject)
        rows = self.directions(latents, found)
        most = min(len(rows), latents.shape[1] - 1, *([] if found is None else [len(found.rows)]))
        if rank > most:
            raise defect("rank", f"at most {most}", rank, "set a lower rank, or leave it out")
        everywhere = rows.new_zeros(rank, len(self.rotation))
        everywhere[:, columns] = rows[:rank]
        self.rotation.copy_(completed(everywhere))
        self.rank.fill_(rank)

    def rotated(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> z' (N, d) float64, the technical coordinates first."""
        return self.standard(encoded(self.on, images, self.params.embedding)) @ self.rotation

    def turned_back(self, rotated: Tensor) -> Tensor:
        """z' (N, d) -> the standardised latents that it was turned from."""
        return rotated @ self.rotation.T

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Images (N, C, H, W) -> "biological" and "technical" parts, float32."""
        rank, turned = int(self.rank), self.rotated(images).float()
        return {"biological": turned[:, rank:], "technical": turned[:, :rank]}

    def _best_rank(self, latents: Tensor, found: Pairs, subject: tuple[str, ...]) -> int:
        """How many directions to leave out, as the docstring of the module has it."""
        people = sorted({subject[row] for row in found.rows[:, 0].tolist()})
        if len(people) < 2:
            raise defect("rank", "pairs of two training subjects or more", len(people), "set rank")
        held_out = set(people[1::2])
        out = torch.tensor([subject[row] in held_out for row in found.rows[:, 0].tolist()])
        out = out.to(latents.device)
        rows = self.directions(latents, Pairs(found.rows[~out], found.settings[~out], found.names))
        judged = found.rows[out]
        judged = judged[torch.linspace(0, len(judged) - 1, min(HELD_OUT, len(judged))).long()]
        one, other = latents[judged[:, 0]], latents[judged[:, 1]]
        most = min(self.params.largest_rank, latents.shape[1] // 2, len(rows), int((~out).sum()))
        scores = []
        for rank in range(most + 1):
            left_out = rows[:rank]
            kept = [each - each @ left_out.T @ left_out for each in (one, other)]
            scores.append(float(partner_retrieval(*kept).mean()))
        return scores.index(max(scores))
