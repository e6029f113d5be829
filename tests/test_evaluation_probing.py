"""Probes of embeddings, and what they read from corrupted images, against oracles."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from medmnist.evaluator import getACC, getAUC
from sklearn.linear_model import LogisticRegression
from synthetic_bars import BINARY, Pixels, same, three_splits
from torch import nn

from latent_anatomy.evaluation import common, curves
from latent_anatomy.evaluation.protocols import probing, separation

splits = pytest.fixture(three_splits, scope="module")


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
    found, arrays, tables = probed
    for variant in ("concatenated_released", "concatenated", "own", "joint"):
        assert found[f"probing/disease/{variant}/auc"] > 0.95, variant
    assert abs(found["probing/corruption/own/auc"] - 0.5) < 0.25  # "characteristics" is noise
    for name, labels in (("disease", arrays["labels"]), ("corruption", arrays["corruption/labels"])):
        scores = arrays[f"probing/{name}/own/scores"]
        assert found[f"probing/{name}/own/auc"] == pytest.approx(getAUC(labels, scores, BINARY))
        assert found[f"probing/{name}/own/acc"] == getACC(labels, scores, BINARY)
        assert scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert tables == curves.roc(arrays["labels"], arrays["probing/disease/own/scores"])


def test_probing_repeats_itself_and_leaves_the_method_alone(probed, splits):
    method = Pixels()
    before = copy.deepcopy(method.state_dict())
    settings = probing.Params(epochs=40, draws=3)
    found, arrays, _ = probing.evaluate(method, splits, settings, BINARY, 4)
    assert same(found, probed[0]) and same(arrays, probed[1])
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    short = probing.Params(epochs=60, draws=1, variants=("own",))
    _, others, _ = probing.evaluate(method, splits, short, BINARY, 5)
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


# Separation


def test_separation_names_what_each_embedding_knows(splits):
    method = Pixels()
    before = copy.deepcopy(method.state_dict())
    found, arrays, _ = separation.evaluate(method, splits, separation.Params(draws=2), BINARY, 0)
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
