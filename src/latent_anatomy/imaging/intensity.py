"""One scale of intensities for brains and heads of all scanners: tissue lies at the same level in all.

MR intensities have no unit. What has no peaks or tails of its own decides the scale here: the median of the
tissue of one patient, over all slices or the whole volume, becomes 1 / SCALE. A percentile far out, or the
largest value, would let vessels, fat or a lesion decide, and where the background counts, the field of view.
"""

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import defect

SCALE = 2.5  # what is brighter than so many medians is clipped: in FLAIR lesions reach about 2


def reference(tissue: NDArray) -> float:
    """What becomes 1, of the values (n,) of a patient's tissue; ValueError where that is not above 0."""
    level = float(np.median(tissue)) if tissue.size else 0.0
    if not level > 0:
        found = f"{level:g} of {tissue.size} values"
        raise defect("tissue", "a median intensity above 0", found, "look at the image and its mask")
    return SCALE * level


def on_scale(values: NDArray, tissue: NDArray) -> NDArray[np.float64]:
    """Values of any shape in [0, 1], the median of `tissue` (n,) at 1 / SCALE."""
    return np.clip(values / reference(tissue), 0, 1)
