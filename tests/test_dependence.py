"""Measures of dependence against their definitions, and what they must not see."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from latent_anatomy.metrics import dependence

MEASURES = (
    dependence.linear_cka,
    dependence.linear_cka_unbiased,
    dependence.distance_correlation,
    dependence.distance_correlation_unbiased,
)


def cka_by_gram_matrices(one, other):
    """Kornblith et al. 2019, equations 2 and 3, with centring matrices."""
    centre = np.eye(len(one)) - 1 / len(one)
    grams = [centre @ (x @ x.T) @ centre for x in (one, other)]

    def hsic(a, b):
        return np.trace(a @ b)

    return hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


def distance_correlation_by_sums(one, other):
    """Székely, Rizzo and Bakirov 2007, remark 3: the three sums over pairs and triples of distances."""
    a, b = (squareform(pdist(x)) for x in (one, other))

    def covariance(a, b):
        return (a * b).mean() + a.mean() * b.mean() - 2 * np.einsum("ij,ik->", a, b) / len(a) ** 3

    return np.sqrt(covariance(a, b) / np.sqrt(covariance(a, a) * covariance(b, b)))


def unbiased_distance_correlation_by_u_centring(one, other):
    """Székely and Rizzo 2013, definitions 2 and 3."""
    centred = []
    for x in (one, other):
        distances, n = squareform(pdist(x)), len(x)
        rows, total = distances.sum(axis=0), distances.sum() / ((n - 1) * (n - 2))
        u = distances - np.add.outer(rows, rows) / (n - 2) + total
        np.fill_diagonal(u, 0)
        centred.append(u)
    a, b = centred
    squared = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    return np.sign(squared) * np.sqrt(abs(squared))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_measures_are_as_defined_and_ignore_rotation_scale_and_shift(seed, width, other_width):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(20, width)), rng.normal(size=(20, other_width))
    other[:, 0] += rng.normal() * one[:, 0] ** 2
    oracles = (
        cka_by_gram_matrices,
        None,  # its HSIC is tested below
        distance_correlation_by_sums,
        unbiased_distance_correlation_by_u_centring,
    )
    rotation, _ = np.linalg.qr(rng.normal(size=(width, width)))
    turned = torch.tensor(3 * one @ rotation + rng.normal(size=width))
    for measure, oracle in zip(MEASURES, oracles, strict=True):
        found = measure(torch.tensor(one), torch.tensor(other))
        assert oracle is None or found == pytest.approx(oracle(one, other))
        assert measure(torch.tensor(one), turned) == pytest.approx(1)
        assert measure(turned, torch.tensor(other)) == pytest.approx(found)
        assert measure(torch.tensor(other), turned) == pytest.approx(found)


def test_unbiased_measures_of_independent_embeddings_are_zero_in_the_mean():
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 12, 30, generator=generator) for _ in range(400)]
    for biased, unbiased in (MEASURES[:2], MEASURES[2:]):
        values = np.array([unbiased(*pair) for pair in pairs])
        if biased is dependence.distance_correlation:
            values *= np.abs(values)  # its square is what is unbiased
        assert abs(values.mean()) < 4 * values.std() / 20
        assert np.mean([biased(*pair) for pair in pairs]) > 0.5


def test_distance_correlation_is_small_for_independent_values_and_sees_what_is_not_linear():
    generator = torch.Generator().manual_seed(1)
    one, noise = torch.randn(2, 500, 1, generator=generator)
    assert dependence.distance_correlation(one, noise) < 0.15
    assert abs(dependence.distance_correlation_unbiased(one, noise)) < 0.15
    assert dependence.distance_correlation(one, one**2) > 0.4
    assert dependence.distance_correlation_unbiased(one, one**2) > 0.4
    assert dependence.linear_cka(one, one**2) < 0.05


def test_unbiased_hsic_follows_song():
    """Song et al. 2012: the mean of k_ij (l_ij + l_qr - 2 l_iq) over tuples of different i, j, q, r."""
    rng = np.random.default_rng(1)
    grams = []
    for _ in range(2):
        values = rng.normal(size=(6, 3))
        grams.append(values @ values.T)
    one, other = grams
    mean = np.mean(
        [
            one[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
            for i, j, q, r in permutations(range(6), 4)
        ]
    )
    without_diagonal = [torch.tensor(gram * (1 - np.eye(6))) for gram in grams]
    assert float(dependence._hsic(*without_diagonal)) / (6 * 3) == pytest.approx(mean)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_constant_embedding_shares_nothing(measure):
    constant, other = torch.ones(10, 3), torch.randn(10, 4)
    assert measure(constant, other) == 0 == measure(other, constant)


@pytest.mark.parametrize("measure", [MEASURES[1], MEASURES[3]])
def test_unbiased_measures_need_four_images(measure):
    with pytest.raises(ValueError, match="expected 4 images or more for an unbiased estimate, found 3"):
        measure(torch.randn(3, 2), torch.randn(3, 2))
