"""Metrics against torchmetrics, scikit-learn and MedMNIST's own evaluator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from medmnist.evaluator import getACC, getAUC
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from latent_anatomy.metrics import classification, image


def images(seed: int, channels: int = 3, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images and noisy versions of them, some of them beyond [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 7, 7, generator=generator)
    reference = torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear")
    strength = torch.linspace(0.01, 0.3, count).view(-1, 1, 1, 1)
    return reference + strength * torch.randn(reference.shape, generator=generator), reference


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_psnr_and_ssim_of_each_image_are_torchmetrics(channels, seed):
    noisy, reference = images(seed, channels)
    found = zip(image.psnr(noisy, reference), image.ssim(noisy, reference), noisy, reference, strict=True)
    for psnr, ssim, *pair in found:
        one, other = (each[None] for each in pair)
        assert psnr == pytest.approx(float(peak_signal_noise_ratio(one, other, data_range=1.0)), abs=1e-4)
        expected = structural_similarity_index_measure(one, other, data_range=1.0)
        assert ssim == pytest.approx(float(expected), abs=1e-5)


def test_an_image_is_like_itself():
    _, reference = images(0)
    assert image.psnr(reference, reference).tolist() == pytest.approx([150.0] * 5)
    assert image.ssim(reference, reference).tolist() == pytest.approx([1.0] * 5)


def test_a_better_image_never_scores_less():
    errors = torch.logspace(-20, 0, 50, dtype=torch.float64)
    assert (image.psnr_of_mse(errors).diff() <= 0).all()


@pytest.mark.parametrize("one, other", [((2, 3, 28, 28), (2, 1, 28, 28)), ((2, 3, 5, 28), (2, 3, 5, 28))])
def test_ssim_refuses_other_shapes(one, other):
    with pytest.raises(ValueError, match="expected images of one shape"):
        image.ssim(torch.zeros(one), torch.zeros(other))


def test_psnr_does_not_broadcast():
    with pytest.raises(ValueError, match="one shape"):
        image.psnr(torch.zeros(4, 3, 28, 28), torch.zeros(1, 3, 28, 28))


def scored(seed: int, classes: int, count: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all classes, and scores that tell something about them and have ties."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    logits = rng.normal(size=(count, classes)) + np.eye(classes)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, np.round(scores, 1)


@pytest.mark.parametrize(
    "task, classes", [("binary-class", 2), ("multi-class", 8), ("multi-class", 3), ("ordinal-regression", 5)]
)
@pytest.mark.parametrize("seed", range(3))
def test_auc_and_acc_are_medmnists(task, classes, seed):
    labels, scores = scored(seed, classes)
    assert classification.auc(labels, scores) == pytest.approx(getAUC(labels, scores, task), abs=1e-12)
    assert classification.acc(labels, scores) == getACC(labels, scores, task)


def test_auc_of_several_classes_is_sklearns_macro_average():
    labels, _ = scored(0, 4)
    scores = np.random.default_rng(1).dirichlet(np.ones(4), size=len(labels))
    assert classification.auc(labels, scores) == pytest.approx(
        roc_auc_score(labels, scores, multi_class="ovr", average="macro"), abs=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5]))
def test_auc_depends_on_the_order_of_scores_alone(seed, classes):
    labels, scores = scored(seed, classes)
    found = classification.auc(labels, scores)
    assert classification.auc(labels, np.exp(3 * scores)) == pytest.approx(found, abs=1e-12)
    assert classification.auc(labels, -scores) == pytest.approx(1 - found, abs=1e-12)


@pytest.mark.parametrize(
    "labels, scores, message",
    [
        ([0, 0, 0], np.eye(3, 2), "class 1"),
        ([0, 1, 2], np.eye(3, 2), "labels from 0 to 1"),
        ([0, 1, -1], np.eye(3, 2), "labels from 0 to 1"),
        ([0, 1, 0], np.full((3, 2), np.nan), "finite"),
        ([0, 1], np.eye(3, 2), "expected labels"),
        ([0, 1, 0], np.zeros((3, 1)), "expected labels"),
        ([], np.zeros((0, 2)), "labels from 0"),
    ],
)
def test_auc_refuses(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        classification.auc(np.array(labels, dtype=np.int64), scores)
