"""Entities in the names of a BIDS folder's files that change what is in them: refused, or the same for all.

A name says more than who and what: `part-phase` is no magnitude, `chunk-2` a part of the head, `desc-brain`
an image that somebody has worked on, `ce-gadolinium` one in which vessels and lesions shine. Taken for the
plain image of the kind, each would be another appearance or anatomy than the one that the data set is about.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from latent_anatomy.data.slices import defect

ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9+]+)")
# What says how often or with which settings the same image was taken.
HARMLESS = {"sub", "ses", "run", "acq", "rec", "task", "mod", "space"}
# What an image may have if all images of the kind have the same: contrast agent, and points of a series.
ALIKE = ("ce", "echo", "flip", "inv", "mt")
MAGNITUDE = ("part", "mag")
OF_MASKS = {
    *HARMLESS,
    *ALIKE,
    "label",
    "desc",
    "res",
    "den",
}  # the grid of a mask is looked at when it is read

Files = Mapping[str, Mapping[str | None, str]]  # subject -> kind of image (of a mask: None) -> file


def check(folder: Path, images: Files, masks: Files) -> None:
    """ValueError, naming the file, for an entity of another meaning, and where subjects differ in one."""
    for allowed, files in ((HARMLESS | set(ALIKE), images), (OF_MASKS, masks)):
        for name in (name for own in files.values() for name in own.values()):
            for key, value in entities(name).items():
                if key not in allowed and (key, value) != MAGNITUDE:
                    remedy = (
                        "move it elsewhere, or rename it if it is like the others; write SHA256SUMS again"
                    )
                    expected = f"names with no entities but {', '.join(sorted(allowed))}"
                    raise defect(folder / name, expected, f"{key}-{value}", remedy)
    for kind in sorted({kind for own in images.values() for kind in own}):
        of_kind = {own[kind]: entities(own[kind]) for own in images.values()}
        for key in ALIKE:
            values = {found.get(key): name for name, found in of_kind.items()}
            if len(values) > 1:
                (one, first), (other, second) = list(values.items())[:2]
                found = f"{_said(key, one)} in {first} and {_said(key, other)} in {second}"
                remedy = "keep subjects apart that were imaged otherwise, in folders of their own"
                raise defect(folder, f"the same {key} in every {kind}", found, remedy)


def entities(name: str) -> dict[str, str]:
    """The entities in the name of a file, by their keys."""
    parts = PurePosixPath(name).name.split("_")[:-1]
    return dict(match.groups() for part in parts if (match := ENTITY.fullmatch(part)))


def _said(key: str, value: str | None) -> str:
    return f"no {key}" if value is None else f"{key}-{value}"
