"""Latents whose content and style are known, and an encoder that reads them off its images."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from latent_anatomy.training.method import Data, Shape

WIDTH = 12
SHAPE = Shape(channels=1, height=1, width=WIDTH, classes=3)
SETTINGS = ("CT sharp", "CT soft")


class Reader(nn.Module):
    """The image is its own latent."""

    def encode(self, images):
        return {"latent": images.flatten(1)}


class Known(nn.Module):
    """The same of rows whose setting is known, which it does not use."""

    def represent(self, data):
        return data.images.flatten(1)


def mixture(style: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal bases of content (WIDTH - style, WIDTH) and of style (style, WIDTH)."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))[0].T
    return basis[style:], basis[:style]


def three_splits() -> dict[str, Data]:
    """Pairs of 24, 6 and 12 people, whose survival is the shorter the more of their rows are of class 2."""
    sizes = {"train": 24, "val": 6, "test": 12}
    return {split: surviving(paired(size, 8, split=split, noise=0.02)) for split, size in sizes.items()}


def surviving(data: Data) -> Data:
    """With a survival time of each person, a third of them censored, and a covariate that says nothing."""
    whose, label = np.array(data.subject), data.labels.numpy()
    time, event, age = (np.zeros(len(data), np.float32) for _ in range(3))
    for index, person in enumerate(sorted(set(data.subject))):
        own = whose == person
        time[own] = np.round(2000 * np.exp(-3 * (label[own] == 2).mean()) + index)
        event[own], age[own] = index % 3 != 0, 50 + (7 * index) % 11
    known = {"time": torch.from_numpy(time), "event": torch.from_numpy(event.astype(np.uint8))}
    return replace(data, **known, covariates=torch.from_numpy(age)[:, None], covariate_names=("age",))


def paired(
    people: int = 40, each: int = 20, style: int = 2, seed: int = 0, split: str = "train", noise: float = 0.0
) -> Data:
    """Pairs of three contents in two settings, which move them by style alone: rows 2 i and 2 i + 1.

    The first style direction differs always by 1, others as a normal number of each pair. Images are
    latents / 20 + 1/2, so that they are in [0, 1].
    """
    random = np.random.default_rng([seed, *map(ord, split)])
    content_basis, style_basis = (each.numpy() for each in mixture(style))
    count = people * each
    labels = random.integers(0, 3, count)
    centres = 1.5 * np.random.default_rng(5).standard_normal((3, len(content_basis)))
    content = centres[labels] + 0.4 * random.standard_normal((count, len(content_basis)))
    base = 0.3 * random.standard_normal((count, style))
    shift = np.abs(random.standard_normal((count, style))) if style else np.zeros((count, 0))
    shift[:, :1] = 1.0
    rows = []
    for sign in (1.0, -1.0):
        latents = content @ content_basis + (base + sign * shift) @ style_basis
        rows.append(latents + noise * random.standard_normal(latents.shape))
    images = np.stack(rows, axis=1).reshape(2 * count, 1, 1, WIDTH) / 20 + 0.5
    partner = torch.arange(2 * count).view(-1, 2).flip(1).flatten()
    return Data(
        torch.from_numpy(images.clip(0, 1)).float(),
        labels=torch.from_numpy(labels).repeat_interleave(2),
        subject=tuple(f"{split}-{index // (2 * each):03d}" for index in range(2 * count)),
        modality=SETTINGS * count,
        pair=partner,
    )
