"""MAE: its size, what is hidden from it, the mean over draws, and that it learns."""

import numpy as np
import pytest
import torch
from healthy_heads import SHAPE, build, heads, same_bits, separates, stack, trained

from latent_anatomy.methods.masked_autoencoder import waves
from latent_anatomy.training.method import Batch, Shape

MAE = "masked_autoencoder"
TINY = {"patch": 8, "width": 16, "depth": 2, "decoder_width": 8, "decoder_depth": 1, "heads": 2}
TINY |= {"batch_size": 16, "epochs": 1, "augmentation": "none"}


def test_parameters_at_the_size_of_the_paper():
    """63.58 million, 16 of 64 patches kept, each patch hidden in some of 30 draws."""
    method = build(MAE, {}, shape=Shape(1, 128, 128, 2))
    assert sum(each.numel() for each in method.parameters()) == 63_576_320
    hides = method.hides()
    assert hides.shape == (30, 64) and torch.equal(hides.sum(1), torch.full((30,), 48))
    assert torch.equal(hides, method.hides())


def test_patches_are_squares_in_the_order_of_rows():
    method, images = build(MAE, TINY, shape=Shape(3, 16, 24, 2)), torch.rand(2, 3, 16, 24)
    patches = method.patches(images)
    assert patches.shape == (2, 6, 192)
    assert torch.equal(patches[:, 4].view(2, 3, 8, 8), images[:, :, 8:16, 8:16])


def test_positions_are_all_different_and_as_in_the_formula():
    places = waves((2, 3), 8)
    assert len(places.unique(dim=0)) == 6
    expected = [*np.sin([2, 0.02]), *np.cos([2, 0.02]), *np.sin([1, 0.01]), *np.cos([1, 0.01])]
    np.testing.assert_allclose(places[5], expected, rtol=1e-5)


def test_what_is_hidden_changes_nothing_and_what_is_kept_does():
    method = build(MAE, TINY).eval()
    patches, kept = torch.rand(2, 16, 64), torch.tensor([[3, 7, 9, 12], [0, 1, 2, 15]])
    with torch.no_grad():
        drawn = method.drawn(patches, kept)
        for place in range(16):
            changed = patches.clone()
            changed[0, place] += 1
            assert torch.equal(method.drawn(changed, kept)[0], drawn[0]) == (place not in kept[0])
        shuffled = method.drawn(patches, kept.flip(1))
    torch.testing.assert_close(shuffled, drawn, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_mean_over_hidden_patches_alone():
    """Of a network that draws 0, on an image of which patch p is 2^p: it says which 12 were hidden."""
    method, squares = build(MAE, TINY), 4.0 ** torch.arange(16)
    method.drawn = Counting(0)
    images = squares.sqrt().view(1, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with pytest.raises(Stopped) as stopped:
        method.training_step({"train": Batch(images)}, stop)
    shown = method.drawn.kept[0]
    expected = (squares.sum() - squares[shown].sum()) / 12
    assert float(stopped.value.args[0]) == pytest.approx(float(expected), rel=1e-6)


class Stopped(Exception):
    """With the loss of a step."""


def stop(name, loss):
    raise Stopped(loss)


class Counting:
    """In place of the network: each call draws its number, 1, 2, ..., times a step."""

    def __init__(self, step=1):
        self.step, self.calls, self.kept = step, 0, []

    def __call__(self, patches, kept):
        self.calls += 1
        self.kept.append(kept[0])
        return torch.full_like(patches, self.step * self.calls)


def test_a_reconstruction_is_the_mean_over_the_draws_that_hide_a_patch():
    method = build(MAE, TINY | {"draws": 12}).eval()
    counting = Counting()
    method.drawn = counting
    rebuilt = method.reconstruct(heads(2, 1)[0])
    shown = torch.ones(12, 16, dtype=torch.bool)
    for draw, kept in enumerate(counting.kept):
        shown[draw, kept] = False
    expected = [np.mean([draw + 1 for draw in range(12) if shown[draw, place]]) for place in range(16)]
    np.testing.assert_allclose(method.patches(rebuilt)[0].mean(1), expected, rtol=1e-6)
    assert counting.calls == 12 and torch.equal(rebuilt[0], rebuilt[1])


def test_every_capability_works_at_other_sizes_and_channels_and_for_each_image_alone():
    method, images = build(MAE, TINY, shape=Shape(3, 16, 32, 2)).eval(), torch.rand(3, 3, 16, 32)
    with torch.no_grad():
        rebuilt = method.reconstruct(images)
        maps = method.anomaly_map(stack(images))
        torch.testing.assert_close(method.reconstruct(images[1:2]), rebuilt[1:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps, (images - rebuilt).abs().mean(1, keepdim=True))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch": 5}, "patch: expected a divisor of the sides of images, 32x32, found 5"),
        ({"heads": 3}, "heads: expected a divisor of width and decoder_width, found 3"),
        ({"draws": 1}, "draws: expected so many that each of 16 patches is hidden in one, found 1"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        build(MAE, TINY | wrong)


def test_same_seed_gives_same_bits(tmp_path):
    assert same_bits(tmp_path, lambda: build(MAE, TINY | {"augmentation": "affine"}, shape=SHAPE))


def test_it_learns_to_draw_what_it_does_not_see(tmp_path):
    """Better than one grey for all, of heads that it never saw; and spots are not drawn."""
    params = {"patch": 4, "width": 32, "decoder_width": 32, "decoder_depth": 2, "epochs": 40, "draws": 12}
    method = build(MAE, TINY | params | {"learning_rate": 2e-3})
    images, unseen = heads(96, 0)[0], heads(24, 8)[0]
    ill, spots = heads(24, 9, spots=True)
    trained(tmp_path, method, images)
    with torch.no_grad():
        error = (method.reconstruct(unseen) - unseen).square().mean()
        maps = method.anomaly_map(stack(ill))
    assert error < 0.5 * (images.mean() - unseen).square().mean()
    assert separates(maps, spots) > 0.8
