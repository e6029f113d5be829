"""A segmentation data set small enough for unit tests: a ring around a disc, somewhere in a noisy square."""

import torch

from latent_anatomy.metrics import dice as overlap
from latent_anatomy.training.method import Data, Shape

STRUCTURES = ("myocardium", "left-ventricle")
SIZE = 32
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=0, structures=STRUCTURES)


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
