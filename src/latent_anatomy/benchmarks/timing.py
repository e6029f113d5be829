"""Times taken in turns, so that a machine whose speed drifts slows all that is compared alike."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter, process_time

import numpy as np
import torch
from scipy import stats

from latent_anatomy.training.environment import device_name

RESAMPLES = 2000


def in_turns(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int,
    device: torch.device,
    processor: bool = False,
) -> dict[str, list[float]]:
    """Seconds of each work, `repeats` of each, one round of all after the other; `warm_up` rounds before.

    With `processor` they are of this process on the processor, which hardly depend on what runs beside it.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(warm_up + repeats):
        for name, work in works.items():
            times[name].append(seconds(work, device, processor))
    return {name: all_times[warm_up:] for name, all_times in times.items()}


def seconds(work: Callable[[], object], device: torch.device, processor: bool = False) -> float:
    """Seconds of one call, until the device has done all of it; or those of the processor."""
    clock = process_time if processor else partial(now, device)
    start = clock()
    work()
    return clock() - start


def now(device: torch.device) -> float:
    """The clock, in seconds, once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of values (n,)."""
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return {"median": median, "lower_quartile": low, "upper_quartile": high}


def speed_ratio(times: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """How fast something is beside its reference: median of `reference` over median of `times`.

    Both (n,) seconds, of the same n >= 2 rounds. The 95 % interval is that of a percentile bootstrap over the
    rounds, which stay pairs.
    """
    interval = stats.bootstrap(
        (reference, times),
        lambda one, other, axis: np.median(one, axis) / np.median(other, axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=0,
    ).confidence_interval
    ratio = float(np.median(reference) / np.median(times))
    return {"ratio": ratio, "low": float(interval.low), "high": float(interval.high)}


def machine(device: torch.device) -> dict[str, object]:
    """What the times depend on, as far as torch and the system know; `load` is that of the last minute."""
    return {
        "device": device_name(device),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }


def machine_text(conditions: Mapping[str, object]) -> str:
    """The machine in one line."""
    return (
        f"{conditions['device']}; {conditions['cores']} cores ({conditions['processor']}), "
        f"{conditions['threads']} threads of torch {conditions['torch']}; "
        f"load {conditions['load']:.1f} at the start"
    )
