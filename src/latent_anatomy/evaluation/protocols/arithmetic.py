"""What are the channels of s and the dimensions of z? (Chartsias et al. 2019, Figures 3, 5, 7 and 8)

On the middle slice of the first volume (ED, where there are phases) of every test subject; of up to
`examples` subjects, evenly spaced, pictures (n, C, H, W) uint8:

    figure/arithmetic/image, .../reconstruction
    figure/arithmetic/channels          the channels of s (Figure 3)
    figure/arithmetic/soft-channels     the same before rounding, where a method has `soft_anatomy(images)`
                                        (Figure 5)
    figure/arithmetic/swaps/<what>      images decoded of other channels, with z as it is (Figure 7):
        added                           the channel of the myocardium added to that of the left ventricle,
                                        and then emptied
        exchanged                       these two exchanged
        permuted                        all channels at random, none staying, the same way for all methods
    figure/arithmetic/traversal/z<i>/<images, correlation, difference>
                                        Figure 8: z_i from -3 to 3 in 7 steps (n, 7, H, W), the other
                                        dimensions as they are; per pixel, Pearson's correlation of the 7
                                        values with the 7 intensities, 0 where these do not vary; and the
                                        image at 3 minus that at -3. Both (n, 1, H, W), from -1 to 1 stored
                                        as 0 to 255. Of up to `dimensions` dimensions, those of the largest
                                        mean absolute difference.

    arithmetic/traversal/z<i>/mean_absolute_difference    over these slices and their pixels
    arithmetic/channels/<c>/area        part of the image, in the mean over all test images
    arithmetic/<structure>/channel      which channel stands for the myocardium and for the left-ventricle:
                                        the two of greatest summed overlap on the validation images where
                                        these are drawn; which it is differs from run to run
    arithmetic/<structure>/overlap      the Dice of that channel with the structure, over all their pixels

Where the validation images have no masks of both structures, or s has one channel, their overlaps and
figure/arithmetic/swaps/<added, exchanged> are left out. The paper's formula for the 7 steps, -3 + 6 (j - 1),
leaves [-3, 3] at once; steps of 1 are meant.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from latent_anatomy.evaluation.common import (
    FROZEN_SEED,
    Settings,
    generator,
    infer,
    pictures,
    spaced,
)
from latent_anatomy.evaluation.factorised import decoded, delineated, middle_slices, modality_means, rows_of
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols.segmentation import parts
from latent_anatomy.metrics import dice as overlap
from latent_anatomy.training.method import Data

NEEDS = (("anatomy", "encode", "decode", "segment"),)

VALUES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
STRUCTURES = ("myocardium", "left-ventricle")


class Params(Settings):
    """How much is shown."""

    examples: int = Field(4, ge=1, description="Test subjects in the pictures.")
    dimensions: int = Field(8, ge=1, description="Dimensions of z in the pictures of traversals.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images; and for two of the swaps, as said above, masks of the validation images."""
    return len(splits["test"]) > 0


@torch.no_grad()
def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above."""
    method.eval()
    test = splits["test"]
    rows = middle_slices(test)
    shown = spaced(len(rows), settings.examples)
    images = rows_of(test, rows)
    anatomy, z = infer(method.anatomy, images), modality_means(method, images)

    areas = infer(lambda part: method.anatomy(part).float().mean(dim=(2, 3)), test.images).mean(dim=0)
    metrics = {f"channels/{channel}/area": float(area) for channel, area in enumerate(areas)}
    chosen = {}
    if anatomy.shape[1] > 1 and all(len(delineated(splits["val"], name)) for name in STRUCTURES):
        chosen = assigned(overlaps(method, splits["val"]))
    for structure, (channel, dice) in chosen.items():
        metrics |= {f"{structure}/channel": channel, f"{structure}/overlap": dice}

    planes = {"image": images[shown], "channels": anatomy[shown]}
    if hasattr(method, "soft_anatomy"):
        planes["soft-channels"] = infer(method.soft_anatomy, images[shown])
    planes["reconstruction"] = decoded(method, anatomy[shown], z[shown])
    for name, other in swaps(anatomy[shown], *(channel for channel, _ in chosen.values())).items():
        planes[f"swaps/{name}"] = decoded(method, other, z[shown])

    traversals = {}
    for i in range(z.shape[1]):
        steps = traversal(method, anatomy, z, i)
        apart = steps[-1] - steps[0]
        metrics[f"traversal/z{i}/mean_absolute_difference"] = float(apart.abs().mean())
        related = correlation(torch.tensor(VALUES, device=steps.device), steps[:, shown])
        traversals[i] = {
            "images": steps[:, shown, 0].transpose(0, 1),
            "correlation": (related + 1) / 2,
            "difference": (apart[shown] + 1) / 2,
        }
    by_size = sorted(traversals, key=lambda i: -metrics[f"traversal/z{i}/mean_absolute_difference"])
    for i in by_size[: settings.dimensions]:
        planes |= {f"traversal/z{i}/{name}": values for name, values in traversals[i].items()}
    arrays = {f"figure/arithmetic/{name}": pictures(values) for name, values in planes.items()}
    return Results({f"arithmetic/{name}": float(value) for name, value in metrics.items()}, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: it leaves pictures."""
    return {}


