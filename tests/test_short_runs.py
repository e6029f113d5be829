"""What short trainings need: as many steps for everybody, batch statistics that are not stale."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given as draws
from hypothesis import settings
from hypothesis import strategies as st
from synthetic_hearts import batches, build, hearts, trained
from torch import nn
from training_runs import Interrupted, same, stop_after

from latent_anatomy.methods import sdnet, unet_strong
from latent_anatomy.networks.batchnorm import recalibrated
from latent_anatomy.training.loop import Loop, TrainingParams, streams_of
from latent_anatomy.training.segmentation import adversarial_share

METHODS = ("unet", "unet_strong", "self_train", "mask_gan", "spatial_factorisation", "sdnet")


def loop_of(method: nn.Module, data) -> Loop:
    return Loop(method, data, data, streams_of(method, data), 1, TrainingParams())


# Steps


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("steps", [1, 3, 9])
def test_an_epoch_has_as_many_steps_as_are_asked_for_whatever_is_labelled(name, steps):
    method, data = build(name, steps_per_epoch=steps), hearts(16, labelled=2)
    loop = loop_of(method, data)
    assert loop.steps_per_epoch == steps
    for epoch in (0, 1):
        orders = loop.orders(epoch)
        assert all(len(order) >= steps for order in orders.values())
        assert set(torch.cat(orders["labelled"]).tolist()) <= set(data.labelled.nonzero()[:, 0].tolist())


# Batch statistics


def test_recalibrated_statistics_are_the_means_of_the_passes_and_momentum_is_as_before():
    layer = nn.BatchNorm2d(2, momentum=0.01)
    layer(torch.full((2, 2, 2, 2), 1e6))  # what is gone
    shown = torch.randn(3, 4, 2, 5, 5)
    with recalibrated(layer):
        for batch in shown:
            layer(batch)
    torch.testing.assert_close(layer.running_mean, shown.mean((0, 1, 3, 4)))
    of_each = shown.transpose(1, 2).flatten(2).var(2)
    torch.testing.assert_close(layer.running_var, of_each.mean(0))
    assert layer.momentum == 0.01


@pytest.mark.parametrize("name", METHODS)
def test_validation_sees_recalibrated_statistics_and_training_does_not(name, tmp_path):
    """The networks' weights are the same bits with and without, in as many epochs as there are."""
    found = {}
    for count in (0, 3):
        method = build(name, epochs=3, recalibration=count, momentum=0.99)
        history = trained(method, tmp_path / str(count))
        found[count] = (dict(method.named_parameters()), dict(method.named_buffers()), history)
    if name not in ("self_train", "spatial_factorisation"):  # which also look at images in inference mode
        assert same(found[0][0], found[3][0])
    statistics = [buffers for _, buffers, _ in (found[0], found[3])]
    means = [name for name in statistics[0] if name.endswith("running_mean")]
    assert means and all(not torch.equal(*(each[mean] for each in statistics)) for mean in means)
    assert found[0][2][-1]["val/loss"] != found[3][2][-1]["val/loss"]


def test_recalibration_mends_what_a_high_momentum_leaves_stale(tmp_path):
    """After few steps, of which running statistics have seen next to nothing."""
    losses = {}
    for count in (0, 4):
        method = build(
            "unet", 1, width=4, epochs=10, learning_rate=2e-2, momentum=0.99, rotation=0, recalibration=count
        )
        losses[count] = trained(method, tmp_path / str(count), hearts(32), save_every_seconds=60)[-1][
            "val/loss"
        ]
    assert losses[4] < losses[0] - 0.1


def test_a_killed_run_that_recalibrates_ends_with_the_same_bits(tmp_path):
    data = hearts(9, labelled=2)
    settings = {"epochs": 3, "recalibration": 2, "annealed_to": 0.1, "restore": True}
    whole, stopped, again = (build("sdnet", seed, **settings) for seed in (0, 0, 99))
    trained(whole, tmp_path / "whole", data)
    stop_after(stopped, 7)
    with pytest.raises(Interrupted):
        trained(stopped, tmp_path / "killed", data)
    trained(again, tmp_path / "killed", data)
    assert same(whole.state_dict(), again.state_dict())


