"""OpenSimplex noise in three dimensions, summed over octaves (K. Spencer 2014; Wyatt et al. 2022).

The lattice is the cubic one squashed along its diagonal: whole numbers p lie at p + (p1 + p2 + p3) / 3, their
12 neighbours at a distance of sqrt(2). With a random gradient g_p at each point,

    noise(x) = 1/103 sum over p of max(0, 2 - |x - p|^2)^4 <g_p, x - p>

in about [-1, 1]. The sum runs over all points that may be near enough to count; Spencer's code, which looks
at the fewest that can, gives the same.
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
NEAR = tuple(itertools.product(range(-1, 3), repeat=3))  # points that may be nearer than sqrt(2) to a cell
TABLE = 256  # after so many whole numbers gradients repeat


def noise3(places: Tensor, table: Tensor) -> Tensor:
    """Noise (...,) float32 at places (..., 3). `table` (256,): a permutation of 0 to 255, the seed."""
    stretched = places + STRETCH * places.sum(-1, keepdim=True)
    cell = stretched.floor()
    total = places.new_zeros(places.shape[:-1])
    gradients = GRADIENTS.to(places.device)
    for step in NEAR:
        point = cell + cell.new_tensor(step)
        away = places - point - SQUISH * point.sum(-1, keepdim=True)
        weight = (2 - away.square().sum(-1)).clamp(min=0) ** 4
        hashed = torch.zeros_like(total, dtype=torch.int64)
        for axis in range(3):
            hashed = table[(hashed + point[..., axis].long()) % TABLE]
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
