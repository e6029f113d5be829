"""One training in a process of its own, with the bits of every step recorded; and two of them compared.

    python -m latent_anatomy.trace <request.json> <trace.pt>

A fresh process is what a user has who trains again tomorrow: nothing of an earlier training is left in
it, neither the state of a random generator nor what a library tuned or allocated. `determinism` starts two
and gives each another seed for the hashes of Python's strings, as two ordinary processes have, so that a
method that walks through a set is found out.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from latent_anatomy.jobs.inputs import build, choose_device, read_slices, shape_of, splits_on
from latent_anatomy.training import TrainingParams, train

FORESEEN = (ValueError, OSError, FloatingPointError)


class Enough(Exception):
    """All steps that were asked for are done."""


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


def record(request: dict) -> Trace:
    """Train as the request says and return the trace.

    Keys of the request: job (a resolved training), slices (path), device, steps (after which to stop, or
    None), threads (of torch on the CPU, or None for its own choice), label (of the progress bar). Raises
    what training raises, and FloatingPointError when a weight or a loss is not finite at the end.
    """
    if request["threads"] is not None:
        torch.set_num_threads(request["threads"])
    job, device = request["job"], choose_device(request["device"])
    content = read_slices(Path(request["slices"]), job["dataset"], job.get("cohort"))
    splits = splits_on(device, content, job.get("cohort", {}).get("labelled"))
    method = build(job, shape_of(content), device)
    trace = Trace(threads=torch.get_num_threads())
    work = "fit" if hasattr(method, "fit") else "training_step"  # a fit is one step without losses
    step = getattr(method, work)

    def traced_step(*arguments):
        losses = step(*arguments)
        _append(trace.losses, losses or {})
        for name, tensor in method.state_dict().items():
            trace.digests.setdefault(name, []).append(hashlib.sha256(_bytes(tensor)).hexdigest())
        if losses and trace.steps == request["steps"]:
            raise Enough
        return losses

    setattr(method, work, traced_step)
    if hasattr(method, "validate"):
        validate = method.validate

        def traced_validation(data):
            values = validate(data)
            _append(trace.validation, values)
            return values

        method.validate = traced_validation
    with tempfile.TemporaryDirectory() as scratch:
        try:
            train(method, splits["train"], splits["val"], seed=job["seed"],
                  settings=TrainingParams.model_validate(job["training"]), scratch=Path(scratch),
                  label=request["label"])  # fmt: skip
            trace.whole = True
        except Enough:
            pass
    trace.state = {name: tensor.detach().cpu().clone() for name, tensor in method.state_dict().items()}
    bad = [name for name, tensor in trace.state.items() if not tensor.isfinite().all()]
    bad += [name for name, values in trace.losses.items() if not all(map(math.isfinite, values))]
    if bad:
        raise FloatingPointError(
            f"expected finite weights and losses after {trace.steps} steps, found others in "
            f"{', '.join(bad[:3])}: lower the learning rate, or use precision fp32"
        )
    return trace


def _append(columns: dict[str, list[float]], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        columns.setdefault(name, []).append(float(value.detach()))


def _bytes(tensor: Tensor) -> bytes:
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
    identical = _bytes(one) == _bytes(other)
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


def main() -> None:
    """Record what the request asks for; a foreseen error is one message and exit code 1."""
    request, out = map(Path, sys.argv[1:])
    try:
        record(json.loads(request.read_text(encoding="utf-8"))).save(out)
    except FORESEEN as error:
        sys.exit(f"latent-anatomy: {type(error).__name__}: {error}")
    except KeyboardInterrupt:  # says nothing: the process that waits for this one has it too
        sys.exit(130)


if __name__ == "__main__":
    main()
