"""Which slices belong together, and what an anomaly map must be."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray


def stacks(subject: ArrayLike, position: ArrayLike) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Runs of consecutive slices of one subject: (subject, rows (S,)), rows ordered by position.

    subject (N,) text and position (N,) integers in the volume, as in the slices file. Subjects come in
    the order of their names. A subject from which slices were left out gives several stacks, so that
    nothing is filtered or connected across the gap. Raises ValueError for two slices of one position.

    >>> for subject, rows in stacks(["ben", "ann", "ann", "ann"], [0, 4, 3, 7]):
    ...     print(subject, rows)
    ann [2 1]
    ann [3]
    ben [0]
    """
    subject, position = np.asarray(subject), np.asarray(position)
    if subject.ndim != 1 or subject.shape != position.shape:
        raise ValueError(
            f"expected one subject and one position per slice, found {subject.shape} and {position.shape}"
        )
    order = np.lexsort((position, subject))
    same = subject[order][1:] == subject[order][:-1]
    step = np.diff(position[order])
    if (same & (step == 0)).any():
        twice = order[1:][same & (step == 0)][0]
        raise ValueError(
            f"expected one slice per position, found several of {subject[twice]} at {position[twice]}: "
            "give each volume its own subject"
        )
    for rows in np.split(order, np.flatnonzero(~(same & (step == 1))) + 1):
        if len(rows):
            yield str(subject[rows[0]]), rows


def check_scores(scores: NDArray) -> None:
    """Raise ValueError unless scores of any shape are float32, finite and not negative."""
    if scores.dtype != np.float32:
        raise ValueError(f"expected anomaly scores as float32, found {scores.dtype}: convert them once")
    if not (np.isfinite(scores) & (scores >= 0)).all():
        raise ValueError(
            f"expected finite anomaly scores of 0 or more, found {scores.min()} to {scores.max()}: "
            "negative, infinite or NaN scores have no place beside the 0 outside of the brain"
        )


def check_masks(shape: tuple[int, ...], *masks: NDArray) -> None:
    """Raise ValueError unless masks are bool and of the shape (S, H, W) of one stack."""
    for mask in masks:
        if len(shape) != 3 or mask.shape != shape or mask.dtype != bool:
            raise ValueError(
                f"expected a stack (S, H, W) of booleans like the stack {shape}, "
                f"found {mask.shape} {mask.dtype}"
            )
