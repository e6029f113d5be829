"""The protocols on methods of a few lines, whose results are known or computed here in another way."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from medmnist.evaluator import getACC, getAUC
from sklearn.linear_model import LogisticRegression
from torch import nn

from latent_anatomy import evaluation, metrics
from latent_anatomy.corruptions import augment, imagenet_c
from latent_anatomy.evaluation import (
    classification,
    common,
    comparison,
    probing,
    reconstruction,
    revision,
    robustness,
    separation,
)
from latent_anatomy.evaluation.families import FAMILIES
from latent_anatomy.methods.contract import Data
from latent_anatomy.statistics import holm, sign_flip

BINARY = "binary-class"


def make(count: int, seed: int, classes: int = 2) -> Data:
    """Grey images whose class shows as a bright bar, on a smooth random background."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=generator) % classes
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    images = 0.4 * F.interpolate(coarse, size=(28, 28), mode="bilinear")
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, :, 4 + 6 * label : 8 + 6 * label] += 0.4
    return Data((images * 255).round().to(torch.uint8), labels)


@pytest.fixture(scope="module")
def splits() -> dict[str, Data]:
    return {"train": make(97, 0), "val": make(40, 1), "test": make(60, 2)}


class Pixels(nn.Module):
    """Two embeddings through one batch normalisation: columns ("anatomy"), and noise of the image's own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(28)
        self.unused = nn.Linear(2, 2)

    def encode(self, images):
        noise = torch.sin(1e4 * images.sum(dim=(1, 2, 3)))[:, None] / torch.arange(1, 9)
        return {"anatomy": self.norm(images.mean(dim=(1, 2))), "characteristics": noise}

    def reconstruct(self, images):
        return images

    def anatomy(self, images):
        return torch.full_like(images, 0.25)


class Classifier(nn.Module):
    """Scores of three columns, from the mean intensity."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def classify(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([1 - mean, mean, mean**2], dim=1).softmax(dim=1)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


# What applies to whom


def test_protocols_ask_for_capabilities():
    def applicable(method):
        return [name for name in evaluation.PROTOCOLS if evaluation.applies(name, method)]

    assert applicable(Pixels()) == ["reconstruction", "revision", "probing", "robustness", "separation"]
    assert applicable(Classifier("disease")) == ["classification", "robustness"]
    assert applicable(Classifier("corruption")) == ["classification"]


def test_protocols_refuse_settings_they_do_not_have():
    for module in (classification, probing, reconstruction, revision, robustness, separation):
        with pytest.raises(ValueError, match="epoch"):
            module.Params(epoch=3)


# Reconstruction


def test_reconstruction_of_each_branch(splits):
    found, arrays = reconstruction.evaluate(Pixels(), splits, reconstruction.Params(), BINARY, 0)
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
    found, _ = reconstruction.evaluate(Pixels(), many, reconstruction.Params(), BINARY, 0)
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
    found, arrays = revision.evaluate(Pixels(), splits, revision.Params(), BINARY, 0)
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


# Probing


