"""What one training did, bit by bit, and how far two trainings are apart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass
class Trace:
    """What one training did.

    losses      name -> its value at each step, exact as Python floats
    validation  name -> its value after each epoch
    digests     name of a tensor of the state dict -> SHA-256 of its bytes after each step
    state       the state dict at the end, on the CPU
    whole       whether the training came to its own end, rather than to the last step asked for
    threads     of torch on the CPU
    """

    losses: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)
    whole: bool = False
    threads: int = 0

    @property
    def steps(self) -> int:
        return max(map(len, [*self.losses.values(), *self.digests.values()]), default=0)

    def save(self, path: Path) -> None:
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "Trace":
        return cls(**torch.load(path, weights_only=True))


def bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@dataclass(frozen=True)
class Difference:
    """How far two tensors, or two columns of values, are apart.

    `identical` is about bits (0.0 and -0.0 differ); `absolute` and `relative` are the largest |a - b| and
    |a - b| / max(|a|, |b|); `ulp` is the largest number of float32 numbers from one to the other, None for
    other types; `first` is the step or epoch, from 1, at which they part, None where they never do.
    """

    identical: bool
    absolute: float
    relative: float
    ulp: int | None
    first: int | None

    @property
    def same(self) -> bool:
        """Whether every bit is the same, at the end and before."""
        return self.identical and self.first is None


@dataclass(frozen=True)
class Comparison:
    """Two trainings side by side: their lengths in steps, and each thing that can differ by name."""

    steps: tuple[int, int]
    losses: dict[str, Difference]
    validation: dict[str, Difference]
    tensors: dict[str, Difference]

    @property
    def identical(self) -> bool:
        """Whether every bit is the same, at the end and at each step before it."""
        parts = (*self.losses.values(), *self.validation.values(), *self.tensors.values())
        return self.steps[0] == self.steps[1] and all(part.same for part in parts)

    def document(self) -> dict:
        """The same as JSON values."""
        return asdict(self) | {"identical": self.identical, "steps": list(self.steps)}


def compare(one: Trace, other: Trace) -> Comparison:
    """Hold two trainings of the same job against each other."""
    return Comparison(
        (one.steps, other.steps),
        {name: _of_values(values, other.losses[name]) for name, values in one.losses.items()},
        {name: _of_values(values, other.validation.get(name, [])) for name, values in one.validation.items()},
        {
            name: difference(tensor, other.state[name], parting(one.digests[name], other.digests[name]))
            for name, tensor in one.state.items()
        },
    )


def _of_values(one: list[float], other: list[float]) -> Difference:
    common = min(len(one), len(other))  # a patience that ran out earlier in one of them
    columns = [torch.tensor(values[:common], dtype=torch.float64) for values in (one, other)]
    return difference(*columns, parting([x.hex() for x in one], [x.hex() for x in other]))


def parting(one: Sequence[str], other: Sequence[str]) -> int | None:
    """The first place, from 1, at which two sequences differ or one has ended; None if they are equal."""
    for place, (a, b) in enumerate(zip(one, other, strict=False), start=1):
        if a != b:
            return place
    return None if len(one) == len(other) else min(len(one), len(other)) + 1


def difference(one: Tensor, other: Tensor, first: int | None) -> Difference:
    """The difference of two finite tensors of one shape and type, on the CPU."""
    identical = bytes_of(one) == bytes_of(other)
    if identical:
        return Difference(True, 0.0, 0.0, 0 if one.dtype == torch.float32 else None, first)
    a, b = one.double(), other.double()
    apart, size = (a - b).abs(), torch.maximum(a.abs(), b.abs())
    relative = torch.where(apart > 0, apart / size, 0)
    ulp = None
    if one.dtype == torch.float32:
        ulp = int(np.abs(_ordered(one) - _ordered(other)).max())
    return Difference(False, float(apart.max()), float(relative.max()), ulp, first)


def _ordered(tensor: Tensor) -> np.ndarray:
    """Integers in the order of the float32 numbers, one step per number; 0.0 and -0.0 are one."""
    bits = tensor.contiguous().reshape(-1).numpy().view(np.int32).astype(np.int64)
    return np.where(bits < 0, np.int64(-(2**31)) - bits, bits)
