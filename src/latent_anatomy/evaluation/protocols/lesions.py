"""Are lesions found and delineated? (Baur et al. 2018, Table 1, Figures 5 and 6)

Of each patient: anomaly map -> 5x5x5 median over the slices -> eroded brain mask -> threshold -> no
components under 6 voxels -> Dice. A filter or component never reaches over a gap between slices, nor from
one patient to the next. The paper's numbers stand below "training"; beside it, what makes them honest:

    lesions/auprc, lesions/prevalence       over the voxels of all test patients, inside the brain or
                                            delineated as lesion; prevalence is the AUPRC of chance
    lesions/patients, lesions/patients_without_lesions
    lesions/<kind>/threshold                where the maps are cut, by kind:
        training      the 98th percentile of the training residuals inside the eroded brain mask, as the
                      paper has it. It chose 98 with a look at abnormal residuals.
        validation    the best mean Dice on validation patients with lesions; absent where there are none
        oracle        the best mean Dice on the test patients themselves: a bound, never a result
    lesions/<kind>/dice, dice_sd, dice_voxelwise, sensitivity_touched, sensitivity_covered,
        false_positives_per_volume, volume_difference, volume_difference_absolute
                                            as in `latent_anatomy.metrics.lesions.measures.summary`
    lesions/gap/training, lesions/gap/validation    the oracle's mean Dice minus theirs

A method that tells what its map is a residual of is scored a second time by the field's other map, the
positive residual max(x - x', 0), as lesions are brighter than tissue: all of the above below
lesions/positive/. Of it too, whether it has learnt, and where it has an adversary, whether that had a say:

    lesions/l1/<training, validation, test>    mean |x - x'| over the region's pixels without lesion
    lesions/adversarial_share                  of the decoder's gradient, on the first validation images

Best thresholds are sought before small components are dropped, so that a gap can lie a little below 0.
The paper does not say of which voxels its percentile is, nor whether before or after the filter.

Arrays: lesions/subject (P,) text, the patients with lesions; lesions/[positive/]<kind>/dice (P,) float64,
theirs; lesions/histogram/edges (101,) float64 and lesions/histogram/<healthy_training, healthy_test, lesion>
(100,) int64, how many filtered residuals inside the eroded brain mask lie in each bin, the last bin also
holding all above it; and of up to 8 test slices with lesions, evenly spaced, figure/lesions/<original,
reconstruction, residual, segmentation, reference>: the residual after the filter, white at the last edge
of the histogram; the segmentation at the threshold from training; a reconstruction where the method has one.

A method is asked once for each slice, a patient at a time, and never sees a lesion mask. Where its map is
a `residual(images, reconstructions)` of what it reconstructs, that is what it is asked for, since the
figure needs the reconstructions and they may take seconds.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Settings, infer, pictures, spaced
from latent_anatomy.evaluation.lesion_maps import OWN, POSITIVE, Answer, mask, scored, ways
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.metrics.lesions.measures import LEAST_OVERLAP, summary
from latent_anatomy.metrics.lesions.patients import Patient, histogram, ranked
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.metrics.lesions.ranking import Ranking, best_dice
from latent_anatomy.metrics.lesions.thresholds import PERCENTILE, percentile
from latent_anatomy.training.method import Data

NEEDS = (("anomaly_map",),)
MASKS = ("lesion",)
UNPAIRED = {
    "lesions/oracle/dice": "a bound: nothing is claimed of it",
    "lesions/positive/oracle/dice": "a bound: nothing is claimed of it",
    "lesions/histogram/*": "counts of voxels, for the figure",
}

# The first that the data have. Without skull stripping, `interior` is the head without its scalp and skull.
REGIONS = ("brain", "interior", "head")


class Params(Settings):
    """What the paper leaves open."""

    post: PostProcessing = Field(PostProcessing(), description="From anomaly maps to lesions.")
    percent: float = Field(PERCENTILE, gt=0, le=100, description="Of the training residuals.")
    threshold_subjects: int | None = Field(
        None, ge=1, description="Training subjects, evenly spaced, that the percentile is of; none: all."
    )
    least_overlap: float = Field(
        LEAST_OVERLAP, gt=0, le=1, description="Part of a lesion that must be found to call it covered."
    )


def possible(splits: dict[str, Data]) -> bool:
    """Needs masks of lesions to validate and to test, and of the brain or the head everywhere."""
    masks = {name: set(splits[name].mask_names) for name in ("train", "val", "test")}
    return all(not each.isdisjoint(REGIONS) for each in masks.values()) and all(
        "lesion" in masks[name] for name in ("val", "test")
    )


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError for data without the masks, or without a lesion to find."""
    method.eval()
    brains = {name: mask(name, splits[name], REGIONS) for name in ("train", "val", "test")}
    lesions = {name: mask(name, splits[name], ("lesion",)) for name in ("val", "test")}
    lesions["train"] = np.zeros_like(brains["train"])  # not asked for: healthy, or taken to be
    if not lesions["test"].any():
        raise ValueError("split test: expected slices with lesions, found none: there is nothing to find")
    ill = np.flatnonzero(lesions["test"].any(axis=(1, 2)))
    shown = ill[spaced(len(ill))].tolist()

    healthy: dict[str, list[NDArray]] = {way: [] for way in ways(method)}
    test: dict[str, list[Patient]] = {way: [] for way in healthy}
    diseased: dict[str, list[Ranking]] = {way: [] for way in healthy}
    distances: dict[str, list[tuple[float, int]]] = {name: [] for name in brains}
    rebuilt: dict[int, Tensor] = {}
    for name in brains:
        subjects = sorted(set(splits[name].subject))
        if name == "val" and POSITIVE not in healthy:  # nothing to know of who has no lesion
            subjects = sorted(
                {splits["val"].subject[row] for row in np.flatnonzero(lesions["val"].any((1, 2)))}
            )
        if name == "train":
            subjects = [subjects[index] for index in spaced(len(subjects), settings.threshold_subjects)]
        for answer in scored(method, splits[name], brains[name], lesions[name], settings.post, subjects):
            if answer.reconstructions is not None:
                distances[name].append(answer.distance)
            for way, patient in answer.patients.items():
                if name == "train":
                    healthy[way].append(patient.smoothed[patient.region])
                elif name == "test":
                    test[way].append(patient)
                elif patient.lesion.any():
                    diseased[way] += ranked([patient])[1]
            if name == "test" and answer.reconstructions is not None:
                rebuilt |= _shown(answer, shown)

    metrics: dict[str, float] = {}
    arrays: dict[str, NDArray] = {
        "lesions/subject": np.array([patient.subject for patient in test[OWN] if patient.lesion.any()])
    }
    for way in healthy:
        found, dice = delineated(healthy[way], diseased[way], test[way], settings)
        metrics |= {f"lesions/{way}{name}": value for name, value in found.items()}
        arrays |= {f"lesions/{way}{name}": values for name, values in dice.items()}
    for split, name in (("train", "training"), ("val", "validation"), ("test", "test")):
        if distances[split]:
            total, pixels = map(sum, zip(*distances[split], strict=True))
            metrics[f"lesions/l1/{name}"] = total / pixels
    if hasattr(method, "adversarial_share"):
        first = torch.arange(min(method.params.batch_size, len(splits["val"])), device=splits["val"].device)
        share = method.adversarial_share(splits["val"].batch(first).images)
        metrics["lesions/adversarial_share"] = float(share)

    counted = histogram(healthy[OWN], test[OWN])
    arrays |= {f"lesions/histogram/{name}": values for name, values in counted.items()}
    images = splits["test"].batch(torch.tensor(shown, device=splits["test"].device)).images
    threshold = metrics["lesions/training/threshold"]
    planes = {"original": images} | drawn(test[OWN], shown, settings.post, threshold, counted["edges"][-1])
    if hasattr(method, "reconstruct"):
        known = [rebuilt[row] for row in shown if row in rebuilt]
        planes["reconstruction"] = torch.stack(known) if known else infer(method.reconstruct, images)
    arrays |= {f"figure/lesions/{name}": pictures(values) for name, values in planes.items()}
    return Results(metrics, arrays)


