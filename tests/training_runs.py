"""What tests of training share: equal weights, what an update moves, a training that stops after a step."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from latent_anatomy.training.method import Batch


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


def stepped(
    method: nn.Module,
    given: dict[str, Batch],
    after: Callable[[str, set[str], set[str]], object] = lambda *update: None,
) -> dict[str, Tensor]:
    """One iteration as the training loop does it; its losses.

    `after` each update gets its name, the networks that it moved, and those of which it moved every
    parameter.
    """
    optimisers = method.optimisers()
    networks = {name.partition(".")[0] for name, _ in method.named_parameters()}

    def update(name: str, loss: Tensor) -> None:
        before = copied(method)
        optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimisers[name].step()
        moved = {each: not torch.equal(before[each], value) for each, value in method.named_parameters()}
        own = {net: [moved[each] for each in moved if each.startswith(f"{net}.")] for net in networks}
        after(name, {net for net in own if any(own[net])}, {net for net in own if all(own[net])})

    torch.manual_seed(1)
    return method.train().training_step(given, update)
