"""From made-up arrays to what runs are compared by, as an evaluation does it."""

from collections.abc import Mapping

from numpy.typing import NDArray

from latent_anatomy.evaluation import registry, scores


def scores_of(arrays: Mapping[str, NDArray]) -> scores.Scores:
    """The part of `arrays` that the protocols pair; arrays of several protocols, or of one."""
    paired = {}
    for name in registry.names():
        paired |= registry.load(name).paired(arrays)
    return scores.of(arrays, paired)
