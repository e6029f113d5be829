"""What a training run needs to go on: weights, optimisers, schedules, place, history, best epoch."""

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from latent_anatomy.training import state_file


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; BlockingIOError says that another run holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"expected to train alone in {folder}, found another run of the same job there: "
                "wait until it ends, or stop it"
            ) from error
        yield


class TrainingState:
    """The moving parts of one run, which `save` and `load` carry over a kill.

    `epoch` and `step` count what is finished; `history` has a row per finished epoch.
    """

    def __init__(self, method: nn.Module, path: Path, steps_per_epoch: int):
        self.method, self.path = method, path
        self.optimisers = method.optimisers()
        schedules = method.schedules(self.optimisers, steps_per_epoch)
        self.per_step, self.per_epoch = schedules.per_step, schedules.per_epoch
        self.epoch = self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.first_bad_step: Tensor | None = None
        self.history: list[dict[str, float]] = []
        self.best: dict = {"value": None, "epoch": None, "weights": None}

    def end_step(self, losses: dict[str, Tensor]) -> None:
        """Count a step, add its losses on the device and note the first that is not finite."""
        values = {name: value.detach().double() for name, value in losses.items()}
        bad = ~torch.isfinite(sum(values.values()))
        if self.first_bad_step is None:
            self.first_bad_step = torch.full_like(bad, -1, dtype=torch.int64)
            self.sums = {name: torch.zeros_like(value) for name, value in values.items()}
        unset = self.first_bad_step < 0
        self.first_bad_step = torch.where(bad & unset, self.step, self.first_bad_step)
        self.sums = {name: self.sums[name] + value for name, value in values.items()}
        for schedule in self.per_step:
            schedule.step()
        self.step += 1

    def end_epoch(self, validation: dict[str, float]) -> None:
        """Close the epoch: one row of history, the best epoch, the schedules."""
        if (step := int(self.first_bad_step)) >= 0:
            raise FloatingPointError(
                f"expected finite losses, found one that is not in epoch {self.epoch + 1}, step {step + 1}: "
                "lower the learning rate, or use precision fp32"
            )
        rates = {f"rate/{name}": opt.param_groups[0]["lr"] for name, opt in self.optimisers.items()}
        losses = {f"train/{name}": float(total) / self.step for name, total in self.sums.items()}
        values = {f"val/{name}": value for name, value in validation.items()}
        if bad := [name for name, value in values.items() if not math.isfinite(value)]:
            raise FloatingPointError(
                f"expected finite validation values, found {', '.join(bad)} not finite in epoch "
                f"{self.epoch + 1}: lower the learning rate, or look at the validation split"
            )
        self.history.append({"epoch": self.epoch + 1, **rates, **losses, **values})
        self._keep_best(validation)
        for schedule in self.per_epoch:
            schedule.step()
        self.epoch, self.step, self.first_bad_step, self.sums = self.epoch + 1, 0, None, {}

    def _keep_best(self, validation: dict[str, float]) -> None:
        if (selection := getattr(self.method, "selection", None)) is None:
            return
        value = validation[selection.value] * (1 if selection.best == "max" else -1)
        if self.best["value"] is None or value > self.best["value"] + selection.minimum_change:
            weights = {name: tensor.clone() for name, tensor in self.method.state_dict().items()}
            self.best = {
                "value": value,
                "epoch": self.epoch,
                "weights": weights if selection.restore else None,
            }

    def stopped(self) -> bool:
        """Whether the method's patience has run out."""
        selection = getattr(self.method, "selection", None)
        if selection is None or selection.patience is None or self.best["epoch"] is None:
            return False
        return self.epoch - 1 - self.best["epoch"] >= selection.patience

    def restore_best(self) -> None:
        """Bring back the weights of the best epoch, where the method asks for it."""
        if self.best["weights"] is not None:
            self.method.load_state_dict(self.best["weights"])

    def save(self) -> None:
        """Write the state atomically."""
        content = {
            "method": self.method.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "per_step": [schedule.state_dict() for schedule in self.per_step],
            "per_epoch": [schedule.state_dict() for schedule in self.per_epoch],
            "place": {
                name: getattr(self, name)
                for name in ("epoch", "step", "sums", "first_bad_step", "history", "best")
            },
        }
        state_file.write(self.path, content, _device_of(self.method))

    def load(self, device: torch.device) -> None:
        """Go on from the saved state, if there is one.

        ValueError when it is damaged, of another network, or was begun on another device, torch or threads.
        """
        if not self.path.is_file():
            return
        content = state_file.read(self.path, device)
        try:
            self.method.load_state_dict(content["method"])
        except RuntimeError as error:
            raise ValueError(
                f"{self.path}: expected the saved state of this network, found another's: {state_file.ANEW}"
            ) from error
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(content["optimisers"][name])
        for schedules, states in ((self.per_step, "per_step"), (self.per_epoch, "per_epoch")):
            for schedule, state in zip(schedules, content[states], strict=True):
                schedule.load_state_dict(state)
        for name, value in content["place"].items():
            setattr(self, name, value)


def _device_of(method: nn.Module) -> torch.device:
    return next(iter(method.state_dict().values())).device
