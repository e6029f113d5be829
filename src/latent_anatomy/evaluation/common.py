"""What several protocols share: settings, batched inference, frozen corruptions, pictures."""

from collections.abc import Callable
from hashlib import sha256
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from latent_anatomy.corruptions.augment import corrupt_one
from latent_anatomy.metrics import classification
from latent_anatomy.training.method import Data
from latent_anatomy.training.seeds import derived_seed

BATCH = 512  # images of 28 x 28 per forward pass, or of other sizes with as many pixels (6 of 256 x 256)
EXAMPLES = 8  # images per figure
_REDRAWN: WeakKeyDictionary[torch.nn.Module, dict[str, Tensor]] = WeakKeyDictionary()
FROZEN_SEED = 1333  # of everything that is corrupted for a test; the seed in unORANIC's configuration


class Settings(BaseModel):
    """Settings of a protocol. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def generator(*parts: int | str) -> torch.Generator:
    """A generator on the CPU, so that what it draws does not depend on the device."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def batches(images: Tensor) -> tuple[Tensor, ...]:
    """Images (N, C, H, W) in parts that fit into memory; how large they are does not change results."""
    pixels = images.shape[-2] * images.shape[-1]
    return images.split(max(1, BATCH * 28 * 28 // pixels))


@torch.no_grad()
def infer(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`function` of images (N, C, H, W), in batches: (N, ...) float32."""
    return torch.cat([function(part).float() for part in batches(images)])


def redraw(method: torch.nn.Module, images: Tensor) -> Tensor:
    """What a trained method makes of images (N, C, H, W) as `reconstruct` has it, float32 like them.

    Asked once for the same images, since several protocols ask and some methods take seconds for each: an
    image's reconstruction depends on the method and on the image alone. A protocol that goes on training
    does so with a copy, which is another method here.
    """
    known = _REDRAWN.setdefault(method, {})
    name = sha256(images.cpu().numpy().tobytes()).hexdigest()
    if name not in known:
        known[name] = infer(method.reconstruct, images)
    return known[name].clone()


@torch.no_grad()
def embed(method: torch.nn.Module, images: Tensor) -> dict[str, Tensor]:
    """All embeddings of images (N, C, H, W), in batches: name -> (N, d) float32."""
    parts = [method.encode(part) for part in batches(images)]
    return {name: torch.cat([part[name].float() for part in parts]) for name in parts[0]}


def frozen_corruption(split: str, data: Data) -> tuple[Tensor, Tensor]:
    """The corrupted version of a split that every method and every seed is evaluated on.

    unORANIC's section 3.4 draws test images anew for every method; here they are drawn once. Returns
    images (N, C, H, W) float32, half of them with one of the 12 corruptions, and labels (N,) int64,
    1 for corrupted, on the data's device.
    """
    images, labels = corrupt_one(data.images.cpu(), generator(FROZEN_SEED, "corrupt_one", split))
    return images.to(data.device), labels.to(data.device)


def score(name: str, labels: Tensor, scores: Tensor) -> dict[str, float]:
    """AUC and ACC of class scores (N, classes), as "<name>/auc" and "<name>/acc"."""
    labels, scores = labels.cpu().numpy(), scores.cpu().numpy()
    return {
        f"{name}/auc": classification.auc(labels, scores),
        f"{name}/acc": classification.acc(labels, scores),
    }


def examples(images: Tensor) -> Tensor:
    """Up to 8 images, evenly spaced over the test set."""
    return images[torch.from_numpy(spaced(len(images))).to(images.device)]


def spaced(count: int, chosen: int | None = EXAMPLES) -> NDArray[np.int64]:
    """Indices of up to `chosen` of `count` things, evenly spaced from the first to the last; none: all."""
    return torch.linspace(0, count - 1, min(chosen or count, count)).long().numpy()


def pictures(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, C, H, W) float, clamped to [0, 1], as uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
