"""The previous model: its networks, which update trains what, what may be seen, resume; and it learns."""

from dataclasses import replace

import pytest
import torch
from synthetic_hearts import SHAPE, blind_dice, dice, hearts
from torch import nn

from latent_anatomy.methods import spatial_factorisation
from latent_anatomy.networks.factorising import FactorisingUNet, PlainDecoder, ResidualBlock
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, critic_loss
from latent_anatomy.networks.unet import UNet
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Batch, Shape

TINY = {"width": 2, "depth": 2, "critic_width": 2, "decoder_width": 4, "latent": 3, "pool": 6, "epochs": 1}
NETWORKS = ("network", "decoder", "mask_critic", "image_critic")


def build(seed: int = 0, shape: Shape = SHAPE, **changed) -> spatial_factorisation.Method:
    torch.manual_seed(seed)
    return spatial_factorisation.Method(spatial_factorisation.Params(**TINY | changed), shape)


def batches(count: int = 2) -> dict[str, Batch]:
    data = hearts(3 * count)
    rows = torch.arange(3 * count).split(count)
    return {
        name: data.batch(each) for name, each in zip(("labelled", "unlabelled", "masks"), rows, strict=True)
    }


def weights(method) -> dict[str, list[torch.Tensor]]:
    return {name: [each.detach().clone() for each in getattr(method, name).parameters()] for name in NETWORKS}


def run(method, scratch, data=None) -> dict[str, torch.Tensor]:
    data = hearts(6, labelled=2) if data is None else data
    settings = {"settings": TrainingParams(), "save_every_seconds": 0}
    train(method, data, hearts(4, seed=1), seed=1, scratch=scratch, **settings)
    return method.state_dict()


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# Networks


def test_one_unet_has_two_heads_and_z_is_of_its_bottom():
    torch.manual_seed(0)
    network, images = FactorisingUNet(1, 3, 5, (32, 48), width=2, depth=3).eval(), torch.rand(2, 1, 32, 48)
    logits, z = network(images)
    plain = UNet(1, 3, (32, 48), width=2, depth=3).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    torch.testing.assert_close(logits, plain(images))
    assert z.shape == (2, 5) and ((z > 0) & (z < 1)).all()
    bottom, _ = network.encoded(images)
    assert bottom.shape == (2, 16, 4, 6)
    torch.testing.assert_close(z, network.modality(bottom).sigmoid())


