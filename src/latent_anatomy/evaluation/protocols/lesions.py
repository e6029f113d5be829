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

Best thresholds are sought before small components are dropped, so that a gap can lie a little below 0.
The paper does not say of which voxels its percentile is, nor whether before or after the filter.

Arrays: lesions/subject (P,) text, the patients with lesions; lesions/<kind>/dice (P,) float64, theirs;
lesions/histogram/edges (101,) float64 and lesions/histogram/<healthy_training, healthy_test, lesion>
(100,) int64, how many filtered residuals inside the eroded brain mask lie in each bin, the last bin also
holding all above it; and of up to 8 test slices with lesions, evenly spaced, figure/lesions/<original,
reconstruction, residual, segmentation, reference>: the residual after the filter, white at the last edge
of the histogram; the segmentation at the threshold from training; a reconstruction where the method has one.

A method is asked once for each slice, a patient at a time, and never sees a lesion mask. Where its map is
a `residual(images, reconstructions)` of what it reconstructs, that is what it is asked for, since the
figure needs the reconstructions and they may take seconds.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Settings, infer, pictures, spaced
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.metrics.lesions.measures import LEAST_OVERLAP, summary
from latent_anatomy.metrics.lesions.patients import Patient, histogram, ranked
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.metrics.lesions.ranking import best_dice
from latent_anatomy.metrics.lesions.stacks import stacks
from latent_anatomy.metrics.lesions.thresholds import PERCENTILE, percentile
from latent_anatomy.training.method import Data, Stack

NEEDS = (("anomaly_map",),)
MASKS = ("lesion",)
UNPAIRED = {
    "lesions/oracle/dice": "a bound: nothing is claimed of it",
    "lesions/histogram/*": "counts of voxels, for the figure",
}

