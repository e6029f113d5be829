"""A patient with filtered anomaly maps and a reference, and what many of them give together."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.metrics.lesions.measures import Counts, count
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.metrics.lesions.ranking import Ranking, VoxelRanking
from latent_anatomy.metrics.lesions.thresholds import percentile

BINS = 100
UPPER = 99.9  # percentile of the healthy training residuals that the histogram reaches at least


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient's slices in the order of their positions, all arrays (S, H, W).

    rows (S,) of the split; stacks: which slices lie together; smoothed: maps after the filter, 0 outside
    of region, the eroded brain mask.
    """

    subject: str
    rows: NDArray[np.int64]
    stacks: list[slice]
    smoothed: NDArray[np.float32]
    brain: NDArray[np.bool_]
    region: NDArray[np.bool_]
    lesion: NDArray[np.bool_]

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


def ranked(patients: Iterable[Patient]) -> tuple[Ranking, list[Ranking]]:
    """The voxels of all patients together, and of each; those in the brain or delineated as lesion."""
    pooled, single = VoxelRanking(), []
    for patient in patients:
        asked = patient.brain | patient.lesion
        own = VoxelRanking()
        for ranking in (pooled, own):
            ranking.update(patient.smoothed[asked], patient.lesion[asked])
        single.append(own.result())
    return pooled.result(), single


def histogram(training: list[NDArray], test: list[Patient]) -> dict[str, NDArray]:
    """Counts of residuals inside the eroded brain masks: of training patients, (n,) each, and test patients.

    "edges" (101,) float64; "healthy_training", "healthy_test" and "lesion" (100,) int64, the last bin with
    all above it.
    """
    lesion = [patient.smoothed[patient.region & patient.lesion] for patient in test]
    healthy = [patient.smoothed[patient.region & ~patient.lesion] for patient in test]
    upper = max(percentile(training, UPPER), *(float(each.max(initial=0)) for each in lesion))
    edges = np.linspace(0, upper or 1, BINS + 1)
    histograms = {"edges": edges}
    for name, residuals in (("healthy_training", training), ("healthy_test", healthy), ("lesion", lesion)):
        counts = (np.histogram(np.minimum(each, edges[-1]), edges)[0] for each in residuals)
        histograms[name] = sum(counts, np.zeros(BINS, np.int64))
    return histograms