def by_hand(features, labels, classes, epochs, seeds, name, double_softmax):
    """The probe's training with the gradient, Adam and the cyclic rate written out, in float64."""
    torch.manual_seed(common.derived_seed(*seeds, name))
    layer = nn.Linear(features.shape[1], classes)
    weights = torch.cat([layer.weight.T, layer.bias[None]]).detach().double()
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
    targets = F.one_hot(labels, classes).double()
    first, second, step = torch.zeros_like(weights), torch.zeros_like(weights), 0
    ramp = round(5 * -(-len(labels) // 64) * epochs / 251)
    for epoch in range(epochs):
        cycle, position = divmod(epoch, 2 * ramp)
        height = 1 - abs(position / ramp - 1)
        rate = 1e-4 + (1e-2 - 1e-4) * height / 2**cycle
        for chosen in torch.randperm(len(labels), generator=common.generator(*seeds, epoch)).split(64):
            if len(chosen) == 1:
                continue
            p = (inputs[chosen] @ weights).softmax(dim=1)
            slope = (p.softmax(dim=1) if double_softmax else p) - targets[chosen]
            if double_softmax:
                slope = p * (slope - (slope * p).sum(dim=1, keepdim=True))
            gradient = inputs[chosen].T @ slope / len(chosen)
            step += 1
            first = 0.95 * first + 0.05 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            moved = (first / (1 - 0.95**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            weights -= rate * moved
    return weights


@pytest.mark.parametrize("double_softmax", [False, True])
@pytest.mark.parametrize("count, classes", [(129, 3), (200, 2)])
def test_probe_is_trained_with_the_published_settings(double_softmax, count, classes):
    generator = torch.Generator().manual_seed(count)
    features = torch.randn(count, 7, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    layer = probing.fit(
        lambda epoch: (features, labels), 7, classes, 40, (5, "x"), name="n", double_softmax=double_softmax
    )
    expected = by_hand(features, labels, classes, 40, (5, "x"), "n", double_softmax)
    assert torch.cat([layer.weight.T, layer.bias[None]]).numpy() == pytest.approx(expected.numpy(), abs=2e-4)


def test_two_heads_on_a_summed_loss_learn_what_each_learns_alone():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(64, 5, generator=generator), torch.randn(64, 4, generator=generator)
    labels, corrupted = (torch.randint(2, (64,), generator=generator) for _ in range(2))
    alone = [
        probing.fit(lambda epoch, x=x, y=y: (x, y), x.shape[1], 2, 6, (1, "joint"), name=name)
        for x, y, name in ((one, labels, "disease"), (other, corrupted, "corruption"))
    ]
    heads = []
    for width, name in ((5, "disease"), (4, "corruption")):
        torch.manual_seed(common.derived_seed(1, "joint", name))
        heads.append(nn.Linear(width, 2))
    parameters = [parameter for head in heads for parameter in head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-4, betas=(0.95, 0.999))
    [schedule] = probing.CYCLE.schedules(optimiser, 1, 6).per_epoch
    for epoch in range(6):
        order = torch.randperm(64, generator=common.generator(1, "joint", epoch))
        loss = F.cross_entropy(heads[0](one[order]), labels[order])
        loss = loss + F.cross_entropy(heads[1](other[order]), corrupted[order])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    for head, single in zip(heads, alone, strict=True):
        assert torch.allclose(head.weight, single.weight, atol=1e-6)


@pytest.fixture(scope="module")
def probed(splits):
    return probing.evaluate(Pixels(), splits, probing.Params(epochs=40, draws=3), BINARY, 4)


def test_probes_find_what_is_there(probed):
    found, arrays = probed
    for variant in ("concatenated_released", "concatenated", "own", "joint"):
        assert found[f"probing/disease/{variant}/auc"] > 0.95, variant
    assert abs(found["probing/corruption/own/auc"] - 0.5) < 0.25  # "characteristics" is noise
    for name, labels in (("disease", arrays["labels"]), ("corruption", arrays["corruption/labels"])):
        scores = arrays[f"probing/{name}/own/scores"]
        assert found[f"probing/{name}/own/auc"] == pytest.approx(getAUC(labels, scores, BINARY))
        assert found[f"probing/{name}/own/acc"] == getACC(labels, scores, BINARY)
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_probing_repeats_itself_and_leaves_the_method_alone(probed, splits):
    method = Pixels()
    before = copy.deepcopy(method.state_dict())
    settings = probing.Params(epochs=40, draws=3)
    found, arrays = probing.evaluate(method, splits, settings, BINARY, 4)
    assert same(found, probed[0]) and same(arrays, probed[1])
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    short = probing.Params(epochs=60, draws=1, variants=("own",))
    _, others = probing.evaluate(method, splits, short, BINARY, 5)
    assert not np.array_equal(arrays["probing/disease/own/scores"], others["probing/disease/own/scores"])
    assert np.array_equal(arrays["corruption/labels"], others["corruption/labels"])


def test_released_probe_has_the_encoder_in_training_mode_and_then_reads_its_drifted_buffers(splits):
    seen = {}

    class Recorded(Pixels):
        def encode(self, images):
            seen.setdefault(self.training, []).append(float(self.norm.running_mean[0]))
            return super().encode(images)

    method = Recorded().eval()
    method.norm.running_mean.fill_(50.0)
    chosen = probing.Params(epochs=20, draws=1, variants=("concatenated_released",))
    probing.evaluate(method, splits, chosen, BINARY, 0)
    assert len(seen[True]) == 2 * 20 * 2  # tasks, epochs, batches of at most 64 out of 97 images
    assert abs(seen[False][-1]) < 1 and method.norm.running_mean[0] == 50 and not method.training

    seen.clear()
    probing.evaluate(method, splits, probing.Params(epochs=2, variants=("concatenated", "own")), BINARY, 0)
    assert set(seen) == {False} and set(seen[False]) == {50.0}


def test_own_embedding():
    both = {"anatomy": torch.zeros(1, 2), "characteristics": torch.ones(1, 3)}
    assert probing.own(both, "disease") is both["anatomy"]
    assert probing.own(both, "corruption") is both["characteristics"]
    only = {"latent": torch.zeros(1, 4)}
    assert probing.own(only, "disease") is only["latent"] is probing.own(only, "corruption")
    with pytest.raises(ValueError, match="expected an embedding 'anatomy' for disease, found a, b"):
        probing.own({"a": torch.zeros(1), "b": torch.zeros(1)}, "disease")


def test_epochs_take_the_draws_in_turn(splits):
    first, second = probing.corrupted_draws(Pixels().eval(), splits["train"], 2, 0)
    assert not torch.equal(first[1], second[1])
    again, *_ = probing.corrupted_draws(Pixels().eval(), splits["train"], 1, 0)
    assert torch.equal(first[0]["anatomy"], again[0]["anatomy"])


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
    found, arrays = classification.evaluate(
        Classifier("corruption"), data, classification.Params(), "multi-class", 0
    )
    outputs = arrays["classification/corruption/as_released_scores"]
    two = outputs[:, :2] / outputs[:, :2].sum(axis=1, keepdims=True)
    corrupted = arrays["corruption/labels"]
    name = "classification/corruption"
    assert found[f"{name}/auc"] == pytest.approx(getAUC(corrupted, two, BINARY))
    assert found[f"{name}/acc"] == getACC(corrupted, two, BINARY)
    assert found[f"{name}/as_released_auc"] == pytest.approx(getAUC(arrays["labels"], outputs, "multi-class"))
    assert found[f"{name}/as_released_acc"] == getACC(arrays["labels"], outputs, "multi-class")


def test_disease_classifier_is_scored_on_clean_images():
    data = {"test": make(90, 6, classes=3)}
    found, arrays = classification.evaluate(
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
    found, arrays = robustness.evaluate(Classifier("disease"), data, chosen, "multi-class", 0)
    indices = arrays["robustness/images"]
    assert len(indices) == 30 and np.bincount(arrays["labels"][indices]).tolist() == [10, 10, 10]
    for name in ("gaussian_noise", "contrast"):
        corrupted = robustness.corrupt(name, 5, data["test"].images[indices])
        scores = Classifier("disease").classify(corrupted).numpy()
        key = f"robustness/{name}/5"
        assert found[f"{key}/auc"] == metrics.auc(arrays["labels"][indices], scores)
        assert np.array_equal(arrays[f"{key}/scores"], scores)
    for family, names in FAMILIES.items():
        values = [found[f"robustness/{name}/{severity}/auc"] for name in names for severity in (1, 5)]
        assert found[f"robustness/{family}/auc"] == pytest.approx(np.mean(values))
    conditions = {key.rsplit("/", 1)[0] for key in found}
    assert len(conditions) == 2 + 14 * 2 + 5 and "robustness/resampled" in conditions


def test_robustness_of_an_encoder_is_that_of_its_own_probe(splits):
    chosen = robustness.Params(severities=(5,), probe_epochs=60)
    found, _ = robustness.evaluate(Pixels(), splits, chosen, BINARY, 4)
    expected, _ = probing.evaluate(
        Pixels(), splits, probing.Params(epochs=60, draws=1, variants=("own",)), BINARY, 4
    )
    assert found["robustness/clean/auc"] == expected["probing/disease/own/auc"]
    assert found["robustness/contrast/5/acc"] < found["robustness/clean/acc"]


# Separation


def test_separation_names_what_each_embedding_knows(splits):
    method = Pixels()
    before = copy.deepcopy(method.state_dict())
    found, arrays = separation.evaluate(method, splits, separation.Params(draws=2), BINARY, 0)
    assert found["separation/disease_from_anatomy/auc"] > 0.95
    assert abs(found["separation/disease_from_characteristics/auc"] - 0.5) < 0.2
    assert found["separation/corruption_from_anatomy/auc"] > 0.55
    measured = {key.removeprefix("separation/") for key in found}
    controls = {key.removeprefix("random/") for key in measured if key.startswith("random/")}
    assert controls == {key for key in measured if not key.startswith("random/")} and len(controls) == 10
    assert arrays["separation/random/disease_from_anatomy/scores"].shape == (60, 2)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_separation_needs_both_embeddings(splits):
    method = Pixels()
    method.encode = lambda images: {"latent": images.flatten(1)[:, :4]}
    with pytest.raises(ValueError, match="expected embeddings anatomy and characteristics, found latent"):
        separation.evaluate(method, splits, separation.Params(), BINARY, 0)


def test_untrained_encoder_has_new_weights_and_the_statistics_of_the_data(splits):
    method = Pixels().eval()
    method.norm.weight.data.fill_(7)
    control = separation.untrained(method, splits["train"], seed=3)
    columns = splits["train"].images.mean(dim=(1, 2))
    assert torch.allclose(control.norm.running_mean, columns.mean(0), atol=1e-5)
    assert torch.allclose(control.norm.running_var, columns.var(0), rtol=1e-4)
    assert (control.norm.weight == 1).all() and (method.norm.weight == 7).all()
    assert not torch.equal(control.unused.weight, method.unused.weight)
    assert torch.equal(control.unused.weight, separation.untrained(method, splits["train"], 3).unused.weight)
    assert not control.training and control.norm.momentum == method.norm.momentum


@pytest.mark.parametrize("classes", [2, 4])
def test_reader_is_sklearns_logistic_regression(classes):
    rng = np.random.default_rng(classes)
    features, labels = rng.normal(size=(150, 6)), rng.permutation(np.arange(150) % classes)
    features[:, 0] += labels
    layer = separation.logistic_regression(torch.tensor(features), torch.tensor(labels), strength=0.05)
    oracle = LogisticRegression(C=1 / (0.05 * 150), tol=1e-8, max_iter=1000).fit(features, labels)
    ours = layer(torch.tensor(features)).softmax(dim=1).numpy()
    # scikit-learn gives two classes one weight vector, hence half the penalty on the difference of ours
    if classes == 2:
        oracle = LogisticRegression(C=2 / (0.05 * 150), tol=1e-8, max_iter=1000).fit(features, labels)
    assert ours == pytest.approx(oracle.predict_proba(features), abs=2e-3)


# Comparison


def arrays_of(seed: int, skill: float, count: int = 60) -> dict[str, np.ndarray]:
    """Arrays of a run whose scores follow the labels as far as its skill goes."""
    rng = np.random.default_rng(seed)
    labels, corrupted = np.arange(count) % 3, np.arange(count) % 2
    disease = rng.dirichlet(np.ones(3), count) + skill * np.eye(3)[labels]
    detection = rng.dirichlet(np.ones(2), count) + skill * np.eye(2)[corrupted]
    chosen = np.arange(0, count, 2)
    found = {
        "subject": np.array([f"p{index}" for index in range(count)]),
        "labels": labels,
        "corruption/labels": corrupted,
        "reconstruction/psnr": rng.normal(30 + 3 * skill, 1, count),
        "probing/disease/own/scores": disease / disease.sum(axis=1, keepdims=True),
        "probing/corruption/own/scores": detection / detection.sum(axis=1, keepdims=True),
        "robustness/images": chosen,
        "robustness/clean/scores": disease[chosen],
    }
    for name in FAMILIES["noise"]:
        noisy = disease + rng.normal(0, 0.3, disease.shape)
        found[f"robustness/{name}/1/scores"] = noisy[chosen]
    return found


def test_comparison_finds_the_better_run_and_not_the_equal_one():
    runs = {
        "good": [arrays_of(1, 0.6), arrays_of(2, 0.6)],
        "poor": [arrays_of(3, 0.1), arrays_of(4, 0.1)],
        "same": [arrays_of(1, 0.6), arrays_of(2, 0.6)],
    }
    found = comparison.compare(runs)
    names = ["reconstruction/psnr"] + [
        f"{stem}/{metric}"
        for stem in ("probing/disease/own", "probing/corruption/own", "robustness/clean", "robustness/noise")
        for metric in ("auc", "acc")
    ]
    for name in names:
        better, equal = f"{name}/good-minus-poor", f"{name}/good-minus-same"
        assert found[f"{better}/difference"] > 0 and found[f"{better}/p_value"] < 0.05, name
        assert found[f"{better}/ci_low"] < found[f"{better}/difference"] < found[f"{better}/ci_high"]
        assert found[f"{better}/p_value_holm"] >= found[f"{better}/p_value"]
        assert found[f"{equal}/difference"] == 0 and found[f"{equal}/p_value"] == 1
    assert "robustness/blur/auc/good-minus-poor/difference" not in found


def test_differences_are_those_of_the_metrics_in_the_mean_over_seeds():
    one, other = [arrays_of(1, 0.3), arrays_of(2, 0.3)], [arrays_of(3, 0.2), arrays_of(4, 0.2)]
    found = comparison.compare({"one": one, "other": other})

    def mean(seeds, metric, key, labels):
        return np.mean([metric(labels(arrays), arrays[key]) for arrays in seeds])

    for metric, function in (("auc", metrics.auc), ("acc", metrics.acc)):
        key = "probing/corruption/own"
        expected = [
            mean(seeds, function, f"{key}/scores", lambda arrays: arrays["corruption/labels"])
            for seeds in (one, other)
        ]
        assert found[f"{key}/{metric}/one-minus-other/difference"] == pytest.approx(expected[0] - expected[1])
    noise = [
        np.mean(
            [
                mean(
                    seeds,
                    metrics.auc,
                    f"robustness/{name}/1/scores",
                    lambda arrays: arrays["labels"][arrays["robustness/images"]],
                )
                for name in FAMILIES["noise"]
            ]
        )
        for seeds in (one, other)
    ]
    assert found["robustness/noise/auc/one-minus-other/difference"] == pytest.approx(noise[0] - noise[1])


@pytest.mark.parametrize("classes", [2, 3])
def test_resampled_auc_is_the_auc_of_the_resample(classes):
    rng = np.random.default_rng(classes)
    labels = np.arange(40) % classes
    one, other = (np.round(rng.dirichlet(np.ones(classes), 40), 1) for _ in range(2))
    statistic = comparison.auc_difference(labels, [one], [other])
    drawn = rng.integers(0, 40, (20, 40))
    counts = np.stack([np.bincount(row, minlength=40) for row in drawn]).astype(float)
    expected = [metrics.auc(labels[row], one[row]) - metrics.auc(labels[row], other[row]) for row in drawn]
    assert statistic(counts) == pytest.approx(expected)


def test_a_classifier_answers_for_the_probes_of_its_task():
    classifier = arrays_of(5, 0.1)
    classifier = {key: classifier[key] for key in ("subject", "labels", "corruption/labels")} | {
        "classification/corruption/scores": classifier["probing/corruption/own/scores"]
    }
    found = comparison.compare({"probe": [arrays_of(1, 0.6)], "classifier": [classifier]})
    assert found["probing/corruption/own/auc/probe-minus-classifier/difference"] > 0
    assert not any("disease" in key or "classification" in key for key in found)


@pytest.mark.parametrize("key", ["subject", "labels", "corruption/labels", "robustness/images"])
def test_runs_on_other_images_are_not_compared(key):
    one, other = arrays_of(1, 0.5), arrays_of(2, 0.5)
    other[key] = other[key][::-1]
    with pytest.raises(ValueError, match=f"another '{key}' in other than in one"):
        comparison.compare({"one": [one], "other": [other]})


def test_comparison_needs_subjects():
    one = arrays_of(1, 0.5)
    del one["subject"]
    with pytest.raises(ValueError, match="expected an array 'subject'"):
        comparison.compare({"one": [one], "other": [one]})


# Comparison of lesions


def dice_of(values: np.ndarray) -> dict[str, np.ndarray]:
    patients = np.array([f"p{index}" for index in range(len(values))])
    kinds = {f"lesions/{kind}/dice": values for kind in ("training", "validation")}
    return {"subject": np.repeat(patients, 3), "lesions/subject": patients} | kinds


def delineations(patients: int = 20) -> dict[str, list[dict]]:
    """Patients differ more than runs do; one of the runs is a little better on all of them."""
    rng = np.random.default_rng(4)
    difficulty = rng.normal(0.5, 0.2, patients)
    gains = {"better": 0.05, "one": 0.0, "other": 0.0}
    return {
        name: [dice_of(difficulty + gain + rng.normal(0, 0.02, patients)) for _ in range(2)]
        for name, gain in gains.items()
    }


def test_a_small_steady_difference_of_dice_shows_within_patients_that_differ_much():
    runs = delineations()
    found = comparison.compare(runs)
    key = "lesions/training/dice"
    for pair in ("better-minus-one", "better-minus-other"):
        assert found[f"{key}/{pair}/p_value_holm"] < 0.01 and found[f"{key}/{pair}/ci_low"] > 0
    assert found[f"{key}/one-minus-other/p_value_holm"] > 0.05
    assert found[f"{key}/one-minus-other/ci_low"] < 0 < found[f"{key}/one-minus-other/ci_high"]
    means = [np.mean([arrays[key] for arrays in runs[name]]) for name in ("better", "one")]
    assert found[f"{key}/better-minus-one/difference"] == pytest.approx(means[0] - means[1])
    differences = np.subtract(
        *(np.mean([each[key] for each in runs[name]], axis=0) for name in ("one", "other"))
    )
    expected = sign_flip(differences, runs["one"][0]["lesions/subject"], seed=comparison.SEED)
    assert found[f"{key}/one-minus-other/p_value"] == expected
    p_values = [value for name, value in found.items() if name.endswith("/p_value")]
    assert [value for name, value in found.items() if name.endswith("_holm")] == pytest.approx(holm(p_values))


def test_patients_without_lesions_are_not_compared():
    def with_healthy(runs):
        return {
            name: [dice_of(np.append(arrays["lesions/training/dice"], np.nan)) for arrays in seeds]
            for name, seeds in runs.items()
        }

    assert comparison.compare(with_healthy(delineations())) == comparison.compare(delineations())
    one_patient = with_healthy(delineations(1))
    assert comparison.compare(one_patient) == {}


def test_delineations_of_other_patients_are_not_compared():
    runs = delineations()
    healthy = runs["other"][1]["lesions/training/dice"].copy()
    healthy[3] = np.nan
    for wrong in (
        dice_of(healthy),
        runs["other"][1] | {"lesions/subject": runs["other"][1]["lesions/subject"][::-1]},
    ):
        with pytest.raises(ValueError, match=r"lesions.* in other than in better"):
            comparison.compare(runs | {"other": [runs["other"][0], wrong]})


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
