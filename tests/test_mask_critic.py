"""The critic of masks: layer table, Keras' padding, spectral penalty, pool; and the GAN that it makes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic_hearts import build, hearts, trained

from latent_anatomy.networks.mask_critic import FakePool, MaskCritic, SameConv2d, spectral_norm
from latent_anatomy.networks.segmentation_losses import least_squares


def critic(seed: int = 0, planes: int = 2, size: tuple[int, int] = (32, 32), width: int = 2) -> MaskCritic:
    torch.manual_seed(seed)
    return MaskCritic(planes, size, width)


def test_the_critic_of_the_paper_has_11_346_881_parameters():
    network = MaskCritic(3, (224, 224))
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_346_881
    assert network.verdict.in_features == 14 * 14 * 1024


@pytest.mark.parametrize("size", [(32, 32), (48, 80), (33, 18)])
def test_any_size_of_mask_is_judged(size):
    assert critic(size=size)(torch.rand(3, 2, *size)).shape == (3, 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 8), (6, 5)])
def test_padding_is_keras_same_with_the_odd_pixel_at_the_bottom_right(stride, size):
    layer = SameConv2d(1, 1, 4, stride=stride)
    image = np.random.default_rng(0).random(size).astype(np.float32)
    kernel = layer.weight[0, 0].detach().numpy()
    outputs = [-(-side // stride) for side in size]
    before = [max((out - 1) * stride + 4 - side, 0) // 2 for out, side in zip(outputs, size, strict=True)]
    padded = np.zeros((20, 20), np.float32)
    padded[before[0] : before[0] + size[0], before[1] : before[1] + size[1]] = image
    expected = [
        [(padded[i * stride :, j * stride :][:4, :4] * kernel).sum() for j in range(outputs[1])]
        for i in range(outputs[0])
    ]
    found = layer(torch.from_numpy(image)[None, None])[0, 0] - layer.bias
    np.testing.assert_allclose(found.detach().numpy(), np.array(expected), atol=1e-5)


def test_verdicts_are_the_layer_table_computed_step_by_step():
    network, features = critic(), torch.rand(2, 2, 32, 32)
    expected = features
    for layer, stride in zip([layer for layer in network.features[::2]], (2, 2, 2, 2, 1), strict=True):
        sides = (1, 1, 1, 1) if stride == 2 else (1, 2, 1, 2)  # left, right, top, bottom
        expected = F.leaky_relu(F.conv2d(F.pad(expected, sides), layer.weight, layer.bias, stride), 0.2)
    torch.testing.assert_close(network(features), network.verdict(expected.flatten(1)))


def test_the_spectral_penalty_is_that_of_the_singular_values():
    network = critic()
    expected = 0.0
    for layer in network.features[2::2]:  # the first convolution has none
        weight = layer.weight.detach().double().numpy()
        matrix = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
        sigma = np.linalg.svd(matrix, compute_uv=False)[0]
        expected += np.abs(matrix / sigma - matrix).mean()
    assert float(network.spectral_penalty(iterations=500).detach()) == pytest.approx(expected, rel=1e-4)


def test_three_power_iterations_start_from_the_same_vector_at_every_step():
    network = critic()
    assert torch.equal(network.spectral_penalty(), network.spectral_penalty())
    matrix, start = torch.randn(6, 40, dtype=torch.float64), torch.rand(6, dtype=torch.float64) * 2 - 1
    left = start.numpy()
    for _ in range(3):
        right = matrix.numpy().T @ left
        right /= np.linalg.norm(right)
        left = matrix.numpy() @ right
        left /= np.linalg.norm(left)
    assert float(spectral_norm(matrix, start, 3)) == pytest.approx(left @ matrix.numpy() @ right)
    assert float(spectral_norm(matrix, start, 3)) < float(torch.linalg.matrix_norm(matrix, 2))


def test_the_penalty_pulls_towards_a_spectral_norm_of_one_without_a_gradient_through_sigma():
    network = critic()
    network.spectral_penalty(iterations=50).backward()
    assert network.features[0].weight.grad is None and network.verdict.weight.grad is None
    for layer in network.penalised():
        weight, sigma = layer.weight, torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        expected = torch.sign(weight - weight / sigma) / weight.numel()
        torch.testing.assert_close(weight.grad, expected.detach())


def test_least_squares_without_halves():
    verdicts = torch.tensor([[0.5], [-1.0]])
    assert float(least_squares(verdicts, real=True)) == pytest.approx((0.25 + 4) / 2)
    assert float(least_squares(verdicts, real=False)) == pytest.approx((0.25 + 1) / 2)


def marked(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def test_the_pool_keeps_the_last_fakes_and_gives_different_ones_of_them():
    pool, seen = FakePool(5, 1, (1, 1)), set()
    torch.manual_seed(0)
    assert sorted(pool.exchange(marked(1, 2)).flatten().tolist()) == [1, 2]  # none of the empty places
    for step in range(2, 60):
        newest = 2 * step
        given = pool.exchange(marked(newest - 1, newest)).flatten().tolist()
        last = range(max(1, newest - 4), newest + 1)
        assert len(set(given)) == 2 and set(given) <= set(map(float, last))
        seen |= {newest - value for value in given}
    assert seen == {0, 1, 2, 3, 4}
    assert pool.masks.flatten().tolist() == [114, 115, 116, 117, 118]


def test_without_a_pool_the_fakes_are_the_batch():
    fakes = torch.rand(3, 2, 4, 4, requires_grad=True)
    found = FakePool(0, 2, (4, 4)).exchange(fakes)
    assert torch.equal(found, fakes) and not found.requires_grad


@pytest.mark.parametrize("passes", ["shared", "as_released"])
def test_the_gan_fills_its_pool_and_has_a_stream_of_images_where_passes_repeat(passes, tmp_path):
    method, data = build("mask_gan", repeated_passes=passes), hearts(9, labelled=1)
    [row] = trained(method, tmp_path, data)  # 3 labelled slices; the last unlabelled batch has one
    assert set(method.optimisers()) == {"supervised", "unsupervised", "critic"}
    assert all(np.isfinite(value) for value in row.values())
    assert ("images" in method.streams(data)) == (passes == "as_released")
    assert float(method.pool.count) == 6