REGIONS = ("brain", "head")  # the first that the data have; a head is what is left without skull stripping


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
    chain = settings.post
    brains = {name: mask(name, splits[name], REGIONS) for name in ("train", "val", "test")}
    lesions = {name: mask(name, splits[name], ("lesion",)) for name in ("val", "test")}
    lesions["train"] = np.zeros_like(brains["train"])  # not asked for: healthy, or taken to be
    ill = {name: np.flatnonzero(lesion.any(axis=(1, 2))) for name, lesion in lesions.items()}
    if not len(ill["test"]):
        raise ValueError("split test: expected slices with lesions, found none: there is nothing to find")
    shown = ill["test"][spaced(len(ill["test"]))].tolist()

    def patients(name: str, subjects: Container[str]) -> Iterator[tuple[Patient, Tensor | None]]:
        return scored(method, splits[name], brains[name], lesions[name], chain, subjects)

    subjects = sorted(set(splits["train"].subject))
    chosen = [subjects[index] for index in spaced(len(subjects), settings.threshold_subjects)]
    training = [patient.smoothed[patient.region] for patient, _ in patients("train", chosen)]
    test, reconstructions = [], {}
    for patient, told in patients("test", splits["test"].subject):
        test.append(patient)
        if told is not None:
            places = {row: i for i, row in enumerate(patient.rows.tolist()) if row in shown}
            reconstructions |= {row: told[i].clone() for row, i in places.items()}
    pooled, single = ranked(test)

    thresholds = {"training": percentile(training, settings.percent)}
    if len(ill["val"]):
        diseased = {splits["val"].subject[row] for row in ill["val"]}
        thresholds["validation"] = best_dice(ranked(each for each, _ in patients("val", diseased))[1])[0]
    thresholds["oracle"] = best_dice([each for each in single if each.lesion_voxels])[0]

    metrics = {"auprc": pooled.average_precision(), "prevalence": pooled.lesion_voxels / pooled.voxels}
    arrays: dict[str, NDArray] = {
        "lesions/subject": np.array([patient.subject for patient in test if patient.lesion.any()])
    }
    for kind, threshold in thresholds.items():
        counts = [
            patient.compare(patient.segment(chain, threshold), chain, settings.least_overlap)
            for patient in test
        ]
        measured = summary(counts)
        metrics |= {name: measured.pop(name) for name in ("patients", "patients_without_lesions")}
        metrics |= {f"{kind}/{name}": value for name, value in ({"threshold": threshold} | measured).items()}
        arrays[f"lesions/{kind}/dice"] = np.array([each.dice for each in counts if each.lesion_voxels])
    metrics |= {
        f"gap/{kind}": metrics["oracle/dice"] - metrics[f"{kind}/dice"]
        for kind in thresholds
        if kind != "oracle"
    }

    counted = histogram(training, test)
    arrays |= {f"lesions/histogram/{name}": values for name, values in counted.items()}
    images = splits["test"].batch(torch.tensor(shown, device=splits["test"].device)).images
    planes = {"original": images} | drawn(test, shown, chain, thresholds["training"], counted["edges"][-1])
    if hasattr(method, "reconstruct"):
        rebuilt = [reconstructions[row] for row in shown if row in reconstructions]
        planes["reconstruction"] = torch.stack(rebuilt) if rebuilt else infer(method.reconstruct, images)
    arrays |= {f"figure/lesions/{name}": pictures(values) for name, values in planes.items()}
    return Results({f"lesions/{name}": value for name, value in metrics.items()}, arrays)


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Dice of the patients with lesions, at thresholds that can be known."""
    names = [f"lesions/{kind}/dice" for kind in ("training", "validation")]
    return {name: Paired((name,), subject="lesions/subject") for name in names if name in arrays}


def mask(split: str, data: Data, names: Sequence[str]) -> NDArray[np.bool_]:
    """The plane (N, H, W) of the first of `names` that the data have; ValueError without, or undrawn."""
    name = next((name for name in names if name in data.mask_names), None)
    if name is None:
        raise ValueError(
            f"split {split}: expected slices with the masks lesion, and brain or head, found "
            f"{', '.join(data.mask_names) or 'none'}: use a data set in which lesions are delineated"
        )
    plane = data.masks[:, data.mask_names.index(name)].cpu().numpy()
    if plane.max() > 1:
        undrawn = int((plane > 1).any(axis=(1, 2)).sum())
        raise ValueError(
            f"split {split}: expected every slice with its mask {name!r}, found {undrawn} of {len(plane)} on "
            "which it is not delineated: leave their subjects out of this split"
        )
    return plane.astype(bool)


def scored(
    method: nn.Module,
    data: Data,
    brain: NDArray,
    lesion: NDArray,
    chain: PostProcessing,
    subjects: Container[str],
) -> Iterator[tuple[Patient, Tensor | None]]:
    """The given subjects of a split, in the order of their names, and their reconstructions, see `answer`.

    brain and lesion (N, H, W) bool.
    """
    runs = stacks(np.array(data.subject), data.position.cpu().numpy())
    for subject, group in groupby(runs, key=lambda run: run[0]):
        if subject not in subjects:
            continue
        parts = [rows for _, rows in group]
        rows = np.concatenate(parts)
        ends = np.cumsum([len(part) for part in parts])
        indices = torch.from_numpy(rows).to(data.device)
        region = torch.from_numpy(brain[rows]).to(data.device)
        stack = Stack(data.batch(indices).images, region, data.position[indices])
        maps, reconstructions = answer(method, stack)
        together = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        smoothed = [chain.smooth(maps[part], brain[rows[part]]) for part in together]
        patient = Patient(
            subject=subject,
            rows=rows,
            stacks=together,
            smoothed=np.concatenate(smoothed),
            brain=brain[rows],
            region=chain.region(brain[rows]),
            lesion=lesion[rows],
        )
        yield patient, reconstructions


@torch.no_grad()
def answer(method: nn.Module, stack: Stack) -> tuple[NDArray[np.float32], Tensor | None]:
    """Anomaly maps (S, H, W) of one patient, and what they are residuals of, where they are."""
    reconstructions = None
    if hasattr(method, "residual"):
        reconstructions = infer(method.reconstruct, stack.images)
        maps = method.residual(stack.images, reconstructions)
    else:
        maps = method.anomaly_map(stack)
    expected = (len(stack.images), 1, *stack.images.shape[2:])
    if tuple(maps.shape) != expected:
        raise ValueError(f"expected anomaly maps of shape {expected}, found {tuple(maps.shape)}")
    return maps[:, 0].cpu().numpy(), reconstructions


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
