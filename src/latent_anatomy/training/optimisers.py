"""Optimisers and their decay that two or more methods share, as of Keras 2."""

from collections.abc import Iterable
from typing import Literal

from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from latent_anatomy.training.method import Schedules

EPSILON, BETA2 = 1e-7, 0.999

DecayPer = Literal["update", "epoch"]


class DecayingAdam(Adam):
    """Adam whose update t, from 0, has the rate lr / (1 + decay t).

    The count is the optimiser's own and is saved with its state, so that of several optimisers of the same
    weights each decays at its own pace. (Keras adds epsilon before the bias is corrected, PyTorch after.)
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, beta1: float, decay: float = 0.0):
        super().__init__(parameters, lr=lr, betas=(beta1, BETA2), eps=EPSILON, fused=True)
        for group in self.param_groups:
            group |= {"first_lr": lr, "decay": decay, "updates": 0}

    def step(self, closure=None):
        for group in self.param_groups:
            if group["decay"]:
                group["lr"] = group["first_lr"] / (1 + group["decay"] * group["updates"])
            group["updates"] += 1
        return super().step(closure)


def decay_per_epoch(optimisers: dict[str, Optimizer], decay: float) -> Schedules:
    """The rate lr / (1 + decay t) in epoch t, from 0; for optimisers that do not decay themselves."""
    rates = [LambdaLR(each, lambda epoch: 1 / (1 + decay * epoch)) for each in optimisers.values()]
    return Schedules(per_epoch=rates)
