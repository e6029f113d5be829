"""A segmentation data set small enough for unit tests: a ring around a disc, somewhere in a noisy square.

And the methods that learn from it, as small.
"""

from pathlib import Path

import torch
from torch import nn

from latent_anatomy.methods import registry as methods
from latent_anatomy.metrics import dice as overlap
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Batch, Data, Shape

STRUCTURES = ("myocardium", "left-ventricle")
SIZE = 32
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=0, structures=STRUCTURES)
ADVERSARIAL = {"width": 2, "depth": 2, "critic_width": 2, "pool": 6, "epochs": 1}
TINY = {
    "unet": {"width": 2, "depth": 2, "epochs": 2},
    "self_train": {"width": 2, "depth": 1, "epochs": 3, "learning_rate": 1e-2, "momentum": 0.8},
    "mask_gan": ADVERSARIAL,
    "sdnet": ADVERSARIAL | {"channels": 3, "latent": 2},
    "spatial_factorisation": ADVERSARIAL | {"latent": 3},
    "unet_strong": {"width": 2, "depth": 2, "epochs": 2},
}


def hearts(count: int, seed: int = 0, subjects: int = 4, labelled: int | None = None) -> Data:
    """`count` slices of `subjects` in turn; masks of the first `labelled` may be used (None: all)."""
    generator = torch.Generator().manual_seed(seed)
    centre = 11 + 10 * torch.rand(count, 2, 1, 1, generator=generator)
    radius = 5 + 3 * torch.rand(count, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    distance = torch.hypot(rows - centre[:, 0], columns - centre[:, 1])
    inside, ring = distance < 0.55 * radius, (distance < radius) & (distance >= 0.55 * radius)
    noise = 0.08 * torch.randn(count, SIZE, SIZE, generator=generator)
    images = (0.15 + 0.35 * ring + 0.7 * inside + noise).clamp(0, 1)
    subject = tuple(f"subject-{row % subjects}" for row in range(count))
    allowed = torch.tensor([row % subjects < labelled for row in range(count)]) if labelled else None
    return Data(
        (255 * images).to(torch.uint8)[:, None],
        masks=torch.stack([ring, inside], dim=1).to(torch.uint8),
        mask_names=STRUCTURES,
        subject=subject,
        labelled=allowed,
    )


def dice(predicted: torch.Tensor, data: Data) -> float:
    """Soft Dice of masks (N, L, H, W) with those of the data, structures pooled, mean over slices."""
    return float(overlap.dice(overlap.counts(predicted, data.masks).sum(1), 0.1).mean())


def blind_dice(train: Data, test: Data) -> float:
    """The best that one mask for all test slices reaches: where the training masks are often."""
    mean = train.masks.float().mean(0, keepdim=True)
    return max(dice(mean.gt(at).float().expand(len(test), -1, -1, -1), test) for at in (0.1, 0.2, 0.3, 0.4))


def build(name: str, seed: int = 0, shape: Shape = SHAPE, **changed) -> nn.Module:
    """The method `name` with few weights, which the seed decides; `changed` goes before TINY's parameters."""
    module = methods.load(name)
    torch.manual_seed(seed)
    return module.Method(module.Params(**TINY[name] | changed), shape)


def trained(
    method: nn.Module, scratch: Path, data: Data | None = None, save_every_seconds: float = 0
) -> list[dict[str, float]]:
    """The history of a training, by default on a few slices and saved after each step."""
    data = hearts(6, labelled=2) if data is None else data
    settings = {"settings": TrainingParams(), "save_every_seconds": save_every_seconds}
    return train(method, data, hearts(4, seed=1), seed=1, scratch=scratch, **settings)


def batches(*streams: str, count: int = 2) -> dict[str, Batch]:
    """A batch of `count` other slices for each stream."""
    rows = torch.arange(len(streams) * count).split(count)
    data = hearts(len(streams) * count)
    return {name: data.batch(each) for name, each in zip(streams, rows, strict=True)}
