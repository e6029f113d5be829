"""Rotations of a latent space: orthogonal, invertible, and the style's span where that is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from sklearn.linear_model import LogisticRegression
from synthetic_latents import SHAPE, WIDTH, Reader, mixture, paired

from latent_anatomy.evaluation.registry import capabilities
from latent_anatomy.methods import registry as methods
from latent_anatomy.methods.rotation import classifier
from latent_anatomy.metrics.retrieval import partner_retrieval
from latent_anatomy.training.latents import pairs
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.rotations import completed, orthonormal

ROTATIONS = (
    *("rotation", "pisco", "difference_svd", "learned_rotation"),
    *("random_directions", "leading_components"),
)
FOUND = ("rotation", "pisco", "difference_svd")


def build(name: str, **params):
    module = methods.load(name).Method
    return module(module.Params(**params), SHAPE, on=Reader())


def fitted(name: str, data, seed: int = 1, **params):
    torch.manual_seed(seed)
    method = build(name, **params)
    with torch.no_grad():
        method.fit(data)
    return method


def nullspace_angle(method, style: int) -> float:
    """The largest angle, in degrees, between what the biological part does not see and the style."""
    readers = method.standard.weight[:, None] * method.rotation[:, int(method.rank) :]
    unseen = torch.linalg.svd(readers.T)[2][readers.shape[1] :]
    return float(np.degrees(subspace_angles(unseen.T.numpy(), mixture(style)[1].T.numpy()).max()))


@pytest.mark.parametrize("name", ROTATIONS)
def test_it_is_a_rotation_in_the_strict_sense_and_can_be_undone(name):
    data = paired(noise=0.05)
    method = fitted(name, data)
    rotation, rank = method.rotation, int(method.rank)
    assert (rotation.T @ rotation - torch.eye(WIDTH)).abs().max() < 1e-6
    assert float(torch.linalg.det(rotation)) == pytest.approx(1)
    parts = method.encode(data.images)
    assert parts["technical"].shape == (len(data), rank)
    assert parts["biological"].shape == (len(data), WIDTH - rank)
    standard = method.standard(data.images.flatten(1).double())
    turned = method.rotated(data.images)
    torch.testing.assert_close(method.turned_back(turned), standard)
    torch.testing.assert_close(turned.norm(dim=1), standard.norm(dim=1))
    assert capabilities(method) == {"encode"}


@pytest.mark.parametrize("style", [1, 2, 3])
@pytest.mark.parametrize("name", FOUND)
def test_the_styles_span_is_found_within_a_degree(name, style):
    strong = {"strength": 50.0} if name == "pisco" else {}  # content's energy pulls its directions aside
    method = fitted(name, paired(style=style, noise=0.01), **strong)
    assert int(method.rank) == style
    assert nullspace_angle(method, style) < 1


def test_the_strict_form_finds_a_single_style_and_no_more_than_one():
    assert nullspace_angle(fitted("rotation", paired(style=1, noise=0.01), rest="none"), 1) < 1
    assert int(fitted("rotation", paired(style=3), rest="none").rank) == 1


@pytest.mark.parametrize("pairs", [4096, 64])
@pytest.mark.parametrize("style", [1, 2, 3])
def test_a_learned_rotation_finds_it_within_a_degree_also_by_a_part_of_the_pairs_in_each_step(style, pairs):
    assert (
        nullspace_angle(
            fitted("learned_rotation", paired(style=style), rank=style, pairs_per_step=pairs), style
        )
        < 1
    )


def test_controls_do_not_find_it():
    data = paired(style=2)
    for name in ("random_directions", "leading_components"):
        assert nullspace_angle(fitted(name, data, rank=2), 2) > 20


@pytest.mark.parametrize("name", FOUND)
def test_new_pairs_come_together_and_contents_stay_apart(name):
    method, test = fitted(name, paired(noise=0.01)), paired(people=10, split="test", noise=0.01)
    before = test.images.flatten(1)
    after = method.encode(test.images)["biological"]
    share = [float(partner_retrieval(each[::2], each[1::2]).mean()) for each in (before, after)]
    assert share[0] < 0.35 and share[1] > 0.8
    probe = LogisticRegression().fit(after[::2], test.labels[::2])
    assert probe.score(after[1::2], test.labels[1::2]) > 0.99
    technical = LogisticRegression().fit(after[:200], np.arange(200) % 2)
    assert abs(technical.score(after[200:], np.arange(len(after) - 200) % 2) - 0.5) < 0.15


@pytest.mark.parametrize("name", ROTATIONS)
def test_rank_0_leaves_distances_as_they_are(name):
    if name == "learned_rotation":
        pytest.skip("has a technical direction or more")
    data = paired(people=6)
    kept = fitted(name, data, rank=0).encode(data.images)["biological"]
    standard = fitted(name, data, rank=0).standard(data.images.flatten(1).double()).float()
    torch.testing.assert_close(torch.cdist(kept, kept), torch.cdist(standard, standard), atol=1e-3, rtol=1e-3)


def test_the_classifier_is_scikit_learns_logistic_regression_of_signed_differences():
    data = paired(noise=0.3, people=8)
    found = pairs(data)
    latents = data.images.flatten(1).double()
    delta = latents[found.rows[:, 1]] - latents[found.rows[:, 0]]
    with torch.no_grad():
        weights = classifier(delta, found.settings, 2, c=1.0)
    signed = np.concatenate([delta.numpy(), -delta.numpy()])
    labels = np.repeat([1, 0], len(delta))
    # w_b - w_a = 2 w_b, so that |W|^2 / 2 is |w_b - w_a|^2 / 4; both signs of a pair count in the other
    reference = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=2000).fit(signed, labels)
    np.testing.assert_allclose(2 * weights[1].numpy(), reference.coef_[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(weights.sum(0), torch.zeros(WIDTH, dtype=torch.float64), atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(2, 9))
def test_bases_are_orthonormal_whatever_the_rows(seed, count, width):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, width, generator=generator, dtype=torch.float64)
    rows = torch.cat([rows, rows[:1], torch.zeros(1, width, dtype=torch.float64)])
    basis = orthonormal(rows)
    assert len(basis) == min(count, width)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
    full = completed(basis[: width - 1])
    torch.testing.assert_close(full.T @ full, torch.eye(width, dtype=torch.float64))
    torch.testing.assert_close(full[:, : len(basis[: width - 1])].T, basis[: width - 1])


@pytest.mark.parametrize("name", ROTATIONS)
def test_the_same_seed_gives_the_same_bits_and_the_loop_takes_it(name, tmp_path):
    data, states = paired(people=6, noise=0.05), []
    for attempt in ("one", "two"):
        method = build(name)
        train(method, data, data, seed=3, settings=TrainingParams(), scratch=tmp_path / attempt)
        states.append(method.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    other = build(name)
    other.load_state_dict(states[0])
    torch.testing.assert_close(other.encode(data.images), method.encode(data.images))


# Bad input


def test_data_that_cannot_be_turned_are_refused_in_one_line():
    data = paired(people=4)
    for changed, message in (
        ({"modality": ("CT",) * len(data)}, "settings: expected two or more, as modality or site, found CT"),
        ({"pair": None}, "pairs: expected rows with a partner in another setting, found none"),
        ({"pair": torch.full((len(data),), -1)}, "pairs: expected rows with a partner"),
        ({"pair": (torch.arange(len(data)) + 2) % len(data)}, "expected two settings, found CT sharp twice"),
        ({"subject": ("ann",) * len(data)}, "rank: expected pairs of two training subjects or more, found 1"),
        ({"stored": torch.full_like(data.stored, 0.5)}, "latents: expected two features that vary, found 0"),
        ({"stored": data.stored * torch.nan}, "latents: expected two finite rows"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted("rotation", replace(data, **changed))
    with pytest.raises(ValueError, match=f"rank: expected at most {WIDTH - 1}, found {WIDTH}"):
        fitted("difference_svd", data, rank=WIDTH)
    few = torch.full((len(data),), -1)
    few[:4] = data.pair[:4]
    with pytest.raises(
        ValueError, match="rank: expected at most 2, found 3"
    ):  # two pairs span two directions
        fitted("difference_svd", replace(data, pair=few), rank=3)
    with pytest.raises(ValueError, match="encoder: expected an embedding 'z', found latent: set embedding"):
        build("rotation", embedding="z")


def test_a_feature_that_is_dead_is_neither_technical_nor_a_fault():
    data = paired(style=1, noise=0.01)
    stored = data.stored.clone()
    stored[..., 3] = 0.5
    method = fitted("difference_svd", replace(data, stored=stored), rank=2)
    assert torch.isfinite(method.rotation).all() and float(method.rotation[3, :2].abs().max()) < 1e-9


def test_by_labels_the_hospitals_directions_are_found_and_no_pairs_are_asked_for():
    data = paired(style=2, noise=0.05)
    hospital = tuple("AB"[row % 2] for row in range(len(data)))
    alone = replace(data, pair=None, modality=("MR",) * len(data), site=hospital)
    method = fitted("label_rotation", alone, setting="site")
    assert int(method.rank) == 1, "one fewer than hospitals"
    parts = method.encode(alone.images)
    one, other = (parts["technical"][side::2, 0] for side in (0, 1))
    read = [
        LogisticRegression().fit(part, hospital).score(part, hospital)
        for part in (parts["technical"].numpy(), parts["biological"].numpy())
    ]
    assert (one.mean() - other.mean()).abs() > 2 * one.std()
    assert read[0] > 0.95 and read[1] < read[0] - 0.1, read
    with pytest.raises(ValueError, match="settings: expected two or more, as site, found H"):
        fitted("label_rotation", replace(alone, site=("H",) * len(data)), setting="site")
