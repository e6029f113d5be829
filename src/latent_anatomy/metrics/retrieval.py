"""Is the partner of a row its nearest neighbour in the other setting?"""

import torch
from torch import Tensor


def partner_retrieval(one: Tensor, other: Tensor) -> Tensor:
    """Whether row i of `other` is nearest to row i of `one` and the other way round, both (N, d) float.

    Returns (N,) float64: 0, 1/2 or 1. Of equally near rows the first counts, so that rows that are all the
    same are found once in N. Chance is 1 / N.

    >>> partner_retrieval(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [4.0]])).tolist()
    [1.0, 1.0]
    """
    one, other = one.double(), other.double()
    distance = one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T
    own = torch.arange(len(one), device=one.device)
    return ((distance.argmin(1) == own).double() + (distance.argmin(0) == own).double()) / 2
