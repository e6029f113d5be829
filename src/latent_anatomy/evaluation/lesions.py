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
                                            as in `latent_anatomy.lesions.measures.summary`
    lesions/gap/training, lesions/gap/validation    the oracle's mean Dice minus theirs

Best thresholds are sought before small components are dropped, so that a gap can lie a little below 0.
The paper does not say of which voxels its percentile is, nor whether before or after the filter.

Arrays: lesions/subject (P,) text; lesions/<kind>/dice (P,) float64, NaN for patients without lesions;
lesions/histogram/edges (101,) float64 and lesions/histogram/<healthy_training, healthy_test, lesion>
(100,) int64, how many filtered residuals inside the eroded brain mask lie in each bin, the last bin also
holding all above it; and of up to 8 test slices with lesions, evenly spaced, figure/lesions/<original,
reconstruction, residual, segmentation, reference>: the residual after the filter, white at the last edge
of the histogram; the segmentation at the threshold from training; a reconstruction where the method has one.

A method is asked once for each slice, a patient at a time, and never sees a lesion mask. Where its map is
a `residual(images, reconstructions)` of what it reconstructs, that is what it is asked for, since the
figure needs the reconstructions and they may take seconds.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.evaluation.common import Results, Settings, infer, pictures, spaced
from latent_anatomy.lesions.measures import LEAST_OVERLAP, Counts, count, summary
from latent_anatomy.lesions.postprocessing import PostProcessing
from latent_anatomy.lesions.ranking import Ranking, VoxelRanking, best_dice
from latent_anatomy.lesions.stacks import stacks
from latent_anatomy.lesions.thresholds import PERCENTILE, percentile
from latent_anatomy.methods.contract import Data, Stack

REGIONS = ("brain", "head")  # the first that the data have; a head is what is left without skull stripping
BINS = 100
UPPER = 99.9  # percentile of the healthy training residuals that the histogram reaches at least


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


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient's slices in the order of their positions, all arrays (S, H, W).

    rows (S,) of the split; stacks: which slices lie together; smoothed: maps after the filter, 0 outside
    of region, the eroded brain mask; reconstructions: of the rows that are pictured, (C, H, W) each.
    """

    subject: str
    rows: NDArray[np.int64]
    stacks: list[slice]
    smoothed: NDArray[np.float32]
    brain: NDArray[np.bool_]
    region: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    reconstructions: dict[int, Tensor]

    def segment(self, chain: PostProcessing, threshold: float) -> NDArray[np.bool_]:
        """What is called a lesion, stack by stack."""
        return np.concatenate([chain.segment(self.smoothed[part], threshold) for part in self.stacks])

    def compare(self, segmentation: NDArray, chain: PostProcessing, least_overlap: float) -> Counts:
        """A segmentation against the reference, summed over the stacks."""
        each = (
            count(segmentation[part], self.lesion[part], chain.connectivity, least_overlap)
            for part in self.stacks
        )
        return sum(each, Counts())


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError for data without the masks, or without a lesion to find."""
    method.eval()
    chain = settings.post
    brains = {name: mask(name, splits[name], REGIONS) for name in ("train", "val", "test")}
    lesions = {name: mask(name, splits[name], ("lesion",)) for name in ("val", "test")}
    shown = np.flatnonzero(lesions["test"].any(axis=(1, 2)))
    if not len(shown):
        raise ValueError("split test: expected slices with lesions, found none: there is nothing to find")
    shown = shown[spaced(len(shown))]

    def patients(name: str, subjects: Sequence[str], pictured: Container[int] = ()) -> Iterator[Patient]:
        lesion = lesions.get(name, np.zeros_like(brains[name]))
        return delineated(method, splits[name], brains[name], lesion, chain, subjects, pictured)

    subjects = sorted(set(splits["train"].subject))
    chosen = [subjects[index] for index in spaced(len(subjects), settings.threshold_subjects)]
    training = [patient.smoothed[patient.region] for patient in patients("train", chosen)]
    test = list(patients("test", sorted(set(splits["test"].subject)), set(shown.tolist())))
    pooled, single = ranked(test)

    thresholds = {"training": percentile(training, settings.percent)}
    if lesions["val"].any():
        rows = np.flatnonzero(lesions["val"].any(axis=(1, 2)))
        diseased = sorted({splits["val"].subject[row] for row in rows})
        thresholds["validation"] = best_dice(ranked(patients("val", diseased))[1])[0]
    thresholds["oracle"] = best_dice([each for each in single if each.lesion_voxels])[0]

    found = {
        "lesions/auprc": pooled.average_precision(),
        "lesions/prevalence": pooled.lesion_voxels / pooled.voxels,
    }
    arrays: dict[str, NDArray] = {"lesions/subject": np.array([patient.subject for patient in test])}
    segmentations: dict[int, NDArray] = {}
    for kind, threshold in thresholds.items():
        counts = []
        for patient in test:
            segmentation = patient.segment(chain, threshold)
            counts.append(patient.compare(segmentation, chain, settings.least_overlap))
            if kind == "training":
                segmentations |= {row: segmentation[i] for i, row in enumerate(patient.rows) if row in shown}
        measured = summary(counts)
        for name in ("patients", "patients_without_lesions"):
            found[f"lesions/{name}"] = measured.pop(name)
        found |= {f"lesions/{kind}/threshold": threshold}
        found |= {f"lesions/{kind}/{name}": value for name, value in measured.items()}
        arrays[f"lesions/{kind}/dice"] = np.array([each.dice for each in counts])
    for kind in thresholds.keys() - {"oracle"}:
        found[f"lesions/gap/{kind}"] = found["lesions/oracle/dice"] - found[f"lesions/{kind}/dice"]

    arrays |= histogram(training, test)
    white = arrays["lesions/histogram/edges"][-1]
    return found, arrays | figure(method, splits["test"], test, shown, segmentations, white)


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


