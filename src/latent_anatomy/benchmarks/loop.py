"""How much slower the training loop is than the bare step.

The bare step is forward passes, back-propagation and the optimisers' steps of one batch that lies on the
device, augmentation included. The loop is `training.train` itself, as it trains: it adds loading, orders,
seeds, the sums of the losses, the progress bar and the saved state. After each block of its steps it is held
up, and as many bare steps, loadings and augmentations are timed, so that both are measured in turns within
one training.

A block is an epoch, shorter than any real one: what an epoch costs is counted too often. Validation and the
choice of the best epoch are left out: what they cost depends on the data set.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from latent_anatomy.benchmarks.run_on_noise import CLASSES, bare_step, build, noise
from latent_anatomy.benchmarks.timing import machine, machine_text, now, seconds, speed_ratio, spread
from latent_anatomy.corruptions.augment import augment
from latent_anatomy.jobs.inputs import choose_device
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Batch, Data, Shape, Update

LOOP, BARE = "whole loop", "bare step"


def run(
    name: str,
    channels: int,
    size: int,
    batch: int | None,
    block: int,
    repeats: int,
    warm_up: int,
    device: str,
) -> dict:
    """Measure run `name` and print a table; returns all of it, times in seconds per step."""
    torch_device = choose_device(device)
    conditions = machine(torch_device)
    changes = {"epochs": warm_up + repeats} | ({} if batch is None else {"batch_size": batch})
    shape = Shape(channels, size, size, CLASSES)
    method = build(name, shape, torch_device, **changes)
    batch_size = method.params.batch_size
    data = noise(block * batch_size, shape, torch_device)
    with tempfile.TemporaryDirectory() as folder:
        times = alternate(method, data, block, Path(folder))
    times = {what: all_times[warm_up:] for what, all_times in times.items()}
    measured = {
        "machine": conditions,
        "run": name,
        "image": [channels, size, size],
        "batch": batch_size,
        "block": block,
        "repeats": repeats,
        "seconds_per_step": {what: spread(all_times) for what, all_times in times.items()},
        "loop_of_bare_step": speed_ratio(times[LOOP], times[BARE]),
    }
    print(text(measured))
    return measured


def alternate(method: nn.Module, data: Data, block: int, scratch: Path) -> dict[str, list[float]]:
    """Train all epochs on `data`, `block` steps each: seconds per step of each epoch and of what follows it.

    Changes `method`: it is trained, no longer validated, and its training step is the one that holds up.
    """
    times: dict[str, list[float]] = {LOOP: []}
    step, bare = method.training_step, _bare(method, data)
    taken, started, last = 0, 0.0, {}

    def hold_up() -> None:
        times[LOOP].append((now(data.device) - started) / block)
        for what, work in bare.items():
            blocks = seconds(lambda work=work: [work(last) for _ in range(block)], data.device)
            times.setdefault(what, []).append(blocks / block)

    def held_up(batches: dict[str, Batch], update: Update) -> dict[str, Tensor]:
        nonlocal taken, started, last
        if taken % block == 0:
            if taken:
                hold_up()
            started = now(data.device)
        taken, last = taken + 1, batches
        return step(batches, update)

    method.training_step, method.validate, method.selection = held_up, lambda _: {}, None
    train(method, data, data, seed=0, settings=TrainingParams(), scratch=scratch, label=LOOP)
    hold_up()
    return times


def _bare(method: nn.Module, data: Data) -> dict[str, Callable[[dict[str, Batch]], object]]:
    """What is timed by itself, each a function of the loop's last batches."""
    indices = torch.arange(method.params.batch_size, device=data.device)
    parts = {"loading": lambda _: data.batch(indices)}
    if hasattr(method.params, "corruption_probability"):
        images = data.batch(indices).images.repeat(getattr(method.params, "views", 1), 1, 1, 1)
        parts["augmentation"] = lambda _: augment(images, method.params.corruption_probability)
    return parts | {BARE: bare_step(method)}


def text(measured: dict) -> str:
    """The document of `run` as text."""
    channels, height, width = measured["image"]
    ratio = measured["loop_of_bare_step"]
    bare = measured["seconds_per_step"][BARE]["median"]
    lines = [
        machine_text(measured["machine"]),
        f"{measured['run']}, {channels} x {height} x {width}, batch {measured['batch']}; in turns, "
        f"{measured['repeats']} blocks of {measured['block']} steps each",
        f"{'':14}{'ms/step':>10}{'quartiles':>20}{'images/s':>12}{'of bare step':>14}",
    ]
    for what, each in measured["seconds_per_step"].items():
        quartiles = f"{each['lower_quartile'] * 1e3:.2f} to {each['upper_quartile'] * 1e3:.2f}"
        rate = measured["batch"] / each["median"]
        share = each["median"] / bare
        lines.append(f"{what:14}{each['median'] * 1e3:10.2f}{quartiles:>20}{rate:12.0f}{share:14.1%}")
    interval = f"95 % interval {ratio['low']:.1%} to {ratio['high']:.1%}"
    return "\n".join([*lines, f"The loop is {ratio['ratio']:.1%} as fast as the bare step, {interval}."])
