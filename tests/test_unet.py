"""The supervised baseline, and what methods with few labels share: Dice, rotation, streams, decay."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import synthetic_hearts
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from synthetic_hearts import SHAPE, hearts, trained
from torch import nn
from training_runs import same

from latent_anatomy.methods import unet
from latent_anatomy.networks.batchnorm import predicting
from latent_anatomy.networks.rotation import randomly_rotated, rotate
from latent_anatomy.networks.segmentation_losses import dice_loss
from latent_anatomy.networks.unet import UNet
from latent_anatomy.training import labelled_rows
from latent_anatomy.training.method import Batch, Shape
from latent_anatomy.training.optimisers import DecayingAdam

build = partial(synthetic_hearts.build, "unet")


# Network


def test_the_anatomy_encoder_of_the_paper_has_34_526_344_parameters():
    with torch.device("meta"):
        network = UNet(1, 8, (224, 224))
    assert sum(parameter.numel() for parameter in network.parameters()) == 34_526_344


def test_sizes_of_what_each_stage_makes():
    network, seen = UNet(1, 5, (32, 48), width=2, depth=3).eval(), []
    for layer in (*network.down, network.bottom, *network.join):
        layer.register_forward_hook(lambda layer, given, made: seen.append(tuple(made.shape[1:])))
    assert network(torch.rand(1, 1, 32, 48)).shape == (1, 5, 32, 48)
    down = [(2, 32, 48), (4, 16, 24), (8, 8, 12)]
    assert seen == [*down, (16, 4, 6), *down[::-1]]


def test_keras_decides_initial_values_and_batch_normalisation():
    network = UNet(1, 8, (32, 32), width=16, depth=2, momentum=0.95)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            limit = math.sqrt(6 / (layer.kernel_size[0] ** 2 * (layer.in_channels + layer.out_channels)))
            assert 0.8 * limit < layer.weight.abs().max() <= limit and not layer.bias.any()
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.eps, layer.momentum) == (1e-3, pytest.approx(0.05))


@pytest.mark.parametrize("size", [(32, 36), (36, 32)])
def test_images_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match=rf"divisible by 16 \(depth: 4\), found {size[0]}x{size[1]}"):
        unet.Method(unet.Params(), replace(SHAPE, height=size[0], width=size[1]))


def test_a_data_set_without_masks_is_refused():
    with pytest.raises(ValueError, match="expected masks to learn from, found none"):
        unet.Method(unet.Params(), Shape(1, 32, 32, 2))


def test_predicting_leaves_running_statistics_and_gradients_alone():
    network = UNet(1, 2, (8, 8), width=2, depth=1).train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with predicting(network):
        assert not network(torch.rand(2, 1, 8, 8)).requires_grad
    assert same(before, dict(network.named_buffers())) and network.training


# Losses


def dice_by_hand(predicted: np.ndarray, truth: np.ndarray, doubled: bool) -> float:
    losses = []
    for image, mask in zip(predicted, truth, strict=True):
        both, either = (image * mask).sum(), image.sum() + mask.sum()
        losses.append(1 - (2 * (both + 0.1) if doubled else 2 * both + 0.1) / (either + 0.1))
    return float(np.mean(losses))


@pytest.mark.parametrize("doubled", [True, False])
def test_dice_loss_pools_structures_and_averages_images(doubled):
    random = np.random.default_rng(0)
    predicted, truth = random.random((5, 3, 6, 7)), (random.random((5, 3, 6, 7)) > 0.8).astype(float)
    truth[2] = 0
    ours = dice_loss(torch.tensor(predicted), torch.tensor(truth), doubled)
    assert float(ours) == pytest.approx(dice_by_hand(predicted, truth, doubled), rel=1e-5)


def test_an_empty_slice_without_a_finding_has_a_dice_loss_of_minus_one_as_printed_or_of_nothing():
    empty = torch.zeros(2, 3, 4, 4)
    assert float(dice_loss(empty, empty)) == pytest.approx(-1)
    assert float(dice_loss(empty, empty, doubled_smooth=False)) == pytest.approx(0)


# Rotation


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_those_of_rot90(quarters):
    images = torch.rand(2, 3, 8, 8)
    turned = rotate(images, torch.full((2,), quarters * math.pi / 2))
    torch.testing.assert_close(turned, torch.rot90(images, quarters, (2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(12, 12), (9, 16)])
def test_rotation_is_that_of_scipy(size):
    random = np.random.default_rng(1)
    images, degrees = random.random((3, 1, *size), dtype=np.float32), [-73.0, 20.0, 51.0]
    ours = rotate(torch.from_numpy(images), torch.deg2rad(torch.tensor(degrees)))
    for image, mine, angle in zip(images[:, 0], ours[:, 0].numpy(), degrees, strict=True):
        theirs = ndimage.rotate(image, angle, reshape=False, order=1, mode="nearest")
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_an_image_and_its_mask_turn_together_and_each_pair_by_itself():
    masks = hearts(6).masks[:1].repeat(6, 1, 1, 1)
    torch.manual_seed(0)
    images, soft = randomly_rotated(masks.float(), masks, degrees=90, soft_masks=True)
    assert torch.equal(images, soft)
    assert all(not torch.equal(soft[i], soft[j]) for i in range(6) for j in range(i))
    torch.manual_seed(0)
    _, hard = randomly_rotated(masks.float(), masks, degrees=90, soft_masks=False)
    assert torch.equal(hard, soft.round()) and not torch.equal(hard, soft)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    untouched, _ = randomly_rotated(masks.float(), degrees=0, soft_masks=False)
    assert torch.equal(untouched, masks.float())


# Decay


def test_rates_decay_with_the_updates_of_each_optimiser_and_go_on_after_a_stop():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)

    def rates(optimiser, updates):
        found = []
        for _ in range(updates):
            optimiser.step()
            found.append(optimiser.param_groups[0]["lr"])
        return found

    optimiser, other = (DecayingAdam([weight], lr=0.5, beta1=0.5, decay=0.25) for _ in range(2))
    assert rates(optimiser, 3) == pytest.approx([0.5, 0.5 / 1.25, 0.5 / 1.5])
    other.load_state_dict(optimiser.state_dict())
    assert rates(other, 2) == pytest.approx([0.5 / 1.75, 0.5 / 2])
    other.forward_to(steps=8)
    assert rates(other, 1) == pytest.approx([0.5 / 3])


def test_a_rate_is_annealed_over_all_steps_beside_its_decay_and_goes_on_after_a_stop():
    params = unet.Params(learning_rate=0.5, annealed_to=0.2, epochs=2, decay=0.25)
    optimiser = params.adam(nn.Linear(1, 1))
    [schedule] = params.schedules({"one": optimiser}, steps_per_epoch=2).per_step
    found = []
    for _ in range(5):
        optimiser.step()
        schedule.step()
        found.append(optimiser.param_groups[0]["lr"])
    cosine = [0.2 + 0.4 * (1 + math.cos(math.pi * step / 4)) for step in range(5)]
    assert found == pytest.approx([0.5 * part / (1 + 0.25 * t) for t, part in enumerate(cosine)])
    [other] = params.schedules({"one": optimiser}, steps_per_epoch=2).per_step
    other.load_state_dict(schedule.state_dict())
    assert optimiser.param_groups[0]["factor"] == pytest.approx(0.2)


# Streams


def test_only_labelled_slices_that_are_delineated_are_paired_with_their_masks():
    data = hearts(8, labelled=2)  # subjects 0 to 3 in turn, of whom 0 and 1 are labelled
    data.masks[1, 0], data.masks[2] = 255, 255
    assert labelled_rows.labelled(data).tolist() == [0, 4, 5]
    assert labelled_rows.delineated(data).tolist() == [0, 3, 4, 5, 6, 7]
    assert labelled_rows.labelled(replace(data, labelled=None)).tolist() == [0, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("change", [{"labelled": torch.zeros(4, dtype=torch.bool)}, {"masks": None}])
def test_no_labelled_slice_is_one_clear_error(change):
    with pytest.raises(ValueError, match=r"one slice .*every structure is delineated, found none among 4"):
        build().streams(replace(hearts(4), **change))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 70))
def test_of_too_many_images_as_many_of_each_subject_are_drawn(whose, at_most):
    data = replace(hearts(len(whose)), subject=tuple(f"subject-{each}" for each in whose))
    rows = labelled_rows.images(data, at_most, seed=1).tolist()
    assert rows == sorted(set(rows)) and rows == labelled_rows.images(data, at_most, seed=1).tolist()
    each = math.ceil(at_most / len(set(whose)))
    for subject in set(whose):
        of_subject = sum(whose[row] == subject for row in rows)
        assert of_subject == (
            whose.count(subject) if len(whose) <= at_most else min(each, whose.count(subject))
        )


def test_a_batch_of_one_is_shown_twice():
    data = hearts(2)
    assert len(labelled_rows.at_least_two(data.batch(torch.tensor([0]))).masks) == 2
    assert len(labelled_rows.at_least_two(Batch(data.images)).images) == 2


# The method


@pytest.mark.parametrize("changed", [{"soft_masks": True}, {"doubled_smooth": False}, {"beta1": 0.5}])
def test_what_the_code_leaves_open_changes_the_training(changed, tmp_path):
    one, other = build(), build(**changed)
    assert same(one.state_dict(), other.state_dict())
    for method in (one, other):
        trained(method, tmp_path / str(method is one))
    assert not same(one.state_dict(), other.state_dict())


def test_the_validation_loss_is_one_minus_soft_dice_of_the_delineated_slices():
    method, data = build().eval(), hearts(20)
    data.masks[3], data.masks[4] = 255, 0
    with torch.no_grad():
        found, predicted = method.validate(data)["loss"], method.segment(data.images).double()
    truth = data.masks.double()
    dice = [
        float((2 * (predicted[i] * truth[i]).sum() + 0.1) / (predicted[i].sum() + truth[i].sum() + 0.1))
        for i in range(20)
        if i != 3
    ]
    assert float(found) == pytest.approx(1 - np.mean(dice), rel=1e-5)
