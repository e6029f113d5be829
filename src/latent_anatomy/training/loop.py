"""The one training loop, for every method.

Every random number comes from torch's global generator, which is seeded anew from (seed, epoch, step)
before each step, and every order of the images from (seed, epoch). So a run that is killed goes on
from its last saved step with the same bits as if it had never stopped (on a CPU), whenever that was.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from tqdm import tqdm

from latent_anatomy.networks.batchnorm import recalibrated
from latent_anatomy.training.method import Data, Stream
from latent_anatomy.training.seeds import derived_seed
from latent_anatomy.training.state import TrainingState, only_one

SAVE_EVERY_SECONDS = 60.0


class TrainingParams(BaseModel):
    """Numerical choices that change the bits of a result, shared by all methods."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: forward passes under autocast.")
    compile: bool = Field(False, description="torch.compile the networks (changes the last bits).")


def autocast(precision: str, device: torch.device):
    """The context of forward passes in "fp32", which is none, or in "bf16"."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, torch.bfloat16)


@dataclass(frozen=True)
class Loop:
    """Everything that stays the same from step to step."""

    method: nn.Module
    train_data: Data
    validation_data: Data
    streams: dict[str, Stream]
    seed: int
    settings: TrainingParams

    @property
    def steps_per_epoch(self) -> int:
        """As many as the method says, else batches of the longest stream, the last partial one included."""
        if chosen := getattr(self.method.params, "steps_per_epoch", None):
            return chosen
        return max(math.ceil(len(stream.indices) / stream.batch_size) for stream in self.streams.values())

    def autocast(self):
        """The context of this training's forward passes."""
        return autocast(self.settings.precision, self.train_data.device)

    def orders(self, epoch: int) -> dict[str, list[Tensor]]:
        """The batches of indices of each stream; a shorter stream is shuffled anew when it ends."""
        orders = {}
        for name, stream in self.streams.items():
            generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch, "order", name))
            batches = []
            while len(batches) < self.steps_per_epoch:
                shuffled = torch.randperm(len(stream.indices), generator=generator)
                batches += stream.indices[shuffled.to(stream.indices.device)].split(stream.batch_size)
            orders[name] = batches
        return orders

    def recalibrate(self, epoch: int) -> None:
        """Take batch statistics anew of the first batches of an epoch, where the method asks for that."""
        count = getattr(self.method.params, "recalibration", 0)
        if not count:
            return
        orders = self.orders(epoch)
        torch.manual_seed(derived_seed(self.seed, epoch, "recalibrate"))
        self.method.train()
        with recalibrated(self.method), torch.no_grad(), self.autocast():
            for place in range(count):
                chosen = {name: order[place % len(order)] for name, order in orders.items()}
                batches = {name: self.train_data.batch(rows) for name, rows in chosen.items()}
                self.method.pass_statistics(batches)


def train(
    method: nn.Module,
    train_data: Data,
    validation_data: Data,
    *,
    seed: int,
    settings: TrainingParams,
    scratch: Path,
    label: str = "train",
    save_every_seconds: float = SAVE_EVERY_SECONDS,
) -> list[dict[str, float]]:
    """Train `method` in place, on the device of the data, and return its history, a row per epoch.

    `scratch` keeps what is needed to resume and belongs to this job alone. Columns of the history:
    epoch (from 1), rate/<optimiser>, train/<loss> (mean over the epoch's steps), val/<value>.
    A method with `fit` is fitted, once and from the beginning, and its history is one row without rates and
    losses. Raises FloatingPointError, naming epoch and step, when a loss is not finite; BlockingIOError
    when another process trains in `scratch`; ValueError when the state there is damaged, that of another
    network, or was begun on another device, with another torch or number of threads.
    """
    loop = Loop(method, train_data, validation_data, streams_of(method, train_data), seed, settings)
    with only_one(scratch):
        if hasattr(method, "fit"):
            return [_fit(loop)]
        state = TrainingState(method, scratch / "state.pt", loop.steps_per_epoch)
        state.load(train_data.device)
        if settings.compile:
            if torch.are_deterministic_algorithms_enabled():  # the compiler is to know
                warn = torch.is_deterministic_algorithms_warn_only_enabled()
                torch.use_deterministic_algorithms(True, warn_only=warn)
            for network in method.children():
                network.compile()
        _run(loop, state, label, save_every_seconds)
    return state.history


def streams_of(method: nn.Module, train_data: Data) -> dict[str, Stream]:
    """The method's own streams, or one over everything; none where it is fitted."""
    if hasattr(method, "fit"):
        return {}
    if hasattr(method, "streams"):
        return method.streams(train_data)
    rows = torch.arange(len(train_data), device=train_data.device)
    return {"train": Stream(rows, method.params.batch_size)}


def _fit(loop: Loop) -> dict[str, float]:
    """Fit in one go; the only row of the history."""
    torch.manual_seed(derived_seed(loop.seed, "fit"))
    with torch.no_grad():
        loop.method.fit(loop.train_data)
    row = {"epoch": 1} | {f"val/{name}": value for name, value in _validate(loop, 0).items()}
    if not all(map(math.isfinite, row.values())):
        raise FloatingPointError(f"expected finite validation values after the fit, found {row}")
    return row


def _run(loop: Loop, state: TrainingState, label: str, save_every_seconds: float) -> None:
    """Train from wherever `state` is to the last epoch, or to the early stop."""
    epochs, steps = loop.method.params.epochs, loop.steps_per_epoch
    saved = monotonic()
    with tqdm(total=epochs * steps, desc=label, unit="step", mininterval=2, dynamic_ncols=True) as bar:
        bar.update(state.epoch * steps + state.step)
        while state.epoch < epochs and not state.stopped():
            loop.method.train()
            orders = loop.orders(state.epoch)
            while state.step < steps:
                _step(loop, state, {name: order[state.step] for name, order in orders.items()})
                bar.update()
                if monotonic() - saved >= save_every_seconds:
                    state.save()
                    saved = monotonic()
            loop.recalibrate(state.epoch)
            state.end_epoch(_validate(loop, state.epoch))
            bar.set_postfix(
                {name: f"{value:.3g}" for name, value in state.history[-1].items() if "/l" in name}
            )
        bar.total = bar.n
    state.restore_best()


def _step(loop: Loop, state: TrainingState, indices: dict[str, Tensor]) -> None:
    """One training step; nothing here waits for the device."""
    torch.manual_seed(derived_seed(loop.seed, state.epoch, state.step))
    batches = {name: loop.train_data.batch(chosen) for name, chosen in indices.items()}

    def update(name: str, loss: Tensor) -> None:
        with torch.autocast(loop.train_data.device.type, enabled=False):
            state.optimisers[name].zero_grad(set_to_none=True)
            loss.backward()
            state.optimisers[name].step()
        torch.clear_autocast_cache()  # it holds bf16 copies of the weights as they were

    with loop.autocast():
        losses = loop.method.training_step(batches, update)
    state.end_step(losses)


def _validate(loop: Loop, epoch: int) -> dict[str, float]:
    """The method's own validation values, or none, with a seed of their own."""
    if not hasattr(loop.method, "validate"):
        return {}
    loop.method.eval()
    torch.manual_seed(derived_seed(loop.seed, epoch, "validate"))
    with torch.no_grad(), loop.autocast():
        return {name: float(value) for name, value in loop.method.validate(loop.validation_data).items()}