def delineated(
    method: nn.Module,
    data: Data,
    brain: NDArray,
    lesion: NDArray,
    chain: PostProcessing,
    subjects: Sequence[str],
    pictured: Container[int] = (),
) -> Iterator[Patient]:
    """The given subjects of a split, in the order of their names; brain and lesion (N, H, W) bool."""
    runs = stacks(np.array(data.subject), data.position.cpu().numpy())
    for subject, group in groupby(runs, key=lambda run: run[0]):
        if subject not in subjects:
            continue
        parts = [rows for _, rows in group]
        rows = np.concatenate(parts)
        ends = np.cumsum([len(part) for part in parts])
        together = [slice(end - len(part), end) for end, part in zip(ends, parts, strict=True)]
        indices = torch.from_numpy(rows).to(data.device)
        region = torch.from_numpy(brain[rows]).to(data.device)
        maps, reconstructions = answer(
            method, Stack(data.batch(indices).images, region, data.position[indices])
        )
        kept = {}
        if reconstructions is not None:
            kept = {row: reconstructions[i].clone() for i, row in enumerate(rows.tolist()) if row in pictured}
        smoothed = [chain.smooth(maps[part], brain[rows[part]]) for part in together]
        yield Patient(
            subject=subject,
            rows=rows,
            stacks=together,
            smoothed=np.concatenate(smoothed),
            brain=brain[rows],
            region=chain.region(brain[rows]),
            lesion=lesion[rows],
            reconstructions=kept,
        )


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


def ranked(patients: Iterator[Patient] | list[Patient]) -> tuple[Ranking, list[Ranking]]:
    """The voxels of all patients together, and of each; those in the brain or delineated as lesion."""
    pooled, single = VoxelRanking(), []
    for patient in patients:
        asked = patient.brain | patient.lesion
        scores, lesion = patient.smoothed[asked], patient.lesion[asked]
        own = VoxelRanking()
        for ranking in (pooled, own):
            ranking.update(scores, lesion)
        single.append(own.result())
    return pooled.result(), single


def histogram(training: list[NDArray], test: list[Patient]) -> dict[str, NDArray]:
    """Residuals inside the eroded brain masks: training patients (n,) each, and the test patients."""
    lesion = [patient.smoothed[patient.region & patient.lesion] for patient in test]
    healthy = [patient.smoothed[patient.region & ~patient.lesion] for patient in test]
    upper = max(percentile(training, UPPER), *(float(each.max(initial=0)) for each in lesion))
    edges = np.linspace(0, upper or 1, BINS + 1)
    found = {"lesions/histogram/edges": edges}
    for name, residuals in (("healthy_training", training), ("healthy_test", healthy), ("lesion", lesion)):
        counts = (np.histogram(np.minimum(each, edges[-1]), edges)[0] for each in residuals)
        found[f"lesions/histogram/{name}"] = sum(counts, np.zeros(BINS, np.int64))
    return found


def figure(
    method: nn.Module,
    data: Data,
    patients: list[Patient],
    shown: NDArray[np.int64],
    segmentations: dict[int, NDArray],
    white: float,
) -> dict[str, NDArray]:
    """Pictures (n, C, H, W) uint8 of the rows `shown`; residuals are divided by `white`."""
    images = data.batch(torch.from_numpy(shown).to(data.device)).images
    slices = {row: (patient, i) for patient in patients for i, row in enumerate(patient.rows.tolist())}
    places = [slices[row] for row in shown.tolist()]
    planes = {
        "residual": [patient.smoothed[i] / white for patient, i in places],
        "segmentation": [segmentations[row] for row in shown.tolist()],
        "reference": [patient.lesion[i] for patient, i in places],
    }
    found = {
        name: torch.from_numpy(np.stack(each).astype(np.float32))[:, None] for name, each in planes.items()
    }
    found["original"] = images
    if hasattr(method, "residual"):
        told = [
            patient.reconstructions[row] for (patient, _), row in zip(places, shown.tolist(), strict=True)
        ]
        found["reconstruction"] = torch.stack(told)
    elif hasattr(method, "reconstruct"):
        found["reconstruction"] = infer(method.reconstruct, images)
    return {f"figure/lesions/{name}": pictures(values) for name, values in found.items()}
