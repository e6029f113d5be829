"""Thresholds and box scores of RA's study from anomaly maps: here, and the way that was released.

The released evaluation goes over 1,000 thresholds in a loop, and over the images in another within, and then
over the boxes with masks of whole images. That way, written anew, stands here as what ours is held against:
both give the same numbers.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from latent_anatomy.benchmarks.timing import in_turns, machine, machine_text, speed_ratio, spread
from latent_anatomy.metrics import localisation

SEED = 2401
SCALE = 0.05  # of made maps, whose threshold then lies about where those of trained methods do


def run(images: int, size: int, repeats: int, warm_up: int, processor: bool) -> dict:
    """Measure both on `images` healthy maps and as many with a box each; print a line for each."""
    device = torch.device("cpu")
    conditions, made = machine(device), scenes(images, size)
    found: dict[str, tuple] = {}
    works = {
        "here": lambda: found.__setitem__("here", ours(**made)),
        "as released": lambda: found.__setitem__("as released", as_released(**made)),
    }
    times = in_turns(works, repeats, warm_up, device, processor)
    measured = {
        "machine": conditions,
        "images": images,
        "size": size,
        "repeats": repeats,
        "clock": "processor" if processor else "wall",
        "seconds": {name: spread(values) for name, values in times.items()},
        "speed": speed_ratio(times["here"], times["as released"]),
        "same": all(map(np.array_equal, found["here"], found["as released"])),
    }
    print(text(measured))
    return measured


def scenes(images: int, size: int) -> dict[str, NDArray]:
    """Made of noise: `healthy` maps and `maps`, both (N, S, S) float32 from 0, `tissue` (N, S, S) bool, and
    `boxes` (N, 6) int, one on each of `maps`: its row, left, top, width, height in pixels, and class 0.
    """
    random = np.random.default_rng(SEED)
    healthy, maps = (
        np.abs(random.normal(0, SCALE, (images, size, size))).astype(np.float32) for _ in range(2)
    )
    corners, sides = random.integers(0, size // 2, (images, 2)), random.integers(2, size // 2, (images, 2))
    boxes = np.column_stack([np.arange(images), corners, sides, np.zeros(images, int)])
    return {"healthy": healthy, "maps": maps, "boxes": boxes, "tissue": random.random(maps.shape) < 0.5}


def ours(
    healthy: NDArray[np.float32],
    maps: NDArray[np.float32],
    boxes: NDArray[np.integer],
    tissue: NDArray[np.bool_],
) -> tuple[float | None, NDArray, NDArray]:
    """Of what `scenes` gives: threshold, None where no step of the grid has few enough false positives;
    whether each box is found (N,) bool; its false positives (N,) float64.
    """
    level = localisation.threshold_on_grid(healthy)
    scored = localisation.score(maps, boxes, tissue, 1.0 if level is None else level)
    return level, scored.found, scored.false_positives


def as_released(
    healthy: NDArray[np.float32],
    maps: NDArray[np.float32],
    boxes: NDArray[np.integer],
    tissue: NDArray[np.bool_],
) -> tuple[float | None, NDArray, NDArray]:
    """The same, one threshold, one image and one box after the other."""
    level, exact = None, [each.astype(np.float64) for each in healthy]
    for step in range(1000):
        rate = np.mean([(each > step / 1000).sum() / each.size for each in exact])
        if rate <= localisation.FALSE_POSITIVE_RATE and level is None:
            level = step / 1000
    found, wrong = np.zeros(len(boxes), bool), np.zeros(len(boxes))
    for number, (row, left, top, wide, high, _) in enumerate(boxes):
        kept = maps[row].astype(np.float64)
        kept[maps[row] < (1.0 if level is None else level)] = 0
        inside, elsewhere = np.zeros(kept.shape), tissue[row].astype(np.float64)
        inside[top : top + high, left : left + wide] = 1
        for other in boxes[boxes[:, 0] == row]:
            elsewhere[other[2] : other[2] + other[4], other[1] : other[1] + other[3]] = 0
        mass = kept * inside
        found[number] = np.count_nonzero(mass) > localisation.PART * inside.sum()
        wrong[number] = np.floor((kept * elsewhere).sum() / max(mass.sum(), 1))
    return level, found, wrong


def text(measured: Mapping) -> str:
    """The document of `run` as text."""
    speed = measured["speed"]
    return "\n".join(
        [
            machine_text(measured["machine"]),
            f"{measured['images']} healthy maps of {measured['size']} pixels a side, as many with a box; "
            f"in turns, {measured['repeats']} repeats, seconds of the {measured['clock']}",
            *(f"{name:12}{each['median']:10.3f} s" for name, each in measured["seconds"].items()),
            f"{speed['ratio']:.0f} times as fast ({speed['low']:.0f} to {speed['high']:.0f}), "
            f"{'the same' if measured['same'] else 'OTHER'} numbers",
        ]
    )
