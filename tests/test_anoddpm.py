"""The DDPM of RA's comparison: its size, both noises, the way there and back, and that it learns."""

import itertools

import numpy as np
import pytest
import torch
from healthy_heads import build, heads, same_bits, stack, trained
from monai_networks import given_weights, recorded
from pydantic import ValidationError
from torch import nn

from latent_anatomy.networks import simplex
from latent_anatomy.networks.diffusion_unet import DiffusionUNet, waves
from latent_anatomy.training.method import Data, Shape

DDPM = "anoddpm"
TINY = {"widths": (8, 16), "attention": (False, True), "groups": 4, "steps": 100, "start": 8, "octaves": 2}
TINY |= {"betas": (0.001, 0.2), "batch_size": 16, "epochs": 1, "augmentation": "none"}


def test_parameters_at_the_size_of_the_paper():
    """18,500,993: those that MONAI's DiffusionModelUNet of the same arguments has, 18.501 million."""
    method = build(DDPM, {}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters()) == 18_500_993
    assert float(method.kept[250]) == pytest.approx(0.521, abs=5e-4)


def test_the_network_gives_noise_of_each_image_alone_and_starts_at_none():
    torch.manual_seed(0)
    network = DiffusionUNet(2, (8, 12), (8, 16, 16), (False, True, True), 4)
    images, steps = torch.randn(3, 2, 8, 12), torch.tensor([1, 5, 90])
    assert not network(images, steps).any()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    noise = network(images, steps)
    torch.testing.assert_close(network(images[1:2], steps[1:2]), noise[1:2], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(network(images, steps + 7), noise)
    with pytest.raises(ValueError, match=r"divisible by 4 \(widths: 3\), found 10x12"):
        DiffusionUNet(1, (10, 12), (8, 16, 16), (False, True, True), 4)
    torch.testing.assert_close(waves(torch.tensor([0]), 4), torch.tensor([[1.0, 1, 0, 0]]))


def test_the_network_computes_what_that_of_monai_computes():
    network = given_weights("unet", DiffusionUNet(1, (16, 24), (4, 8, 8), (False, True, True), 2))
    given = recorded("unet")
    with torch.no_grad():
        noise = network(given["images"], given["steps"])
    torch.testing.assert_close(noise, given["noise"], rtol=1e-4, atol=1e-4)


def test_noise3_is_opensimplex():
    """Values of the package opensimplex 0.4.5.1, whose permutation was replaced by this one."""
    table = torch.tensor([(77 * k + 13) % 256 for k in range(256)])
    recorded = {
        (0.5, 0.25, 0.125): 0.335985,
        (3.7, -1.2, 8.9): -0.130463,
        (-11.3, 4.6, 0.2): -0.067697,
        (100.1, 50.5, 15.625): -0.354826,
        (7.77, 7.78, 7.79): 0.290853,
        (-0.4, -0.3, -0.9): -0.330367,
        (2.0, 3.5, 1.5): -0.291371,
        (31.9, 0.1, 4.0): -0.002425,
    }
    noise = simplex.noise3(torch.tensor(list(recorded)), table)
    np.testing.assert_allclose(noise, list(recorded.values()), atol=5e-5)


def test_no_other_point_is_near_enough_to_count():
    """Of a fine grid over a cell: the nearest place of it to each lattice point around."""
    steps = torch.tensor(list(itertools.product(range(-3, 5), repeat=3)), dtype=torch.float64)
    grid = torch.linspace(0, 1, 21, dtype=torch.float64)
    away = torch.cartesian_prod(grid, grid, grid)[:, None] - steps
    nearest = (away + simplex.SQUISH * away.sum(-1, keepdim=True)).square().sum(-1).amin(0)
    near = {tuple(step) for step, each in zip(steps.int().tolist(), nearest, strict=True) if each < 2 - 1e-9}
    assert near == set(simplex.NEAR)


def test_simplex_noise_is_a_sum_of_octaves_smooth_and_of_the_measured_size():
    torch.manual_seed(1)
    fields = torch.stack([simplex.field((32, 48), 1000.0) for _ in range(20)])
    assert 0.4 < fields.square().mean().sqrt() < 0.6 and abs(fields.mean()) < 0.15
    assert len(torch.unique(fields[:, 3, 5])) == 20
    torch.manual_seed(2)
    whole = simplex.field((16, 16), 7.0, octaves=2, persistence=0.5, period=8.0)
    torch.manual_seed(2)
    table = torch.randperm(256)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    places = torch.stack([x, y, torch.full_like(x, 7)], dim=-1)
    parts = simplex.noise3(places / 8, table) + 0.5 * simplex.noise3(places / 4, table)
    torch.testing.assert_close(whole, parts)
    line = torch.stack(
        [torch.linspace(0, 3, 3001), torch.full((3001,), 0.3), torch.full((3001,), 0.6)], dim=1
    )
    assert simplex.noise3(line, table).diff().abs().max() < 0.005


@pytest.mark.parametrize(("noise", "alike"), [("simplex", True), ("gaussian", False)])
def test_a_batch_shares_a_field_of_simplex_noise_and_none_of_gaussian(noise, alike):
    method, images = build(DDPM, TINY | {"noise": noise}), heads(3, 1)[0]
    drawn = method.draw(images, 100)
    assert drawn.shape == images.shape and torch.equal(drawn[0], drawn[1]) == alike
    fixed = [method.draw(images, 5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(fixed[0], fixed[1]) and not torch.equal(fixed[0], fixed[2])
    assert torch.equal(fixed[0][0], fixed[0][1])


class Knowing(nn.Module):
    """A network that knows the image, and so its noise; it counts how often it is asked."""

    def __init__(self, method, images):
        super().__init__()
        self.kept, self.images, self.steps = method.kept, images, []

    def forward(self, noisy, steps):
        self.steps.append(int(steps[0]))
        kept = self.kept[steps][:, None, None, None]
        return (noisy - kept.sqrt() * self.images) / (1 - kept).sqrt()


@pytest.mark.parametrize("noise", ["simplex", "gaussian"])
def test_who_knows_the_noise_gets_the_image_back(noise):
    method, images = build(DDPM, TINY | {"noise": noise, "start": 30}).eval(), heads(2, 1)[0]
    method.network = Knowing(method, images)
    torch.testing.assert_close(method.reconstruct(images), images, rtol=0, atol=1e-4)
    assert method.network.steps == list(range(30, -1, -1))


def test_ancestral_steps_are_those_of_the_posterior():
    """Of a network that sees no noise anywhere, against the formulas with betas instead of their products."""
    method, images = build(DDPM, TINY | {"noise": "gaussian", "start": 3}).eval(), heads(2, 1)[0]
    assert not method.network(images, torch.zeros(2, dtype=torch.int64)).any()
    betas = np.linspace(0.001, 0.2, 100)
    kept = np.cumprod(1 - betas)
    random = torch.Generator().manual_seed(2401)
    x = kept[3] ** 0.5 * images + (1 - kept[3]) ** 0.5 * method.draw(images, 3, random)
    for t in (3, 2, 1, 0):
        clean, before = (x / kept[t] ** 0.5).clamp(-1, 1), kept[t - 1] if t else 1.0
        x = (before**0.5 * betas[t] * clean + (1 - betas[t]) ** 0.5 * (1 - before) * x) / (1 - kept[t])
        if t:
            x = x + ((1 - before) / (1 - kept[t]) * betas[t]) ** 0.5 * method.draw(images, t, random)
    torch.testing.assert_close(method.reconstruct(images), x, rtol=1e-4, atol=1e-5)


def test_every_capability_works_at_other_sizes_and_channels_and_for_each_image_alone():
    method, images = build(DDPM, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        rebuilt = method.reconstruct(images)
        torch.testing.assert_close(
            method.anomaly_map(stack(images)), (images - rebuilt).abs().mean(1, keepdim=True)
        )
        torch.testing.assert_close(method.reconstruct(images[1:2]), rebuilt[1:2], rtol=1e-3, atol=1e-4)
        assert rebuilt.min() >= -1 and rebuilt.max() <= 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": 100}, r"start: expected less than steps \(100\), found 100"),
        ({"attention": (True,)}, "attention: expected one value for each of 2 widths, found 1"),
        ({"groups": 3}, "groups: expected a divisor of widths"),
    ],
)
def test_parameters_that_do_not_agree_are_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        build(DDPM, TINY | wrong)


@pytest.mark.parametrize("noise", ["simplex", "gaussian"])
def test_same_seed_gives_same_bits(tmp_path, noise):
    assert same_bits(tmp_path, lambda: build(DDPM, TINY | {"noise": noise, "augmentation": "affine"}))


@pytest.mark.parametrize("noise", ["simplex", "gaussian"])
def test_it_learns_to_take_noise_off(tmp_path, noise):
    """Nearer to the noise than who sees none, and on the way back nearer to the image than when it turns."""
    method, unseen = build(DDPM, TINY | {"noise": noise, "epochs": 6, "learning_rate": 5e-3}), heads(16, 8)[0]
    torch.manual_seed(0)
    blind = torch.stack([method.draw(unseen, 100).square().mean() for _ in range(5)]).mean()
    trained(tmp_path, method, heads(96, 0)[0])
    with torch.no_grad():
        assert torch.stack([method.validate(Data(unseen))["loss"] for _ in range(5)]).mean() < 0.7 * blind
        start = torch.full((16,), 8)
        turned = method.noisy(unseen, method.draw(unseen, 8, torch.Generator().manual_seed(2401)), start)
        assert (method.reconstruct(unseen) - unseen).square().mean() < (turned - unseen).square().mean()
