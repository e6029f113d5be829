"""SqueezeNet against torchvision's, under both publishers' weights; LPIPS against its definition."""

import given_weights
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.models import squeezenet1_1

from latent_anatomy.networks.lpips import PLACES, Lpips
from latent_anatomy.networks.squeezenet import TORCHVISION, SqueezeNet
from latent_anatomy.training.perceptual import load_lpips, load_squeezenet

IMAGES = torch.rand(2, 3, 44, 51, generator=torch.Generator().manual_seed(1))


def test_squeezenet_is_torchvisions(tmp_path):
    files = given_weights.torchvision(tmp_path)
    theirs = squeezenet1_1(weights=None).eval()
    theirs.load_state_dict(torch.load(next(iter(files.values())), weights_only=True))
    ours = SqueezeNet()
    load_squeezenet(ours, "squeezenet-torchvision", files)
    shift, scale = (
        torch.tensor(each).view(3, 1, 1) for each in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    with torch.no_grad():
        maps, features = ours(IMAGES), (2 * IMAGES - 1 - shift) / scale  # as LPIPS scales them
        for number, layer in enumerate(theirs.features):
            features = layer(features)
            place = {1: 1, **{there: here for here, there in TORCHVISION.items()}}.get(number)
            if place is not None:
                torch.testing.assert_close(maps[place], features, rtol=1e-4, atol=1e-4)
    assert len(maps) == 9


def test_keras_weights_are_of_blue_green_red_less_their_means(tmp_path):
    ours = SqueezeNet()
    load_squeezenet(ours, "squeezenet-keras", given_weights.keras(tmp_path))
    layers = given_weights.layers()

    def convolved(features, name, padding=0, stride=1):
        kernel, bias = (torch.from_numpy(each) for each in layers[name])
        return F.conv2d(features, kernel, bias, padding=padding, stride=stride).relu()

    features = 255 * IMAGES.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    features = convolved(features, "conv1", stride=2)
    with torch.no_grad():
        maps = ours(IMAGES)
    torch.testing.assert_close(maps[1], features, rtol=1e-3, atol=1e-2)
    for place in range(2, 10):
        if place in (2, 4, 6):
            features = F.max_pool2d(features, 3, 2)  # without the last half window
        squeezed = convolved(features, f"{place}.squeeze")
        sides = (
            convolved(squeezed, f"{place}.expand1x1"),
            convolved(squeezed, f"{place}.expand3x3", padding=1),
        )
        features = torch.cat(sides, dim=1)
        torch.testing.assert_close(maps[place], features, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("perceptual", ["random", "squeezenet-torchvision"])
def test_lpips_is_what_zhang_defines(tmp_path, perceptual):
    network, others = Lpips(), IMAGES.flip(0)
    files = given_weights.torchvision(tmp_path) | given_weights.heads(tmp_path)
    load_lpips(network, perceptual, files)
    with torch.no_grad():
        distance, maps, compared = network(IMAGES, others), network.network(IMAGES), network.network(others)
    expected = np.zeros((2, 1, 44, 51), np.float32)
    weights = torch.load(given_weights.heads(tmp_path).popitem()[1], weights_only=True)
    for number, place in enumerate(PLACES):
        one, other = (each[place] / each[place].norm(dim=1, keepdim=True) for each in (maps, compared))
        learnt = (
            weights[f"lin{number}.model.1.weight"]
            if perceptual != "random"
            else torch.ones(1, one.shape[1], 1, 1)
        )
        plane = F.conv2d((one - other) ** 2, learnt)
        expected += F.interpolate(plane, (44, 51), mode="bilinear", align_corners=False).numpy()
    np.testing.assert_allclose(distance.numpy(), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert not network(IMAGES, IMAGES).any()
        torch.testing.assert_close(network(others, IMAGES), distance)
        grey = IMAGES[:, :1]
        assert network(grey, grey.flip(0)).shape == (2, 1, 44, 51)
