"""Optimisers and their decay that two or more methods share: torch's, and as of Keras 2."""

import math
from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Literal

import torch
from torch import Tensor, optim
from torch.optim import Optimizer

EPSILON, BETA2 = 1e-7, 0.999

DecayPer = Literal["update", "epoch"]


class Eager:
    """What optimisers of torch do around a step, without torch's compiler.

    torch wraps these methods so that its compiler leaves them out, and imports it for that: two seconds of
    every training. The compiler is asked for networks here, never for an optimiser.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class Adam(Eager, optim.Adam):
    """torch's, to the bit."""

    step = torch.no_grad()(unwrap(optim.Adam.step))


class LBFGS(Eager, optim.LBFGS):
    """torch's, to the bit."""


class DecayingAdam(Adam):
    """Adam whose update t, from 0, has the rate lr x factor / (1 + decay t).

    The count is the optimiser's own and is saved with its state, so that of several optimisers of the same
    weights each decays at its own pace; `factor` is 1 or what a `Factor` makes of it. `each_step` is how many
    updates there are in a training step. (Keras adds epsilon before the bias is corrected, PyTorch after.)
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, beta1: float, decay: float = 0.0, each_step: int = 1
    ):
        super().__init__(parameters, lr=lr, betas=(beta1, BETA2), eps=EPSILON, fused=True)
        self.each_step = each_step
        for group in self.param_groups:
            group |= {"first_lr": lr, "decay": decay, "factor": 1.0, "updates": 0}

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = group["first_lr"] * group["factor"] / (1 + group["decay"] * group["updates"])
            group["updates"] += 1
        return super().step(closure)

    def forward_to(self, steps: int) -> None:
        """Count as many updates as so many training steps have: go on with the rate that follows them."""
        for group in self.param_groups:
            group["updates"] = steps * self.each_step


class Factor:
    """What the rates of optimisers are multiplied by in each step, from 0; a schedule, stepped after each."""

    def __init__(self, optimisers: Iterable[Optimizer], factor: Callable[[int], float]):
        self.optimisers, self.factor, self.steps = list(optimisers), factor, 0
        self._set()

    def step(self) -> None:
        self.steps += 1
        self._set()

    def forward_to(self, steps: int) -> None:
        """As after so many steps."""
        self.steps = steps
        self._set()

    def _set(self) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["factor"] = self.factor(self.steps)

    def state_dict(self) -> dict:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.forward_to(state["steps"])


def annealed(step: int, steps: int, to: float) -> float:
    """Half a cosine from 1 in step 0 to `to` after `steps`, where it stays (Loshchilov 2017, no restarts).

    >>> [annealed(step, 4, to=0.5) for step in (0, 2, 4, 9)]
    [1.0, 0.75, 0.5, 0.5]
    """
    return to + (1 - to) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2
