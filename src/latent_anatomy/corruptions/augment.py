"""Training corruptions of unORANIC: draw parameters, then apply them, batched, on the device of the images.

Images are float32 (N, C, H, W) on the grid k / 255, k = 0..255, C 1 or 3, in and out; values off the grid are
rounded onto it. Every function that draws takes a generator on the images' device (None: torch's global one);
the same state gives the same bits. On an accelerator nothing waits for the device: every transform runs on
all images and a mask selects. Nothing is differentiated.

    record = sample_augment(images.shape, p=0.25, device=images.device)  # everything random, as tensors
    corrupted = replay(images, record)                                   # now, or again later

Source: Doerrich et al., MICCAI-MLMI 2023, section 3, and the authors' training data loader; the parameters
stand in `latent_anatomy.corruptions.transforms`.
"""

import torch
from torch import Tensor

from latent_anatomy.corruptions.transforms import TRANSFORMS, Draw, Parameters, Shape, where_chosen

NAMES = tuple(TRANSFORMS)
SMALLEST = 5  # pixels: below, a blur of width 7 has no mirrored border

Generator = torch.Generator | None
Device = torch.device | str | None
Record = dict[str, tuple[Tensor, Parameters]]
"""For each corruption by name: which images get it, (N,) bool, and the parameters of all N images."""


def sample(name: str, shape: Shape, generator: Generator = None, device: Device = None) -> Parameters:
    """Draw parameters of corruption `name` for each of shape[0] images of shape (N, C, H, W).

    >>> {key: tuple(values.shape) for key, values in sample("GaussianBlur", (4, 1, 28, 28)).items()}
    {'size': (4,)}
    """
    _check_shape(shape)
    return TRANSFORMS[name][0](tuple(shape), Draw(generator, device))


@torch.no_grad()
def apply(name: str, images: Tensor, parameters: Parameters) -> Tensor:
    """Corrupt every image with the parameters that `sample` drew."""
    return _to_images(TRANSFORMS[name][1](_to_levels(images), **parameters))


def sample_augment(
    shape: Shape, p: float = 0.25, generator: Generator = None, device: Device = None
) -> Record:
    """Draw which images get which corruptions, each independently with probability p, and all parameters."""
    return {
        name: (
            torch.rand(shape[0], generator=generator, device=device) < p,
            sample(name, shape, generator, device),
        )
        for name in NAMES
    }


def sample_one(shape: Shape, generator: Generator = None, device: Device = None) -> tuple[Record, Tensor]:
    """Draw one of the 12 corruptions for about half of the images; also labels (N,) int64, 1 = corrupted.

    >>> record, labels = sample_one((6, 3, 28, 28), torch.Generator().manual_seed(0))
    >>> torch.equal(sum(chosen.long() for chosen, _ in record.values()), labels)
    True
    """
    corrupted = torch.rand(shape[0], generator=generator, device=device) < 0.5
    which = torch.randint(len(NAMES), (shape[0],), generator=generator, device=device)
    record = {
        name: (corrupted & (which == i), sample(name, shape, generator, device))
        for i, name in enumerate(NAMES)
    }
    return record, corrupted.long()


@torch.no_grad()
def replay(images: Tensor, record: Record) -> Tensor:
    """Apply the recorded corruptions one after the other, in the order of the record.

    >>> images = torch.full((2, 1, 28, 28), 0.2)
    >>> record = sample_augment(images.shape, p=0.5, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(replay(images, record), replay(images, record))
    True
    """
    levels = _to_levels(images)
    for name, (chosen, parameters) in record.items():
        levels = where_chosen(TRANSFORMS[name][1], levels, chosen, parameters)
    return _to_images(levels)


def augment(images: Tensor, p: float = 0.25, generator: Generator = None) -> Tensor:
    """The training augmentation: 12 corruptions in a row, each with probability p per image."""
    return replay(images, sample_augment(images.shape, p, generator, images.device))


def corrupt_one(images: Tensor, generator: Generator = None) -> tuple[Tensor, Tensor]:
    """The corruption-detection task: (images, labels), half of the images with one corruption and label 1."""
    record, labels = sample_one(images.shape, generator, images.device)
    return replay(images, record), labels


def _check_shape(shape: Shape) -> None:
    if len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < SMALLEST:
        raise ValueError(
            f"expected images (N, 1 or 3, H, W) with H and W at least {SMALLEST}, found {tuple(shape)}"
        )


def _to_levels(images: Tensor) -> Tensor:
    _check_shape(images.shape)
    if images.dtype != torch.float32:
        raise ValueError(
            f"expected float32 images in [0, 1], found {images.dtype}; divide uint8 images by 255"
        )
    return (images * 255).round()


def _to_images(levels: Tensor) -> Tensor:
    return levels / 255
