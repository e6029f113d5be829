"""Discs in rings under two modalities, and factorised methods of a few lines whose answers are known."""

from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import nn

from latent_anatomy.training.method import Data, Shape

SIZE = 16
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=0, structures=("myocardium", "left-ventricle"))
BRIGHT = {"MR": 0.8, "CT": 0.4}  # of the ventricle; the ring around it is half as bright
SLICES = 5


def make(subjects: int, seed: int, modalities: tuple[str, ...] = ("MR", "CT"), name: str = "p") -> Data:
    """A bright disc in a ring, of other size and place in each slice, in all modalities at ED and ES."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    columns = {"images": [], "masks": [], "subject": [], "position": [], "phase": [], "modality": []}
    for subject in range(subjects):
        largest = random.uniform(2, 5)
        for phase, kind, position in product(("ED", "ES"), modalities, range(SLICES)):
            radius = 0.8 + largest * (1 - position / SLICES) * (1 if phase == "ED" else 0.6)
            away = np.hypot(*(axis - random.uniform(6, 9) for axis in (y, x)))
            ventricle, myocardium = away < radius, (away >= radius) & (away < radius + 2)
            image = BRIGHT[kind] * (ventricle + myocardium / 2) + random.uniform(0, 0.02, (SIZE, SIZE))
            columns["images"].append(image[None])
            columns["masks"].append(np.stack([myocardium, ventricle]))
            for key, value in (("subject", f"{name}{subject}"), ("position", position), ("phase", phase)):
                columns[key].append(value)
            columns["modality"].append(kind)
    count = len(columns["images"])
    order = random.permutation(count)  # rows of a file need not be in the order of volumes
    texts = {key: tuple(columns[key][row] for row in order) for key in ("subject", "phase", "modality")}
    return Data(
        torch.tensor(np.stack(columns["images"])[order], dtype=torch.float32),
        masks=torch.tensor(np.stack(columns["masks"])[order], dtype=torch.uint8),
        mask_names=SHAPE.structures,
        position=torch.tensor(columns["position"])[order],
        spacing_mm=torch.tensor([[1.5, 1.0, 8.0]]).expand(count, 3),
        **texts,
    )


class Oracle(nn.Module):
    """s: rest, ventricle, ring, nothing. z: noise, brightness of the ventricle in standard units, noise."""

    channels = ("rest", "ventricle", "myocardium", "nothing")

    def __init__(self, params=None, shape=SHAPE):
        super().__init__()
        self.params, self.shape = params, shape
        self.norm = nn.BatchNorm2d(1, affine=False)
        self.weight = nn.Parameter(torch.rand(()))

    def relative(self, images):
        return images / images.amax(dim=(1, 2, 3), keepdim=True)

    def anatomy(self, images):
        relative = self.relative(images)
        ventricle, ring = relative > 0.75, (relative > 0.25) & (relative <= 0.75)
        return torch.cat([~(ventricle | ring), ventricle, ring, torch.zeros_like(ring)], dim=1).float()

    def soft_anatomy(self, images):
        return self.anatomy(images) * 0.8 + 0.05

    def posterior(self, images):
        self.norm(images)
        brightness = (images.amax(dim=(1, 2, 3)) - 0.6) / 0.2
        noise = torch.sin(1e4 * images.sum(dim=(1, 2, 3)))
        mean = torch.stack([noise, brightness, noise.roll(1)], dim=1)
        return mean, torch.tensor([0.5, 0.25, 0.75]).log().expand_as(mean)

    def encode(self, images):
        return {"modality": self.posterior(images)[0]}

    def decode(self, anatomy, z):
        grey = torch.stack([torch.tensor(each) for each in (0.0, 1.0, 0.5, 0.0)]).view(1, 4, 1, 1)
        return ((0.6 + 0.1 * z[:, 1, None, None, None]) * (anatomy * grey).sum(1, keepdim=True)).clamp(0, 1)

    def segment(self, images):
        return self.anatomy(images)[:, [2, 1]]


class Exact(Oracle):
    """Draws with the brightness that z says."""

    def decode(self, anatomy, z):
        grey = torch.tensor([0.0, 1.0, 0.5, 0.0]).view(1, 4, 1, 1)
        return (0.6 + 0.2 * z[:, 1, None, None, None]) * (anatomy * grey).sum(1, keepdim=True)


class Stubborn(Exact):
    """Ignores z, and says nothing with it."""

    def posterior(self, images):
        mean, logvar = super().posterior(images)
        return mean * torch.tensor([1.0, 0.0, 1.0]), logvar

    def decode(self, anatomy, z):
        return super().decode(anatomy, torch.zeros_like(z))


def subjects_of_three_splits() -> dict[str, Data]:
    """Six subjects to train on, two to validate, four to test."""
    return {"train": make(6, 0, name="a"), "val": make(2, 1, name="b"), "test": make(4, 2, name="c")}


def alone(data: Data, kind: str = "MR") -> Data:
    """The slices of one modality."""
    rows = [row for row, found in enumerate(data.modality) if found == kind]
    texts = {key: tuple(getattr(data, key)[row] for row in rows) for key in ("subject", "phase", "modality")}
    tensors = ("stored", "masks", "position", "spacing_mm")
    return replace(data, **texts, **{key: getattr(data, key)[rows] for key in tensors})


def slices_of_one_modality(splits: dict[str, Data]) -> dict[str, Data]:
    """The same subjects, without their other modality."""
    return {name: alone(data) for name, data in splits.items()}


def run(module, method, splits, seed=3, **chosen):
    return module.evaluate(method, splits, module.Params(**chosen), "segmentation", seed)[:2]
