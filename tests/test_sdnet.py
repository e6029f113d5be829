"""SDNet: layer tables, rounding, FiLM, which update trains what and when, passes, resume; and it learns."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from synthetic_hearts import SHAPE, STRUCTURES, blind_dice, dice, hearts
from torch import nn
from torch.distributions import Normal, kl_divergence

from latent_anatomy.methods import sdnet
from latent_anatomy.networks.film import FilmBlock, FilmDecoder
from latent_anatomy.networks.modality import ModalityEncoder
from latent_anatomy.networks.rounding import harden
from latent_anatomy.networks.segmentation_losses import kl, sampled
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Batch, Shape

TINY = {"width": 2, "depth": 2, "critic_width": 2, "channels": 3, "latent": 2, "pool": 6, "epochs": 1}
NETWORKS = ("anatomy_encoder", "segmentor", "modality_encoder", "decoder", "critic")


def build(seed: int = 0, shape: Shape = SHAPE, **changed) -> sdnet.Method:
    torch.manual_seed(seed)
    return sdnet.Method(sdnet.Params(**TINY | changed), shape)


def batches(count: int = 2) -> dict[str, Batch]:
    data = hearts(4 * count)
    rows = torch.arange(4 * count).split(count)
    names = ("labelled", "unlabelled", "masks", "images")
    return {name: data.batch(each) for name, each in zip(names, rows, strict=True)}


def stepped(method: sdnet.Method, before=lambda name: None, after=lambda name: None) -> dict:
    """One iteration, as the training loop does it; `before` and `after` see each update."""
    optimisers = method.optimisers()

    def update(name: str, loss: torch.Tensor) -> None:
        before(name)
        optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimisers[name].step()
        after(name)

    torch.manual_seed(1)
    return method.train().training_step(batches(), update)


def weights(method: sdnet.Method) -> dict[str, list[torch.Tensor]]:
    children = {name: getattr(method, name) for name in NETWORKS}
    return {name: [each.detach().clone() for each in net.parameters()] for name, net in children.items()}


def run(method: sdnet.Method, scratch, data=None, save_every_seconds: float = 60) -> dict[str, torch.Tensor]:
    data = hearts(6, labelled=2) if data is None else data
    settings = {"settings": TrainingParams(), "save_every_seconds": save_every_seconds}
    train(method, data, hearts(4, seed=1), seed=1, scratch=scratch, **settings)
    return method.state_dict()


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# Networks


def test_parameter_counts_of_the_paper():
    acdc = Shape(1, 224, 224, 0, structures=(*STRUCTURES, "right-ventricle"))
    method, sixteen = sdnet.Method(sdnet.Params(), acdc), FilmDecoder(16, 8, 1)

    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    found = {name: count(getattr(method, name)) for name in NETWORKS}
    assert found == {
        "anatomy_encoder": 34_526_344,
        "modality_encoder": 95_552,
        "segmentor": 42_116,
        "decoder": 6_409,
        "critic": 11_346_881,
    }
    assert count(sixteen) == 24_081
    assert method.pool.masks.shape == (50, 3, 224, 224)


def test_a_half_is_rounded_to_nothing_and_gradients_pass_as_if_it_were_not_rounded():
    soft = torch.tensor([[0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6], [0.4, 0.6]]).view(3, 2, 1, 1).requires_grad_()
    hard = harden(soft, "nearest")
    assert hard.flatten(1).tolist() == [[0, 0], [1, 0], [0, 1]]
    slopes = torch.rand_like(hard)
    (hard * slopes).sum().backward()
    assert torch.equal(soft.grad, slopes)


def test_rounding_makes_exactly_nothing_or_one():
    logits = torch.randn(4, 8, 16, 16)
    soft = logits.softmax(1)
    nearest, argmax = harden(soft, "nearest"), harden(soft, "argmax")
    np.testing.assert_array_equal(nearest.numpy(), np.round(soft.numpy()))
    assert set(nearest.sum(1).unique().tolist()) == {0.0, 1.0}  # where no channel has a half, nothing is left
    assert (argmax.sum(1) == 1).all() and torch.equal(argmax.argmax(1), soft.argmax(1))
    assert (nearest <= argmax).all()
    assert harden(soft, "none") is soft


def test_z_scales_and_shifts_channels_and_comes_in_nowhere_else():
    block, features, z = FilmBlock(3, 2), torch.randn(2, 3, 5, 5), torch.randn(2, 2)
    gamma, beta = block.modulation(z)[..., None, None].split(3, dim=1)
    plain = nn.functional.leaky_relu(block.first(features), 0.3)
    expected = plain + nn.functional.leaky_relu(gamma * block.second(plain) + beta, 0.3)
    torch.testing.assert_close(block(features, z), expected)
    nn.init.zeros_(block.modulation[2].weight)
    block.modulation[2].bias.data = torch.tensor([0.0, 0, 0, 1, 1, 1])  # gamma 0, beta 1
    torch.testing.assert_close(block(features, z), plain + 1)


def test_kl_and_draws_are_those_of_torch_distributions():
    mean, log_variance = torch.randn(3, 4), torch.randn(3, 4)
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum() / 3
    torch.testing.assert_close(kl(mean, log_variance), divergence)
    z = sampled(torch.full((20000,), 2.0), torch.full((20000,), 2 * np.log(3.0)))
    assert (float(z.mean()), float(z.std())) == pytest.approx((2, 3), abs=0.1)


def test_slices_too_small_for_the_modality_encoder_are_refused():
    ModalityEncoder(4, 2, (31, 40))
    with pytest.raises(ValueError, match="31x31 or more, found 30x40"):
        ModalityEncoder(4, 2, (30, 40))


# Updates


EVERYTHING = {"anatomy_encoder", "segmentor", "modality_encoder", "decoder"}
RELEASED = [
    ("supervised", EVERYTHING),
    ("z_regression", {"modality_encoder", "decoder"}),
    ("unsupervised", EVERYTHING),
    ("z_regression", {"modality_encoder", "decoder"}),
    ("critic", {"critic"}),
]
PRINTED = [
    (name, trained | {"anatomy_encoder"} if name == "z_regression" else trained) for name, trained in RELEASED
]


@pytest.mark.parametrize("passes", ["shared", "as_released"])
@pytest.mark.parametrize(("form", "expected"), [("released", RELEASED), ("printed", PRINTED)])
def test_five_updates_in_their_order_train_exactly_their_networks(passes, form, expected):
    method, found, earlier = build(repeated_passes=passes, z_regression=form), [], {}

    def before(name: str) -> None:
        earlier.update(weights(method))

    def after(name: str) -> None:
        now = weights(method)
        moved = {net for net in NETWORKS if not all(map(torch.equal, now[net], earlier[net]))}
        found.append((name, moved))

    stepped(method, before, after)
    assert found == expected


def test_every_part_of_the_networks_is_trained():
    method, after = build(width=4, channels=4), {}
    before = weights(method)
    stepped(method, after=lambda name: after.setdefault(name, weights(method)))
    for update, trained in (("supervised", EVERYTHING), ("critic", {"critic"})):
        for name in trained:
            assert not any(map(torch.equal, before[name], after[update][name])), name


def test_passes_per_iteration_are_those_of_the_table():
    table = {}
    for passes in ("as_released", "shared"):
        method, counts = build(repeated_passes=passes), Counter()

        def note(name, network, given, made, counts=counts):
            counts[name, network.training] += 1

        for name in NETWORKS:
            getattr(method, name).register_forward_hook(partial(note, name))
        stepped(method)
        table[passes] = [(counts[name, True], counts[name, False]) for name in NETWORKS]
    assert table["as_released"] == [(2, 3), (2, 1), (4, 0), (4, 0), (3, 0)]
    assert table["shared"] == [(2, 0), (2, 0), (4, 0), (4, 0), (3, 0)]


def test_repeated_passes_leave_running_statistics_alone():
    found = []
    for passes in ("as_released", "shared"):
        method = build(repeated_passes=passes, learning_rate=1e-12)
        stepped(method)
        found.append({name: value for name, value in method.anatomy_encoder.named_buffers()})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_prior_gives_the_labelled_images_the_same_z_at_every_step(frozen, monkeypatch):
    method, drawn = build(frozen_prior=frozen), []
    distance = method.z_distance
    monkeypatch.setattr(method, "z_distance", lambda anatomy, z: (drawn.append(z), distance(anatomy, z))[1])
    descended(method)  # updates 2 and 4, twice
    assert torch.equal(drawn[0], drawn[2]) == frozen
    assert not torch.equal(drawn[1], drawn[3])


def test_the_loss_is_the_weighted_sum_of_the_paper():
    losses = stepped(build())
    expected = 10 * losses["dice"] + 10 * losses["adversarial"]
    expected = expected + losses["reconstruction"] + losses["unlabelled_reconstruction"]
    expected = expected + 0.01 * (losses["kl"] + losses["unlabelled_kl"])
    torch.testing.assert_close(losses["loss"], expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"repeated_passes": "as_released"},
        {"z_regression": "printed"},
        {"rounding": "argmax"},
        {"rounding": "none"},
        {"adversarial_on_labelled": True},
        {"frozen_prior": True},
        {"spectral_weight": 0},
        {"pool": 0},
        {"doubled_smooth": False},
        {"soft_masks": True},
        {"rotation": 0},
    ],
)
def test_each_choice_changes_what_two_iterations_do(changed, released):
    method = build(**changed)
    assert same(released[0], dict(build().named_parameters()))
    descended(method)
    assert not same(released[1], dict(method.named_parameters()))


@pytest.fixture(scope="module")
def released() -> tuple[dict, dict]:
    """Parameters before and after two iterations with the defaults."""
    method = build()
    before = {name: value.detach().clone() for name, value in method.named_parameters()}
    descended(method)
    return before, dict(method.named_parameters())


def descended(method: sdnet.Method) -> None:
    """Two iterations by plain gradients, whose sizes tell what those of Adam's first steps do not."""
    torch.manual_seed(1)
    for _ in range(2):
        method.train().training_step(batches(), partial(descend, method))


