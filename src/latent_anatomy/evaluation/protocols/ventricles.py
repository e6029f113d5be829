"""What a cardiologist reads off the masks: volumes, ejection fractions, mass of the left ventricle.

Of each structure, every pixel that is likeliest to be it (`segmentation`'s volume-dice), summed over the
slices of a subject at end-diastole (ED) and end-systole (ES). With v, a ventricle, "left" or "right":

    ventricles/<v>/ejection-fraction/...    (ED - ES) / ED, a ratio: also where spacing is not known
    ventricles/<v>/ED/..., <v>/ES/...       volumes in ml
    ventricles/mass/...                     of the left ventricle's wall at ED, in g: 1.05 g/ml of myocardium

and behind each mean, true_mean, bias, mae, sd, true_sd, loa_low, loa_high, r: see `metrics.agreement`; names
of what has a unit end with it. ventricles/<v>/ejection-fraction/undefined is the part of the subjects in whom
nothing was found at ED: they are left out of that ratio.

A subject counts in whom the structure is drawn in that phase, or both phases. Arrays, of each of the test
subjects, NaN where they do not count: ventricles/subject (P,) text, <what>/predicted and <what>/true (P,).
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latent_anatomy.evaluation.common import Settings, infer
from latent_anatomy.evaluation.factorised import delineated
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.metrics import dice
from latent_anatomy.metrics.agreement import agreement
from latent_anatomy.training.method import Data

NEEDS = (("segment",),)
MASKS = ("*-ventricle",)
UNPAIRED = {"ventricles/*": "they are compared with the true ones, and not with another run's"}

VENTRICLES = {"left": "left-ventricle", "right": "right-ventricle"}
WALL, GRAMS_PER_ML = "myocardium", 1.05
PHASES = ("ED", "ES")


class Params(Settings):
    """Nothing to choose."""


def possible(splits: dict[str, Data]) -> bool:
    """Needs a test subject with a ventricle that is drawn at ED and at ES."""
    test = splits["test"]
    return any(len(subjects_of(test, name, PHASES)) for name in VENTRICLES.values())


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError where no subject has both phases."""
    if not possible(splits):
        raise ValueError("ventricles: expected a test subject with a ventricle drawn at ED and ES: none")
    method.eval()
    test = splits["test"]
    predicted = infer(lambda part: dice.hard(method.segment(part).float()).sum((2, 3)), test.images).cpu()
    metrics, arrays = {}, {"ventricles/subject": np.array(sorted(set(test.subject)))}

    def note(what: str, found: dict[str, tuple[float, float]], unit: str = "") -> None:
        known = {subject: pair for subject, pair in found.items() if not np.isnan(pair).any()}
        if known:
            ours, true = (np.array(column) for column in zip(*known.values(), strict=True))
            measured = agreement(ours, true, unit)
            metrics.update({f"ventricles/{what}/{name}": value for name, value in measured.items()})
        for place, column in enumerate(("predicted", "true")):
            everybody = [found.get(who, (np.nan, np.nan))[place] for who in arrays["ventricles/subject"]]
            arrays[f"ventricles/{what}/{column}"] = np.array(everybody)

    for side, structure in VENTRICLES.items():
        sizes = {phase: summed(test, predicted, structure, phase) for phase in PHASES}
        fractions = {
            who: tuple(map(ejection_fraction, sizes["ED"][who], sizes["ES"][who]))
            for who in subjects_of(test, structure, PHASES)
        }
        if not fractions:
            continue
        note(f"{side}/ejection-fraction", fractions)
        undefined = np.isnan([ours for ours, _ in fractions.values()]).mean()
        metrics[f"ventricles/{side}/ejection-fraction/undefined"] = float(undefined)
        if test.spacing_mm is not None:
            for phase in PHASES:
                note(f"{side}/{phase}", sizes[phase], "_ml")
    if test.spacing_mm is not None and (wall := summed(test, predicted, WALL, "ED")):
        masses = {who: tuple(GRAMS_PER_ML * volume for volume in pair) for who, pair in wall.items()}
        note("mass", masses, "_g")
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: see UNPAIRED."""
    return {}


def ejection_fraction(at_ed: float, at_es: float) -> float:
    """(ED - ES) / ED; NaN where there is nothing at ED."""
    return (at_ed - at_es) / at_ed if at_ed > 0 else float("nan")


def rows_at(data: Data, structure: str, phase: str) -> list[int]:
    """Rows of a phase on which a structure is drawn."""
    return [row for row in delineated(data, structure).tolist() if data.phase and data.phase[row] == phase]


def subjects_of(data: Data, structure: str, phases: tuple[str, ...]) -> list[str]:
    """Subjects in whom a structure is drawn, on some slice of it in the first phase, in all of them."""
    sets = [{data.subject[row] for row in rows_at(data, structure, phase)} for phase in phases]
    first = rows_at(data, structure, phases[0])
    plane = data.mask_names.index(structure) if first else 0
    seen = {data.subject[row] for row in first if (data.masks[row, plane] == 1).any()}
    return sorted(seen.intersection(*sets))


def summed(data: Data, predicted: torch.Tensor, structure: str, phase: str) -> dict[str, tuple[float, float]]:
    """Subject -> predicted and true size at a phase: ml where spacing is known, else pixels.

    predicted (N, L): pixels of each structure on each slice.
    """
    sizes: dict[str, tuple[float, float]] = {}
    for row in rows_at(data, structure, phase):
        plane = data.mask_names.index(structure)
        unit = 1.0 if data.spacing_mm is None else float(data.spacing_mm[row].double().prod()) / 1000
        ours, true = sizes.get(data.subject[row], (0.0, 0.0))
        drawn = float((data.masks[row, plane] == 1).sum())
        sizes[data.subject[row]] = (ours + unit * float(predicted[row, plane]), true + unit * drawn)
    return sizes
