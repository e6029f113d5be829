"""How much two representations of the same images have in common, whatever their dimensions.

Linear centred kernel alignment (Kornblith et al. 2019, section 3) sees what is linear, distance correlation
(Székely, Rizzo and Bakirov 2007) whatever is there. Both are 0 for nothing in common and 1 for the same up
to rotation, shift and scale; both are high by themselves where there are fewer images than dimensions, so
each stands beside its unbiased version, which is 0 in the mean for independent representations, and so
also below. All values are (N, d) float, computed in float64.
"""

import math

import torch
from torch import Tensor


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Linear CKA of embeddings (N, d1) and (N, d2) of the same images: 0 to 1, 0 for a constant one.

    >>> one = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> round(linear_cka(one, 3 * one[:, [1, 0]] + 5), 6), round(linear_cka(one[:, :1], one[:, 1:]), 6)
    (1.0, 0.0)
    """
    one, other = _centred(one), _centred(other)
    norms = torch.linalg.norm(one.T @ one) * torch.linalg.norm(other.T @ other)
    return float((one.T @ other).square().sum() / norms) if norms > 0 else 0.0


def linear_cka_unbiased(one: Tensor, other: Tensor) -> float:
    """The same of unbiased estimates of HSIC (Song et al. 2012). ValueError for fewer than 4 images."""
    return _unbiased(*((values @ values.T).fill_diagonal_(0) for values in map(_centred, (one, other))))


def distance_correlation(one: Tensor, other: Tensor) -> float:
    """Distance correlation of embeddings (N, d1) and (N, d2): 0 to 1, 0 for a constant one."""
    first, second = (_doubly_centred(_distances(values)) for values in (one, other))
    variances = (first * first).sum() * (second * second).sum()
    covariance = (first * second).sum().clamp(min=0)  # below only by rounding
    return float((covariance / variances.sqrt()).sqrt()) if variances > 0 else 0.0


def distance_correlation_unbiased(one: Tensor, other: Tensor) -> float:
    """The bias-corrected squared distance correlation (Székely and Rizzo 2013), under a root with its sign.

    ValueError for fewer than 4 images.
    """
    squared = _unbiased(_distances(one), _distances(other))
    return math.copysign(abs(squared) ** 0.5, squared)


def _centred(values: Tensor) -> Tensor:
    return values.double() - values.double().mean(0)


def _distances(values: Tensor) -> Tensor:
    """Euclidean distances (N, N) float64; not by way of a product of matrices, which loses digits."""
    values = values.double()
    return torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")


def _doubly_centred(distances: Tensor) -> Tensor:
    return distances - distances.mean(0) - distances.mean(1, keepdim=True) + distances.mean()


def _unbiased(first: Tensor, second: Tensor) -> float:
    """Normalised unbiased HSIC of matrices (N, N) with zero diagonals; 0 for those of a constant."""
    if len(first) < 4:
        raise ValueError(f"expected 4 images or more for an unbiased estimate, found {len(first)}")
    variances = _hsic(first, first) * _hsic(second, second)
    return float(_hsic(first, second) / variances.sqrt()) if variances > 0 else 0.0


def _hsic(one: Tensor, other: Tensor) -> Tensor:
    """n (n - 3) times the unbiased HSIC of Gram matrices (n, n) with zero diagonals (Song 2012, eq. 5).

    Of distances it is the product of U-centred matrices (Székely and Rizzo 2013): the same estimate.
    """
    count = len(one)
    totals = one.sum() * other.sum() / ((count - 1) * (count - 2))
    return (one * other).sum() + totals - 2 / (count - 2) * (one.sum(0) @ other.sum(0))