def test_residual_blocks_add_what_each_image_and_channel_has_normalised():
    block, features = ResidualBlock(3), 5 + 4 * torch.randn(2, 3, 8, 8)
    added = block(features) - features
    torch.testing.assert_close(added.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(added.var((2, 3), correction=0), torch.ones(2, 3), atol=0.05, rtol=0)
    torch.testing.assert_close(block(features[:1]), block(features)[:1])


def test_what_the_decoder_draws_depends_on_z_at_every_pixel():
    torch.manual_seed(0)
    decoder, mask = PlainDecoder(2, 3, 1, 8), hearts(1).masks.float()
    one, other = (decoder(mask, z) for z in (torch.zeros(1, 3), torch.ones(1, 3)))
    assert one.shape == (1, 1, 32, 32) and one.abs().max() <= 1
    assert (one - other).abs().gt(1e-4).float().mean() > 0.95
    assert [type(layer) for layer in decoder.layers].count(ResidualBlock) == 3


def test_critics_are_those_of_the_released_configuration():
    acdc = replace(SHAPE, height=224, width=224, structures=("a", "b", "c"))
    method = spatial_factorisation.Method(spatial_factorisation.Params(width=1), acdc)
    for critic, planes in ((method.mask_critic, 3), (method.image_critic, 1)):
        convolutions = [layer for layer in critic.features if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256]
        assert [layer.stride[0] for layer in convolutions] == [2, 2, 2, 1]
        assert critic(torch.rand(1, planes, 224, 224)).shape == (1, 1, 28, 28)
    assert MaskCritic(1, (33, 18), 1, 3, by_place=True)(torch.rand(2, 1, 33, 18)).shape == (2, 1, 5, 3)


def test_a_dispute_is_least_squares_over_all_places_of_the_shorter_batch():
    critic, real, fakes = nn.Conv2d(1, 1, 1), torch.rand(2, 1, 4, 4), torch.rand(3, 1, 4, 4)
    found = critic_loss(critic, FakePool(0, 1, (4, 4)), real, fakes)
    expected = (critic(real) - 1).square().mean() + critic(fakes[:2]).square().mean()
    torch.testing.assert_close(found, expected)


# Updates


def test_four_updates_in_their_order_train_exactly_their_networks_and_all_of_them():
    method, found = build(width=4).train(), []
    optimisers = method.optimisers()

    def update(name: str, loss: torch.Tensor) -> None:
        before = weights(method)
        optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimisers[name].step()
        now = weights(method)
        moved = {net for net in NETWORKS if not all(map(torch.equal, now[net], before[net]))}
        found.append((name, moved))
        if name != "unsupervised":  # every parameter has a gradient
            assert not any(
                torch.equal(a, b) for net in moved for a, b in zip(now[net], before[net], strict=True)
            )

    torch.manual_seed(1)
    method.training_step(batches(), update)
    assert found == [
        ("supervised", {"network", "decoder"}),
        ("unsupervised", {"network", "decoder"}),
        ("mask_critic", {"mask_critic"}),
        ("image_critic", {"image_critic"}),
    ]


def test_losses_have_the_released_weights(monkeypatch):
    method, losses = build(rotation=0).train(), {}
    monkeypatch.setattr(method, "adversarial_losses", lambda outputs: (torch.tensor(0.3), torch.tensor(0.7)))
    found = method.training_step(batches(), lambda name, loss: losses.setdefault(name, loss.detach()))
    supervised = 10 * found["dice"] + 10 * found["from_mask"] + found["reconstruction"] + 10 * 0.3 + 0.7
    torch.testing.assert_close(losses["supervised"], supervised.detach())
    unsupervised = 5 * found["unlabelled_reconstruction"] + 10 * 0.3 + 5 * 0.7
    torch.testing.assert_close(losses["unsupervised"], unsupervised.detach())
    torch.testing.assert_close(found["loss"], supervised + unsupervised)


def test_the_drawn_mask_and_the_image_of_the_same_slice_make_the_image_from_the_mask():
    method, given = build(rotation=0).eval(), batches()
    found = method.training_step(given, lambda name, loss: None)
    images = 2 * given["labelled"].images - 1
    z = method.encode(given["labelled"].images)["modality"]
    expected = (method.decoder(given["labelled"].masks.float(), z) - images).abs().mean()
    torch.testing.assert_close(found["from_mask"], expected)


def test_the_released_settings_are_the_defaults():
    params = spatial_factorisation.Params()
    assert (params.latent, params.critic_width, params.beta1, params.decay) == (16, 32, 0.5, 0)
    assert (params.learning_rate, params.batch_size, params.epochs) == (1e-4, 4, 500)
    assert (params.selection.minimum_change, params.selection.patience) == (1e-3, 20)


# What it may see


@pytest.mark.parametrize("real_masks", ["labelled", "all"])
def test_masks_of_unlabelled_slices_reach_the_critic_at_most(real_masks, tmp_path):
    data = hearts(8, labelled=2)
    others = data.masks.clone()
    others[~data.labelled] = 1 - others[~data.labelled]
    states = [
        run(build(real_masks=real_masks), tmp_path / str(i), replace(data, masks=masks))
        for i, masks in enumerate((data.masks, others))
    ]
    assert same(*states) == (real_masks == "labelled")


# Bits


class Interrupted(Exception):
    pass


def test_same_seed_same_bits_also_after_a_kill(tmp_path):
    data = hearts(9, labelled=2)  # 5 labelled of 9: the last batches have one image
    whole, again = (run(build(), tmp_path / name, data) for name in ("a", "b"))
    assert same(whole, again) and all(torch.isfinite(value).all() for value in whole.values())
    stopped, calls = build(), []
    step = stopped.training_step

    def failing_step(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise Interrupted
        return step(*arguments)

    stopped.training_step = failing_step
    with pytest.raises(Interrupted):
        run(stopped, tmp_path / "killed", data)
    assert same(whole, run(build(seed=99), tmp_path / "killed", data))


# Capabilities


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, height=64, width=48)])
def test_capabilities_have_the_shapes_and_ranges_of_the_contract(shape):
    method = build(shape=shape).eval()
    images, size = torch.rand(3, 1, shape.height, shape.width), (shape.height, shape.width)
    with torch.no_grad():
        masks, anatomy, z = method.segment(images), method.anatomy(images), method.encode(images)["modality"]
        again = method.reconstruct(images)
        torch.testing.assert_close(again, method.decode(anatomy, z))
        assert torch.equal(again, method.reconstruct(images))
        assert torch.equal(anatomy, masks.round()) and torch.equal(method.soft_anatomy(images), masks)
    assert masks.shape == (3, 2, *size) and masks.dtype == torch.float32
    assert (masks >= 0).all() and (masks.sum(1) <= 1 + 1e-6).all()
    assert z.shape == (3, 3) and z.min() >= 0 and z.max() <= 1
    assert again.shape == images.shape and again.min() >= 0 and again.max() <= 1


def test_gradients_of_a_reconstruction_reach_the_mask_through_the_rounding():
    method = build().eval()
    method.reconstruct(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.network.head.parameters())


def test_it_learns_to_beat_the_best_mask_that_ignores_the_image(tmp_path):
    gentle = {
        "lambda_adversarial": 1,
        "lambda_image_adversarial": 0,
        "lambda_unlabelled_image_adversarial": 0,
    }
    quick = {"epochs": 6, "learning_rate": 1e-2, "momentum": 0.8, "rotation": 0}  # and few steps
    method = build(width=4, decoder_width=8, critic_width=1, **gentle, **quick)
    data, test = hearts(32, labelled=2), hearts(16, seed=5)
    run(method, tmp_path, data)
    blind = blind_dice(data, test)
    with torch.no_grad():
        ours, images = dice(method.eval().segment(test.images), test), test.images
        error = (method.reconstruct(images) - images).abs().mean()
    assert ours > blind
    assert error < (data.images.mean(0) - images).abs().mean()  # nearer than the mean image
