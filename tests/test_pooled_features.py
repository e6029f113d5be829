"""Pooled early features: they see texture that keeps the mean, and need an encoder in layers."""

import pytest
import torch
from synthetic_latents import SHAPE, Reader

from latent_anatomy.methods import autoencoder, pooled_features
from latent_anatomy.training.method import Shape, frozen

GREY = Shape(channels=1, height=28, width=28, classes=0)


def test_it_is_the_mean_and_the_log_deviation_of_the_layers_asked_for():
    torch.manual_seed(0)
    base = frozen(autoencoder.Method(autoencoder.Params(width=4, latent=8), GREY))
    images = torch.rand(5, 1, 28, 28)
    method = pooled_features.Method(pooled_features.Params(layers=2), GREY, on=base)
    features = base.encoder[1](base.encoder[0](images))
    latent = method.encode(images)["latent"]
    assert latent.shape == (5, 8)
    torch.testing.assert_close(latent[:, :4], features.flatten(2).mean(2))
    deviation = features.flatten(2).var(2, correction=0).sqrt()
    torch.testing.assert_close(latent[:, 4:], (deviation + 1e-3).log(), atol=1e-4, rtol=1e-4)


def test_an_encoder_without_layers_is_refused_in_one_line():
    with pytest.raises(ValueError, match="pooled_features: expected an encoder in layers, found none"):
        pooled_features.Method(pooled_features.Params(), SHAPE, on=Reader())
