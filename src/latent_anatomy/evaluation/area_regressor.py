"""A network that reads the area of a structure from s, and how it is trained: see `volume`."""

import copy
import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from latent_anatomy.evaluation.common import Settings, generator
from latent_anatomy.networks.encoder_decoder import as_keras
from latent_anatomy.training.loop import Loop, TrainingParams, streams_of
from latent_anatomy.training.method import Data
from latent_anatomy.training.optimisers import Adam
from latent_anatomy.training.seeds import derived_seed

FILTERS = 16
LOSSES = {"l1": F.l1_loss, "mse": F.mse_loss}


class Training(Settings):
    """What the paper leaves open."""

    loss: Literal["l1", "mse"] = Field("l1", description="Of areas, in units of their mean.")
    epochs: int = Field(100, ge=1, description="Passes over the slices with areas, at most; frozen.")
    patience: int = Field(10, ge=1, description="Passes without a better one on validation subjects; frozen.")
    batch_size: int = Field(16, ge=1, description="Slices per step of the volume loss.")
    learning_rate: float = Field(1e-5, gt=0, description="Adam's for the regressor, see `fit`.")
    steps: int = Field(2000, ge=1, description="Of fine-tuning.")
    fine_tuning_rate: float = Field(1e-4, gt=0, description="Adam's for the method; SDNet's own.")
    weight: float = Field(1.0, gt=0, description="Of the volume loss in fine-tuning.")
    restart: bool = Field(False, description="Whether the method's own rates begin anew in fine-tuning.")
    rotation: float = Field(0.0, ge=0, le=180, description="Degrees in fine-tuning, which has none in print.")


class Regressor(nn.Sequential):
    """Anatomy (N, C, H, W) -> area (N,) in units of the mean area."""

    def __init__(self, channels: int, height: int, width: int):
        super().__init__(
            nn.Conv2d(channels, FILTERS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(FILTERS, FILTERS, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(FILTERS * height * width, FILTERS),
            nn.ReLU(),
            nn.Linear(FILTERS, 1),
            nn.ReLU(),
            nn.Flatten(0),
        )
        self.apply(as_keras)
        nn.init.ones_(self[7].bias)


@torch.no_grad()
def read(regressor: nn.Module, anatomy: Tensor) -> Tensor:
    """Areas (n,) of anatomies (n, C, H, W), in batches."""
    return torch.cat([regressor(part.float()) for part in anatomy.split(64)])


def fit(
    regressor: nn.Module, anatomy: dict[str, Tensor], areas: dict[str, Tensor], settings: Training, seed: int
) -> None:
    """Train in place on "train", with early stop on "val": anatomy (n, C, H, W) and areas (n,) of each.

    The weights of the best pass stay. The dense layer has so many inputs (147,456 of 96 x 96 pixels) that a
    few steps of Adam at a usual rate silence its ReLUs for good. FloatingPointError when no pass has a finite
    loss, and when the best one says the same of all training slices although their anatomies differ.
    """
    distance = LOSSES[settings.loss]
    optimiser = Adam(regressor.parameters(), lr=settings.learning_rate, fused=True)
    best, kept, age = math.inf, {}, 0
    for epoch in range(settings.epochs):
        order = torch.randperm(len(areas["train"]), generator=generator(seed, "order", epoch))
        for chosen in order.to(areas["train"].device).split(settings.batch_size):
            loss = distance(regressor(anatomy["train"][chosen].float()), areas["train"][chosen])
            descend(optimiser, loss)
        value = float(distance(read(regressor, anatomy["val"]), areas["val"]))
        age += 1
        if value < best:
            best, age = value, 0
            kept = {name: weights.clone() for name, weights in regressor.state_dict().items()}
        if age == settings.patience:
            break
    if not kept:
        raise FloatingPointError("volume: expected a finite loss, found none: lower `learning_rate`")
    regressor.load_state_dict(kept)
    shown, said = anatomy["train"], read(regressor, anatomy["train"])
    if (shown != shown[:1]).any() and (said == said[0]).all() and (areas["train"] != areas["train"][0]).any():
        raise FloatingPointError(
            f"volume: expected areas, found {float(said[0]):g} times their mean on every training slice, as "
            "after a step that silenced the ReLUs for good: lower `learning_rate`"
        )


def fine_tune(
    method: nn.Module,
    regressor: nn.Module,
    train: Data,
    rows: Tensor,
    areas: Tensor,
    settings: Training,
    seed: int,
) -> tuple[nn.Module, nn.Module]:
    """Copies of both, trained on together, in evaluation mode; areas (n,) of the training slices `rows`.

    The order of batches and the optimisers' moments begin anew; their rates go on from where a training of
    full length ends, unless `restart`. ValueError when `anatomy` lets no gradients through.
    """
    method, regressor = copy.deepcopy(method).train(), copy.deepcopy(regressor)
    if hasattr(method.params, "rotation"):
        method.params = method.params.model_copy(update={"rotation": settings.rotation})
    distance = LOSSES[settings.loss]
    optimisers = method.optimisers()
    seed = derived_seed(seed, "fine-tune")
    loop = Loop(method, train, train, streams_of(method, train), seed, TrainingParams())
    schedules = method.schedules(optimisers, loop.steps_per_epoch)
    if not settings.restart:
        for each in (*optimisers.values(), *schedules.per_step):
            if hasattr(each, "forward_to"):
                each.forward_to(method.params.epochs * loop.steps_per_epoch)
    rates = ((method, settings.fine_tuning_rate), (regressor, settings.learning_rate))
    together = Adam([{"params": list(part.parameters()), "lr": rate} for part, rate in rates], fused=True)

    def update(name: str, loss: Tensor) -> None:
        descend(optimisers[name], loss)

    for step in range(settings.steps):
        epoch, place = divmod(step, loop.steps_per_epoch)
        if place == 0:
            orders = loop.orders(epoch)
        torch.manual_seed(derived_seed(seed, step))
        method.training_step({name: train.batch(order[place]) for name, order in orders.items()}, update)
        chosen = torch.randint(len(rows), (settings.batch_size,), device=rows.device)
        anatomy = method.anatomy(train.batch(rows[chosen]).images)
        if not anatomy.requires_grad:
            raise ValueError(
                "expected an `anatomy` that gradients flow through, found none: fine-tune another"
            )
        descend(together, settings.weight * distance(regressor(anatomy), areas[chosen]))
        for schedule in schedules.per_step:
            schedule.step()
        if place == loop.steps_per_epoch - 1:
            for schedule in schedules.per_epoch:
                schedule.step()
    loop.recalibrate(0)
    return method.eval(), regressor


def descend(optimiser: Optimizer, loss: Tensor) -> None:
    """One step; gradients of other losses are forgotten."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
