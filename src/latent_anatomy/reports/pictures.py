"""Test images as strips of pictures, and what several runs make of them."""

import io
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latent_anatomy.reports import figures
from latent_anatomy.reports.markup import Html, image, join, tag

GAP = 1  # white pixels between two images
SHOWN = 4  # images of a strip
Pictures = Mapping[str, NDArray[np.uint8]]  # name -> images (n, C, H, W)
IN_A_ROW = "display:block;height:64px;width:auto;max-width:none;image-rendering:pixelated"


def strip(images: NDArray[np.uint8]) -> bytes:
    """Images (n, 1 or 3, H, W) side by side as PNG: same images, same bytes."""
    padded = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, GAP)), constant_values=255)
    row = np.concatenate([np.moveaxis(each, 0, -1) for each in padded], axis=1)[:, :-GAP]
    stream = io.BytesIO()
    Image.fromarray(row.squeeze(-1) if row.shape[-1] == 1 else row).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def groups(runs: Mapping[str, Pictures]) -> dict[str, dict[str, Pictures]]:
    """run -> pictures "<group>/<name>" as group -> run -> pictures "<name>", groups sorted.

    Without groups in which several runs have nothing but the same pictures, such as those of their input.
    """
    by_group: dict[str, dict[str, dict[str, NDArray[np.uint8]]]] = {}
    for run, pictures in runs.items():
        for key, images in pictures.items():
            group, _, name = key.rpartition("/")
            by_group.setdefault(group, {}).setdefault(run, {})[name] = images
    return {group: each for group, each in sorted(by_group.items()) if _shared(each) != _names(each)}


def side_by_side(runs: Mapping[str, Pictures], passport: dict) -> Html:
    """A table with a row for each run and its pictures in columns; those that all share are above.

    Each picture carries `passport`. Of images with other than 1 or 3 channels, such as masks of four
    structures, the channels of the first are shown.
    """
    shared, names = _shared(runs), _names(runs)
    own = [name for name in names if name not in shared]
    first = next(iter(runs.values()))
    rows = [_row("", [first[name] for name in shared], list(shared), passport)] if shared else []
    rows += [_row(run, [pictures.get(name) for name in own], own, passport) for run, pictures in runs.items()]
    return tag("div", tag("table", join(rows)), style="overflow-x:auto")


def _names(runs: Mapping[str, Pictures]) -> list[str]:
    return list(dict.fromkeys(name for pictures in runs.values() for name in pictures))


def _shared(runs: Mapping[str, Pictures]) -> list[str]:
    """The names under which several runs have the same pictures."""
    first, *others = runs.values()
    if not others:
        return []
    return [
        name
        for name, images in first.items()
        if all(name in other and np.array_equal(images, other[name]) for other in others)
    ]


def _row(run: str, columns: list[NDArray | None], names: list[str], passport: dict) -> Html:
    cells = list(_cells(run, columns, names, passport))
    return tag("tr", tag("td", tag("b", run)) + join(cells))


def _cells(run: str, columns: list[NDArray | None], names: list[str], passport: dict) -> Iterator[Html]:
    for name, images in zip(names, columns, strict=True):
        if images is None:
            yield tag("td", "")
            continue
        shown = images[:SHOWN] if images.shape[1] in (1, 3) else images[0][:, None]
        picture = figures.with_passport(strip(shown), passport)
        yield tag("td", tag("div", name) + image(picture, f"{run} {name}".strip(), style=IN_A_ROW))
