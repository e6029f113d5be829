"""The previous model's own: its networks, and the losses of its updates."""

from dataclasses import replace
from functools import partial

import synthetic_hearts
import torch
from synthetic_hearts import SHAPE, batches, hearts
from torch import nn

from latent_anatomy.methods import spatial_factorisation
from latent_anatomy.networks.factorising import FactorisingUNet, PlainDecoder, ResidualBlock
from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, critic_loss
from latent_anatomy.networks.unet import UNet

build = partial(synthetic_hearts.build, "spatial_factorisation")
STREAMS = ("labelled", "unlabelled", "masks")


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


def test_losses_have_the_released_weights(monkeypatch):
    method, losses = build(rotation=0).train(), {}
    monkeypatch.setattr(method, "adversarial_losses", lambda outputs: (torch.tensor(0.3), torch.tensor(0.7)))
    found = method.training_step(batches(*STREAMS), lambda name, loss: losses.setdefault(name, loss.detach()))
    supervised = 10 * found["dice"] + 10 * found["from_mask"] + found["reconstruction"] + 10 * 0.3 + 0.7
    torch.testing.assert_close(losses["supervised"], supervised.detach())
    unsupervised = 5 * found["unlabelled_reconstruction"] + 10 * 0.3 + 5 * 0.7
    torch.testing.assert_close(losses["unsupervised"], unsupervised.detach())
    torch.testing.assert_close(found["loss"], supervised + unsupervised)


def test_the_drawn_mask_and_the_image_of_the_same_slice_make_the_image_from_the_mask():
    method, given = build(rotation=0).eval(), batches(*STREAMS)
    found = method.training_step(given, lambda name, loss: None)
    images = 2 * given["labelled"].images - 1
    z = method.encode(given["labelled"].images)["modality"]
    expected = (method.decoder(given["labelled"].masks.float(), z) - images).abs().mean()
    torch.testing.assert_close(found["from_mask"], expected)
