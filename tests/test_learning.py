"""Methods learn: on a phantom and within seconds each beats the predictor that has learnt nothing."""

from dataclasses import replace

import pytest
import torch

from latent_anatomy.corruptions.augment import apply, sample
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.jobs.inputs import shape_of, splits_on
from latent_anatomy.methods.registry import load
from latent_anatomy.metrics import classification, image
from latent_anatomy.training.loop import TrainingParams, train

SMALL = {"width": 8, "latent": 64, "batch_size": 16}
CYCLE = {"base": 1e-3, "peak": 4e-3, "ramp_epochs": 1, "full_epochs": 30}


@pytest.fixture
def learn(tmp_path):
    """Train a method on so many images of a phantom; returns it, and the splits."""

    def learn(method: str, dataset: str, images: int, **params):
        phantom = replace(datasets.find(dataset), train=images)
        phantom.generate(tmp_path)
        content = phantom.to_slices(tmp_path)
        splits = splits_on(torch.device("cpu"), content)
        torch.manual_seed(0)
        network = load(method).Method(load(method).Params(**params), shape_of(content))
        train(network, splits["train"], splits["val"], seed=0, settings=TrainingParams(),
              scratch=tmp_path / "scratch")  # fmt: skip
        return network.eval(), splits

    return learn


@pytest.mark.slow
def test_the_autoencoder_reconstructs_better_than_the_mean_image(learn):
    """By more than 1 dB, with this and with another seed."""
    method, splits = learn("autoencoder", "phantom-breastmnist", 256, epochs=30, cycle=CYCLE, **SMALL)
    images, mean = splits["test"].images, splits["train"].images.mean(0, keepdim=True)
    with torch.no_grad():
        ours = image.psnr(method.reconstruct(images), images).mean()
    assert ours > image.psnr(mean.expand_as(images), images).mean()


@pytest.mark.slow
def test_unoranic_takes_strong_corruptions_back(learn):
    """Its anatomy image is nearer to the clean image than the corrupted image is: by about 8 dB."""
    cycle = CYCLE | {"full_epochs": 12}
    method, splits = learn("unoranic", "phantom-bloodmnist", 128, epochs=12, cycle=cycle, **SMALL)
    images = splits["test"].images
    for name in ("InvertImg", "Solarize"):
        torch.manual_seed(1)
        corrupted = apply(name, images, sample(name, images.shape))
        with torch.no_grad():
            restored = image.psnr(method.anatomy(corrupted), images).mean()
        assert restored > image.psnr(corrupted, images).mean() + 3


@pytest.mark.slow
def test_resnet18_recognises_classes_better_than_chance(learn):
    """The area is about 0.98, with this and with another seed."""
    method, splits = learn("resnet18", "phantom-breastmnist", 128, task="disease", epochs=3, batch_size=8)
    test = splits["test"]
    with torch.no_grad():
        scores = method.classify(test.images)
    assert classification.auc(test.labels.numpy(), scores.numpy()) > 0.7
