"""Drawn heads without and with a bright spot, and what tests of methods that learn healthy images share."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from training_runs import same

from latent_anatomy.methods import registry as methods
from latent_anatomy.metrics.classification import auc
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Data, Shape, Stack

SIZE = 32
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=2)


def heads(
    count: int, seed: int, *, spots: bool = False, size: int = SIZE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ellipses of tissue with two dark ventricles, (count, 1, size, size), and where a spot is, if any."""
    random = np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * SIZE / size
    images, masks = np.zeros((2, count, 1, size, size), np.float32)
    for image, mask in zip(images[:, 0], masks[:, 0], strict=True):
        tall, wide, level = random.uniform(9, 15), random.uniform(7, 12), random.uniform(0.3, 0.6)
        image[(y / tall) ** 2 + (x / wide) ** 2 < 1] = level
        for side in (-1, 1):
            image[((y + 1) / 4) ** 2 + ((x - 3 * side) / random.uniform(1, 2)) ** 2 < 1] = 0.1
        if spots:
            down, right = random.uniform(-6, 6, 2)
            mask[(abs(y - down) < 2) & (abs(x - right) < 2)] = 1
            image += 0.35 * mask
    return torch.from_numpy(images), torch.from_numpy(masks)


def build(name: str, params: dict, seed: int = 0, shape: Shape = SHAPE, **others: nn.Module) -> nn.Module:
    """A method with weights of its own."""
    module = methods.load(name)
    torch.manual_seed(seed)
    return module.Method(module.Params(**params), shape, **others)


def trained(scratch: Path, method: nn.Module, images: torch.Tensor, seed: int = 1) -> nn.Module:
    """The method, trained as a job trains it."""
    torch.use_deterministic_algorithms(True)
    try:
        train(method, Data(images), Data(images[:8]), seed=seed, settings=TrainingParams(), scratch=scratch)
    finally:
        torch.use_deterministic_algorithms(False)
    return method.eval()


def stack(images: torch.Tensor) -> Stack:
    """Images as those of one patient."""
    return Stack(images, images[:, 0] > 0, torch.arange(len(images)))


def separates(maps: torch.Tensor, masks: torch.Tensor) -> float:
    """AUC of pixels with a spot against all others."""
    scores = maps.flatten().double().numpy()
    return auc(masks.flatten().long().numpy(), np.stack([-scores, scores], axis=1))


def learns(scratch: Path, name: str, params: dict, size: int = SIZE, **others: nn.Module) -> bool:
    """Trained on healthy heads, it redraws others better than their mean, and its map finds spots better."""
    normal, unseen = heads(96, 0, size=size)[0], heads(24, 8, size=size)[0]
    ill, spots = heads(24, 9, spots=True, size=size)
    method = build(name, params, shape=Shape(1, size, size, 2), **others)
    trained(scratch, method, normal)
    mean = normal.mean(0)
    with torch.no_grad():
        redraws = (method.reconstruct(unseen) - unseen).square().mean() < (mean - unseen).square().mean()
        finds = separates(method.anomaly_map(stack(ill)), spots) > separates(
            method.residual(ill, mean.expand_as(ill)), spots
        )
    return bool(redraws and finds)


def same_bits(scratch: Path, make) -> bool:
    """Whether a seed gives the same weights twice, and another seed others."""
    images = heads(12, 3)[0]
    one, again, other = (
        trained(scratch / name, make(), images, seed).state_dict()
        for name, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    return same(one, again) and not same(one, other)