# The critic's part


def test_the_adversarial_share_is_none_without_a_weight_and_all_without_another_loss():
    data = hearts(4)
    assert float(adversarial_share(build("sdnet", lambda_adversarial=0).eval(), data)) == 0
    alone = build("sdnet", lambda_reconstruction=0, lambda_kl=0).eval()
    assert float(adversarial_share(alone, data)) == 1
    both = build("sdnet").eval()
    before = {name: value.clone() for name, value in both.state_dict().items()}
    assert 0 < float(adversarial_share(both, data)) < 1
    assert same(before, both.state_dict()) and all(each.grad is None for each in both.parameters())


# Full supervision alone


def test_labelled_only_sees_no_unlabelled_image_and_has_no_critic(tmp_path):
    data, states = hearts(8, labelled=2), []
    for stored in (data.stored, torch.where(data.labelled[:, None, None, None], data.stored, 0)):
        method = build("sdnet", labelled_only=True, epochs=2, recalibration=2)
        history = trained(method, tmp_path / str(len(states)), replace(data, stored=stored))
        states.append(method.state_dict())
    assert same(*states) and not any("critic" in name or "pool" in name for name in states[0])
    assert not any("adversarial" in name for name in history[0])
    with pytest.raises(ValueError, match="expected labelled_only or adversarial_on_labelled"):
        sdnet.Params(labelled_only=True, adversarial_on_labelled=True)


# A strong U-Net


def test_of_each_structure_the_largest_part_stays_and_nothing_else_changes():
    probabilities = torch.full((1, 2, 8, 8), 0.1)
    probabilities[0, 0, 1:4, 1:4] = 0.9  # large
    probabilities[0, 0, 6, 6] = 0.8  # a speck
    probabilities[0, 0, 4, 4] = 0.8  # touches by a corner alone
    probabilities[0, 1, 6:, :3] = 0.7
    found = unet_strong.largest_components(probabilities)
    expected = probabilities.clone()
    expected[0, 0, 6, 6] = expected[0, 0, 4, 4] = 0
    assert torch.equal(found, expected)
    assert torch.equal(unet_strong.largest_components(found), found)


@settings(max_examples=20, deadline=None)
@draws(st.floats(0, 1), st.integers(0, 100))
def test_changed_intensities_stay_in_range_and_none_is_none(strength, seed):
    torch.manual_seed(seed)
    images = torch.rand(4, 1, 9, 9)
    changed = unet_strong.changed_intensities(images, strength)
    assert changed.shape == images.shape and 0 <= changed.min() <= changed.max() <= 1
    torch.testing.assert_close(unet_strong.changed_intensities(images, 0.0), images)


@pytest.mark.parametrize(
    "changed", [{"lambda_cross_entropy": 0}, {"intensity": 0}, {"lambda_cross_entropy": 2}]
)
def test_each_part_of_the_strong_u_net_changes_its_training(changed, tmp_path):
    one, other = build("unet_strong"), build("unet_strong", **changed)
    for method in (one, other):
        trained(method, tmp_path / str(method is one))
    assert not same(dict(one.named_parameters()), dict(other.named_parameters()))


def test_without_its_parts_the_strong_u_net_is_the_u_net():
    plain = {"lambda_cross_entropy": 0.0, "intensity": 0.0, "largest_component": False, "rotation": 0}
    one, other = build("unet", doubled_smooth=False, rotation=0), build("unet_strong", **plain)
    losses = [
        method.training_step(batches("labelled"), lambda *update: None)["loss"] for method in (one, other)
    ]
    torch.testing.assert_close(*losses)
