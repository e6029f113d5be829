"""Methods: parameter counts of the layer tables, losses, gradients and capabilities."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from latent_anatomy.methods import autoencoder, resnet18, unoranic
from latent_anatomy.methods import registry as methods
from latent_anatomy.networks.batchnorm import counted
from latent_anatomy.networks.strided import Decoder, Encoder
from latent_anatomy.training.method import Shape

RGB = Shape(channels=3, height=28, width=28, classes=8)
GREY = Shape(channels=1, height=28, width=28, classes=2)


def parameters(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (lambda: unoranic.Method(unoranic.Params(), RGB), 6.608),
        (lambda: unoranic.Method(unoranic.Params(), GREY), 6.603),
        (lambda: autoencoder.Method(autoencoder.Params(), RGB), 2.894),
        (lambda: Encoder(3, 256, 32, 1.0), 1.447),
        (lambda: Encoder(1, 256, 32, 1.0), 1.446),
        (lambda: Decoder(3, 256, 32, 1.0), 1.447),
        (lambda: Decoder(3, 512, 32, 1.0), 2.266),
    ],
)
def test_parameter_counts_of_the_specification(build, millions):
    assert round(parameters(build()) / 1e6, 3) == millions


def test_resnet18_has_the_parameters_of_he_2016_with_a_small_stem():
    torchvision = pytest.importorskip("torchvision.models")
    reference = torchvision.resnet18(num_classes=8)
    stem = parameters(reference.conv1) - 3 * 64 * 9
    built = resnet18.Method(resnet18.Params(task="disease"), RGB)
    assert parameters(built) == parameters(reference) - stem


def test_layer_shapes_follow_the_table():
    shapes, images = [], torch.rand(2, 3, 28, 28)
    for layer in Encoder(3, 256, 32, 1.0).eval():
        images = layer(images)
        shapes.append(tuple(images.shape[1:]))
    assert shapes[1::2][:4] == [(32, 14, 14), (64, 7, 7), (128, 3, 3), (256, 1, 1)]
    features = torch.rand(2, 512)
    shapes = []
    for layer in Decoder(3, 512, 32, 1.0).eval():
        features = layer(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes[1::2] == [(128, 3, 3), (64, 7, 7), (32, 14, 14), (3, 28, 28)]


@pytest.mark.parametrize("shape", [RGB, GREY])
@pytest.mark.parametrize("name", ["unoranic", "autoencoder"])
def test_every_declared_capability_works_and_keeps_the_batch(name, shape):
    module = methods.load(name)
    method = module.Method(module.Params(width=4, latent=8), shape).eval()
    images = torch.rand(5, shape.channels, 28, 28)
    assert method.reconstruct(images).shape == images.shape
    assert all(code.shape == (5, 8) for code in method.encode(images).values())
    if hasattr(method, "anatomy"):
        assert method.anatomy(images).shape == images.shape


def assert_same_statistics(one, other) -> None:
    """Of all batch normalisations, but for the number of batches."""
    for (name, ours), theirs in zip(one.named_buffers(), other.buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(ours, theirs)


def released_losses(method, images, views):
    """The released order of computation: S is encoded twice, each view on its own."""
    corrupted = views[0]
    anatomy = method.anatomy_encoder(corrupted)
    both = torch.cat([anatomy, method.characteristics_encoder(corrupted)], 1)
    reconstruction = F.mse_loss(method.decoder(both), corrupted)
    restored = F.mse_loss(method.anatomy_decoder(anatomy), images)
    codes = [method.anatomy_encoder(view) for view in views]
    pairs = [F.mse_loss(codes[i], codes[j]) for i in range(4) for j in range(i)]
    return reconstruction + restored + sum(pairs) / 6


def test_losses_gradients_and_running_statistics_equal_the_released_order_of_computation(monkeypatch):
    """Encoding S once changes nothing but the time it takes."""
    torch.manual_seed(0)
    method = unoranic.Method(unoranic.Params(width=4, latent=8), RGB).double()
    twin = unoranic.Method(unoranic.Params(width=4, latent=8), RGB).double()
    twin.load_state_dict(method.state_dict())
    images, views = torch.rand(6, 3, 28, 28).double(), torch.rand(4, 6, 3, 28, 28).double()
    monkeypatch.setattr(unoranic, "augment", lambda repeated, probability: views.flatten(0, 1))
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)  # stay in double precision throughout

    ours, theirs = method.losses(images)["loss"], released_losses(twin, images, views)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert_same_statistics(method, twin)


def test_only_the_reconstruction_loss_reaches_characteristics_encoder_and_joint_decoder():
    torch.manual_seed(0)
    method = unoranic.Method(unoranic.Params(width=4, latent=8), GREY)
    losses = method.losses(torch.rand(6, 1, 28, 28))
    (losses["anatomy"] + losses["consistency"]).backward(retain_graph=True)
    free = [*method.characteristics_encoder.parameters(), *method.decoder.parameters()]
    assert all(parameter.grad is None for parameter in free)
    losses["reconstruction"].backward()
    assert all(parameter.grad is not None for parameter in free)


@pytest.mark.parametrize(
    "printed", [{"views": 3}, {"consistency": "l2"}, {"anatomy_input": "clean"}, {"slope": 0.01}]
)
def test_each_choice_of_the_printed_paper_changes_the_loss(printed):
    values = []
    for changed in ({}, printed):
        torch.manual_seed(0)
        method = unoranic.Method(unoranic.Params(width=4, latent=8, **changed), GREY)
        torch.manual_seed(1)
        values.append(float(method.losses(torch.rand(16, 1, 28, 28)).popitem()[1].detach()))
        values[-1] += float(method.losses(torch.rand(16, 1, 28, 28))["loss"].detach())
    assert values[0] != values[1]


def test_identical_views_have_no_consistency_loss():
    torch.manual_seed(0)
    method = unoranic.Method(unoranic.Params(width=4, latent=8, corruption_probability=0.0), GREY)
    losses = method.losses(torch.rand(6, 1, 28, 28))
    assert float(losses["consistency"].detach()) == pytest.approx(0, abs=1e-10)


def test_counted_moves_the_running_statistics_as_far_as_repeated_passes():
    images = torch.rand(4, 1, 28, 28)
    once, thrice = Encoder(1, 8, 4, 1.0), Encoder(1, 8, 4, 1.0)
    thrice.load_state_dict(once.state_dict())
    with counted(once, times=3):
        once(images)
    for _ in range(3):
        thrice(images)
    assert_same_statistics(once, thrice)
    assert all(layer.momentum == 0.1 for layer in once.modules() if hasattr(layer, "momentum"))


def rates(epochs: int, batches: int) -> list[float]:
    """The learning rate of each epoch."""
    method = autoencoder.Method(autoencoder.Params(width=1, latent=1, epochs=epochs), GREY)
    optimiser = method.optimisers()["all"]
    (schedule,) = method.schedules({"all": optimiser}, batches).per_epoch
    found = []
    for _ in range(epochs):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("batches", "peak_epoch"), [(187, 935), (9, 45), (110, 550), (74, 370), (17, 85)])
def test_the_released_learning_rate_peaks_in_the_epoch_of_the_specification(batches, peak_epoch):
    assert autoencoder.Params().epochs == 1001
    found = rates(1001, batches)
    assert max(range(1001), key=found.__getitem__) == peak_epoch
    assert (found[0], found[peak_epoch]) == pytest.approx((1e-4, 1e-2))


def test_a_shortened_run_goes_through_the_same_part_of_the_cycle():
    assert rates(100, 74)[-1] == pytest.approx(rates(1001, 74)[-1], rel=0.05)


def test_the_corruption_baseline_keeps_one_output_per_disease_class():
    method = resnet18.Method(resnet18.Params(task="corruption"), RGB).eval()
    scores = method.classify(torch.rand(3, 3, 28, 28))
    assert scores.shape == (3, 8)
    torch.testing.assert_close(scores.sum(1), torch.ones(3))


def test_unknown_parameters_are_refused():
    with pytest.raises(ValidationError, match="slop"):
        unoranic.Params(slop=0.01)


def test_an_unknown_method_is_refused_with_those_that_exist():
    assert {"autoencoder", "resnet18", "unoranic"} <= set(methods.names())
    with pytest.raises(ValueError, match=", ".join(methods.names())):
        methods.load("unknown")


LAST = {  # method -> parameters, side of its images, what is asked of them
    "autoencoder": ({}, 28, "reconstruct"),
    "unoranic": ({}, 28, "reconstruct"),
    "resnet18": ({"task": "disease"}, 28, "classify"),
    "baur_autoencoder": ({"width": 8}, 32, "reconstruct"),
    "baur_vaegan": ({"width": 8, "blocks": 3}, 32, "reconstruct"),
    "soft_intro_vae": ({"widths": (8, 16), "features": 8}, 32, "reconstruct"),
    "reversed_autoencoder": ({"widths": (8, 16), "features": 8}, 32, "reconstruct"),
    "denoising_autoencoder": ({"width": 8}, 32, "reconstruct"),
}


@pytest.mark.parametrize("name", LAST)
def test_channels_last_in_memory_change_no_more_than_the_last_bits(name):
    params, side, capability = LAST[name]
    images, found = torch.rand(3, 1, side, side), []
    for layout in (torch.channels_last, torch.contiguous_format):
        module = methods.load(name)
        torch.manual_seed(0)
        shape = Shape(channels=1, height=side, width=side, classes=2)
        method = module.Method(module.Params.model_validate(params), shape).eval()
        learnt = [weight for weight in method.parameters() if weight.requires_grad]
        weights = [weight for weight in learnt if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        method.to(memory_format=layout)
        torch.manual_seed(0)
        found.append(getattr(method, capability)(images))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["autoencoder", "unoranic"])
@pytest.mark.parametrize("side", [8, 27, 64])
def test_networks_that_are_made_for_28_pixels_take_no_others(name, side):
    module = methods.load(name)
    with pytest.raises(ValueError, match=f"expected images of 28x28 pixels, found {side}x{side}: choose"):
        module.Method(module.Params(), Shape(channels=1, height=side, width=side, classes=2))
