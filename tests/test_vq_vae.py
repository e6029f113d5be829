"""VQ-VAE: its size, its codebook against the formulas, its codes as tokens, and that it learns."""

import numpy as np
import pytest
import torch
from healthy_heads import SHAPE, build, heads, same_bits, separates, stack, trained
from monai_networks import given_weights, recorded
from training_runs import stepped

from latent_anatomy.networks.quantiser import Quantiser
from latent_anatomy.training.method import Batch, Shape

VQ = "vq_vae"
TINY = {"width": 8, "codes": 8, "size": 4, "batch_size": 16, "epochs": 1, "augmentation": "none"}


def test_parameters_at_the_size_of_the_paper():
    """11.84 million, and 1,024 tokens."""
    method = build(VQ, {}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters()) == 11_842_625
    assert method.grid == (32, 32)
    with pytest.raises(ValueError, match="divisible by 4, found 30x32"):
        build(VQ, {}, shape=Shape(1, 30, 32, 2))


def test_it_computes_what_that_of_monai_computes_and_its_codebook_follows_alike():
    method = build(VQ, TINY | {"width": 6}, shape=Shape(1, 16, 24, 2))
    given_weights("vq", method)
    given = recorded("vq")
    with torch.no_grad():
        tokens = method.tokens(given["images"])
        assert torch.equal(tokens, given["codes"].flatten(1)) and len(tokens.unique()) > 2
        method.train()
        quantised, commitment, _ = method.quantiser(method.encoder(given["images"]))
        rebuilt = method.decoder(quantised)
    torch.testing.assert_close(rebuilt, given["reconstruction"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(0.25 * commitment, given["loss"], rtol=1e-4, atol=1e-5)
    for key in ("book", "sums", "counts"):
        torch.testing.assert_close(getattr(method.quantiser, key), given[key], rtol=1e-3, atol=1e-4)


def test_codes_are_the_nearest_and_the_gradient_goes_straight_through():
    torch.manual_seed(0)
    quantiser, maps = Quantiser(5, 3, 0.5, moving=False), torch.randn(2, 3, 4, 6, requires_grad=True)
    chosen, commitment, codes = quantiser(maps)
    vectors = maps.detach().movedim(1, -1).numpy()
    apart = ((vectors[..., None, :] - quantiser.book.numpy()) ** 2).sum(-1)
    np.testing.assert_array_equal(codes, apart.argmin(-1))
    np.testing.assert_allclose(chosen.detach().movedim(1, -1), quantiser.book[codes], rtol=1e-5, atol=1e-6)
    assert commitment.item() == pytest.approx(apart.min(-1).mean() / 3, rel=1e-5)
    assert torch.equal(torch.autograd.grad((2 * chosen).sum(), maps)[0], torch.full_like(maps, 2))


def test_the_codebook_follows_by_moving_averages_in_training_alone():
    torch.manual_seed(0)
    quantiser, maps = Quantiser(4, 2, 0.8, moving=True), torch.randn(3, 2, 5, 5)
    counts, sums, book = (each.numpy().copy() for each in (quantiser.counts, quantiser.sums, quantiser.book))
    quantiser.eval()(maps)
    assert np.array_equal(quantiser.book, book)
    codes = quantiser.train()(maps)[2].flatten().numpy()
    vectors = maps.movedim(1, -1).reshape(-1, 2).numpy()
    for code in range(4):
        own = vectors[codes == code]
        counts[code] = 0.8 * counts[code] + 0.2 * len(own)
        sums[code] = 0.8 * sums[code] + 0.2 * own.sum(0)
    smoothed = (counts + 1e-5) / (counts.sum() + 4e-5) * counts.sum()
    np.testing.assert_allclose(quantiser.book, sums / smoothed[:, None], rtol=1e-4)


@pytest.mark.parametrize("codebook", ["ema", "frozen"])
def test_a_frozen_codebook_stays_as_it_was_drawn(codebook):
    method = build(VQ, TINY | {"codebook": codebook})
    before = method.quantiser.book.clone()
    losses = stepped(method, {"train": Batch(heads(4, 1)[0])})
    assert torch.equal(method.quantiser.book, before) == (codebook == "frozen")
    torch.testing.assert_close(losses["loss"], losses["l1"] + 0.25 * losses["commitment"])


def test_tokens_are_all_that_a_reconstruction_needs():
    method, images = build(VQ, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        tokens = method.tokens(images)
        assert tokens.shape == (3, 4 * 8) and tokens.dtype == torch.int64
        rebuilt = method.reconstruct(images)
        assert torch.equal(method.of_tokens(tokens), rebuilt) and rebuilt.shape == images.shape
        codes = method.quantiser(method.encoder(images))[2]
        assert torch.equal(codes[:, 1, 0], tokens[:, 8]), "row by row"
        maps = method.anomaly_map(stack(images))
    torch.testing.assert_close(maps, (images - rebuilt).abs().mean(1, keepdim=True))


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(VQ, TINY | {"augmentation": "affine"}, shape=SHAPE))


def test_it_learns_healthy_heads(tmp_path):
    """It redraws others better than their mean, of 8 codes; spots are seen, if less than by what has none."""
    method = build(VQ, TINY | {"width": 16, "epochs": 30, "learning_rate": 3e-3})
    images, unseen = heads(96, 0)[0], heads(24, 8)[0]
    ill, spots = heads(24, 9, spots=True)
    trained(tmp_path, method, images)
    with torch.no_grad():
        error = (method.reconstruct(unseen) - unseen).square().mean()
        maps = method.anomaly_map(stack(ill))
    assert error < 0.7 * (images.mean(0) - unseen).square().mean()
    assert separates(maps, spots) > 0.8
    assert len(method.tokens(unseen).unique()) > 2
