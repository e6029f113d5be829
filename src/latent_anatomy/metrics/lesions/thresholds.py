"""Where to cut anomaly maps. Three answers, each under its own name in every table:

    training     the 98th percentile of the training residuals (Baur et al. 2018): `percentile` below
    validation   the best mean Dice on validation patients with lesions: `ranking.best_dice`
    oracle       the best mean Dice on the test patients themselves: `ranking.best_dice`; a bound, no result

The best Dice is sought before small components are dropped.

The paper chose 98 after a look at normal and abnormal residuals, and does not say of which voxels. Here
they are those of the training patients inside the eroded brain mask, after the same filter:

    percentile(chain.smooth(maps, brain)[chain.region(brain)] for each training stack)
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.metrics.lesions.stacks import check_scores

PERCENTILE = 98.0


def percentile(scores: Iterable[NDArray], percent: float = PERCENTILE) -> float:
    """Percentile of the scores (n,) float32 >= 0 of one stack after another, as a float32 number.

    Exact, interpolated linearly between neighbours. 4 bytes per score, and twice that while joined.

    >>> percentile([np.arange(50, dtype=np.float32), np.arange(50, 101, dtype=np.float32)])
    98.0
    """
    joined = np.concatenate([np.empty(0, np.float32), *scores])
    if not len(joined):
        raise ValueError("expected scores of brain voxels, found none: are the brain masks empty?")
    check_scores(joined)
    # A float64 of numpy's own, or it would interpolate in float32.
    return float(np.float32(np.percentile(joined, np.float64(percent), overwrite_input=True)))
