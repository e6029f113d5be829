"""How good a delineation is: voxel by voxel, lesion by lesion, patient by patient.

A lesion is a connected component of the reference, a finding one of the prediction. A lesion is *touched*
by one predicted voxel, *covered* when a stated part of its voxels is predicted; a finding that shares no
voxel with any lesion is a *false positive*.

The Dice coefficient of a patient without lesions is undefined (NaN) and left out of mean and SD, as in
MONAI's default: it would be 0 or 1 by a single voxel. How many patients that concerns stands beside the
mean, and what was found in them still counts as false positives.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.metrics.lesions.postprocessing import Connectivity, label
from latent_anatomy.metrics.lesions.stacks import check_masks

LEAST_OVERLAP = 0.1


@dataclass(frozen=True)
class Counts:
    """What was delineated in a stack; the sum over the stacks of a patient, or over patients, is +."""

    predicted_voxels: int = 0
    lesion_voxels: int = 0
    overlap_voxels: int = 0
    lesions: int = 0
    touched: int = 0
    covered: int = 0
    false_positives: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(one + another for one, another in zip(astuple(self), astuple(other), strict=True)))

    @property
    def dice(self) -> float:
        """2 |P and G| / (|P| + |G|); NaN without lesions."""
        if not self.lesion_voxels:
            return float("nan")
        return 2 * self.overlap_voxels / (self.predicted_voxels + self.lesion_voxels)

    @property
    def volume_difference(self) -> float:
        """(|P| - |G|) / |G|; NaN without lesions."""
        if not self.lesion_voxels:
            return float("nan")
        return (self.predicted_voxels - self.lesion_voxels) / self.lesion_voxels


def count(
    predicted: NDArray,
    lesion: NDArray,
    connectivity: Connectivity = 26,
    least_overlap: float = LEAST_OVERLAP,
) -> Counts:
    """Compare a prediction with the reference of one stack, both (S, H, W) bool.

    least_overlap in (0, 1]: the part of a lesion's voxels that must be predicted to call it covered.

    >>> lesion, predicted = np.zeros((2, 1, 1, 9), bool)
    >>> lesion[..., 0:4] = predicted[..., 3] = predicted[..., 8] = True
    >>> counts = count(predicted, lesion, least_overlap=0.5)
    >>> counts.lesions, counts.touched, counts.covered, counts.false_positives, round(counts.dice, 3)
    (1, 1, 0, 1, 0.333)
    """
    check_masks(predicted.shape, predicted, lesion)
    if not 0 < least_overlap <= 1:
        raise ValueError(f"expected a least overlap above 0 and up to 1, found {least_overlap}")
    lesions, number = label(lesion, connectivity)
    findings, count = label(predicted, connectivity)
    both = predicted & lesion
    overlap = np.bincount(lesions[both], minlength=number + 1)[1:]
    size = np.bincount(lesions[lesion], minlength=number + 1)[1:]
    return Counts(
        predicted_voxels=int(predicted.sum()),
        lesion_voxels=int(lesion.sum()),
        overlap_voxels=int(both.sum()),
        lesions=number,
        touched=int((overlap > 0).sum()),
        covered=int((overlap >= least_overlap * size).sum()),
        false_positives=count - len(np.unique(findings[both])),
    )


def summary(patients: Iterable[Counts]) -> dict[str, float]:
    """Measures over patients, each with the counts of all its stacks.

    patients, patients_without_lesions   numbers
    dice, dice_sd                  mean and SD (n - 1) over patients with lesions; no SD of one
    dice_voxelwise                 of all voxels of all patients together
    sensitivity_touched, _covered  part of all lesions of all patients
    false_positives_per_volume     findings that share no voxel with a lesion, per patient
    volume_difference, volume_difference_absolute   mean over patients with lesions, relative to the lesions

    Raises ValueError when no patient has a lesion.
    """
    patients = list(patients)
    diseased = [patient for patient in patients if patient.lesion_voxels]
    if not diseased:
        raise ValueError(f"expected patients with lesions, found none among {len(patients)}: nothing to find")
    pooled = sum(patients, Counts())
    dice = np.array([patient.dice for patient in diseased])
    differences = np.array([patient.volume_difference for patient in diseased])
    measures = {
        "patients": float(len(patients)),
        "patients_without_lesions": float(len(patients) - len(diseased)),
        "dice": float(dice.mean()),
        "dice_voxelwise": pooled.dice,
        "sensitivity_touched": pooled.touched / pooled.lesions,
        "sensitivity_covered": pooled.covered / pooled.lesions,
        "false_positives_per_volume": pooled.false_positives / len(patients),
        "volume_difference": float(differences.mean()),
        "volume_difference_absolute": float(np.abs(differences).mean()),
    }
    return measures | ({"dice_sd": float(dice.std(ddof=1))} if len(dice) > 1 else {})
