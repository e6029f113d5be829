"""The same test images under two versions, as strips of pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ORIGINAL = "clean/original"
SHOWN = 4  # images of each condition; all of them of the clean one
GAINS = (1, 2, 5, 10, 20, 50, 100, 200)


class Pair(NamedTuple):
    """What both versions make of the same images: `a` and `b` (n, C, H, W) uint8.

    `difference` is |A-B| times `gain`, the largest of GAINS with which nothing is clipped.
    """

    branch: str
    a: NDArray[np.uint8]
    b: NDArray[np.uint8]
    difference: NDArray[np.uint8]
    gain: int


@dataclass(frozen=True)
class Gallery:
    """The pictures of one run: condition -> its input (n, C, H, W) uint8 and the pairs that differ.

    `same` are those that are the same bits in both, `left_out` those that cannot be compared, with why.
    """

    conditions: dict[str, tuple[NDArray[np.uint8], list[Pair]]]
    same: list[str]
    left_out: dict[str, str]


def compare(a: Mapping[str, NDArray], b: Mapping[str, NDArray]) -> Gallery:
    """The pictures of `contents.figures`: "<condition>/<branch>", seen against "<condition>/input".

    Pictures of images that are not the same in both versions are left out: their difference would be one
    of images, not of versions.
    """
    conditions, same, left_out = {}, [], {}
    for name in sorted(a.keys() | b.keys(), key=lambda name: (not name.startswith("clean/"), name)):
        condition, _, branch = name.partition("/")
        shown = f"{condition}/input" if f"{condition}/input" in a else ORIGINAL
        reason = _reason(name, shown, a, b)
        if name in (ORIGINAL, f"{condition}/input"):
            continue
        if reason:
            left_out[name] = reason
        elif np.array_equal(a[name], b[name]):
            same.append(name)
        else:
            count = len(a[name]) if condition == "clean" else SHOWN
            pair = _pair(branch, a[name][:count], b[name][:count])
            conditions.setdefault(condition, (a[shown][:count], []))[1].append(pair)
    return Gallery(conditions, same, left_out)


def _reason(name: str, shown: str, a: Mapping[str, NDArray], b: Mapping[str, NDArray]) -> str:
    for side, other in ((a, "B"), (b, "A")):
        if name not in side:
            return f"only {other} has it"
    for needed in (ORIGINAL, shown):
        if needed not in a or needed not in b or not np.array_equal(a[needed], b[needed]):
            return "they are not the same test images"
    kinds = [f"{side[name].dtype} {side[name].shape}" for side in (a, b)]
    shape = a[name].shape
    if kinds[0] != kinds[1] or len(shape) != 4 or shape[1] not in (1, 3) or a[name].dtype != np.uint8:
        return f"no pictures of one shape: {' and '.join(kinds)}"
    return ""


def _pair(branch: str, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Pair:
    apart = np.abs(a.astype(np.int16) - b)
    furthest = int(apart.max(initial=0))
    gain = max(gain for gain in GAINS if gain * furthest <= 255)
    return Pair(branch, a, b, (apart * gain).astype(np.uint8), gain)