def descend(method: sdnet.Method, name: str, loss: torch.Tensor) -> None:
    method.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad


def test_the_released_settings_are_the_defaults():
    params = sdnet.Params()
    assert (params.channels, params.latent, params.width, params.critic_width, params.pool) == (
        8,
        8,
        64,
        64,
        50,
    )
    assert (params.lambda_dice, params.lambda_adversarial, params.lambda_kl) == (10, 10, 0.01)
    assert (params.lambda_reconstruction, params.lambda_z, params.spectral_weight) == (1, 1, 10)
    assert (params.learning_rate, params.beta1, params.decay, params.batch_size) == (1e-4, 0.5, 1e-4, 4)
    selection = params.selection
    assert (selection.minimum_change, selection.patience, selection.restore) == (1e-2, 100, False)
    for optimiser in build().optimisers().values():
        [group] = optimiser.param_groups
        assert (group["betas"], group["eps"], group["decay"]) == ((0.5, 0.999), 1e-7, 1e-4)


def test_decay_counts_the_updates_of_each_optimiser_or_epochs(tmp_path):
    histories = {}
    for per in ("update", "epoch"):
        method = build(decay=0.5, decay_per=per, epochs=2, learning_rate=1e-3)
        settings = {"settings": TrainingParams(), "scratch": tmp_path / per}
        histories[per] = train(method, hearts(8), hearts(4, seed=1), seed=1, **settings)
    rates = [row["rate/z_regression"] for row in histories["update"]]  # 2 steps of 2 updates an epoch
    assert rates == pytest.approx([1e-3 / (1 + 0.5 * 3), 1e-3 / (1 + 0.5 * 7)])
    assert histories["update"][1]["rate/critic"] == pytest.approx(1e-3 / (1 + 0.5 * 3))
    assert [row["rate/critic"] for row in histories["epoch"]] == pytest.approx([1e-3, 1e-3 / 1.5])


