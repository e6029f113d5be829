"""In which ways a result was made otherwise than in its paper, in words."""

from collections.abc import Iterator
from typing import NamedTuple

from latent_anatomy.ledger.papers import Paper
from latent_anatomy.ledger.results import Result


def departures(paper: Paper, result: Result, metric: str) -> list[str]:
    """The ways in which a result was made otherwise than in the paper, or in its released code.

    None for "data/..." metrics, which no training decides.
    Raises ValueError when the paper's file names a parameter that the result does not record.
    """
    if metric.startswith("data/"):
        return []
    run = paper.runs[result.run]
    texts = [f"trained on {result.trained_on}"] if result.trained_on else []
    texts += [f"tested on {result.test_subjects} subjects alone"] if result.test_subjects else []
    texts += [f"mean of {result.folds} folds"] if result.folds > 1 else []
    for difference in _differences(run.settings, result.params, f"{result.path}: params."):
        if difference.parameter == "epochs" and difference.ours < difference.expected:
            length = f"shortened: {difference.ours} of {difference.expected} epochs"
            texts.append(", ".join(filter(None, (length, run.shortened))))
        else:
            source = run.source(difference.parameter)
            texts.append(f"{difference.parameter} {difference.ours}, {source} {difference.expected}")
    protocol = metric.split("/")[0]
    chosen = result.evaluation.get(protocol, {})
    where = f"{result.path}: evaluation.{protocol}."
    for difference in _differences(paper.evaluation.get(protocol, {}), chosen, where):
        texts.append(
            f"{protocol} with {difference.parameter} {difference.ours}, {run.source()} {difference.expected}"
        )
    return texts


class Difference(NamedTuple):
    """A parameter that is not as in the paper's settings; nested names joined by dots."""

    parameter: str
    ours: object
    expected: object


def _differences(settings: dict, ours: dict, where: str, prefix: str = "") -> Iterator[Difference]:
    for key, value in settings.items():
        if key not in ours:
            raise ValueError(
                f"{where}{prefix}{key}: expected this parameter of the paper's settings, found none: run "
                "again, or correct the paper's file"
            )
        if isinstance(value, dict):
            yield from _differences(value, ours[key], where, f"{prefix}{key}.")
        elif ours[key] != value:
            yield Difference(prefix + key, ours[key], value)
