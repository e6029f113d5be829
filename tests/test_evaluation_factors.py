"""The protocols of factorised methods, on methods of a few lines whose answers are known."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from latent_anatomy.evaluation import (
    arithmetic,
    common,
    disentanglement,
    factorised,
    factors,
    modality,
    transfer,
)
from latent_anatomy.evaluation.untrained import fresh
from latent_anatomy.methods.contract import Data, Shape

SIZE = 16
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=0, structures=("myocardium", "left-ventricle"))
BRIGHT = {"MR": 0.8, "CT": 0.4}  # of the ventricle; the ring around it is half as bright
SLICES = 5


def make(subjects: int, seed: int, modalities: tuple[str, ...] = ("MR", "CT"), name: str = "p") -> Data:
    """A bright disc in a ring, of other size and place in each slice, in all modalities at ED and ES."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    columns = {"images": [], "masks": [], "subject": [], "position": [], "phase": [], "modality": []}
    for subject in range(subjects):
        largest = random.uniform(2, 5)
        for phase, kind, position in product(("ED", "ES"), modalities, range(SLICES)):
            radius = 0.8 + largest * (1 - position / SLICES) * (1 if phase == "ED" else 0.6)
            away = np.hypot(*(axis - random.uniform(6, 9) for axis in (y, x)))
            ventricle, myocardium = away < radius, (away >= radius) & (away < radius + 2)
            image = BRIGHT[kind] * (ventricle + myocardium / 2) + random.uniform(0, 0.02, (SIZE, SIZE))
            columns["images"].append(image[None])
            columns["masks"].append(np.stack([myocardium, ventricle]))
            for key, value in (("subject", f"{name}{subject}"), ("position", position), ("phase", phase)):
                columns[key].append(value)
            columns["modality"].append(kind)
    count = len(columns["images"])
    order = random.permutation(count)  # rows of a file need not be in the order of volumes
    texts = {key: tuple(columns[key][row] for row in order) for key in ("subject", "phase", "modality")}
    return Data(
        torch.tensor(np.stack(columns["images"])[order], dtype=torch.float32),
        masks=torch.tensor(np.stack(columns["masks"])[order], dtype=torch.uint8),
        mask_names=SHAPE.structures,
        position=torch.tensor(columns["position"])[order],
        spacing_mm=torch.tensor([[1.5, 1.0, 8.0]]).expand(count, 3),
        **texts,
    )


class Oracle(nn.Module):
    """s: rest, ventricle, ring, nothing. z: noise, brightness of the ventricle in standard units, noise."""

    channels = ("rest", "ventricle", "myocardium", "nothing")

    def __init__(self, params=None, shape=SHAPE):
        super().__init__()
        self.params, self.shape = params, shape
        self.norm = nn.BatchNorm2d(1, affine=False)
        self.weight = nn.Parameter(torch.rand(()))

    def relative(self, images):
        return images / images.amax(dim=(1, 2, 3), keepdim=True)

    def anatomy(self, images):
        relative = self.relative(images)
        ventricle, ring = relative > 0.75, (relative > 0.25) & (relative <= 0.75)
        return torch.cat([~(ventricle | ring), ventricle, ring, torch.zeros_like(ring)], dim=1).float()

    def soft_anatomy(self, images):
        return self.anatomy(images) * 0.8 + 0.05

    def posterior(self, images):
        self.norm(images)
        brightness = (images.amax(dim=(1, 2, 3)) - 0.6) / 0.2
        noise = torch.sin(1e4 * images.sum(dim=(1, 2, 3)))
        mean = torch.stack([noise, brightness, noise.roll(1)], dim=1)
        return mean, torch.tensor([0.5, 0.25, 0.75]).log().expand_as(mean)

    def encode(self, images):
        return {"modality": self.posterior(images)[0]}

    def decode(self, anatomy, z):
        grey = torch.stack([torch.tensor(each) for each in (0.0, 1.0, 0.5, 0.0)]).view(1, 4, 1, 1)
        return ((0.6 + 0.1 * z[:, 1, None, None, None]) * (anatomy * grey).sum(1, keepdim=True)).clamp(0, 1)

    def segment(self, images):
        return self.anatomy(images)[:, [2, 1]]


