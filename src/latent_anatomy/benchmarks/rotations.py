"""How long rotations and codebooks of a latent space take, and how that grows with the number of rows.

Latents are drawn: contents, each seen in two of four settings, whose styles are added to them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from latent_anatomy.benchmarks.timing import in_turns, machine, machine_text, spread
from latent_anatomy.evaluation.represented import codebook
from latent_anatomy.methods import registry as methods
from latent_anatomy.training.latents import Pairs
from latent_anatomy.training.method import Shape

ROTATIONS = ("rotation", "pisco", "difference_svd", "learned_rotation")
PARTS = (8, 4, 2, 1)  # of the rows, so many are measured: a half, a quarter, an eighth
SETTINGS, NOISE, SEED = 4, 0.1, 2409


def run(
    rows: int,
    features: int,
    clusters: Sequence[int],
    repeats: int,
    warm_up: int,
    processor: bool,
    threads: int,
) -> dict:
    """Measure on `rows` latents of `features` and on halves of them; print a line for each work."""
    device = torch.device("cpu")
    torch.set_num_threads(threads)
    conditions = machine(device)
    found: dict[str, dict[str, dict]] = {}
    for part in PARTS:
        latents, pairs = drawn(rows // part, features)
        times = in_turns(works(latents, pairs, clusters), repeats, warm_up, device, processor)
        for name, values in times.items():
            found.setdefault(name, {})[str(len(latents))] = spread(values)
    measured = {
        "machine": conditions,
        "features": features,
        "clock": "processor" if processor else "wall",
        "seconds": found,
        "growth": {name: growth(by_rows) for name, by_rows in found.items()},
    }
    print(text(measured))
    return measured


class Drawn(nn.Module):
    """An encoder whose embeddings are the pixels, to build methods on; its latents are given to them."""

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        return {"z": images.flatten(1)}


def drawn(rows: int, features: int) -> tuple[Tensor, Pairs]:
    """Latents (rows, features) float64, of two rows a content, and their pairs."""
    generator = torch.Generator().manual_seed(SEED)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    count = rows // 2
    content, style = normal(count, features), normal(SETTINGS, features)
    first = torch.randint(SETTINGS, (count,), generator=generator)
    second = (first + torch.randint(1, SETTINGS, (count,), generator=generator)) % SETTINGS
    settings = torch.stack([first, second], 1)
    latents = torch.cat([content + style[each] + NOISE * normal(count, features) for each in settings.T])
    where = torch.arange(count)
    names = tuple(f"setting-{number}" for number in range(SETTINGS))
    return latents, Pairs(torch.stack([where, where + count], 1), settings, names)


def works(latents: Tensor, pairs: Pairs, clusters: Sequence[int]) -> dict[str, Callable[[], object]]:
    """What is measured: the directions of each rotation, and a codebook of each size."""
    shape = Shape(1, 1, latents.shape[1], 2, 1, ())

    def directions(name: str) -> Callable[[], object]:
        module = methods.load(name)
        method = module.Method(module.Method.Params(), shape, Drawn())
        return lambda: method.directions(latents, pairs)

    found: dict[str, Callable[[], object]] = {name: directions(name) for name in ROTATIONS}
    return found | {f"k-means, K = {k}": lambda k=k: codebook(latents.numpy(), k, SEED, 1) for k in clusters}


def growth(by_rows: Mapping[str, Mapping[str, float]]) -> float:
    """The power of the number of rows with which the median grows, by least squares of logarithms."""
    rows = np.log([float(each) for each in by_rows])
    return float(np.polyfit(rows, np.log([each["median"] for each in by_rows.values()]), 1)[0])


def text(measured: Mapping) -> str:
    """The document of `run` as text."""
    by_name = measured["seconds"]
    sizes = list(next(iter(by_name.values())))
    lines = [
        f"{name:18}" + "".join(f"{by_rows[size]['median']:10.3f}" for size in sizes) + f"{power:8.2f}"
        for (name, by_rows), power in zip(by_name.items(), measured["growth"].values(), strict=True)
    ]
    head = f"seconds of the {measured['clock']}; rows of {measured['features']} features; last: their power"
    columns = f"{'':18}" + "".join(f"{int(size):10,}" for size in sizes)
    return "\n".join([machine_text(measured["machine"]), head, columns, *lines])
