"""The protocols of factorised methods, on methods of a few lines whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_discs import (
    SHAPE,
    SLICES,
    Exact,
    Oracle,
    Stubborn,
    run,
    slices_of_one_modality,
    subjects_of_three_splits,
)
from synthetic_hearts import hearts
from torch import nn

from latent_anatomy.evaluation import common, factorised
from latent_anatomy.evaluation.protocols import arithmetic, disentanglement, factors, modality, transfer
from latent_anatomy.evaluation.untrained import fresh

splits = pytest.fixture(subjects_of_three_splits, scope="module")
one_modality = pytest.fixture(slices_of_one_modality, scope="module")


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

    of_z = {name for name in run(factors, Single(), splits)[0] if "variance" in name}
    assert of_z == {
        "factors/variance/z0",
        "factors/mean_variance/z0",
        "factors/variance/least",
    }


def test_pixels_in_no_channel_and_channels_that_are_never_used_are_counted():
    class Halves(nn.Module):
        """Channel 0 on the left quarter, 1 on a pixel of a slice, 2 nowhere; the rest is in none."""

        def posterior(self, images):
            return torch.zeros(len(images), 2), torch.zeros(len(images), 2)

        def anatomy(self, images):
            planes = torch.zeros(len(images), 3, *images.shape[2:])
            planes[:, 0, :, :8] = 1
            planes[:, 1, 0, 31] = 1
            return planes

    data = hearts(5)
    found, arrays = run(factors, Halves(), {"test": data})
    area = [0.25, 1 / 1024, 0]
    assert found["factors/no_channel"] == pytest.approx(1 - sum(area))
    assert [found[f"factors/area/c{i}"] for i in range(3)] == pytest.approx(area)
    assert arrays["factors/area"] == pytest.approx(area)
    assert found["factors/empty_channels"] == 2
    strict = factors.evaluate(Halves(), {"test": data}, factors.Params(empty=1e-4), "", 0).metrics
    assert strict["factors/empty_channels"] == 1


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
