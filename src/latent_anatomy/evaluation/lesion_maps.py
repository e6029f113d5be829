"""What a method says of patients with lesions: its anomaly maps, filtered, and what they are residuals of."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latent_anatomy.evaluation.common import infer
from latent_anatomy.metrics.lesions.patients import Patient
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.metrics.lesions.stacks import stacks
from latent_anatomy.training.method import Data, Stack

OWN, POSITIVE = "", "positive/"  # the method's map, and the positive part of what it does not reconstruct


@dataclass(frozen=True, eq=False)
class Answer:
    """About one patient.

    patients         by the map: OWN, and where the method tells its reconstructions, POSITIVE
    images           (S, C, H, W) float32
    reconstructions  theirs, or None
    """

    patients: dict[str, Patient]
    images: Tensor
    reconstructions: Tensor | None

    @property
    def distance(self) -> tuple[float, int]:
        """Sum of |x - x'| over the healthy pixels of the region, averaged over channels, and their number."""
        patient = self.patients[OWN]
        healthy = patient.brain & ~patient.lesion
        difference = (self.images - self.reconstructions).abs().mean(1).cpu().numpy()
        return float(difference[healthy].sum(dtype=np.float64)), int(healthy.sum())


def ways(method: nn.Module) -> tuple[str, ...]:
    """The maps that `Answer.patients` has."""
    return (OWN, POSITIVE) if hasattr(method, "residual") else (OWN,)


def mask(split: str, data: Data, names: Sequence[str]) -> NDArray[np.bool_]:
    """The plane (N, H, W) of the first of `names` that the data have; ValueError without, or undrawn."""
    name = next((name for name in names if name in data.mask_names), None)
    if name is None:
        raise ValueError(
            f"split {split}: expected slices with the masks lesion, and brain, interior or head, found "
            f"{', '.join(data.mask_names) or 'none'}: use a data set in which lesions are delineated"
        )
    plane = data.masks[:, data.mask_names.index(name)].cpu().numpy()
    if plane.max() > 1:
        undrawn = int((plane > 1).any(axis=(1, 2)).sum())
        raise ValueError(
            f"split {split}: expected every slice with its mask {name!r}, found {undrawn} of {len(plane)} on "
            "which it is not delineated: leave their subjects out of this split"
        )
    return plane.astype(bool)


def scored(
    method: nn.Module,
    data: Data,
    brain: NDArray,
    lesion: NDArray,
    chain: PostProcessing,
    subjects: Container[str],
) -> Iterator[Answer]:
    """The given subjects of a split, in the order of their names. brain and lesion (N, H, W) bool."""
    runs = stacks(np.array(data.subject), data.position.cpu().numpy())
    for subject, group in groupby(runs, key=lambda run: run[0]):
        if subject not in subjects:
            continue
        parts = [rows for _, rows in group]
        rows = np.concatenate(parts)
        ends = np.cumsum([len(part) for part in parts])
        indices = torch.from_numpy(rows).to(data.device)
        region = torch.from_numpy(brain[rows]).to(data.device)
        stack = Stack(data.batch(indices).images, region, data.position[indices])
        maps, reconstructions = answer(method, stack)
        together = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        patients = {
            way: Patient(
                subject=subject,
                rows=rows,
                stacks=together,
                smoothed=np.concatenate([chain.smooth(own[part], brain[rows[part]]) for part in together]),
                brain=brain[rows],
                region=chain.region(brain[rows]),
                lesion=lesion[rows],
            )
            for way, own in maps.items()
        }
        yield Answer(patients, stack.images, reconstructions)


@torch.no_grad()
def answer(method: nn.Module, stack: Stack) -> tuple[dict[str, NDArray[np.float32]], Tensor | None]:
    """Anomaly maps (S, H, W) of one patient by their ways, and what they are residuals of, where they are."""
    reconstructions, maps = None, {}
    if hasattr(method, "residual"):
        reconstructions = infer(method.reconstruct, stack.images)
        maps[OWN] = method.residual(stack.images, reconstructions)
        maps[POSITIVE] = (stack.images - reconstructions).relu().mean(1, keepdim=True)
    else:
        maps[OWN] = method.anomaly_map(stack)
    expected = (len(stack.images), 1, *stack.images.shape[2:])
    if tuple(maps[OWN].shape) != expected:
        raise ValueError(f"expected anomaly maps of shape {expected}, found {tuple(maps[OWN].shape)}")
    return {way: own[:, 0].cpu().numpy() for way, own in maps.items()}, reconstructions
