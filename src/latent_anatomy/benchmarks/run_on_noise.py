"""What is measured: a run of params.yaml, on noise. Speed does not depend on what an image shows."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.jobs import inputs
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import params, training_jobs
from latent_anatomy.training.method import Batch, Data, Shape

CLASSES = 2


def build(run: str, shape: Shape, device: torch.device, **changes: object) -> nn.Module:
    """The untrained network of a run of params.yaml here, its parameters changed by `changes`.

    Raises ValueError for a run that is not there, or that is fitted in one go and has no steps.
    """
    runs = params.load(Path("params.yaml")).methods
    if run not in runs:
        raise ValueError(
            f"params.yaml: expected a run among {', '.join(runs)}, found {run!r}: name one of these"
        )
    block = dict(runs[run])
    method = methods.load(block.pop("method")).Method
    if hasattr(method, "fit"):
        raise ValueError(
            f"{run}: expected a run that is trained step by step, found one that is fitted: name another"
        )
    typed = params.typed(method.Params, block | changes, f"methods.{run}")
    torch.manual_seed(0)
    return method(method.Params.model_validate(typed), shape).to(device)


def build_like(place: str, run: str, shape: Shape, device: torch.device) -> nn.Module:
    """The untrained network of a run with the parameters that it has at `place`, and what it stands on.

    `place` is <collection>/<study>/<data set or cohort> of params.yaml. Weights of others are not loaded. Its
    steps are those after a warm-up, where there is one.
    """
    names = place.split("/")
    if len(names) != 3:
        raise ValueError(f"--like: expected <collection>/<study>/<data set>, found {place!r}: give all three")
    data, study, dataset = names
    chosen = params.load(Path("params.yaml"))
    known = chosen.collections[data].studies if data in chosen.collections else {}
    if study not in known or dataset not in known[study].trained:
        raise ValueError(
            f"--like: expected a collection, study and data set of params.yaml, found {place!r}: "
            f"choose among {', '.join(_places(chosen))}"
        )
    job = training_jobs.training(chosen.model_copy(update={"data": data}), study, run, dataset, Replicate(0))
    job["params"] |= {"warmup_steps": 0} if "warmup_steps" in job["params"] else {}
    return inputs.build(job, shape, device)


def _places(chosen: params.Params) -> list[str]:
    """What `--like` may name."""
    return [
        f"{collection}/{study}/{dataset}"
        for collection, block in chosen.collections.items()
        for study, entry in block.studies.items()
        for dataset in entry.trained
    ]


def noise(count: int, shape: Shape, device: torch.device) -> Data:
    """Uniform random images (count, C, H, W) uint8, labels in turn, masks of the structures of `shape`."""
    generator = torch.Generator().manual_seed(0)
    size = (count, shape.channels, shape.height, shape.width)
    stored = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    labels, masks = torch.arange(count) % shape.classes, None
    if shape.structures:
        planes = (count, len(shape.structures), *size[2:])
        masks = torch.randint(0, 2, planes, generator=generator, dtype=torch.uint8).to(device)
    return Data(stored.to(device), labels.to(device), masks, shape.structures)


def bare_step(method: nn.Module) -> Callable[[dict[str, Batch]], object]:
    """A training step with optimisers of its own, and nothing of the loop around it."""
    step, optimisers = method.training_step, method.optimisers()

    def update(name: str, loss: Tensor) -> None:
        optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        optimisers[name].step()
        torch.clear_autocast_cache()  # as in the loop: the next pass needs the weights as they are now

    return lambda batches: step(batches, update)
