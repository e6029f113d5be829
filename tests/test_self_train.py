"""Self-training's own: rounds, who delineates in them, how they end, streams, and a kill in any of them."""

from dataclasses import replace
from functools import partial

import pytest
import synthetic_hearts
import torch
from pydantic import ValidationError
from synthetic_hearts import SHAPE, TINY, hearts, trained
from training_runs import Interrupted, copied, same, stop_after

from latent_anatomy.methods import self_train, unet
from latent_anatomy.training.method import Batch

build = partial(synthetic_hearts.build, "self_train")
UNET = unet.Params(**TINY["self_train"] | {"epochs": 2})


# Rounds


@pytest.mark.parametrize(
    ("epochs", "rounds", "starts"), [(3, 3, [1, 2]), (4, 3, [2, 3]), (500, 3, [167, 334]), (7, 2, [4])]
)
def test_rounds_are_equal_parts_of_the_training(epochs, rounds, starts):
    params = self_train.Params(epochs=epochs, rounds=rounds)
    assert params.starts == starts
    lengths = [end - begin for begin, end in zip([0, *starts], [*starts, epochs], strict=True)]
    assert max(lengths) - min(lengths) <= 1


def test_fewer_epochs_than_rounds_are_refused():
    with pytest.raises(ValidationError, match="an epoch for each of 3 rounds, found 2"):
        self_train.Params(epochs=2)


def test_who_delineates_is_the_network_as_it_was_when_the_round_began(tmp_path):
    method, seen, at_end = build(epochs=6), [], []
    step, validate = method.training_step, method.validate

    def watched_step(batches, update):
        labeller = method.rounds.labeller
        seen.append(None if labeller is None else copied(labeller))
        assert labeller is None or not any(module.training for module in labeller.modules())
        return step(batches, update)

    def watched_validation(data):
        at_end.append(copied(method.network))
        return validate(data)

    method.training_step, method.validate = watched_step, watched_validation
    rows = trained(method, tmp_path, hearts(8, labelled=1))  # 2 steps an epoch, of 6 unlabelled
    assert seen[:4] == [None] * 4 and len(seen) == 12
    for steps, began in ((seen[4:8], at_end[1]), (seen[8:], at_end[3])):
        assert all(same(began, weights) for weights in steps)
    assert [row["train/unlabelled_dice"] != 0 for row in rows] == [False, False] + [True] * 4


def test_the_first_round_is_the_unet(tmp_path):
    data = hearts(4, labelled=2)  # as many labelled as unlabelled, so epochs are equally long
    method = build(epochs=4, rounds=2)
    supervised = unet.Method(UNET, SHAPE)
    supervised.load_state_dict(method.state_dict())
    trained(supervised, tmp_path / "unet", data)
    trained(method, tmp_path / "self-train", data)
    assert same(supervised.network.state_dict(), method.rounds.labeller.state_dict())
    assert not same(supervised.state_dict(), method.state_dict())


def test_the_likeliest_class_of_each_pixel_is_the_mask():
    method, images = build().eval(), 2 * hearts(3).images - 1
    masks = self_train.delineated(method.network, images)
    likeliest = method.network(images).argmax(1)
    assert masks.shape == (3, 2, 32, 32) and masks.dtype == torch.uint8
    for plane in range(2):
        assert torch.equal(masks[:, plane].bool(), likeliest == plane)


def test_the_loss_is_that_of_both_batches_and_its_masks_are_nobodys():
    method, data = build(rotation=0, lambda_unlabelled=0.5).train(), hearts(4)
    method.rounds.labeller = self_train.frozen_copy(build(seed=1).network)
    one, other = data.batch(torch.arange(2)), data.batch(torch.arange(2, 4))
    found = method.training_step({"labelled": one, "unlabelled": other}, lambda name, loss: loss.backward())
    masks = self_train.delineated(method.rounds.labeller, 2 * other.images - 1)
    expected = method.dice(one) + 0.5 * method.dice(Batch(other.images, masks=masks))
    torch.testing.assert_close(found["loss"], expected)
    assert all(parameter.grad is None for parameter in method.rounds.labeller.parameters())
    assert all(parameter.grad is not None for parameter in method.network.parameters())


# How training ends


def test_patience_runs_out_in_the_last_round_at_the_earliest(tmp_path):
    method = build(epochs=12, patience=2)
    method.validate = lambda data: {"loss": torch.ones(())}  # the first epoch is the best
    assert len(trained(method, tmp_path, hearts(2, labelled=1))) == 8 + 2


def test_the_last_weights_stay_and_are_a_unets():
    method = build()
    assert not method.selection.restore
    assert list(method.state_dict()) == list(unet.Method(UNET, SHAPE).state_dict())


# What it may see


def test_labelled_rows_are_not_delineated_and_without_others_there_is_no_stream():
    data = hearts(24, labelled=1)
    data.masks[0] = 255  # of a labelled subject, but not drawn
    found = build(unlabelled_images=9).streams(data)
    labelled, others = (set(found[name].indices.tolist()) for name in ("labelled", "unlabelled"))
    assert labelled == {4, 8, 12, 16, 20} and not labelled & others
    assert others <= set(range(24)) and 9 <= len(others) <= 12  # 3 of each of 4, but for labelled ones
    assert set(build().streams(replace(data, labelled=None, masks=hearts(24).masks))) == {"labelled"}


def test_a_data_set_that_is_labelled_throughout_trains_the_unet(tmp_path):
    rows = trained(build(), tmp_path, hearts(4))
    assert [row["train/unlabelled_dice"] for row in rows] == [0, 0, 0]


# Bits


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[list[dict], dict]:
    method = build()
    return trained(method, tmp_path_factory.mktemp("whole"), hearts(12, labelled=2)), method.state_dict()


@pytest.mark.parametrize("steps", [1, 2, 3, 5])  # of 3 rounds of an epoch of 2 steps
def test_a_killed_run_ends_with_the_same_bits_wherever_it_was(steps, whole, tmp_path):
    data, stopped, resumed = hearts(12, labelled=2), build(), build(seed=99)
    stop_after(stopped, steps)
    with pytest.raises(Interrupted):
        trained(stopped, tmp_path, data)
    assert trained(resumed, tmp_path, data) == whole[0]
    assert same(whole[1], resumed.state_dict())
