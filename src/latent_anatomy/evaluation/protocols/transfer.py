"""Images of one modality drawn in the style of another: y = g(s_a, z_b) (Chartsias et al. 2019, Figure 6).

The paper shows pictures. Here every test image is also transferred, to every other modality, with the z
(its mean) of a test image of that modality; which one is drawn once, so that all methods and seeds are
asked the same:

    transfer/recognised                 how many of these are taken for the modality that they should have,
                                        by a logistic regression on training images as they are: quantiles
                                        of the intensities, and their means over `grid` x `grid` cells. They
                                        are not standardised: what hardly varies, such as the noise of a
                                        background, would then decide about images that are drawn without
    transfer/recognised_real            the same classifier's accuracy on test images as they are, and
    transfer/recognised_reconstructed   on g(s_a, z_a): what to compare with
    transfer/anatomy-dice               Dice of the segmentation of a transferred volume with that of its
                                        source, pooled over slices and structures, in the mean over volumes
                                        and modalities; 0 where nothing is found in either

A method that ignores z keeps its anatomy perfectly and is not recognised; both numbers are needed.

Arrays: transfer/direction (n,) text, such as "MR to CT", of the pictures figure/transfer/<source, style,
result> (n, 1, H, W) uint8, the middle slices of up to `examples` subjects for each pair of modalities.
"""

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from latent_anatomy.evaluation.common import (
    FROZEN_SEED,
    Settings,
    batches,
    generator,
    infer,
    pictures,
    spaced,
)
from latent_anatomy.evaluation.factorised import (
    ITERATIONS,
    array,
    middle_slices,
    modality_means,
    rows_of,
    volumes,
)
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols import modality
from latent_anatomy.metrics import dice
from latent_anatomy.training.method import Data

NEEDS = (("anatomy", "encode", "decode", "segment"),)
UNPAIRED = {"transfer/direction": "it says what is in the pictures"}

QUANTILES = torch.linspace(0.05, 0.95, 19)
WEAK = 100.0  # of the penalty, its inverse: intensities are far below 1


class Params(Settings):
    """What the classifier sees, and how much is shown."""

    grid: int = Field(4, ge=1, description="Cells per side over which intensities are averaged.")
    examples: int = Field(4, ge=1, description="Subjects in the pictures, for each pair of modalities.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images of two modalities or more, each of which the training split has too."""
    return modality.possible(splits)


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError where the data have one modality, see `possible`."""
    modality.check(splits)
    method.eval()
    train, test = splits["train"], splits["test"]
    known, true = np.array(train.modality), np.array(test.modality)
    images, styles = test.images, modality_means(method, test.images)
    classifier = LogisticRegression(C=WEAK, max_iter=ITERATIONS)
    classifier.fit(appearance(train.images, settings.grid), known)

    def accuracy(shown: Tensor, expected: NDArray) -> float:
        return float(classifier.score(appearance(shown, settings.grid), expected))

    metrics = {
        "recognised_real": accuracy(images, true),
        "recognised_reconstructed": accuracy(transferred(method, images, styles), true),
    }
    recognised, dices, shown = [], [], []
    for source, target in permutations(np.unique(true).tolist(), 2):
        rows, others = np.flatnonzero(true == source), np.flatnonzero(true == target)
        draw = generator(FROZEN_SEED, "transfer", source, target)
        chosen = others[torch.randint(len(others), (len(rows),), generator=draw).numpy()]
        results = transferred(method, rows_of(test, rows), styles[chosen])
        recognised += [accuracy(results, np.full(len(rows), target))] * len(rows)
        dices += anatomy_dice(method, test, rows, results)
        shown.append(examples(test, source, target, settings.examples))
    metrics |= {"recognised": float(np.mean(recognised)), "anatomy-dice": float(np.mean(dices))}

    direction, sources, targets = (np.concatenate(parts) for parts in zip(*shown, strict=True))
    planes = {"source": rows_of(test, sources), "style": rows_of(test, targets)}
    planes["result"] = transferred(method, planes["source"], styles[targets])
    arrays = {f"figure/transfer/{name}": pictures(values) for name, values in planes.items()}
    metrics = {f"transfer/{name}": value for name, value in metrics.items()}
    return Results(metrics, arrays | {"transfer/direction": direction})


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}


@torch.no_grad()
def transferred(method: nn.Module, images: Tensor, styles: Tensor) -> Tensor:
    """g(s of images (n, 1, H, W), z (n, nz)): (n, 1, H, W) float32 in [0, 1]; s is held in batches only."""
    parts = batches(images)
    pairs = zip(parts, styles.split([len(part) for part in parts]), strict=True)
    return torch.cat([method.decode(method.anatomy(part), z).float() for part, z in pairs])


def appearance(images: Tensor, grid: int) -> NDArray[np.float64]:
    """What the classifier sees of images (N, 1, H, W): 19 quantiles and grid * grid means, (N, d)."""
    quantiles = torch.cat(
        [
            torch.quantile(part.flatten(1), QUANTILES.to(part.device, part.dtype), dim=1).T
            for part in batches(images)
        ]
    )
    return array(torch.cat([quantiles, F.adaptive_avg_pool2d(images, grid).flatten(1)], dim=1))


def anatomy_dice(method: nn.Module, data: Data, rows: NDArray, results: Tensor) -> list[float]:
    """Dice of what is segmented in `results` (n, 1, H, W) with the same in their sources, of each volume."""
    source, result = ((infer(method.segment, each) > 0.5).float() for each in (rows_of(data, rows), results))
    counts = dice.counts(result, source).sum(dim=1).cpu()
    members = [torch.from_numpy(np.isin(rows, volume.rows)) for volume in volumes(data)]
    totals = torch.stack([counts[kept].sum(dim=0) for kept in members if kept.any()])
    return dice.dice(totals).where(totals.sum(dim=1) > 0, 0.0).tolist()


def examples(data: Data, source: str, target: str, count: int) -> tuple[list[str], NDArray, NDArray]:
    """Directions, rows of sources and rows of styles: middle slices of evenly spaced subjects."""
    sources, targets = (middle_slices(data, name) for name in (source, target))
    count = min(count, len(sources))
    rows = sources[spaced(len(sources), count)]
    return [f"{source} to {target}"] * count, rows, targets[np.arange(count) % len(targets)]
