"""Methods that are fitted in one go: what their maps mean, and that the training loop takes them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import nn

from latent_anatomy.evaluation.registry import capabilities
from latent_anatomy.methods import chance, healthy_mean, intensity
from latent_anatomy.methods import registry as methods
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Data, Shape, Stack

NAMES = ("chance", "healthy_mean", "intensity")
SHAPE = Shape(channels=1, height=5, width=4, classes=0, positions=13)


def random(*shape: int, seed: int = 8) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def data(volumes: torch.Tensor, first: int = 10) -> Data:
    """Volumes (P, S, C, H, W) as one split, at positions from `first`."""
    patients, slices = volumes.shape[:2]
    position = torch.arange(first, first + slices).repeat(patients)
    subject = tuple(f"p{index // slices}" for index in range(patients * slices))
    return Data(volumes.flatten(0, 1), subject=subject, position=position)


def stack(images: torch.Tensor, first: int = 10, region: torch.Tensor | None = None) -> Stack:
    everything = torch.ones(images[:, 0].shape, dtype=torch.bool)
    where = everything if region is None else region
    return Stack(images, where, torch.arange(first, first + len(images)))


def build(name: str, shape: Shape = SHAPE, **params) -> nn.Module:
    module = methods.load(name)
    return module.Method(module.Method.Params(**params), shape)


def fitted(name: str, volumes: torch.Tensor, shape: Shape = SHAPE, **params) -> nn.Module:
    method = build(name, shape, **params)
    method.fit(data(volumes))
    return method


# All of them


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_are_scores_of_each_pixel(name, channels):
    shape = Shape(channels, 5, 4, 0, 13)
    method = fitted(name, random(4, 3, channels, 5, 4), shape)
    images = random(3, channels, 5, 4, seed=2)
    before = images.clone()
    found = method.anomaly_map(stack(images))
    assert found.shape == (3, 1, 5, 4) and found.dtype == torch.float32
    assert torch.isfinite(found).all() and (found >= 0).all()
    assert torch.equal(images, before)
    assert capabilities(method) == {"anomaly_map"}


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_is_all_that_a_method_needs(name):
    method = fitted(name, random(4, 3, 1, 5, 4))
    weights, again = save(method.state_dict()), build(name)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in method.state_dict().items()
    }
    again.load_state_dict(load(weights))
    images = random(3, 1, 5, 4, seed=2)
    assert torch.equal(method.anomaly_map(stack(images)), again.anomaly_map(stack(images)))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_parameters_are_refused(name):
    with pytest.raises(ValidationError, match="epochs"):
        methods.load(name).Method.Params(epochs=3)


# Intensity


def test_intensity_does_not_depend_on_the_scale_of_the_scan():
    images = random(2, 1, 6, 6, seed=5)
    region = torch.zeros(2, 6, 6, dtype=torch.bool)
    region[:, 1:5, 1:4] = True
    region[0, 1, 1] = False  # an odd number of voxels, so that the median is one of them
    method = build("intensity")
    found = method.anomaly_map(stack(images, region=region))
    assert float(found[:, 0][region].median()) == 1
    assert torch.equal(method.anomaly_map(stack(images * 4, region=region)), found)
    assert torch.equal(found.flatten().argsort(), images.flatten().argsort())


@pytest.mark.parametrize(
    "brain", [torch.zeros(1, 2, 2, dtype=torch.bool), torch.ones(1, 2, 2, dtype=torch.bool)]
)
def test_intensity_of_an_empty_or_black_brain_is_refused(brain):
    with pytest.raises(ValueError, match="median intensity is above 0"):
        build("intensity").anomaly_map(stack(torch.zeros(1, 1, 2, 2), region=brain))


# The mean healthy brain


@pytest.mark.parametrize("channels", [1, 2])
def test_distance_to_the_healthy_brain_is_in_standard_deviations(channels):
    volumes, images = random(7, 3, channels, 5, 4), random(3, channels, 5, 4, seed=9)
    wide = volumes.double().numpy()
    distance = np.abs(images.numpy() - wide.mean(axis=0)) / (wide.std(axis=0, ddof=1) + 0.05)
    found = fitted("healthy_mean", volumes, Shape(channels, 5, 4, 0, 13), floor=0.05)
    np.testing.assert_allclose(
        found.anomaly_map(stack(images))[:, 0], distance.mean(axis=1), rtol=1e-5, atol=1e-6
    )


def test_stored_bytes_count_as_their_intensities():
    stored = (random(6, 3, 1, 5, 4) * 255).to(torch.uint8)
    one, other = fitted("healthy_mean", stored), fitted("healthy_mean", stored / 255)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 8))
def test_neither_order_nor_parts_matter_to_the_mean(order, at_once):
    volumes, images = random(7, 3, 1, 5, 4), random(3, 1, 5, 4, seed=9)
    expected = fitted("healthy_mean", volumes).anomaly_map(stack(images))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healthy_mean, "AT_ONCE", at_once)
        found = fitted("healthy_mean", volumes[list(order)]).anomaly_map(stack(images))
    torch.testing.assert_close(found, expected)


def test_a_slice_is_compared_with_its_own_position_or_with_all():
    volumes, image = random(7, 3, 1, 5, 4), random(1, 1, 5, 4, seed=9)

    def at(method: nn.Module, first: int) -> torch.Tensor:
        return method.anomaly_map(stack(image, first))

    own = fitted("healthy_mean", volumes)
    assert not torch.equal(at(own, 10), at(own, 11))
    alone = fitted("healthy_mean", volumes[:, 1:2], Shape(1, 5, 4, 0, 11))
    torch.testing.assert_close(at(own, 11), at(alone, 10))

    pooled = fitted("healthy_mean", volumes, by_position=False)
    assert torch.equal(at(pooled, 10), at(pooled, 12)) and torch.equal(at(pooled, 0), at(pooled, 12))
    reordered = volumes.flatten(0, 1)[:, None]
    torch.testing.assert_close(at(pooled, 10), at(fitted("healthy_mean", reordered), 10))


def test_a_position_of_which_little_is_known_is_refused():
    method = build("healthy_mean")
    volumes = data(random(2, 2, 1, 5, 4))
    position = torch.tensor([10, 11, 10, 9])  # one slice at 9 and at 11, none at 12
    method.fit(Data(volumes.stored, position=position))
    with pytest.raises(ValueError, match=r"found fewer at \[9, 11, 12\]"):
        method.anomaly_map(stack(torch.zeros(4, 1, 5, 4), 9))
    with pytest.raises(ValueError, match=r"found fewer at \[13, 14\]"):  # beyond those of the training data
        method.anomaly_map(stack(torch.zeros(2, 1, 5, 4), 13))


def test_a_floor_of_nothing_is_refused():
    with pytest.raises(ValidationError, match="floor"):
        healthy_mean.Params(floor=0)


# Chance


def test_chance_is_uniform():
    shape = Shape(1, 100, 100, 0, 13)
    found = fitted("chance", random(1, 1, 1, 5, 4), shape).anomaly_map(stack(random(10, 1, 100, 100)))
    assert found.min() >= 0 and found.max() < 1
    assert np.histogram(found, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), abs=500)
    flat = found.flatten(1)
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.05


def test_chance_depends_neither_on_order_nor_on_the_slices_beside_it():
    method, images = fitted("chance", random(1, 1, 1, 5, 4)), random(4, 1, 5, 4)
    together = method.anomaly_map(stack(images))
    torch.manual_seed(99)
    alone = [method.anomaly_map(stack(images[i : i + 1], 10 + i)) for i in (3, 1, 0, 2)]
    assert torch.equal(torch.cat(alone), together[[3, 1, 0, 2]])
    assert not torch.equal(together, method.anomaly_map(stack(images, 11)))


# In the training loop


def trained(tmp_path, name: str, seed: int = 1):
    method, split = build(name), data(random(4, 3, 1, 5, 4))
    rows = train(method, split, split, seed=seed, settings=TrainingParams(), scratch=tmp_path)
    return method.state_dict(), rows


@pytest.mark.parametrize("name", NAMES)
def test_a_method_is_fitted_once_and_repeats_itself(tmp_path, name):
    one, rows = trained(tmp_path / "one", name)
    torch.manual_seed(5)
    again, _ = trained(tmp_path / "one", name)  # a scratch folder that a killed run left changes nothing
    assert rows == [{"epoch": 1}]
    assert all(torch.equal(value, again[key]) for key, value in one.items())


def test_chance_has_another_map_for_another_seed(tmp_path):
    seeds = [int(trained(tmp_path / str(seed), "chance", seed)[0]["seed"]) for seed in (1, 2)]
    assert seeds[0] != seeds[1]


def test_the_history_of_a_fit_is_what_validate_returns(tmp_path):
    class Validated(intensity.Method):
        def validate(self, data: Data) -> dict[str, torch.Tensor]:
            assert not self.training and not torch.is_grad_enabled()
            return {"slices": torch.tensor(float(len(data)))}

    method, split = Validated(intensity.Method.Params(), SHAPE), data(random(4, 3, 1, 5, 4))
    settings = {"seed": 1, "settings": TrainingParams(), "scratch": tmp_path}
    assert train(method, split, split, **settings) == [{"epoch": 1, "val/slices": 12.0}]
    method.validate = lambda data: {"slices": torch.tensor(float("nan"))}
    with pytest.raises(FloatingPointError, match="val/slices"):
        train(method, split, split, **settings)


def test_a_fit_is_alone_in_its_folder(tmp_path):
    from latent_anatomy.training.state import only_one

    with only_one(tmp_path), pytest.raises(BlockingIOError, match="another run of the same job"):
        trained(tmp_path, "chance")


def test_chance_is_a_draw_and_not_a_constant():
    assert chance.Method(chance.Method.Params(), SHAPE).seed == 0
    assert fitted("chance", random(1, 1, 1, 5, 4)).seed != 0
