"""Samples per second of runs, in training and in inference.

A training step is forward passes, back-propagation and the optimisers' steps on one batch; inference is the
reconstruction of one, or its classification where a method has no reconstruction. All runs are measured in
turns. Operations are those of convolutions and matrix products, as torch counts them.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from latent_anatomy.benchmarks.run_on_noise import CLASSES, bare_step, build, build_like, noise
from latent_anatomy.benchmarks.timing import in_turns, machine, machine_text, spread
from latent_anatomy.jobs.inputs import choose_device
from latent_anatomy.ledger import papers
from latent_anatomy.training.method import Shape, Stack

INFERENCE = ("reconstruct", "classify")
MAPS = ("anomaly_map",)
PRINTED = "reconstruction/seconds"  # the metric of the papers' times per sample


def run(
    names: list[str],
    channels: int,
    size: int,
    batch: int,
    repeats: int,
    warm_up: int,
    device: str,
    like: str | None = None,
    maps: bool = False,
    inference: bool = True,
    processor: bool = False,
) -> dict:
    """Measure the runs `names` and print a table; returns all of it, times in seconds per sample.

    `like`: whose parameters they have, see `build_like`. With `maps` inference is the anomaly map, with
    `processor` seconds are the processor's.
    """
    torch_device = choose_device(device)
    conditions = machine(torch_device)
    shape = Shape(channels, size, size, CLASSES)
    images = noise(batch, shape, torch_device).batch(torch.arange(batch, device=torch_device))
    works, operations, kinds = {}, {}, {}
    for name in dict.fromkeys(names):
        if like is None:
            method = build(name, shape, torch_device, batch_size=batch)
        else:
            method = build_like(like, name, shape, torch_device)
        kinds[name] = _capability(name, method, MAPS if maps else INFERENCE)
        if inference:
            works[name, "inference"] = _inference(deepcopy(method).eval(), kinds[name], images.images)
        works[name, "training"] = partial(bare_step(method.train()), {"train": images})
    for key, work in works.items():
        with Operations() as counted:
            work()
        operations[key] = counted.total / batch
    times = in_turns(works, repeats, warm_up, torch_device, processor)
    printed = printed_seconds(Path("papers"))
    measured = {"machine": conditions, "image": [channels, size, size], "batch": batch, "repeats": repeats}
    measured |= {"like": like, "clock": "processor" if processor else "wall"}
    measured["runs"] = {
        name: {"inference_by": kinds[name], "printed_seconds": printed.get(name)} for name in kinds
    }
    for (name, phase), all_times in times.items():
        per_sample = spread([each / batch for each in all_times])
        measured["runs"][name][phase] = {
            "seconds_per_sample": per_sample,
            "samples_per_second": 1 / per_sample["median"],
            "operations_per_sample": operations[name, phase],
            "operations_per_second": operations[name, phase] / per_sample["median"],
        }
    print(text(measured))
    return measured


class Operations(TorchDispatchMode):
    """Counts floating-point operations, by torch's own formulae.

    torch's FlopCounterMode also follows modules, which fails where a method calls `torch.autograd.grad`.
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def _capability(name: str, method: nn.Module, kinds: tuple[str, ...]) -> str:
    """What inference is; ValueError for a run that has nothing of these kinds."""
    for capability in kinds:
        if hasattr(method, capability):
            return capability
    raise ValueError(
        f"{name}: expected a method that can {' or '.join(kinds)}, found none of it: name another run"
    )


def _inference(method: nn.Module, capability: str, images: Tensor) -> Callable[[], object]:
    given = images
    if capability in MAPS:
        everywhere = torch.ones_like(images[:, 0], dtype=torch.bool)
        given = Stack(images, everywhere, torch.zeros(len(images), dtype=torch.long, device=images.device))
    return torch.no_grad()(lambda: getattr(method, capability)(given))


def printed_seconds(folder: Path) -> dict[str, float]:
    """Run -> seconds per sample that its paper prints, where they can be read."""
    rows = (
        row
        for path in sorted(folder.glob("*.yaml"))
        for table in papers.load(path).tables
        for row in table.rows
        if row.metric == PRINTED
    )
    return {row.run: value for row in rows for value in row.values if value is not None}


def text(measured: dict) -> str:
    """The document of `run` as text."""
    channels, height, width = measured["image"]
    length = max(map(len, measured["runs"]))
    columns = f"{'training':>34}{'inference':>23}{'inference':>22}{'in print':>10}"
    started = f"{'samples/s':>11}{'GFLOP':>13}{'GFLOP/s':>10}"
    units = f"{started}{'samples/s':>13}{'GFLOP/s':>10}{'s/sample':>12}{'+-':>10}{'':>10}"
    lines = [
        machine_text(measured["machine"]),
        f"{channels} x {height} x {width}, batch {measured['batch']}; in turns, "
        f"{measured['repeats']} repeats, seconds of the {measured['clock']}",
        f"{'':{length}}{columns}",
        f"{'':{length}}{units}",
    ]
    for name, each in measured["runs"].items():
        train, infer = each["training"], each.get("inference")
        started = (
            f"{name:{length}}{train['samples_per_second']:11.3f}"
            f"{train['operations_per_sample'] / 1e9:13.2f}{train['operations_per_second'] / 1e9:10.1f}"
        )
        if infer is None:
            lines.append(started)
            continue
        printed = "" if each["printed_seconds"] is None else f"{each['printed_seconds']:.4g}"
        time = infer["seconds_per_sample"]
        half = (time["upper_quartile"] - time["lower_quartile"]) / 2
        lines.append(
            f"{started}{infer['samples_per_second']:13.2f}{infer['operations_per_second'] / 1e9:10.1f}"
            f"{time['median']:12.4g}{half:10.2g}{printed:>10}"
        )
    return "\n".join([*lines, "+-: half of the distance between the quartiles"])
