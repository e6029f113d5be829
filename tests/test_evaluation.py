"""The protocols on methods of a few lines, whose results are known or computed here in another way."""

import numpy as np
import pytest
import torch
from medmnist.evaluator import getACC, getAUC
from synthetic_bars import BINARY, Classifier, Pixels, make, same, three_splits

from latent_anatomy.corruptions import augment, imagenet_c
from latent_anatomy.corruptions.families import FAMILIES
from latent_anatomy.evaluation import common
from latent_anatomy.evaluation import registry as evaluation
from latent_anatomy.evaluation.protocols import (
    classification,
    probing,
    reconstruction,
    revision,
    robustness,
    separation,
)
from latent_anatomy.metrics import classification as metrics
from latent_anatomy.training.method import Data

splits = pytest.fixture(three_splits, scope="module")


# What applies to whom


def test_protocols_ask_for_capabilities():
    def applicable(method):
        return [name for name in evaluation.names() if evaluation.applies(name, method)]

    of_encodings = ["consistency", "probing", "robustness", "separation", "survival"]
    assert applicable(Pixels()) == sorted([*of_encodings, "reconstruction", "revision"])
    assert applicable(Classifier("disease")) == ["classification", "robustness"]
    assert applicable(Classifier("corruption")) == ["classification"]


def test_protocols_refuse_settings_they_do_not_have():
    for module in (classification, probing, reconstruction, revision, robustness, separation):
        with pytest.raises(ValueError, match="epoch"):
            module.Params(epoch=3)


# Reconstruction


def test_reconstruction_of_each_branch(splits):
    found, arrays, _ = reconstruction.evaluate(Pixels(), splits, reconstruction.Params(), BINARY, 0)
    images = splits["test"].images
    errors = ((images - 0.25) ** 2).mean(dim=(1, 2, 3)).double()
    assert found["reconstruction/psnr"] == pytest.approx(150)
    assert found["reconstruction/ssim"] == pytest.approx(1)
    assert arrays["reconstruction/anatomy_psnr"] == pytest.approx((-10 * errors.log10()).numpy(), abs=1e-3)
    assert found["reconstruction/anatomy_psnr_batch"] == pytest.approx(-10 * float(errors.mean().log10()))
    assert found["reconstruction/anatomy_psnr_batch"] < found["reconstruction/anatomy_psnr"]
    assert arrays["figure/clean/original"].shape == (8, 1, 28, 28)
    assert np.array_equal(arrays["figure/clean/original"], arrays["figure/clean/reconstruction"])
    assert (arrays["figure/clean/anatomy"] == 64).all()


def test_batches_of_512_are_averaged_as_released(splits):
    images = torch.rand(700, 1, 28, 28)
    many = {"test": Data(images, torch.zeros(700, dtype=torch.int64))}
    found, *_ = reconstruction.evaluate(Pixels(), many, reconstruction.Params(), BINARY, 0)
    parts = [-10 * float(((part - 0.25) ** 2).mean().log10()) for part in (images[:512], images[512:])]
    assert found["reconstruction/anatomy_psnr_batch"] == pytest.approx(sum(parts) / 2, abs=1e-4)


# Revision


def test_a_corruption_is_the_same_for_all_images():
    image = make(1, 3).images
    for name in augment.NAMES:
        corrupted = revision.corrupt_uniformly(name, image.expand(5, -1, -1, -1))
        assert (corrupted == corrupted[:1]).all(), name
        assert torch.equal(corrupted[:1], revision.corrupt_uniformly(name, image)), name
    assert not torch.equal(revision.corrupt_uniformly("Solarize", image), image)


def test_corruptions_have_the_strengths_of_the_released_script():
    flat = torch.full((2, 3, 28, 28), 100 / 255)
    levels = {name: (revision.corrupt_uniformly(name, flat) * 255).round() for name in augment.NAMES}
    assert (levels["MultiplicativeNoise"] == int(100 * 1.0307)).all()
    assert (levels["RandomBrightnessContrast"] == int(100 * 1.0954 + 0.1710 * 255)).all()
    assert (levels["RandomGamma"] == int((100 / 255) ** 1.0954 * 255)).all()
    assert levels["GaussNoise"].std() == pytest.approx(6.32, rel=0.05)
    assert 3 <= (levels["PixelDropout"][0, 0] == 0).sum() <= 12  # 1 % of 784
    spike = flat.clone()
    spike[:, :, 14, 14] = 101 / 255
    changed = revision.corrupt_uniformly("GaussianBlur", spike + (spike - flat) * 100) != flat
    assert changed[0, 0].any(dim=0).sum() == 7  # pixels wide
    assert revision.corrupt_uniformly("Sharpen", spike)[0, 0, 14, 14] * 255 == pytest.approx(
        100 * (4.357 - 8 * 0.4215) + 4.357, abs=0.51
    )


def test_revision_compares_with_the_clean_image_and_with_the_input(splits):
    found, arrays, _ = revision.evaluate(Pixels(), splits, revision.Params(), BINARY, 0)
    clean = splits["test"].images
    for name in augment.NAMES:
        corrupted = revision.corrupt_uniformly(name, clean)
        key = f"revision/{name}"
        expected = -10 * float(((corrupted - clean) ** 2).double().mean().log10())
        assert found[f"{key}/input_psnr"] == pytest.approx(expected, abs=1e-3)
        assert found[f"{key}/reconstruction_psnr"] == found[f"{key}/input_psnr"]  # it returns its input
        assert found[f"{key}/reconstruction_vs_input_psnr"] == pytest.approx(150)
        assert found[f"{key}/anatomy_psnr"] == found["revision/clean/anatomy_psnr"]  # it is constant
        assert arrays[f"{key}/input_psnr"].shape == (60,)
    assert same(found, revision.evaluate(Pixels(), splits, revision.Params(), BINARY, 1)[0])


