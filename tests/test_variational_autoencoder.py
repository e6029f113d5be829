"""The VAE of Bercea 2024: its size, its loss, its rate, its maps, and that it learns."""

import math

import pytest
import torch
from healthy_heads import build, heads, learns, same_bits, stack
from torch.distributions import Normal, kl_divergence

from latent_anatomy.networks.affine import randomly_moved
from latent_anatomy.training.healthy import Plateau, noise_like
from latent_anatomy.training.method import Data, Shape

VAE = "variational_autoencoder"
TINY = {"widths": (8, 16, 32), "features": 16, "batch_size": 16, "epochs": 2, "augmentation": "none"}


def test_parameters_at_the_size_of_the_paper():
    """5.850 million, as counted of the released network."""
    method = build(VAE, {}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters()) == 5_849_600
    assert method.encode(torch.rand(1, 1, 128, 128))["latent"].shape == (1, 256)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match=r"divisible by 32 \(widths: 5\), found 28x28"):
        build(VAE, {}, shape=Shape(1, 28, 28, 2))


@pytest.mark.parametrize("kl", ["as_written", "as_released"])
def test_the_loss_is_minus_the_evidence_bound(kl):
    method, images = build(VAE, TINY | {"kl": kl}), heads(3, 1)[0]
    torch.manual_seed(5)
    losses = method.losses(images)
    mean, log_sigma = method.encoder(images).chunk(2, dim=1)
    torch.manual_seed(5)
    rebuilt = method.decoder(mean + log_sigma.exp() * torch.randn_like(mean))
    sigma = log_sigma.exp() if kl == "as_written" else log_sigma.exp().exp()
    divergence = kl_divergence(Normal(mean, sigma), Normal(0.0, 1.0)).sum() / 3
    likelihood = Normal(images, 1.0).log_prob(rebuilt).sum() / 3
    torch.testing.assert_close(losses["kl"], divergence)
    torch.testing.assert_close(losses["loss"], divergence - likelihood)


def test_a_reconstruction_does_not_depend_on_the_images_beside_it():
    method, images = build(VAE, TINY).eval(), heads(5, 1)[0]
    with torch.no_grad():
        together = method.reconstruct(images)
        torch.testing.assert_close(together[2:3], method.reconstruct(images[2:3]))
        assert torch.equal(together, method.reconstruct(images))
        mean = method.encode(images)["latent"]
        sigma = method.encoder(images).chunk(2, dim=1)[1].exp()
        torch.testing.assert_close(together, method.decoder(mean + sigma * noise_like(mean)))
        method.params = method.params.model_copy(update={"latent": "mean"})
        torch.testing.assert_close(method.reconstruct(images), method.decoder(mean))


def test_the_rate_falls_to_a_tenth_after_ten_epochs_that_are_not_better():
    optimiser, values = build(VAE, TINY).optimisers()["autoencoder"], iter([1.0] * 12)
    plateau, rates = Plateau(optimiser, lambda: next(values)), []
    for _ in range(12):
        optimiser.step()
        plateau.step()
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[:11] == [5e-4] * 11 and math.isclose(rates[11], 5e-5)
    other = Plateau(optimiser, lambda: 0.0)
    other.load_state_dict(plateau.state_dict())
    assert (other.best, other.value()) == (1.0, 0.0)


def test_the_rate_follows_the_validation_loss():
    method = build(VAE, TINY).eval()
    [plateau] = method.schedules(method.optimisers(), 1).per_epoch
    loss = method.validate(Data(heads(5, 1)[0]))["loss"]
    plateau.step()
    assert plateau.best == float(loss)


def test_augmentation_moves_each_image_by_itself_and_keeps_its_values():
    images = heads(4, 1)[0][:1].expand(64, -1, -1, -1)
    torch.manual_seed(0)
    moved = randomly_moved(images)
    assert set(moved.unique().tolist()) <= set(images.unique().tolist())
    assert len(torch.unique(moved.flatten(1), dim=0)) > 60
    sizes = (moved > 0).sum((1, 2, 3)) / (images[0] > 0).sum()
    assert 0.79 < sizes.min() < 0.9 and 1.1 < sizes.max() < 1.25
    corner = torch.zeros(200, 1, 32, 32)
    corner[:, :, 14:18, 24:28] = 1  # to the right of the middle: mirrored ones lie to the left
    left = randomly_moved(corner)[..., :16].sum((1, 2, 3)) > 0
    assert 60 < left.sum() < 140


def test_every_capability_works_at_other_sizes_and_channels():
    method, images = build(VAE, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        assert method.reconstruct(images).shape == images.shape
        maps = method.anomaly_map(stack(images))
    assert maps.shape == (3, 1, 16, 32) and (maps >= 0).all()
    drawn = [method.sample(2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(VAE, TINY | {"augmentation": "affine"}))


def test_it_learns_healthy_heads_and_finds_spots(tmp_path):
    """At twice the side: of fewer pixels a likelihood of variance 1 says little beside the KL."""
    params = TINY | {"widths": (8, 16, 32, 32), "epochs": 40, "learning_rate": 5e-3, "latent": "mean"}
    assert learns(tmp_path, VAE, params, size=64)
