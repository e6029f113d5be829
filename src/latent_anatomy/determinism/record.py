"""One training in a process of its own, with the bits of every step recorded.

    python -m latent_anatomy.determinism.record <request.json> <trace.pt>

A fresh process is what a user has who trains again tomorrow: nothing of an earlier training is left in
it, neither the state of a random generator nor what a library tuned or allocated. `determinism.run` starts
two and gives each another seed for the hashes of Python's strings, as two ordinary processes have, so that a
method that walks through a set is found out.
"""

import hashlib
import json
import math
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from latent_anatomy.data.download import DATA
from latent_anatomy.determinism.trace import Trace, bytes_of
from latent_anatomy.jobs.checkpoint import given_weights, load_base
from latent_anatomy.jobs.inputs import build, choose_device, read_slices, shape_of, splits_on
from latent_anatomy.provenance.files import sha256_file
from latent_anatomy.training.loop import TrainingParams, train

FORESEEN = (ValueError, OSError, FloatingPointError)


class Enough(Exception):
    """All steps that were asked for are done."""


def record(request: dict) -> Trace:
    """Train as the request says and return the trace.

    Keys of the request: job (a resolved training), slices (path), on (path of the checkpoint that it stands
    on, if it stands on one), device, steps (after which to stop, or None), threads (of torch on the CPU, or
    None for its own choice), label (of the progress bar). Raises what training raises, and FloatingPointError
    when a weight or a loss is not finite at the end.
    """
    if request["threads"] is not None:
        torch.set_num_threads(request["threads"])
    job, device = request["job"], choose_device(request["device"])
    content = read_slices(Path(request["slices"]), job["dataset"], job.get("cohort"))
    splits = splits_on(device, content, job.get("cohort", {}).get("labelled"))
    method = build(job, shape_of(content), device)
    on, slices = Path(request["on"]) if "on" in request else None, sha256_file(Path(request["slices"]))
    load_base(method, job, on, slices)
    if weights := given_weights(job, DATA):
        method.load_weights(weights)
    trace = Trace(threads=torch.get_num_threads())
    work = "fit" if hasattr(method, "fit") else "training_step"  # a fit is one step without losses
    step = getattr(method, work)

    def traced_step(*arguments):
        losses = step(*arguments)
        _append(trace.losses, losses or {})
        for name, tensor in method.state_dict().items():
            trace.digests.setdefault(name, []).append(hashlib.sha256(bytes_of(tensor)).hexdigest())
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
