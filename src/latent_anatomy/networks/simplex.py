"""OpenSimplex noise in three dimensions, summed over octaves (K. Spencer 2014; Wyatt et al. 2022).

The lattice is the cubic one squashed along its diagonal: whole numbers p lie at p + (p1 + p2 + p3) / 3, their
12 neighbours at a distance of sqrt(2). With a random gradient g_p at each point,

    noise(x) = 1/103 sum over p of max(0, 2 - |x - p|^2)^4 <g_p, x - p>

in about [-1, 1]. The sum runs over the 26 points that can be near enough to some place of a cell; Spencer's
code, which looks at the fewest that count at a place, gives the same.
"""

import itertools

import torch
from torch import Tensor

STRETCH, SQUISH, NORM = -1 / 6, 1 / 3, 103
GRADIENTS = torch.tensor(
    [
        [x * lengths[0], y * lengths[1], z * lengths[2]]
        for z, y, x in itertools.product((1, -1), (1, -1), (-1, 1))
        for lengths in ((11, 4, 4), (4, 11, 4), (4, 4, 11))
    ],
    dtype=torch.float32,
)
CORNERS = ((-1, 0, 1), (-1, 1, 1), (0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1), (0, 1, 2), (1, 1, 1))
NEAR = sorted({each for corner in CORNERS for each in itertools.permutations(corner)})  # sqrt(2) to a cell
TABLE = 256  # after so many whole numbers gradients repeat


def noise3(places: Tensor, table: Tensor) -> Tensor:
    """Noise (...,) float32 at places (..., 3). `table` (256,): a permutation of 0 to 255, the seed."""
    cell = (places + STRETCH * places.sum(-1, keepdim=True)).floor()
    inside = places - cell - SQUISH * cell.sum(-1, keepdim=True)
    x, y, z = cell.long().unbind(-1)
    gradients, total = GRADIENTS.to(places.device), places.new_zeros(places.shape[:-1])
    for i, of_x in itertools.groupby(NEAR, lambda step: step[0]):
        hashed_x = table[(x + i) % TABLE]
        for j, of_xy in itertools.groupby(of_x, lambda step: step[1]):
            hashed_xy = table[(hashed_x + y + j) % TABLE]
            for _, _, k in of_xy:
                away = inside - places.new_tensor([i, j, k]) - SQUISH * (i + j + k)
                weight = (2 - away.square().sum(-1)).clamp(min=0) ** 4
                hashed = table[(hashed_xy + z + k) % TABLE]
                total = total + weight * (gradients[hashed % len(gradients)] * away).sum(-1)
    return total / NORM


def field(
    size: tuple[int, int],
    depth: float,
    generator: torch.Generator | None = None,
    *,
    octaves: int = 6,
    persistence: float = 0.8,
    period: float = 64,
) -> Tensor:
    """A plane of noise (H, W): octave k has an amplitude of persistence^k and a period of period / 2^k.

    `depth` is the third coordinate, in pixels. The seed is drawn, on the CPU; nothing is normalised.
    """
    table = torch.randperm(TABLE, generator=generator)
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in size), indexing="ij")
    places = torch.stack([x, y, torch.full_like(x, depth)], dim=-1)
    powers = torch.arange(octaves, dtype=torch.float32)[:, None, None]
    waves = noise3(places * (2**powers / period)[..., None], table)
    return (persistence**powers * waves).sum(0)