def delineated(
    healthy: list[NDArray], diseased: list[Ranking], test: list[Patient], settings: Params
) -> tuple[dict[str, float], dict[str, NDArray]]:
    """Metrics and Dice coefficients by one kind of map, without `lesions/` before their names.

    healthy: of each training patient the filtered residuals (n,) inside the eroded mask; diseased: the ranked
    voxels of each validation patient with lesions.
    """
    pooled, single = ranked(test)
    thresholds = {"training": percentile(healthy, settings.percent)}
    if diseased:
        thresholds["validation"] = best_dice(diseased)[0]
    thresholds["oracle"] = best_dice([each for each in single if each.lesion_voxels])[0]
    metrics = {"auprc": pooled.average_precision(), "prevalence": pooled.lesion_voxels / pooled.voxels}
    arrays = {}
    for kind, threshold in thresholds.items():
        counts = [
            patient.compare(patient.segment(settings.post, threshold), settings.post, settings.least_overlap)
            for patient in test
        ]
        measured = summary(counts)
        metrics |= {name: measured.pop(name) for name in ("patients", "patients_without_lesions")}
        metrics |= {f"{kind}/{name}": value for name, value in ({"threshold": threshold} | measured).items()}
        arrays[f"{kind}/dice"] = np.array([each.dice for each in counts if each.lesion_voxels])
    gaps = {
        f"gap/{kind}": metrics["oracle/dice"] - metrics[f"{kind}/dice"]
        for kind in thresholds
        if kind != "oracle"
    }
    return metrics | gaps, arrays


def _shown(answer: Answer, shown: list[int]) -> dict[int, Tensor]:
    """Reconstructions of those rows that the figure shows."""
    rows = enumerate(answer.patients[OWN].rows.tolist())
    return {row: answer.reconstructions[place].clone() for place, row in rows if row in shown}


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Dice of the patients with lesions, at thresholds that can be known."""
    names = [f"lesions/{way}{kind}/dice" for way in (OWN, POSITIVE) for kind in ("training", "validation")]
    return {name: Paired((name,), subject="lesions/subject") for name in names if name in arrays}


def drawn(
    patients: list[Patient], shown: list[int], chain: PostProcessing, threshold: float, white: float
) -> dict[str, Tensor]:
    """Residual divided by `white`, segmentation and reference of the rows `shown`, (n, 1, H, W) float32."""
    planes: dict[int, tuple[NDArray, ...]] = {}
    for patient in patients:
        if not set(shown).isdisjoint(patient.rows.tolist()):
            volumes = (patient.smoothed / white, patient.segment(chain, threshold), patient.lesion)
            planes |= dict(zip(patient.rows.tolist(), zip(*volumes, strict=True), strict=True))
    columns = zip(*(planes[row] for row in shown), strict=True)
    return {
        name: torch.from_numpy(np.stack(column).astype(np.float32))[:, None]
        for name, column in zip(("residual", "segmentation", "reference"), columns, strict=True)
    }
