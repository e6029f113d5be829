"""What runs are compared by: scores.npz beside each metrics.json.

It holds the arrays that the protocols' `paired` names, and, as JSON in the entry "paired", what these are
for. So runs evaluated on different days and machines are tested against each other without their models, and
without the protocols that made them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.evaluation.protocol import Paired
from latent_anatomy.provenance.files import atomic_write
from latent_anatomy.provenance.unpacking import read_npz

INDEX = "paired"


class Scores(NamedTuple):
    """Metric -> by which arrays runs are compared; these arrays; and, of several folds, those of each."""

    paired: dict[str, Paired]
    arrays: dict[str, NDArray]
    folds: tuple["Scores", ...] = ()


def of(arrays: Mapping[str, NDArray], paired: Mapping[str, Paired]) -> Scores:
    """The part of an evaluation's arrays that is paired; ValueError when it is not what `paired` says."""
    for metric, pair in paired.items():
        if missing := [name for name in pair.names if name not in arrays]:
            raise ValueError(f"{metric}: expected the arrays that it is paired by, found no {missing[0]!r}")
        lengths = {name: len(arrays[name]) for name in pair.names}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{metric}: expected arrays of one length, with their subjects, found {lengths}")
        for name in pair.arrays:
            if arrays[name].ndim != (2 if pair.labels else 1):
                expected = "class scores (n, classes) with labels, or values (n,) without"
                raise ValueError(f"{name}: expected {expected}, found {arrays[name].shape}")
    names = sorted({name for pair in paired.values() for name in pair.names})
    return Scores(dict(paired), {name: np.asarray(arrays[name]) for name in names})


def write(path: Path, scores: Scores) -> None:
    """Write scores.npz atomically; the same scores are the same bytes."""
    index = json.dumps({metric: asdict(pair) for metric, pair in scores.paired.items()}, sort_keys=True)
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **{INDEX: np.array(index)}, **scores.arrays)


def read(path: Path) -> Scores:
    """Read scores.npz; ValueError for another file, and for an array that nothing in it is paired by."""
    arrays = read_npz(path, remedy="evaluate this run again")
    if INDEX not in arrays:
        raise ValueError(f"{path}: expected an entry {INDEX!r}, found none: evaluate this run again")
    try:
        index = json.loads(str(arrays.pop(INDEX)))
        paired = {
            metric: Paired(**{**pair, "arrays": tuple(pair["arrays"])}) for metric, pair in index.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected in {INDEX!r} what is paired, found another ({error}): evaluate this run again"
        ) from error
    named = {name for pair in paired.values() for name in pair.names}
    if unknown := sorted(arrays.keys() - named):
        raise ValueError(
            f"{path}: expected arrays that a protocol pairs, found {unknown[0]!r}, which none does: name it "
            "in the `paired` of its protocol and evaluate this run again"
        )
    return of(arrays, paired)


def pooled(folds: Sequence[Scores]) -> Scores:
    """One run with one seed in several folds as one test: the entries of all of them, one after another.

    ValueError when they are not compared by the same arrays.
    """
    first = folds[0]
    for place, fold in enumerate(folds):
        differing = [metric for metric, pair in first.paired.items() if fold.paired.get(metric) != pair]
        differing += [metric for metric in fold.paired if metric not in first.paired]
        if differing:
            raise ValueError(
                f"fold {place}: expected the same scores as in the first, found others of {differing[0]!r}: "
                "evaluate all folds by the same protocols, or compare them by themselves"
            )
    arrays = {name: np.concatenate([fold.arrays[name] for fold in folds]) for name in first.arrays}
    return Scores(first.paired, arrays, tuple(folds) if len(folds) > 1 else ())
