"""What a method is, and what the training loop and the evaluation may ask of it.

A method is an `nn.Module` whose `state_dict` is its checkpoint. It has typed `Params`, its own
optimisers and its own order of updates (adversarial and alternating methods are normal), or `fit` where
there is nothing to descend on, and the capabilities that it really has: the presence of `reconstruct`,
`anatomy`, `encode`, `decode`, `segment`, `anomaly_map`, `classify` or `sample` is the declaration.
Evaluation asks for a capability, never for a name.

A method that stands on another run's has the capabilities that it needs of it as `ON = ("encode", ...)`, is
given it as the keyword `on` and keeps it as `self.on`: `frozen`, and part of its own checkpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Update = Callable[[str, Tensor], None]


class FittedParams(BaseModel):
    """Parameters of a method that is fitted in one go. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodParams(FittedParams):
    """Parameters that every method has that is trained step by step."""

    epochs: int = Field(ge=1, description="Passes over the longest training stream.")
    batch_size: int = Field(ge=1, description="Images per training batch and stream.")


@dataclass(frozen=True)
class Shape:
    """Shape of one image; of its data set, how many classes and slice positions, and the mask planes."""

    channels: int
    height: int
    width: int
    classes: int
    positions: int = 1
    structures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Images (N, C, H, W) float32 in [0, 1]; labels (N,) int64 or None; masks (N, ...) or None."""

    images: Tensor
    labels: Tensor | None = None
    masks: Tensor | None = None


@dataclass(frozen=True)
class Stack:
    """What a method may see of one patient: slices in the order of their positions, maybe with gaps.

    images (S, C, H, W) float32 in [0, 1]; region (S, H, W) bool, the brain (or head); position (S,) int64.
    """

    images: Tensor
    region: Tensor
    position: Tensor


@dataclass(frozen=True)
class Data:
    """One split, held on the device as it is stored: uint8 (0 to 255) or float32 in [0, 1].

    masks (N, K, H, W) uint8, one plane for each of `mask_names`, 0 or 1, or 255 where not delineated.
    boxes (M, 6) int32: row of this split, left, top, width and height in pixels, class, of `box_names`.
    pair (N,) int64: row of this split with the same anatomy in another setting, -1 where there is none.
    labelled (N,) bool: whether a method may know which image a mask belongs to; False for the rest of a
    training split of which a cohort labels a part. Such masks may be shown to a critic, unpaired.
    `subject`, `position` (N,) int64, `phase` and `modality` say whose slice each is, where it lies in the
    volume, and of which volume; spacing_mm (N, 3) float32 is between rows, columns and positions.
    Of the subject, the same on all its slices: `site`; time (N,) float32 in days, to the event (N,) uint8, 1
    where it happened, or to the last follow-up; covariates (N, K) float32, of `covariate_names`. NaN is not
    known.
    """

    stored: Tensor
    labels: Tensor | None = None
    masks: Tensor | None = None
    mask_names: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    position: Tensor | None = None
    labelled: Tensor | None = None
    phase: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    spacing_mm: Tensor | None = None
    boxes: Tensor | None = None
    box_names: tuple[str, ...] = ()
    pair: Tensor | None = None
    site: tuple[str, ...] = ()
    time: Tensor | None = None
    event: Tensor | None = None
    covariates: Tensor | None = None
    covariate_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def device(self) -> torch.device:
        return self.stored.device

    @property
    def images(self) -> Tensor:
        """All images (N, C, H, W) as float32 in [0, 1]."""
        return _unit_range(self.stored)

    def batch(self, indices: Tensor) -> Batch:
        """The items at `indices` (n,) int64 on the device."""
        return Batch(
            _unit_range(self.stored[indices]),
            None if self.labels is None else self.labels[indices],
            None if self.masks is None else self.masks[indices],
        )


def frozen(method: nn.Module) -> nn.Module:
    """The same method in evaluation mode and without gradients, whatever mode it is asked for later."""
    method.eval().requires_grad_(False)
    method.train = lambda mode=True: method  # a parent's `train()` reaches its parts too
    return method


def _unit_range(stored: Tensor) -> Tensor:
    return stored.float() / 255 if stored.dtype == torch.uint8 else stored


@dataclass(frozen=True)
class Stream:
    """Indices of one training stream (n,) int64. A shorter stream starts again until the longest ends.

    Methods with one stream need not declare any; SDNet, for one, draws labelled images, unlabelled
    images and unpaired masks from three.
    """

    indices: Tensor
    batch_size: int


@dataclass(frozen=True)
class Schedules:
    """Learning-rate schedulers, stepped after every update or after every epoch."""

    per_step: list[LRScheduler] = field(default_factory=list)
    per_epoch: list[LRScheduler] = field(default_factory=list)


@dataclass(frozen=True)
class Selection:
    """Which epoch's weights are kept, and when to stop, judged by a value that `validate` returns.

    An epoch is better when it improves on the best so far by more than `minimum_change`. Training
    stops after `patience` epochs without a better one (None: never). `restore` brings the best
    epoch's weights back at the end; without it the last epoch's stay.
    """

    value: str
    best: Literal["max", "min"]
    minimum_change: float = 0.0
    patience: int | None = None
    restore: bool = True


class Method(Protocol):
    """What the loop needs. Optional beside it: `streams(train)`, `validate(data)`, `selection`.

    A method with `fit(train: Data) -> None` needs none of it: it is given the training split, once.
    It may say DETERMINISTIC = True, that its seed decides nothing: one fit stands for many in a comparison.

    `streams(train: Data) -> dict[str, Stream]`: without it, one stream "train" over everything.
    `validate(data: Data) -> dict[str, Tensor]`: scalars, written to the history after each epoch; the last
    is what `dvc plots` draws.
    `selection: Selection`: without it, all epochs are trained and the last one's weights are kept.
    `params.steps_per_epoch: int | None`: of training; without it, an epoch is a pass over the longest stream.
    `params.recalibration: int`, with `pass_statistics(batches) -> None`: before each validation, running
    statistics are replaced by the means over this pass of so many batches, in training mode and without
    gradients. They stay in the checkpoint; passes in training mode do not use them.
    """

    params: MethodParams

    def optimisers(self) -> dict[str, Optimizer]: ...

    def schedules(self, optimisers: dict[str, Optimizer], steps_per_epoch: int) -> Schedules: ...

    def training_step(self, batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        """One step. `update(optimiser, loss)` clears, back-propagates and steps; returns scalars to log."""
        ...
