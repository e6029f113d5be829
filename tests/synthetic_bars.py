"""Bright bars whose place is their class, and methods of a few lines whose results are known."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from latent_anatomy.training.method import Data

BINARY = "binary-class"


def make(count: int, seed: int, classes: int = 2) -> Data:
    """Grey images whose class shows as a bright bar, on a smooth random background."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=generator) % classes
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    images = 0.4 * F.interpolate(coarse, size=(28, 28), mode="bilinear")
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, :, 4 + 6 * label : 8 + 6 * label] += 0.4
    subject = tuple(f"subject-{image}" for image in range(count))
    return Data((images * 255).round().to(torch.uint8), labels, subject=subject)


class Pixels(nn.Module):
    """Two embeddings through one batch normalisation: columns ("anatomy"), and noise of the image's own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(28)
        self.unused = nn.Linear(2, 2)

    def encode(self, images):
        noise = torch.sin(1e4 * images.sum(dim=(1, 2, 3)))[:, None] / torch.arange(1, 9)
        return {"anatomy": self.norm(images.mean(dim=(1, 2))), "characteristics": noise}

    def reconstruct(self, images):
        return images

    def anatomy(self, images):
        return torch.full_like(images, 0.25)


class Classifier(nn.Module):
    """Scores of three columns, from the mean intensity."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def classify(self, images):
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([1 - mean, mean, mean**2], dim=1).softmax(dim=1)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def three_splits() -> dict[str, Data]:
    """97 images to train on, 40 to validate, 60 to test."""
    return {"train": make(97, 0), "val": make(40, 1), "test": make(60, 2)}