# What it may see


@pytest.mark.parametrize("real_masks", ["labelled", "all"])
def test_masks_of_unlabelled_slices_reach_the_critic_at_most(real_masks, tmp_path):
    data = hearts(8, labelled=2)
    others = data.masks.clone()
    others[~data.labelled] = 1 - others[~data.labelled]
    states = [
        run(build(real_masks=real_masks), tmp_path / str(i), replace(data, masks=masks))
        for i, masks in enumerate((data.masks, others))
    ]
    assert same(*states) == (real_masks == "labelled")


def test_streams_by_default_and_as_released():
    data = hearts(24, subjects=4, labelled=1)
    data.masks[[0, 1]] = 255
    found = build(unlabelled_images=9, repeated_passes="as_released").streams(data)
    assert {name: len(stream.indices) for name, stream in found.items()} == {
        "labelled": 5,
        "unlabelled": 12,  # ceil(9 / 4) of each subject
        "masks": 22,
        "images": 12,
    }
    assert not torch.equal(found["unlabelled"].indices, found["images"].indices)
    assert {stream.batch_size for stream in found.values()} == {4}
    assert set(build().streams(data)) == {"labelled", "unlabelled", "masks"}
    labelled = build(real_masks="labelled").streams(data)
    assert torch.equal(labelled["masks"].indices, labelled["labelled"].indices)


