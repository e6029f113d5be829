"""What an exported model says of the slices of one subject: maps, reconstructions, masks, structures."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latent_anatomy.evaluation.common import infer
from latent_anatomy.evaluation.lesion_maps import OWN, answer
from latent_anatomy.metrics import dice
from latent_anatomy.metrics.lesions.stacks import check_scores
from latent_anatomy.prediction import thresholds
from latent_anatomy.prediction.exported import Exported
from latent_anatomy.training.method import Stack

ANOMALY, RECONSTRUCTION = "anomaly", "reconstruction"
HIGH = 99  # percentile of the map that the table has beside its mean


@dataclass(frozen=True, eq=False)
class Answer:
    """Of S slices. Keys are parts of names of files.

    maps        ANOMALY (S, H, W), RECONSTRUCTION (S, C, H, W) -> float32
    masks       threshold, such as "lesionsTraining" -> (S, H, W) bool
    structures  name -> (S, H, W) bool, of methods that segment
    """

    maps: dict[str, NDArray[np.float32]]
    masks: dict[str, NDArray[np.bool_]]
    structures: dict[str, NDArray[np.bool_]]

    def scores(self, region: NDArray[np.bool_]) -> dict[str, float]:
        """Mean and a high percentile of the map inside of a region (S, H, W); {} without map or region."""
        if ANOMALY not in self.maps or not region.any():
            return {}
        inside = self.maps[ANOMALY][region]
        return {
            "score_mean": float(inside.mean(dtype=np.float64)),
            f"score_p{HIGH}": float(np.percentile(inside, HIGH)),
        }


@torch.no_grad()
def ask(
    model: Exported,
    images: NDArray[np.float32],
    region: NDArray[np.bool_],
    position: NDArray[np.int64],
) -> Answer:
    """The answer about images (S, C, H, W) in [0, 1], in the order of their positions (S,).

    region (S, H, W): the brain, or everything. ValueError for a map that is negative or not finite, and for
    images of a shape that the model does not take.
    """
    expected = (model.shape.channels, model.shape.height, model.shape.width)
    if images.shape[1:] != expected:
        found, wanted = (" x ".join(map(str, each)) for each in (images.shape[1:], expected))
        raise ValueError(
            f"expected images of {wanted} (channels, rows, columns), as in training, found {found}: "
            "bring them to that size in the way in which those of training were"
        )
    method, held = model.method, torch.from_numpy(images).to(model.device)
    maps, rebuilt = {}, None
    if hasattr(method, "anomaly_map"):
        stack = Stack(
            held, torch.from_numpy(region).to(model.device), torch.from_numpy(position).to(held.device)
        )
        found, rebuilt = answer(method, stack)
        check_scores(found[OWN])
        maps[ANOMALY] = found[OWN]
    if rebuilt is None and hasattr(method, "reconstruct"):
        rebuilt = infer(method.reconstruct, held)
    if rebuilt is not None:
        _check(rebuilt, "finite reconstructions", rebuilt.isfinite())
        maps[RECONSTRUCTION] = rebuilt.float().cpu().numpy()
    masks = {}
    for name, rule in model.document["thresholds"].items() if ANOMALY in maps else ():
        masks[camel(name)] = thresholds.above(rule, maps[ANOMALY], region, position)
    structures = {}
    if hasattr(method, "segment"):
        soft = infer(method.segment, held)
        _check(soft, "probabilities from 0 to 1", (soft >= 0) & (soft <= 1))  # NaN fails this too
        planes = dice.hard(soft).cpu().numpy() > 0.5
        named = zip(model.shape.structures, planes.swapaxes(0, 1), strict=True)
        structures = {camel(name): plane for name, plane in named}
    return Answer(maps, masks, structures)


def _check(answer: Tensor, expected: str, good: Tensor) -> None:
    """ValueError for an answer that is not wholly `good`: what is not finite would look like not modelled."""
    if not good.all():
        found = f"{int((~good).sum())} of {answer.numel()} values that are not"
        raise ValueError(f"expected {expected}, found {found}: look at how the training ended")


def camel(name: str) -> str:
    """A name as a value of BIDS, which are of letters and digits alone.

    >>> camel("lesions/training")
    'lesionsTraining'
    """
    first, *rest = re.findall(r"[A-Za-z0-9]+", name)
    return first + "".join(word[0].upper() + word[1:] for word in rest)
