"""Iterations per second of a method with repeated passes (SDNet, the GAN), and what each saving brings.

The reference is the released way: networks are passed again for each update, images lie in the host's memory,
and each is rotated by itself, by scipy. One saving after the other is added, and all are measured in turns:

    shared passes     `repeated_passes="shared"`, see `methods.sdnet`
    on the device     images and masks lie there from the beginning (on a CPU they always do)
    one rotation      of the batch, in one call of `grid_sample`
    channels last     in memory, of weights and features, as the methods make their networks
    bf16              forward passes in bfloat16, as `training.precision` has them

Operations are those of convolutions and matrix products. Beside them stands what a product of two large
matrices attains here, at the precision of the row, measured in the same turns: the peak to hold against.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from latent_anatomy.benchmarks.methods import Operations
from latent_anatomy.benchmarks.run_on_noise import bare_step, build, noise
from latent_anatomy.benchmarks.timing import in_turns, machine, machine_text, speed_ratio, spread
from latent_anatomy.jobs.inputs import choose_device
from latent_anatomy.training.loop import autocast, streams_of
from latent_anatomy.training.method import Batch, Shape

STRUCTURES = ("left-ventricle", "myocardium", "right-ventricle")
CPU = torch.device("cpu")
MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns


@dataclass(frozen=True)
class Way:
    """How an iteration is made."""

    repeated_passes: str = "as_released"
    stored_on: str = "host"
    rotated: str = "each"
    channels_last: bool = False
    precision: str = "fp32"


RELEASED = Way()
SHARED = replace(RELEASED, repeated_passes="shared")
STORED = replace(SHARED, stored_on="device")
BATCHED = replace(STORED, rotated="batch")
LAST = replace(BATCHED, channels_last=True)
WAYS = {
    "as released": RELEASED,
    "+ shared passes": SHARED,
    "+ on the device": STORED,
    "+ one rotation": BATCHED,
    "+ channels last": LAST,
    "+ bf16": replace(LAST, precision="bf16"),
}


def run(name: str, size: int, width: int | None, repeats: int, warm_up: int, device: str) -> dict:
    """Measure run `name` and print a table; returns all of it, times in seconds per iteration.

    `width` of its networks, by default the run's own. ValueError for a run without repeated passes.
    """
    torch_device = choose_device(device)
    conditions = machine(torch_device)
    iterations = {what: _iteration(name, way, size, width, torch_device) for what, way in WAYS.items()}
    products = {way.precision: _product(way.precision, torch_device) for way in WAYS.values()}
    operations = {}
    for what, work in (iterations | products).items():
        with Operations() as counted:
            work()
        operations[what] = counted.total
    times = in_turns(iterations | products, repeats, warm_up, torch_device)
    measured = {
        "machine": conditions,
        "run": name,
        "image": [1, size, size],
        "width": width,
        "repeats": repeats,
    }
    measured["peak"] = {what: operations[what] / spread(times[what])["median"] for what in products}
    measured["ways"] = {
        what: {
            "seconds": spread(times[what]),
            "operations": operations[what],
            "of_released": speed_ratio(times[what], times["as released"]),
            "of_peak": operations[what]
            / spread(times[what])["median"]
            / measured["peak"][WAYS[what].precision],
        }
        for what in iterations
    }
    print(text(measured))
    return measured


def _iteration(
    name: str, way: Way, size: int, width: int | None, device: torch.device
) -> Callable[[], object]:
    """An iteration on noise, all that its streams need included."""
    shape = Shape(1, size, size, 1, structures=STRUCTURES)
    widths = {} if width is None else {"width": width, "critic_width": width}
    method = build(name, shape, device, repeated_passes=way.repeated_passes, **widths).train()
    if not way.channels_last:
        method.to(memory_format=torch.contiguous_format)
    degrees = method.params.rotation
    if way.rotated == "each":
        method.params = method.params.model_copy(update={"rotation": 0.0})
    data = noise(4 * method.params.batch_size, shape, device if way.stored_on == "device" else CPU)
    batches = {
        stream: each.indices[: each.batch_size].to(data.device)
        for stream, each in streams_of(method, data).items()
    }
    step, random = bare_step(method), np.random.default_rng(0)

    def iterate() -> object:
        loaded = {stream: data.batch(rows) for stream, rows in batches.items()}
        if way.rotated == "each":
            angles = random.uniform(-degrees, degrees, method.params.batch_size)
            loaded = {stream: rotated_each(batch, angles) for stream, batch in loaded.items()}
        loaded = {stream: on(device, batch) for stream, batch in loaded.items()}
        with autocast(way.precision, device):
            return step(loaded)

    return iterate


def rotated_each(batch: Batch, angles: np.ndarray) -> Batch:
    """Images and masks, on whatever device, by angles (N,) in degrees, one after the other on the host."""

    def turned(planes: Tensor) -> Tensor:
        pairs = zip(planes.cpu().numpy(), angles, strict=True)
        done = [
            ndimage.rotate(each, angle, axes=(-1, -2), reshape=False, order=1, mode="nearest")
            for each, angle in pairs
        ]
        return torch.from_numpy(np.stack(done)).to(planes.device)

    return Batch(turned(batch.images), masks=turned(batch.masks))


def on(device: torch.device, batch: Batch) -> Batch:
    """The same on the device."""
    return Batch(batch.images.to(device), masks=batch.masks.to(device))


def _product(precision: str, device: torch.device) -> Callable[[], Tensor]:
    """The product of two large matrices."""
    kind = torch.float32 if precision == "fp32" else torch.bfloat16
    matrix = torch.rand(MATRIX[device.type], MATRIX[device.type], device=device).to(kind)
    return lambda: matrix @ matrix


def text(measured: dict) -> str:
    """The document of `run` as text."""
    height, width = measured["image"][1:]
    lines = [
        machine_text(measured["machine"]),
        f"{measured['run']}, 1 x {height} x {width}, width {measured['width'] or 'of the run'}; in turns, "
        f"{measured['repeats']} repeats",
        f"{'':18}{'iterations/s':>13}{'speed':>8}{'95 % interval':>16}{'GFLOP':>9}{'of peak':>9}",
    ]
    for what, each in measured["ways"].items():
        speed = each["of_released"]
        interval = f"{speed['low']:.2f} to {speed['high']:.2f}"
        lines.append(
            f"{what:18}{1 / each['seconds']['median']:13.3f}{speed['ratio']:8.2f}{interval:>16}"
            f"{each['operations'] / 1e9:9.1f}{each['of_peak']:9.1%}"
        )
    peaks = ", ".join(f"{what} {rate / 1e9:.0f} GFLOP/s" for what, rate in measured["peak"].items())
    return "\n".join([*lines, f"Peak, the product of two large matrices: {peaks}"])
