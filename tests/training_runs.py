"""What tests of training share: equal weights, and a training that is stopped after some steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Interrupted(Exception):
    """Raised in place of the step after the last one."""


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether these tensors are the same bits; `other` may have more of them."""
    return all(torch.equal(value, other[name]) for name, value in one.items())


def copied(network: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics of a network as they are now."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def stop_after(method: nn.Module, steps: int) -> list[None]:
    """Let `method` take so many training steps and no more; the list has an entry for each that began."""
    step, begun = method.training_step, []

    def training_step(*arguments):
        begun.append(None)
        if len(begun) > steps:
            raise Interrupted
        return step(*arguments)

    method.training_step = training_step
    return begun
