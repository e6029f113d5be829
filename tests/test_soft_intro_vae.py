"""SI-VAE: its size, its two losses as they are written, the order of its updates, and that it learns."""

import numpy as np
import pytest
import torch
from healthy_heads import build, heads, learns, same_bits, stack
from torch import Tensor
from training_runs import copied, stepped

from latent_anatomy.methods import soft_intro_vae
from latent_anatomy.networks.batchnorm import UnmovedBatchNorm2d
from latent_anatomy.training.method import Batch, Data, Shape

SIVAE = "soft_intro_vae"
TINY = {"widths": (4, 8), "features": 8, "batch_size": 16, "epochs": 1, "augmentation": "none"}
SCALE = 1 / 32**2


def test_parameters_at_the_size_of_the_paper():
    """29,955,073 in the released network; without its two needless skips 29,430,785."""
    full = Shape(1, 128, 128, 2)
    method = build(SIVAE, {}, shape=full)
    counts = [sum(each.numel() for each in part.parameters()) for part in (method.encoder, method.decoder)]
    assert counts == [16_623_040, 13_332_033]
    method = build(SIVAE, {"equal_skip": "identity"}, shape=full)
    assert sum(each.numel() for each in method.parameters()) == 29_430_785


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match=r"divisible by 32 \(widths: 5\), found 28x28"):
        build(SIVAE, {}, shape=Shape(1, 28, 28, 2))


@pytest.fixture
def still(monkeypatch):
    """A method whose z is always its mean, images and noise."""
    monkeypatch.setattr(soft_intro_vae, "sampled", lambda mean, log_variance: mean)
    method = build(SIVAE, TINY | {"gamma": 0.5, "normalisation": "as_released"})
    return method, heads(3, 1)[0], torch.randn(3, 8, generator=torch.Generator().manual_seed(4))


def sse(one: Tensor, other: Tensor) -> Tensor:
    return torch.stack([((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)])


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    rows = zip(mean, log_variance, strict=True)
    return torch.stack([0.5 * (m**2 + v.exp() - 1 - v).sum() for m, v in rows])


def test_the_losses_are_those_that_are_written(still):
    method, images, noise = still
    encode, decode = method.encoder, method.decoder
    loss, latent, _ = method.encoder_loss(images, noise)
    mean, log_variance, _ = encode(images)
    rebuilt, fake = decode(mean), decode(noise)
    expected = SCALE * (0.5 * sse(images, rebuilt).mean() + kl(mean, log_variance).mean())
    for given in (rebuilt, fake):
        m, v, _ = encode(given)
        expected += 0.25 * torch.exp(-2 * SCALE * (0.5 * sse(given, decode(m)) + 128 * kl(m, v))).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(latent, mean)

    expected = 0.5 * sse(images, rebuilt).mean()
    for given in (rebuilt, fake):
        m, v, _ = encode(given)
        expected += 0.5 * kl(m, v).mean() + 0.5 * 0.5 * 0.5 * sse(given, decode(m)).mean()
    torch.testing.assert_close(method.decoder_loss(images, noise, latent), SCALE * expected)


def test_where_gradients_stop(still):
    """At what is encoded anew in L_E, but not within SSE(r, r'); at z, r' and f' in L_D."""
    method, images, noise = still
    loss = method.encoder_loss(images, noise)[0]
    ours = torch.autograd.grad(loss, list(method.encoder.parameters()), retain_graph=True)
    mean, log_variance, _ = method.encoder(images)
    rebuilt, fake = method.decoder(mean), method.decoder(noise)
    expected = SCALE * (0.5 * sse(images, rebuilt).mean() + kl(mean, log_variance).mean())
    for given in (rebuilt, fake):
        m, v, _ = method.encoder(given.detach())
        twice = method.decoder(m)
        expected = expected + 0.25 * torch.exp(-2 * SCALE * (0.5 * sse(given, twice) + 128 * kl(m, v))).mean()
    torch.testing.assert_close(ours, torch.autograd.grad(expected, list(method.encoder.parameters())))

    latent = mean.detach()
    loss = method.decoder_loss(images, noise, latent)
    ours = torch.autograd.grad(loss, list(method.decoder.parameters()))
    rebuilt, expected = method.decoder(latent), 0.0
    for given in (rebuilt, method.decoder(noise)):
        m, v, _ = method.encoder(given)
        expected = expected + kl(m, v).mean() / 2
        expected = expected + sse(given.detach(), method.decoder(m.detach())).mean() / 8
    expected = SCALE * (expected + sse(images, rebuilt).mean() / 2)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, list(method.decoder.parameters())))