# Frozen corruptions, classification, robustness


def test_frozen_corruption_depends_on_the_images_alone(splits):
    images, labels = common.frozen_corruption("test", splits["test"])
    torch.manual_seed(99)
    again, same_labels = common.frozen_corruption("test", splits["test"])
    assert torch.equal(images, again) and torch.equal(labels, same_labels)
    untouched = (images == splits["test"].images).flatten(1).all(dim=1)
    assert untouched[labels == 0].all() and not untouched[labels == 1].all()
    assert 0.25 < labels.float().mean() < 0.75


def test_corruption_classifier_is_scored_rightly_and_as_released():
    data = {"test": make(90, 6, classes=3)}
    found, arrays, _ = classification.evaluate(
        Classifier("corruption"), data, classification.Params(), "multi-class", 0
    )
    outputs = arrays["classification/corruption/as_released_scores"]
    two = outputs[:, :2] / outputs[:, :2].sum(axis=1, keepdims=True)
    corrupted, diseases = arrays["corruption/labels"], data["test"].labels.numpy()
    name = "classification/corruption"
    assert found[f"{name}/auc"] == pytest.approx(getAUC(corrupted, two, BINARY))
    assert found[f"{name}/acc"] == getACC(corrupted, two, BINARY)
    assert found[f"{name}/as_released_auc"] == pytest.approx(getAUC(diseases, outputs, "multi-class"))
    assert found[f"{name}/as_released_acc"] == getACC(diseases, outputs, "multi-class")


def test_disease_classifier_is_scored_on_clean_images():
    data = {"test": make(90, 6, classes=3)}
    found, arrays, _ = classification.evaluate(
        Classifier("disease"), data, classification.Params(), "multi-class", 0
    )
    scores = Classifier("disease").classify(data["test"].images).numpy()
    assert np.array_equal(arrays["classification/disease/scores"], scores)
    expected = metrics.auc(data["test"].labels.numpy(), scores)
    assert found["classification/disease/auc"] == expected


def test_classifier_of_something_else_is_refused(splits):
    with pytest.raises(ValueError, match="'disease' or 'corruption', found 'weather'"):
        classification.evaluate(Classifier("weather"), splits, classification.Params(), BINARY, 0)


def test_families_cover_the_corruptions():
    assert sorted(FAMILIES["all"]) == sorted(imagenet_c.NAMES) and len(set(FAMILIES["all"])) == 14


def test_robustness_of_a_classifier():
    data = {"test": make(90, 6, classes=3)}
    chosen = robustness.Params(images=30, severities=(1, 5))
    found, arrays, _ = robustness.evaluate(Classifier("disease"), data, chosen, "multi-class", 0)
    indices = arrays["robustness/images"]
    assert len(indices) == 30 and np.bincount(labels := arrays["robustness/labels"]).tolist() == [10, 10, 10]
    for name in ("gaussian_noise", "contrast"):
        corrupted = robustness.corrupt(name, 5, data["test"].images[indices])
        scores = Classifier("disease").classify(corrupted).numpy()
        key = f"robustness/{name}/5"
        assert found[f"{key}/auc"] == metrics.auc(labels, scores)
        assert np.array_equal(arrays[f"{key}/scores"], scores)
    for family, names in FAMILIES.items():
        values = [found[f"robustness/{name}/{severity}/auc"] for name in names for severity in (1, 5)]
        assert found[f"robustness/{family}/auc"] == pytest.approx(np.mean(values))
    conditions = {key.rsplit("/", 1)[0] for key in found}
    assert len(conditions) == 2 + 14 * 2 + 5 and "robustness/resampled" in conditions


def test_robustness_of_an_encoder_is_that_of_its_own_probe(splits):
    chosen = robustness.Params(severities=(5,), probe_epochs=60)
    found, *_ = robustness.evaluate(Pixels(), splits, chosen, BINARY, 4)
    expected, *_ = probing.evaluate(
        Pixels(), splits, probing.Params(epochs=60, draws=1, variants=("own",)), BINARY, 4
    )
    assert found["robustness/clean/auc"] == expected["probing/disease/own/auc"]
    assert found["robustness/contrast/5/acc"] < found["robustness/clean/acc"]


# Batches


@pytest.mark.parametrize(("size", "expected"), [(28, 512), (256, 6), (2048, 1)])
def test_batches_have_as_many_pixels_whatever_the_size(size, expected):
    images = torch.zeros(1, 1, 1, 1).expand(600, 3, size, size)
    parts = common.batches(images)
    assert len(parts[0]) == expected and sum(map(len, parts)) == 600


def test_spaced_takes_the_first_and_the_last():
    assert common.spaced(100, 3).tolist() == [0, 49, 99]
    assert common.spaced(3, 8).tolist() == common.spaced(3, None).tolist() == [0, 1, 2]
    assert common.spaced(0).tolist() == []
