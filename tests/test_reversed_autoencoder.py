"""RA: its loss of embeddings, its map against one written a second time, its weights, and that it learns."""

from pathlib import Path

import given_weights
import numpy as np
import pytest
import torch
from healthy_heads import build, heads, learns, same_bits, stack
from scipy.ndimage import gaussian_filter
from skimage.exposure import equalize_adapthist
from training_runs import copied, same, stepped

from latent_anatomy.methods import registry as methods
from latent_anatomy.methods import reversed_autoencoder
from latent_anatomy.training.method import Batch, Shape

RA = "reversed_autoencoder"
TINY = {"widths": (4, 8), "features": 8, "batch_size": 16, "epochs": 1, "augmentation": "none"}
TINY |= {"perceptual": "random"}


def test_parameters_at_the_size_of_the_paper():
    """Those of SI-VAE are trained; those of LPIPS are not."""
    method = build(RA, {"perceptual": "random"}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters() if each.requires_grad) == 29_955_073
    network = method.perceptual.network
    assert sum(each.numel() for each in network.parameters()) == 722_496


def test_the_reversed_loss_is_half_the_squared_error_and_the_cosine_distance_of_each_level():
    random = np.random.default_rng(0)
    levels = [[random.normal(size=(3, *shape)) for shape in ((2, 4, 4), (5, 2, 2))] for _ in range(2)]
    expected = 0.0
    for one, other in zip(*levels, strict=True):
        expected += ((one - other) ** 2).mean() / 2
        for a, b in zip(one.reshape(3, -1), other.reshape(3, -1), strict=True):
            expected += (1 - a @ b / np.sqrt((a @ a) * (b @ b))) / 3
    given = [[torch.from_numpy(each) for each in level] for level in levels]
    assert float(reversed_autoencoder.reversed_loss(*given)) == pytest.approx(expected)
    assert float(reversed_autoencoder.reversed_loss(given[0], given[0])) == pytest.approx(0)


def test_without_the_reversed_loss_it_is_trained_as_si_vae_is():
    given = {"train": Batch(heads(4, 1)[0])}
    plain = {name: value for name, value in TINY.items() if name != "perceptual"}
    introspective, none, some = (
        build(name, params)
        for name, params in (
            ("soft_intro_vae", plain),
            (RA, TINY | {"lambda_reversed": 0}),
            (RA, TINY | {"lambda_reversed": 1}),
        )
    )
    moves = []
    for method in (introspective, none, some):
        stepped(method, given, lambda name, moved, wholly: moves.append((name, moved)))
    weights = introspective.state_dict()
    assert same(weights, none.state_dict()) and not same(weights, some.state_dict())
    assert moves == 3 * [("encoder", {"encoder"}), ("decoder", {"decoder"})]


@pytest.mark.parametrize("smoothing", [0, 2])
def test_the_map_is_the_equalised_residual_times_lpips_twice(smoothing):
    method = build(RA, TINY | {"smoothing": smoothing}).eval()
    images, _ = heads(2, 1, spots=True)
    rebuilt = 1.4 * heads(2, 1)[0] - 0.1  # not in [0, 1]
    maps = method.residual(images, rebuilt)
    for number in range(2):
        x, r = images[number, 0].numpy(), rebuilt[number, 0].numpy().clip(0, 1)
        equal_x, equal_r = (equalize_adapthist(each.astype(float)).astype(np.float32) for each in (x, r))
        expected = abs(equal_r - equal_x)
        for pair in ((r, x), (equal_r, equal_x)):
            with torch.no_grad():
                seen = method.perceptual(*(torch.from_numpy(each)[None, None] for each in pair))[0, 0].numpy()
            expected = expected * (gaussian_filter(seen, 2) if smoothing else seen)
        np.testing.assert_allclose(maps[number, 0].numpy(), expected, rtol=1e-4, atol=1e-8)
    assert (maps >= 0).all() and maps.max() > 0


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_images_of_one_value_have_a_finite_map(level):
    method, images = build(RA, TINY).eval(), torch.full((1, 1, 32, 32), level)
    assert not method.residual(images, images).any()
    assert method.residual(images, heads(1, 1)[0]).isfinite().all()


def test_a_map_of_colours_has_one_plane():
    method, images = build(RA, TINY, shape=Shape(3, 32, 64, 2)).eval(), torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        assert method.anomaly_map(stack(images)).shape == (2, 1, 32, 64)
    with pytest.raises(ValueError, match=r"expected images of 32 pixels and more on a side, .* found 28x64"):
        build(RA, TINY, shape=Shape(1, 28, 64, 2))


def test_random_features_are_the_same_in_every_run_and_stay_so():
    one, other = (build(RA, TINY, seed).perceptual for seed in (1, 2))
    assert same(one.state_dict(), other.state_dict())
    method = build(RA, TINY)
    before = copied(method.perceptual)
    stepped(method, {"train": Batch(heads(4, 1)[0])})
    assert same(before, method.perceptual.state_dict())


@pytest.mark.parametrize(
    ("perceptual", "names"),
    [
        ("random", []),
        ("squeezenet-keras", ["squeezenet-keras/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"]),
        (
            "squeezenet-torchvision",
            ["squeezenet-torchvision/squeezenet1_1-b8a52dc0.pth", "lpips-squeeze/v0.1/squeeze.pth"],
        ),
    ],
)
def test_what_lpips_stands_on_is_registered(perceptual, names):
    given = methods.weights(RA, {"perceptual": perceptual})
    assert [name for each in given for name in each.checksums] == names
    for name in (name for name in names if name.endswith(".pth") and "torchvision" in name):
        [checksum] = [each.checksums[name] for each in given if name in each.checksums]
        assert checksum.startswith(f"sha256:{Path(name).stem.split('-')[-1]}")


def test_weights_that_are_given_are_in_the_checkpoint(tmp_path):
    method = build(RA, TINY | {"perceptual": "squeezenet-torchvision"})
    method.load_weights(given_weights.torchvision(tmp_path) | given_weights.heads(tmp_path))
    again = build(RA, TINY)
    again.load_state_dict(method.state_dict())
    images, rebuilt = heads(2, 1)[0], heads(2, 2)[0]
    assert torch.equal(method.residual(images, rebuilt), again.residual(images, rebuilt))
    assert not torch.equal(method.residual(images, rebuilt), build(RA, TINY).residual(images, rebuilt))


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(RA, TINY | {"augmentation": "affine"}))


@pytest.mark.slow
def test_it_learns_healthy_heads_and_finds_spots(tmp_path):
    """After a warm-up, without which it takes far longer than a test has."""
    params = TINY | {"widths": (4, 8, 16), "epochs": 26, "warmup_steps": 132, "warmup_rate": 4e-3}
    assert learns(tmp_path, RA, params | {"latent": "mean"})