class Exact(Oracle):
    """Draws with the brightness that z says."""

    def decode(self, anatomy, z):
        grey = torch.tensor([0.0, 1.0, 0.5, 0.0]).view(1, 4, 1, 1)
        return (0.6 + 0.2 * z[:, 1, None, None, None]) * (anatomy * grey).sum(1, keepdim=True)


class Stubborn(Exact):
    """Ignores z, and says nothing with it."""

    def posterior(self, images):
        mean, logvar = super().posterior(images)
        return mean * torch.tensor([1.0, 0.0, 1.0]), logvar

    def decode(self, anatomy, z):
        return super().decode(anatomy, torch.zeros_like(z))


@pytest.fixture(scope="module")
def splits():
    return {"train": make(6, 0, name="a"), "val": make(2, 1, name="b"), "test": make(4, 2, name="c")}


def alone(data: Data, kind: str = "MR") -> Data:
    """The slices of one modality."""
    rows = [row for row, found in enumerate(data.modality) if found == kind]
    texts = {key: tuple(getattr(data, key)[row] for row in rows) for key in ("subject", "phase", "modality")}
    tensors = ("stored", "masks", "position", "spacing_mm")
    return replace(data, **texts, **{key: getattr(data, key)[rows] for key in tensors})


@pytest.fixture(scope="module")
def one_modality(splits):
    return {name: alone(data) for name, data in splits.items()}


def run(module, method, splits, seed=3, **chosen):
    return module.evaluate(method, splits, module.Params(**chosen), "segmentation", seed)


def test_protocols_leave_the_method_alone_repeat_themselves_and_refuse_unknown_settings(splits):
    for module in (arithmetic, disentanglement, factors, modality, transfer):
        method = Exact()
        before = {key: value.clone() for key, value in method.state_dict().items()}
        torch.manual_seed(1)
        found, arrays = run(module, method, splits)
        drawn = torch.rand(())
        torch.manual_seed(2)
        again, same = run(module, method, splits)
        torch.manual_seed(1)
        assert found == again and arrays.keys() == same.keys() and drawn == torch.rand(())
        assert all(np.array_equal(arrays[key], same[key]) for key in arrays)
        assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
        assert not method.training and module.possible(splits)
        assert all(key.startswith(f"{module.__name__.rpartition('.')[2]}/") for key in found)
        assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())
        with pytest.raises(ValueError, match="grids"):
            module.Params(grids=3)


# Volumes