@torch.no_grad()
def traversal(method: nn.Module, anatomy: Tensor, z: Tensor, dimension: int) -> Tensor:
    """Images (7, n, 1, H, W) float32 of anatomy (n, C, H, W), z (n, nz) with one dimension set to VALUES."""
    steps = []
    for value in VALUES:
        other = z.clone()
        other[:, dimension] = value
        steps.append(decoded(method, anatomy, other))
    return torch.stack(steps)


def correlation(values: Tensor, images: Tensor) -> Tensor:
    """Pearson's correlation (...) float64 of values (T,) with images (T, ...), 0 where they are constant."""
    values, images = (each.double() - each.double().mean(dim=0) for each in (values, images))
    covariance = torch.tensordot(values, images, dims=1)
    spread = (values.square().sum() * images.square().sum(dim=0)).sqrt()
    return torch.where(spread > 0, covariance / spread, 0.0).clamp(-1, 1)


def swaps(anatomy: Tensor, myocardium: int | None = None, ventricle: int | None = None) -> dict[str, Tensor]:
    """Other channels for anatomy (n, C, H, W), as Figure 7 has them; without the two, only "permuted"."""
    others = {"permuted": anatomy[:, permutation(anatomy.shape[1])]}
    if myocardium is None or ventricle is None:
        return others
    pair = [myocardium, ventricle]
    added = anatomy.clone()
    added[:, ventricle] += added[:, myocardium]
    added[:, myocardium] = 0
    exchanged = anatomy.clone()
    exchanged[:, pair] = anatomy[:, pair[::-1]]
    return {"added": added, "exchanged": exchanged} | others


def permutation(count: int) -> Tensor:
    """A random cycle through all channels, so that none stays where it is: (count,) int64."""
    order = torch.randperm(count, generator=generator(FROZEN_SEED, "permutation"))
    moved = torch.empty_like(order)
    moved[order] = order.roll(1)
    return moved


@torch.no_grad()
def overlaps(method: nn.Module, data: Data) -> NDArray[np.float64]:
    """Dice (C, 2) of each channel with each of STRUCTURES, over the images on which that is drawn."""
    columns = []
    for structure in STRUCTURES:
        plane = data.mask_names.index(structure)
        counts = []
        for part in parts(torch.from_numpy(delineated(data, structure)).to(data.device), data):
            batch = data.batch(part)
            anatomy = method.anatomy(batch.images).float()
            counts.append(overlap.counts(anatomy, batch.masks[:, [plane]].expand_as(anatomy)).sum(dim=0))
        columns.append(overlap.dice(torch.stack(counts).sum(dim=0)))
    return torch.stack(columns, dim=1).cpu().numpy()


def assigned(dices: NDArray[np.float64]) -> dict[str, tuple[int, float]]:
    """For each of STRUCTURES its channel and their Dice: two channels, of greatest sum in dices (C, 2)."""
    channels, columns = linear_sum_assignment(dices, maximize=True)
    pairs = zip(columns.tolist(), channels.tolist(), strict=True)
    return {STRUCTURES[i]: (channel, float(dices[channel, i])) for i, channel in sorted(pairs)}
