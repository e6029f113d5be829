"""LPIPS of reconstructions: of the healthy test images alone, under the name of the network that saw them."""

from dataclasses import replace

import given_weights
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_evaluation_anomalies import Flat, OneByOne, splits

from latent_anatomy.evaluation import registry
from latent_anatomy.evaluation.common import redraw
from latent_anatomy.evaluation.protocols import lpips
from latent_anatomy.networks.lpips import Lpips
from latent_anatomy.training import perceptual
from latent_anatomy.training.perceptual import load_lpips


class Copy(Flat):
    """Redraws what it is shown."""

    def reconstruct(self, images):
        return images.clone()


@pytest.fixture(scope="module")
def data():
    """The heads of the test of anomalies, large enough for SqueezeNet."""
    return {name: replace(each, stored=F.interpolate(each.stored, 48)) for name, each in splits().items()}


def ask(method, data, files=None, **settings):
    return lpips.evaluate(method, data, lpips.Params(**settings), "", 0, files or {})


def test_healthy_test_images_alone_are_compared_with_what_was_made_of_them(data):
    results = ask(Flat(), data, perceptual="random")
    test, network = data["test"], Lpips()
    with torch.no_grad():
        alone = [
            network(image[None], Flat().reconstruct(image[None])).mean().item() for image in test.images[:11]
        ]
    np.testing.assert_allclose(results.arrays["lpips/random"], alone, rtol=1e-4)
    assert results.metrics == {"lpips/random/healthy": pytest.approx(np.mean(alone), rel=1e-4)}
    assert results.arrays["lpips/subject"].tolist() == list(test.subject[:11])
    assert results.metrics["lpips/random/healthy"] > 0


def test_a_copy_is_alike_and_values_outside_of_the_range_are_clamped(data):
    assert ask(Copy(), data, perceptual="random").metrics["lpips/random/healthy"] == 0
    white = {**data, "test": replace(data["test"], stored=torch.ones_like(data["test"].stored))}

    class Beyond(Flat):
        def reconstruct(self, images):
            return images + 1

    assert ask(Beyond(), white, perceptual="random").metrics["lpips/random/healthy"] == 0


@pytest.mark.parametrize("name", ["squeezenet-keras", "squeezenet-torchvision"])
def test_weights_of_others_are_those_of_the_settings_and_their_name_is_the_metrics(tmp_path, data, name):
    files = (
        given_weights.keras(tmp_path) | given_weights.torchvision(tmp_path) | given_weights.heads(tmp_path)
    )
    declared = registry.weights("lpips", {"perceptual": name})
    needed = [file for given in declared for file in given.checksums]
    assert declared == perceptual.of_lpips(name) and set(needed) <= set(files)
    results = ask(Flat(), data, {each: files[each] for each in needed}, perceptual=name)
    network = Lpips()
    load_lpips(network, name, files)
    image = data["test"].images[:1]
    with torch.no_grad():
        expected = network(image, Flat().reconstruct(image)).mean().item()
    assert results.arrays[f"lpips/{name}"][0] == pytest.approx(expected, rel=1e-4)
    assert set(lpips.paired(results.arrays)) == set(results.metrics) == {f"lpips/{name}/healthy"}
    with pytest.raises(KeyError, match="squeezenet"):
        ask(Flat(), data, perceptual=name)


def test_random_needs_no_file_and_two_protocols_are_given_any():
    assert registry.weights("lpips", {"perceptual": "random"}) == ()
    assert [name for name in registry.names() if registry.takes_weights(name)] == ["formulas", "lpips"]
    assert registry.weights("anomalies", {}) == ()


def test_where_nothing_can_be_asked(data):
    assert lpips.possible(data) and not lpips.possible(splits()), "SqueezeNet sees nothing in 24 x 24"
    ill = replace(data["test"], labels=torch.ones(20, dtype=torch.int64))
    assert not lpips.possible({**data, "test": ill})
    assert registry.applies("lpips", Flat()) and not registry.applies("lpips", OneByOne())


def test_a_method_redraws_the_same_images_once_and_others_again():
    class Counting(Flat):
        asked = 0

        def reconstruct(self, images):
            self.asked += len(images)
            return super().reconstruct(images)

    method, images = Counting(), splits()["test"].images
    first = redraw(method, images)
    first.zero_()  # what one protocol does to its own is nobody else's
    assert torch.equal(redraw(method, images.clone()), Flat().reconstruct(images)) and method.asked == 20
    redraw(method, images[:3])
    redraw(Counting(), images)
    assert method.asked == 23
