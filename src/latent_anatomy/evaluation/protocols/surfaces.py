"""How far are the outlines of structures from where they were drawn? (the field's measures beside Dice)

Every pixel is given to its likeliest structure or to the background, as for `segmentation`'s volume-dice.
With m of "average", the mean over structures, and the mask names:

    surfaces/hd95_mm/<m>, surfaces/asd_mm/<m>    of volumes, in mm, where the data have spacing: the larger of
                                                 the 95th percentiles of the distances from surface to
                                                 surface, and the mean of the distances in both directions
    surfaces/hd95_px/<m>, surfaces/asd_px/<m>    of slices, in pixels, where they have none
    surfaces/missing/<structure>                 part of the volumes (of the slices) with the structure, drawn
                                                 or found, in which it is not both: these have no distance

A subject's value is the mean over its volumes (its slices), a metric the mean over subjects, beside <m>_sd,
their SD (n - 1). Only slices that somebody has delineated count; in a volume they lie at their positions.

Arrays: surfaces/subject (P,) text; surfaces/<measure>/<m> (P,) float64, NaN where a subject has no distance.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latent_anatomy.evaluation.common import Settings, infer
from latent_anatomy.evaluation.factorised import rows_of, volumes
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols.segmentation import summary
from latent_anatomy.metrics import dice
from latent_anatomy.metrics import surfaces as metric
from latent_anatomy.training.method import Data

NEEDS = (("segment",),)
MASKS = ("*",)
MEASURES = {"hd95": metric.hausdorff_95, "asd": metric.average}


class Params(Settings):
    """Nothing to choose."""


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images on which some structure is drawn somewhere."""
    masks = splits["test"].masks
    return masks is not None and bool((masks == 1).any())


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError for data without masks."""
    if not possible(splits):
        raise ValueError("surfaces: expected test slices on which a structure is drawn, found none")
    method.eval()
    test = splits["test"]
    unit = "px" if test.spacing_mm is None else "mm"
    names, subjects = ("average", *test.mask_names), sorted(set(test.subject))
    metrics, arrays = {}, {"surfaces/subject": np.array(subjects)}
    values, missing = measured(method, test)
    for name in test.mask_names:
        if missing[name]:
            metrics[f"surfaces/missing/{name}"] = float(np.mean(missing[name]))
    for measure in MEASURES:
        table = np.full((len(subjects), len(names)), np.nan)
        for column, name in enumerate(test.mask_names, start=1):
            for row, subject in enumerate(subjects):
                if own := values.get((measure, name, subject)):
                    table[row, column] = np.mean(own)
        whole = ~np.isnan(table[:, 1:]).all(axis=1)
        table[whole, 0] = np.nanmean(table[whole, 1:], axis=1)
        metrics |= summary(f"surfaces/{measure}_{unit}", names, torch.from_numpy(table))
        arrays |= {f"surfaces/{measure}_{unit}/{name}": table[:, n].copy() for n, name in enumerate(names)}
    return Results(metrics, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Distances of every subject; a run that misses a structure altogether is not compared."""
    names = [name for name in arrays if name.startswith("surfaces/") and name != "surfaces/subject"]
    return {name: Paired((name,), subject="surfaces/subject") for name in names}


def measured(
    method: nn.Module, data: Data
) -> tuple[dict[tuple[str, str, str], list[float]], dict[str, list[bool]]]:
    """(measure, structure, subject) -> distances; structure -> of each part with it, if it is missing."""
    found: dict[tuple[str, str, str], list[float]] = {}
    missing: dict[str, list[bool]] = {name: [] for name in data.mask_names}
    for volume in volumes(data):
        predicted = infer(lambda part: dice.hard(method.segment(part).float()), rows_of(data, volume.rows))
        truth = data.masks[torch.from_numpy(volume.rows).to(data.device)]
        for plane, name in enumerate(data.mask_names):
            drawn = dice.delineated(truth)[:, plane].cpu().numpy()
            pair = (predicted[:, plane].cpu().numpy() > 0, truth[:, plane].cpu().numpy() == 1)
            for ours, theirs, spacing in parts(data, volume.rows, drawn, pair):
                if not (ours.any() or theirs.any()):
                    continue
                missing[name].append(not (ours.any() and theirs.any()))
                if not missing[name][-1]:
                    both = metric.distances(ours, theirs, spacing)
                    for measure, function in MEASURES.items():
                        found.setdefault((measure, name, volume.subject), []).append(function(*both))
    return found, missing


def parts(
    data: Data, rows: NDArray[np.int64], drawn: NDArray[np.bool_], pair: Sequence[NDArray[np.bool_]]
) -> Iterator[tuple[NDArray, NDArray, tuple[float, ...]]]:
    """Both masks of what is measured together, and the sizes of a pixel: of one volume, or of each slice."""
    if not drawn.any():
        return
    if data.spacing_mm is None:
        for ours, theirs in zip(*(masks[drawn] for masks in pair), strict=True):
            yield ours, theirs, (1.0, 1.0)
        return
    rows = rows[drawn]
    place = np.arange(len(rows)) if data.position is None else data.position.cpu().numpy()[rows]
    place = place - place.min()
    stacks = np.zeros((2, place.max() + 1, *pair[0].shape[1:]), dtype=bool)
    for stack, masks in zip(stacks, pair, strict=True):
        stack[place] = masks[drawn]
    of_rows, of_columns, of_positions = data.spacing_mm[int(rows[0])].double().tolist()
    yield stacks[0], stacks[1], (of_positions, of_rows, of_columns)