def test_volumes_are_of_one_subject_modality_and_phase_and_in_order(splits):
    data = splits["test"]
    found = factorised.volumes(data)
    assert len(found) == 4 * 2 * 2 and [volume[:3] for volume in found] == sorted(v[:3] for v in found)
    assert sorted(np.concatenate([volume.rows for volume in found])) == list(range(len(data)))
    for volume in found:
        assert data.position[volume.rows].tolist() == list(range(SLICES))
        assert {data.phase[row] for row in volume.rows} == {volume.phase}
    middle = factorised.middle_slices(data, "MR")
    assert [data.subject[row] for row in middle] == ["c0", "c1", "c2", "c3"]
    assert {(data.phase[row], data.modality[row], int(data.position[row])) for row in middle} == {
        ("ED", "MR", SLICES // 2)
    }
    bare = replace(data, phase=(), modality=(), position=None)
    assert [len(volume.rows) for volume in factorised.volumes(bare)] == [SLICES * 4] * 4


# Modality


def test_modality_is_read_from_what_has_it(splits):
    found, arrays = run(modality, Exact(), splits)
    assert found["modality/z/accuracy"] == found["modality/z1/accuracy"] == 1
    assert found["modality/chance"] == 0.5
    true = np.array(splits["test"].modality)
    assert np.array_equal(arrays["modality/true"], true)
    for name in ("z", "s"):
        accuracy = (arrays[f"modality/{name}/predicted"] == true).mean()
        assert found[f"modality/{name}/accuracy"] == accuracy
        low, high = (found[f"modality/{name}/accuracy_{side}"] for side in ("low", "high"))
        assert low <= accuracy <= high and (low < high or accuracy == 1)
    for name in ("s", "z0", "z2"):
        assert abs(found[f"modality/{name}/accuracy"] - 0.5) < 0.25, name
    kinds = {key.split("/")[1] for key in found}
    assert kinds == {"z", "s", "z0", "z1", "z2", "best", "second", "worst", "chance"}
    ranked = sorted((found[f"modality/z{i}/accuracy"] for i in range(3)), reverse=True)
    assert ranked == [found[f"modality/{name}/accuracy"] for name in ("best", "second", "worst")]

    found, _ = run(modality, Stubborn(), splits)
    assert abs(found["modality/z/accuracy"] - 0.5) < 0.25 and found["modality/z1/accuracy"] == 0.5


def test_chance_is_the_largest_class_and_one_subject_has_no_interval(splits):
    test = splits["test"]
    rows = [row for row, key in enumerate(zip(test.subject, test.modality, strict=True)) if key[0] == "c0"]
    rows = rows[:1] + [row for row in rows[1:] if test.modality[row] != test.modality[rows[0]]]
    texts = {key: tuple(getattr(test, key)[row] for row in rows) for key in ("subject", "phase", "modality")}
    few = replace(
        test, stored=test.stored[rows], masks=test.masks[rows], position=test.position[rows], **texts
    )
    found, _ = run(modality, Exact(), splits | {"test": few})
    assert found["modality/chance"] == pytest.approx(10 / 11) and "modality/z/accuracy_low" not in found


def test_pooled_anatomy_holds_areas(splits):
    images = splits["test"].images
    pooled = factorised.pooled_anatomy(Exact(), images, 4)
    assert pooled.shape == (len(images), 4 * 4 * 4)
    areas = Exact().anatomy(images).mean(dim=(2, 3))
    assert torch.allclose(pooled.view(-1, 4, 16).mean(dim=2), areas, atol=1e-6)


@pytest.mark.parametrize("module", [modality, transfer])
def test_one_modality_is_no_question(module, splits, one_modality):
    assert not module.possible(one_modality)
    with pytest.raises(
        ValueError, match=r"two modalities or more.*, found training with MR and testing with MR"
    ):
        run(module, Exact(), one_modality)
    unseen = splits | {"train": one_modality["train"]}
    assert not module.possible(unseen) and not module.possible(
        splits | {"test": replace(splits["test"], modality=())}
    )
    with pytest.raises(
        ValueError, match="training with MR and testing with CT, MR: use a data set of several"
    ):
        run(module, Exact(), unseen)


def test_embeddings_of_another_name_are_refused(splits):
    method = Exact()
    method.encode = lambda images: {"latent": images.flatten(1)}
    with pytest.raises(ValueError, match="expected an embedding 'modality', found latent"):
        run(modality, method, splits)


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


# Factors


def test_posterior_variances_of_a_known_posterior(splits):
    class Known(Oracle):
        def posterior(self, images):
            mean = torch.stack([images.mean(dim=(1, 2, 3)) * scale for scale in (0, 1, 2, 3)], dim=1)
            spread = torch.stack([0 * mean[:, 0] + each for each in (0.9, 0.6, 0.7, 0.8)], dim=1)
            spread[::2] += 0.1
            spread[1::2] -= 0.1
            return mean, spread.log()

    found, arrays = run(factors, Known(), splits)
    variances = [found[f"factors/variance/z{i}"] for i in range(4)]
    assert variances == pytest.approx([0.9, 0.6, 0.7, 0.8], rel=1e-5)
    table = {name: found[f"factors/variance/{name}"] for name in ("least", "second", "rest")}
    assert table == pytest.approx({"least": 0.6, "second": 0.7, "rest": 0.85}, rel=1e-5)
    expected = [scale**2 * splits["test"].images.mean(dim=(1, 2, 3)).numpy().var() for scale in range(4)]
    assert [found[f"factors/mean_variance/z{i}"] for i in range(4)] == pytest.approx(expected, rel=1e-4)
    assert arrays["factors/variance"] == pytest.approx(variances)

    class Single(Known):
        def posterior(self, images):
            return tuple(each[:, :1] for each in super().posterior(images))

    assert run(factors, Single(), splits)[0].keys() == {
        "factors/variance/z0",
        "factors/mean_variance/z0",
        "factors/variance/least",
    }


# Disentanglement


class Learnt(Exact):
    """Says the size of the ventricle in z; untrained, noise. s is the same."""

    def __init__(self, params=None, shape=SHAPE):
        super().__init__(params, shape)
        self.register_buffer("trained", torch.tensor(0.0))

    def posterior(self, images):
        mean, logvar = super().posterior(images)
        size = 30 * self.anatomy(images)[:, 1].mean(dim=(1, 2))
        return torch.where(self.trained > 0, torch.stack([size, mean[:, 1], size], dim=1), mean), logvar


def test_disentanglement_names_what_leaks_and_what_an_untrained_encoder_knows(splits):
    method = Learnt()
    method.trained.fill_(1)
    found, arrays = run(disentanglement, method, splits)
    assert arrays == {}
    assert (
        found["disentanglement/volume-from-z/r2"] > 0.95 > 0.5 > found["disentanglement/volume-from-z/random"]
    )
    assert found["disentanglement/modality-from-s/chance"] == 0.5
    for key in ("accuracy", "random"):
        assert abs(found[f"disentanglement/modality-from-s/{key}"] - 0.5) < 0.25
    for measure in ("cka", "cka_unbiased", "distance-correlation", "distance-correlation_unbiased"):
        assert found[f"disentanglement/{measure}"] > found[f"disentanglement/{measure}_random"], measure
    assert abs(found["disentanglement/cka_unbiased_random"]) < 0.2
    assert len(found) == 5 + 8


def test_s_that_knows_the_modality_is_told(splits):
    class Leaking(Exact):
        def anatomy(self, images):
            s = super().anatomy(images)
            return torch.cat(
                [s[:, :3], torch.ones_like(s[:, 3:]) * (images.amax(dim=(1, 2, 3), keepdim=True) > 0.6)],
                dim=1,
            )

    found, _ = run(disentanglement, Leaking(), splits)
    assert found["disentanglement/modality-from-s/accuracy"] == 1


def test_parts_that_the_data_cannot_answer_are_left_out(splits, one_modality):
    found, _ = run(disentanglement, Exact(), one_modality)
    assert (
        not [key for key in found if "modality-from-s" in key] and "disentanglement/volume-from-z/r2" in found
    )
    undrawn = {name: replace(data, masks=torch.full_like(data.masks, 255)) for name, data in splits.items()}
    found, _ = run(disentanglement, Exact(), undrawn)
    assert not [key for key in found if "volume" in key] and "disentanglement/modality-from-s/random" in found
    few = replace(splits["test"], stored=splits["test"].stored[:3])
    assert not disentanglement.possible(splits | {"test": few})
    with pytest.raises(ValueError, match="split test: expected 4 images or more, found 3"):
        run(disentanglement, Exact(), splits | {"test": few})


def test_volumes_are_in_millilitres_and_of_what_is_drawn(splits):
    data = splits["test"]
    masks = data.masks.clone()
    first, second = factorised.volumes(data)[:2]
    masks[first.rows[1:], 1] = 255  # one slice is left
    masks[second.rows, 1] = 255  # nothing is
    sizes, groups = disentanglement.ventricles(replace(data, masks=masks))
    assert len(sizes) == len(groups) == 15 and groups[0].tolist() == [first.rows[0]]
    assert sizes[0] == pytest.approx(float(masks[first.rows[0], 1].sum()) * 1.5 * 8 / 1000)
    pixels, _ = disentanglement.ventricles(replace(data, masks=masks, spacing_mm=None))
    assert sizes == pytest.approx(pixels * 12 / 1000) and pixels[0] == masks[first.rows[0], 1].sum()


def test_fresh_encoder_has_other_weights_and_the_statistics_of_the_data(splits):
    method = Exact()
    control = fresh(method, splits["train"], 3)
    images = splits["train"].images
    parts = [part.mean() for part in common.batches(images)]
    assert torch.allclose(control.norm.running_mean[0], torch.stack(parts).mean(), rtol=1e-4)
    assert control.weight != method.weight and control.weight == fresh(method, splits["train"], 3).weight
    assert not control.training and control.norm.momentum == method.norm.momentum
