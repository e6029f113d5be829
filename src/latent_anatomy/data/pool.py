"""The slices of several data sets as those of one."""

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from latent_anatomy.data.slices import COLUMNS, Slices, defect

SEPARATOR = "__"  # between the members in the name of a pool
OF = ":"  # between data set and subject in the name of a pool's subject


def pooled(name: str, members: Mapping[str, Slices]) -> Slices:
    """The slices of all `members`, by the names of their data sets, in their order.

    Subjects become <data set>:<subject>; everybody stays in the split that the member has. Raises ValueError
    unless all members have images of one shape and type, the same classes, masks and columns.
    """
    (first_name, first), *others = members.items()
    for other_name, other in others:
        for what, expected in _kind(first).items():
            found = _kind(other)[what]
            if found != expected:
                raise defect(
                    name, f"{what} {expected} of all, as of {first_name}", f"{found} in {other_name}",
                    "prepare them alike, or pool others",
                )  # fmt: skip
    starts = np.cumsum([0, *map(len, members.values())])
    columns = [
        _moved(member, each, start) for (member, each), start in zip(members.items(), starts, strict=False)
    ]
    together = {key: np.concatenate([each[key] for each in columns]) for key in columns[0]}
    return replace(first, dataset=name, **together)


def _kind(slices: Slices) -> dict[str, object]:
    """What must be the same of all members of a pool, in words."""
    attributes = [field.name for field in fields(slices) if field.name not in (*COLUMNS, "dataset")]
    return {
        "images of shape": slices.images.shape[1:],
        "images of type": str(slices.images.dtype),
        "columns": sorted(slices.columns()),
        **{name: getattr(slices, name) for name in attributes},
    }


def _moved(dataset: str, slices: Slices, start: int) -> dict[str, np.ndarray]:
    """The columns of a member whose rows begin at `start` in the pool."""
    columns = slices.columns()
    columns["subject"] = np.array([f"{dataset}{OF}{subject}" for subject in slices.subject])
    if slices.pair is not None:
        columns["pair"] = np.where(slices.pair < 0, -1, slices.pair + start)
    if slices.boxes is not None:
        columns["boxes"] = slices.boxes + np.array([start, 0, 0, 0, 0, 0], dtype=slices.boxes.dtype)
    return columns
