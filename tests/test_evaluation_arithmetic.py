"""Modality transfer and latent arithmetic, on methods of a few lines whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic_discs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_discs import SIZE, Exact, Oracle, Stubborn, run

from latent_anatomy.evaluation import factorised
from latent_anatomy.evaluation.protocols import arithmetic, transfer

splits = pytest.fixture(synthetic_discs.subjects_of_three_splits, scope="module")
one_modality = pytest.fixture(synthetic_discs.slices_of_one_modality, scope="module")


# Transfer


def test_a_method_that_draws_what_z_says_is_recognised_and_keeps_the_anatomy(splits):
    found, arrays = run(transfer, Exact(), splits)
    for name in ("recognised", "recognised_real", "recognised_reconstructed"):
        assert found[f"transfer/{name}"] > 0.95, name
    assert found["transfer/anatomy-dice"] == 1
    assert arrays["transfer/direction"].tolist() == ["CT to MR"] * 4 + ["MR to CT"] * 4
    source, style, result = (arrays[f"figure/transfer/{name}"] for name in ("source", "style", "result"))
    assert source.shape == style.shape == result.shape == (8, 1, SIZE, SIZE)
    brightest = [each.max(axis=(1, 2, 3)).astype(int) for each in (source, style, result)]
    assert (np.abs(brightest[2] - brightest[1]) <= 1).all() and (brightest[0][:4] < brightest[2][:4]).all()


def test_a_method_that_ignores_z_is_not_recognised(splits):
    found, _ = run(transfer, Stubborn(), splits)
    assert found["transfer/recognised"] == pytest.approx(0.5, abs=0.05)  # all in the same grey, for both
    assert found["transfer/recognised_real"] > 0.95 and found["transfer/anatomy-dice"] == 1


def test_anatomy_dice_is_of_volumes_against_their_source(splits):
    class Emptied(Exact):
        def decode(self, anatomy, z):
            return super().decode(torch.cat([anatomy[:, :2], anatomy[:, 2:] * 0], dim=1), z)  # no ring

    test = splits["test"]
    found, _ = run(transfer, Emptied(), splits)
    masks = Exact().segment(test.images)
    expected = []
    for volume in factorised.volumes(test):
        ring, ventricle = masks[volume.rows].sum(dim=(0, 2, 3)).tolist()
        expected.append(2 * ventricle / (2 * ventricle + ring))
    assert found["transfer/anatomy-dice"] == pytest.approx(np.mean(expected), rel=1e-6)

    class Blind(Exact):
        def segment(self, images):
            return torch.zeros(len(images), 2, SIZE, SIZE)

    assert run(transfer, Blind(), splits)[0]["transfer/anatomy-dice"] == 0


# Arithmetic


def test_channels_are_found_by_their_overlap_and_swapped(splits):
    found, arrays = run(arithmetic, Oracle(), splits, examples=2)
    assert found["arithmetic/myocardium/channel"] == 2 and found["arithmetic/left-ventricle/channel"] == 1
    method, val = Oracle(), splits["val"]
    ring = method.anatomy(val.images)[:, 2]
    mask = val.masks[:, 0]
    dice = 2 * (ring * mask).sum() / (ring.sum() + mask.sum())
    assert found["arithmetic/myocardium/overlap"] == pytest.approx(float(dice), rel=1e-6)
    areas = method.anatomy(splits["test"].images).mean(dim=(0, 2, 3))
    assert [found[f"arithmetic/channels/{c}/area"] for c in range(4)] == pytest.approx(
        areas.tolist(), rel=1e-5
    )

    channels = arrays["figure/arithmetic/channels"]
    assert channels.shape == (2, 4, SIZE, SIZE) and set(np.unique(channels)) <= {0, 255}
    assert set(np.unique(arrays["figure/arithmetic/soft-channels"])) == {13, 217}
    rebuilt, added, exchanged = (
        arrays[f"figure/arithmetic/{name}"].astype(int)
        for name in ("reconstruction", "swaps/added", "swaps/exchanged")
    )
    ventricle, ring = channels[:, [1]] > 0, channels[:, [2]] > 0
    assert (added[ring].min(), added[ventricle].min()) > (rebuilt[ring].max(), 0)
    assert np.array_equal(added[ventricle], rebuilt[ventricle])
    assert (exchanged[ring].mean() > exchanged[ventricle].mean()) and rebuilt[ring].mean() < rebuilt[
        ventricle
    ].mean()
    assert not np.array_equal(arrays["figure/arithmetic/swaps/permuted"], rebuilt)


def test_without_masks_there_is_no_swap_of_structures_but_all_the_rest(splits):
    undrawn = torch.full_like(splits["val"].masks, 255)
    for val in (replace(splits["val"], masks=undrawn), replace(splits["val"], masks=None, mask_names=())):
        found, arrays = run(arithmetic, Oracle(), splits | {"val": val})
        assert not [key for key in found if "myocardium" in key]
        swapped = {key.rpartition("/")[2] for key in arrays if "swaps" in key}
        assert swapped == {"permuted"} and arithmetic.possible(splits | {"val": val})
    hard = type(
        "Hard", (Oracle,), {"soft_anatomy": property(lambda self: (_ for _ in ()).throw(AttributeError))}
    )
    assert "figure/arithmetic/soft-channels" not in run(arithmetic, hard(), splits)[1]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 32))
def test_permutation_moves_every_channel(count):
    moved = arithmetic.permutation(count)
    assert sorted(moved.tolist()) == list(range(count)) and (moved != torch.arange(count)).all()
    assert torch.equal(moved, arithmetic.permutation(count))


def test_swaps_move_channels_and_nothing_else():
    anatomy = torch.eye(4)[torch.randint(4, (2, 5, 5))].permute(0, 3, 1, 2)
    found = arithmetic.swaps(anatomy, 3, 1)
    assert torch.equal(
        found["added"],
        torch.stack([anatomy[:, 0], anatomy[:, 1] + anatomy[:, 3], anatomy[:, 2], 0 * anatomy[:, 3]], dim=1),
    )
    assert torch.equal(found["exchanged"], anatomy[:, [0, 3, 2, 1]])
    assert all(torch.equal(each.sum(dim=1), anatomy.sum(dim=1)) for each in found.values())


def test_two_structures_get_two_channels():
    both_want_the_first = np.array([[0.9, 0.8], [0.1, 0.7], [0.6, 0.0]])
    assert arithmetic.assigned(both_want_the_first) == {"myocardium": (0, 0.9), "left-ventricle": (1, 0.7)}


def test_correlation_is_numpys():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(7, 3, 1, 4, 5, generator=generator)
    images[:, 0, 0, 0, 0] = 0.1  # not exact in binary: its mean must not differ from it
    values = torch.tensor(arithmetic.VALUES)
    found = arithmetic.correlation(values, images)
    assert found.shape == (3, 1, 4, 5) and found[0, 0, 0, 0] == 0
    for place in np.ndindex(*found.shape):
        if place != (0, 0, 0, 0):
            expected = np.corrcoef(values, images[(slice(None), *place)])[0, 1]
            assert float(found[place]) == pytest.approx(expected)


def test_traversal_of_a_linear_decoder(splits):
    class Linear(Oracle):
        def decode(self, anatomy, z):
            weights = torch.tensor([0.05, -0.1, 0.0])
            left = torch.arange(SIZE).view(1, 1, 1, -1) < SIZE // 2
            return 0.5 + (z @ weights).view(-1, 1, 1, 1) * left.expand(len(z), 1, SIZE, SIZE)

    found, arrays = run(arithmetic, Linear(), splits, examples=2, dimensions=2)
    sizes = [found[f"arithmetic/traversal/z{i}/mean_absolute_difference"] for i in range(3)]
    assert sizes == pytest.approx([0.3 / 2, 0.6 / 2, 0], abs=1e-6)
    pictures = {key.removeprefix("figure/arithmetic/traversal/"): value for key, value in arrays.items()}
    assert not [key for key in pictures if key.startswith("z2")]  # the two that do most
    assert pictures["z0/images"].shape == (2, 7, SIZE, SIZE)
    for name, sign in (("z0", 1), ("z1", -1)):
        related, apart = pictures[f"{name}/correlation"], pictures[f"{name}/difference"]
        assert related.shape == apart.shape == (2, 1, SIZE, SIZE)
        assert (related[..., : SIZE // 2] == (255 if sign > 0 else 0)).all() and (
            related[..., SIZE // 2 :] == 128
        ).all()
        assert (np.sign(apart[..., : SIZE // 2].astype(int) - 128) == sign).all()
        assert (apart[..., SIZE // 2 :] == 128).all()
    steps = pictures["z1/images"][:, :, 0, 0].astype(int)
    assert (np.diff(steps, axis=1) < 0).all()
