"""Hard decisions through which gradients pass as if they were none (straight-through; Bengio 2013)."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import one_hot

Rounding = Literal["nearest", "argmax", "none"]


def harden(soft: Tensor, rounding: Rounding) -> Tensor:
    """Probabilities (N, C, H, W) -> exactly 0 or 1 each, with the gradient of the identity.

    nearest   a half goes to 0 (to the even neighbour): a pixel none of whose channels has more than a half
              is 0 in all of them, so that they sum to at most 1
    argmax    the likeliest channel, the first of equals: they sum to 1
    none      the probabilities as they are

    >>> soft = Tensor([0.4, 0.35, 0.25]).view(1, 3, 1, 1)
    >>> harden(soft, "nearest").flatten(), harden(soft, "argmax").flatten()
    (tensor([0., 0., 0.]), tensor([1., 0., 0.]))
    """
    if rounding == "none":
        return soft
    with_classes_last = one_hot(soft.argmax(1), soft.shape[1]) if rounding == "argmax" else None
    hard = soft.round() if with_classes_last is None else with_classes_last.movedim(-1, 1).to(soft.dtype)
    return hard.detach() + (soft - soft.detach())  # what is added is exactly 0