@pytest.mark.parametrize("warmup", [0, 5])
def test_the_encoder_steps_first_and_each_leaves_the_other_untouched(warmup):
    moves = []
    method = build(SIVAE, TINY | {"warmup_steps": warmup})
    stepped(method, {"train": Batch(heads(4, 1)[0])}, lambda name, moved, wholly: moves.append((name, moved)))
    assert moves == [("encoder", {"encoder"}), ("decoder", {"decoder"})]


def test_a_warm_up_is_a_plain_vae_and_ends():
    method, given = build(SIVAE, TINY | {"warmup_steps": 2}), {"train": Batch(heads(4, 1)[0])}
    assert method.selection is None
    logged = [float(stepped(method, given)["kl_fake"].detach()) for _ in range(3)]
    assert logged[:2] == [0, 0] and logged[2] > 0
    assert method.selection.value == "mse"
    loss, _, terms = method.encoder_loss(given["train"].images, torch.zeros(4, 8), introspective=False)
    torch.testing.assert_close(loss, SCALE * (0.5 * terms["sse"] + terms["kl"]))


def test_the_warm_up_has_a_rate_of_its_own():
    method, rates = build(SIVAE, TINY | {"warmup_steps": 2, "warmup_rate": 0.01}), []
    optimisers = method.optimisers()
    schedules = method.schedules(optimisers, 1).per_step
    for _ in range(4):
        rates.append([each.param_groups[0]["lr"] for each in optimisers.values()])
        for optimiser, schedule in zip(optimisers.values(), schedules, strict=True):
            optimiser.step()
            schedule.step()
    np.testing.assert_allclose(rates, [[0.01] * 2] * 2 + [[5e-5] * 2] * 2)
    assert not build(SIVAE, TINY).schedules(optimisers, 1).per_step


def test_batch_statistics_move_as_written_and_never_as_released():
    before = {
        name: copied(build(SIVAE, TINY | {"normalisation": name})) for name in ("as_written", "as_released")
    }
    for name, weights in before.items():
        method = build(SIVAE, TINY | {"normalisation": name})
        stepped(method, {"train": Batch(heads(4, 1)[0])})
        moved = [
            not torch.equal(each, weights[key])
            for key, each in method.state_dict().items()
            if "running" in key
        ]
        assert len(moved) == 2 * (1 + 2 * 2 + 2 * 3) and (
            all(moved) if name == "as_written" else not any(moved)
        )
    features = torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(UnmovedBatchNorm2d(4).train()(features), features / (1 + 1e-5) ** 0.5)


def test_every_capability_works_at_other_sizes_and_channels():
    method, images = build(SIVAE, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        rebuilt = method.reconstruct(images)
        maps = method.anomaly_map(stack(images))
        torch.testing.assert_close(method.reconstruct(images[1:2]), rebuilt[1:2])
        error = method.validate(Data(images))["mse"]
    assert rebuilt.shape == images.shape and rebuilt.min() >= 0 and rebuilt.max() <= 1
    torch.testing.assert_close(error, (images - rebuilt).square().mean())
    torch.testing.assert_close(maps, (images - rebuilt).abs().mean(1, keepdim=True))
    assert method.encode(images)["latent"].shape == (3, 8)
    drawn = [method.sample(2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(SIVAE, TINY | {"augmentation": "affine", "warmup_steps": 1}))


@pytest.mark.slow
def test_it_learns_healthy_heads_and_finds_spots(tmp_path):
    """After a warm-up, without which it takes far longer than a test has."""
    params = TINY | {"widths": (4, 8, 16), "epochs": 26, "warmup_steps": 132, "warmup_rate": 4e-3}
    assert learns(tmp_path, SIVAE, params | {"latent": "mean"})
