"""SDNet's own: layer tables, rounding, FiLM, passes, losses, choices, decay, streams."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import synthetic_hearts
import torch
from synthetic_hearts import STRUCTURES, batches, hearts
from torch import nn
from torch.distributions import Normal, kl_divergence
from training_runs import same, stepped

from latent_anatomy.methods import sdnet
from latent_anatomy.networks.film import FilmBlock, FilmDecoder
from latent_anatomy.networks.modality import ModalityEncoder
from latent_anatomy.networks.rounding import harden
from latent_anatomy.networks.segmentation_losses import kl, sampled
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Shape

build, STREAMS = partial(synthetic_hearts.build, "sdnet"), ("labelled", "unlabelled", "masks", "images")
NETWORKS = ("anatomy_encoder", "segmentor", "modality_encoder", "decoder", "critic")


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


def test_passes_per_iteration_are_those_of_the_table():
    table = {}
    for passes in ("as_released", "shared"):
        method, counts = build(repeated_passes=passes), Counter()

        def note(name, network, given, made, counts=counts):
            counts[name, network.training] += 1

        for name in NETWORKS:
            getattr(method, name).register_forward_hook(partial(note, name))
        stepped(method, batches(*STREAMS))
        table[passes] = [(counts[name, True], counts[name, False]) for name in NETWORKS]
    assert table["as_released"] == [(2, 3), (2, 1), (4, 0), (4, 0), (3, 0)]
    assert table["shared"] == [(2, 0), (2, 0), (4, 0), (4, 0), (3, 0)]


def test_repeated_passes_leave_running_statistics_alone():
    found = []
    for passes in ("as_released", "shared"):
        method = build(repeated_passes=passes, learning_rate=1e-12)
        stepped(method, batches(*STREAMS))
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
    losses = stepped(build(), batches(*STREAMS))
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
        method.train().training_step(batches(*STREAMS), partial(descend, method))


def descend(method: sdnet.Method, name: str, loss: torch.Tensor) -> None:
    method.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad


def test_every_optimiser_has_the_released_settings():
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
