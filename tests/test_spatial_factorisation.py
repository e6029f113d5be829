"""The previous model's own: its networks, and the losses of its updates."""

from dataclasses import replace
from functools import partial

import pytest
import synthetic_hearts
import torch
from synthetic_hearts import SHAPE, batches
from torch import nn

from latent_anatomy.methods import spatial_factorisation
from latent_anatomy.networks.factorising import FactorisingUNet, InstanceNorm, PlainDecoder, ResidualBlock
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, outputs

build = partial(synthetic_hearts.build, "spatial_factorisation")
STREAMS = ("labelled", "unlabelled", "masks")


# Networks


def test_one_unet_has_two_heads_and_z_is_of_its_bottom():
    torch.manual_seed(0)
    network = FactorisingUNet(1, 3, 5, (32, 48), width=2, depth=3, momentum=0.9).eval()
    logits, z = network(images := torch.rand(2, 1, 32, 48))
    assert logits.shape == (2, 3, 32, 48)
    assert z.shape == (2, 5) and ((z > 0) & (z < 1)).all()
    bottom, _ = network.encoded(images)
    assert bottom.shape == (2, 16, 4, 6)
    torch.testing.assert_close(z, network.modality(bottom).sigmoid())
    activations = {type(layer) for layer in network.modules()} & {nn.ReLU, nn.LeakyReLU}
    assert activations == {nn.LeakyReLU}


def test_sizes_are_those_of_the_release():
    with torch.device("meta"):
        network = FactorisingUNet(1, 2, 16, (224, 224), width=64, depth=4, momentum=0.99)
        decoder = PlainDecoder(1, 16, 1, (224, 224), 0.99)
    head = [tuple(layer.weight.shape[:2]) for layer in network.modality if hasattr(layer, "kernel_size")]
    assert head == [(256, 1024), (64, 256)]
    dense = [layer for layer in network.modality if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(64 * 14 * 14, 32), (32, 16)]
    counted = sum(parameter.numel() for parameter in decoder.parameters())
    assert counted == pytest.approx(1.66e6, abs=0.01e6)
    assert decoder.head.weight.shape == (1, 9, 7, 7)
    assert [type(block) for block in decoder.blocks] == [ResidualBlock] * 3


def test_instance_norm_is_of_each_image_and_channel_and_holds_on_a_constant_map():
    norm, features = InstanceNorm(3), (5 + 4 * torch.randn(2, 3, 8, 8)).requires_grad_()
    found = norm(features)
    torch.testing.assert_close(found, nn.functional.instance_norm(features, eps=0), atol=1e-5, rtol=1e-5)
    constant = torch.full((1, 3, 4, 4), 2.0, requires_grad=True)
    norm(constant).sum().backward()
    assert not norm(constant).any() and torch.isfinite(constant.grad).all()


def test_what_the_decoder_draws_depends_on_z_and_on_the_mask():
    torch.manual_seed(0)
    decoder = PlainDecoder(2, 3, 1, (32, 48), 0.9).eval()
    mask, z = torch.rand(1, 2, 32, 48).round(), torch.rand(1, 3)
    drawn = decoder(mask, z)
    assert drawn.shape == (1, 1, 32, 48) and drawn.abs().max() <= 1
    for other in (decoder(mask, z + 1), decoder(1 - mask, z)):
        assert (drawn - other).abs().gt(1e-5).float().mean() > 0.9
    with pytest.raises(ValueError, match="divisible by 4, found 30x48"):
        PlainDecoder(2, 3, 1, (30, 48), 0.9)


def test_critics_are_those_of_the_released_configuration():
    acdc = replace(SHAPE, height=224, width=224, structures=("a", "b", "c"))
    method = spatial_factorisation.Method(spatial_factorisation.Params(width=1), acdc)
    for critic, planes in ((method.mask_critic, 3), (method.image_critic, 1)):
        convolutions = [layer for layer in critic.features if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256]
        assert [layer.stride[0] for layer in convolutions] == [2, 2, 2, 1]
        assert critic(torch.rand(1, planes, 224, 224)).shape == (1, 1, 28, 28)
    assert MaskCritic(1, (33, 18), 1, 3, by_place=True)(torch.rand(2, 1, 33, 18)).shape == (2, 1, 5, 3)


def test_a_critic_sees_as_many_real_masks_as_fakes():
    critic, real, fakes = nn.Conv2d(1, 1, 1), torch.rand(2, 1, 4, 4), torch.rand(3, 1, 4, 4)
    of_real, of_fakes = outputs(critic, FakePool(0, 1, (4, 4)), real, fakes)
    torch.testing.assert_close(of_real, critic(real))
    torch.testing.assert_close(of_fakes, critic(fakes[:2]))


# Updates


def test_losses_have_the_released_weights_and_their_order(monkeypatch):
    method, losses = build(rotation=0), {}
    worth = {method.mask_critic: torch.tensor(0.3), method.image_critic: torch.tensor(0.7)}
    monkeypatch.setattr(method, "adversarial_loss", lambda critic, fakes: worth[critic])
    found = method.training_step(batches(*STREAMS), lambda name, loss: losses.setdefault(name, loss.detach()))
    supervised = 10 * found["dice"] + 10 * found["from_mask"] + found["reconstruction"] + 10 * 0.3 + 0.7
    torch.testing.assert_close(losses["supervised"], supervised.detach())
    unsupervised = 5 * found["unlabelled_reconstruction"] + 10 * 0.3 + 5 * 0.7
    torch.testing.assert_close(losses["unsupervised"], unsupervised.detach())
    torch.testing.assert_close(found["loss"], supervised + unsupervised)
    assert list(losses) == ["unsupervised", "supervised", "critics"]


def test_the_delineated_mask_and_z_of_the_same_slice_make_the_image_from_the_mask(monkeypatch):
    method, given, drawn = build(rotation=0).eval(), batches(*STREAMS), []
    nothing = torch.zeros(2, 1, 32, 32)
    monkeypatch.setattr(method.decoder, "forward", lambda mask, z: (drawn.append(mask), nothing)[1])
    method.supervised_loss(method.params.shown(given["labelled"]))
    assert torch.equal(drawn[1], given["labelled"].masks.float())


def test_critics_take_0_for_real_and_1_for_fake_and_the_others_pull_fakes_to_0(monkeypatch):
    method, real = build(pool=0), torch.ones(2, 2, 32, 32)
    images = torch.ones(2, 1, 32, 32)
    for name in ("mask_critic", "image_critic"):  # a perfect critic: 0 where everything is 1
        critic = getattr(method, name)
        monkeypatch.setattr(critic, "forward", lambda shown: 1 - (shown == 1).all().float()[None])
    loss, means = method.critics_loss(images, real)
    assert float(loss) == 0
    for kind in ("mask", "image"):
        assert (float(means[f"{kind}_critic_on_real"]), float(means[f"{kind}_critic_on_fakes"])) == (0, 1)
    assert float(method.adversarial_loss(method.mask_critic, real)) == 0
    assert float(method.adversarial_loss(method.mask_critic, real / 2)) == 1


def test_a_shared_pool_is_one_and_refused_where_masks_are_no_images():
    one = replace(SHAPE, structures=("myocardium",))
    method = build(shape=one, shared_pool=True)
    assert method.mask_pool is method.image_pool
    with pytest.raises(ValueError, match=r"shared_pool: expected as many structures .*found 2 and 1"):
        build(shared_pool=True)