# Bits


def test_same_seed_same_bits_and_batches_of_one_are_no_obstacle(tmp_path):
    data = hearts(9, labelled=2)  # 5 labelled, 9 unlabelled: the last batches have one image
    states = [run(build(), tmp_path / name, data) for name in ("a", "b")]
    assert same(*states)
    assert all(torch.isfinite(value).all() for value in states[0].values())


class Interrupted(Exception):
    pass


def test_a_killed_run_goes_on_with_the_same_fakes_and_ends_with_the_same_bits(tmp_path):
    whole = run(build(epochs=2), tmp_path / "whole")
    stopped, calls = build(epochs=2), []
    step = stopped.training_step

    def failing_step(*arguments):
        calls.append(1)
        if len(calls) > 3:
            raise Interrupted
        return step(*arguments)

    stopped.training_step = failing_step
    with pytest.raises(Interrupted):
        run(stopped, tmp_path / "killed", save_every_seconds=0)
    assert len(calls) == 4  # of 2 epochs of 2 steps; the pool is full and turns over
    assert same(whole, run(build(seed=99, epochs=2), tmp_path / "killed"))


# Capabilities


@pytest.mark.parametrize("shape", [SHAPE, replace(SHAPE, height=64, width=48)])
def test_capabilities_have_the_shapes_and_ranges_of_the_contract(shape):
    method = build(shape=shape).eval()
    images = torch.rand(3, 1, shape.height, shape.width)
    size = (shape.height, shape.width)
    with torch.no_grad():
        masks, anatomy = method.segment(images), method.anatomy(images)
        modality, (mean, log_variance) = method.encode(images)["modality"], method.posterior(images)
        again = method.reconstruct(images)
        assert torch.equal(again, method.reconstruct(images)) and torch.equal(masks, method.segment(images))
        torch.testing.assert_close(again, method.decode(anatomy, modality))
        torch.testing.assert_close(method.soft_anatomy(images).round(), anatomy)
    assert masks.shape == (3, 2, *size) and masks.dtype == torch.float32
    assert (masks >= 0).all() and (masks.sum(1) <= 1 + 1e-6).all()
    assert anatomy.shape == (3, 3, *size) and set(anatomy.unique().tolist()) <= {0.0, 1.0}
    assert modality.shape == mean.shape == log_variance.shape == (3, 2) and torch.equal(modality, mean)
    assert again.shape == images.shape and again.min() >= 0 and again.max() <= 1


def test_gradients_of_the_segmentation_reach_the_anatomy_encoder_through_the_rounding():
    method = build().eval()
    method.segment(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in method.anatomy_encoder.head.parameters())


def test_sdnet_learns_to_beat_the_best_mask_that_ignores_the_image(tmp_path):
    method = build(width=4, channels=4, epochs=8, learning_rate=1e-2, momentum=0.8, rotation=0)
    data, test = hearts(32, labelled=2), hearts(16, seed=5)
    run(method, tmp_path, data)
    blind = blind_dice(data, test)
    with torch.no_grad():
        ours, images = dice(method.eval().segment(test.images), test), test.images
        error = (method.reconstruct(images) - images).abs().mean()
        spread = (data.images.mean(0) - images).abs().mean()
    assert ours > blind
    assert error < spread  # and its images are nearer than the mean image
