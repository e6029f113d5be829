"""DAE: its size, its coarse noise, its two losses, and that it learns."""

import pytest
import torch
import torch.nn.functional as F
from healthy_heads import build, heads, learns, same_bits, stack

from latent_anatomy.methods.denoising_autoencoder import coarse_noise
from latent_anatomy.networks.standardised_unet import StandardisedConv2d
from latent_anatomy.training.method import Data, Shape

DAE = "denoising_autoencoder"
TINY = {"width": 4, "depth": 3, "grid": 8, "batch_size": 16, "epochs": 1, "augmentation": "none"}


def test_parameters_at_the_size_of_the_paper():
    """7.70 million, added up from the layer table."""

    def conv(inputs, outputs, side):
        return inputs * outputs * side**2 + outputs

    def block(inputs, outputs):
        return conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + 4 * outputs

    down = block(1, 64) + block(64, 128) + block(128, 256) + block(256, 512)
    up = sum(conv(2 * width, width, 2) + block(2 * width, width) for width in (64, 128, 256))
    method = build(DAE, {}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters()) == down + up + conv(64, 1, 1) == 7_701_825


@pytest.mark.parametrize("size", [(30, 32), (4, 32)])
def test_images_that_cannot_be_halved_are_refused(size):
    with pytest.raises(ValueError, match=r"divisible by 4 \(depth: 3\) and larger, found \d+x32"):
        build(DAE, TINY, shape=Shape(1, *size, 2))


def test_kernels_are_standardised_whatever_their_level_and_scale():
    layer, images = StandardisedConv2d(2, 3, 3), torch.rand(1, 2, 8, 8)
    before = layer(images)
    with torch.no_grad():
        layer.weight.mul_(7).add_(0.3)
    torch.testing.assert_close(layer(images), before, rtol=1e-3, atol=1e-3)
    kernels = (layer.weight - layer.weight.mean((1, 2, 3), keepdim=True)) / layer.weight.std(
        (1, 2, 3), keepdim=True
    )
    torch.testing.assert_close(before, F.conv2d(images, kernels, layer.bias), rtol=1e-3, atol=1e-3)


def test_noise_is_coarse_of_the_given_deviation_and_never_on_background():
    images = torch.full((64, 1, 64, 64), 0.5)
    images[..., :8] = 0.01
    torch.manual_seed(1)
    noise = coarse_noise(images, 0.2, 16)
    assert not noise[..., :8].any()
    inside = noise[..., 8:]
    assert abs(inside.mean()) < 0.01
    assert 0.10 < inside.std() < 0.16  # between points of the grid it is a mean of up to four
    neighbours = (inside[..., 1:] * inside[..., :-1]).mean() / inside.square().mean()
    assert neighbours > 0.9
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("loss", ["l1", "foreground_mse"])
def test_the_loss_is_of_the_image_without_noise(loss):
    method, images = build(DAE, TINY | {"loss": loss}), heads(3, 1)[0]
    torch.manual_seed(2)
    ours = method.loss(images)
    torch.manual_seed(2)
    apart = method.network(images + coarse_noise(images, 0.2, 8)) - images
    expected = apart.abs().mean() if loss == "l1" else apart[images > 0.01].square().mean()
    torch.testing.assert_close(ours, expected)


def test_every_capability_works_at_other_sizes_and_channels():
    method, images = build(DAE, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        rebuilt = method.reconstruct(images)
        torch.testing.assert_close(
            method.anomaly_map(stack(images)), (images - rebuilt).abs().mean(1, keepdim=True)
        )
        torch.testing.assert_close(method.reconstruct(images[1:2]), rebuilt[1:2])
        assert method.validate(Data(images))["loss"].shape == ()


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(DAE, TINY | {"augmentation": "affine"}))


def test_it_learns_healthy_heads_and_finds_spots(tmp_path):
    params = {"width": 8, "epochs": 25, "learning_rate": 3e-3, "noise": 0.4}
    assert learns(tmp_path, DAE, TINY | params)
