"""Do two sides of pairs lie in the same clusters? Labels are of one codebook, so that they correspond."""

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]


def dice(one: Labels, other: Labels, weighted: bool = False) -> float:
    """2 |A_k and B_k| / (|A_k| + |B_k|) over the clusters that either has, both (n,); their plain mean,
    or weighted by |A_k| + |B_k|, which is the share of pairs in the same cluster.

    >>> dice(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2])), dice(
    ...     np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]), weighted=True
    ... )
    (0.3333333333333333, 0.75)
    """
    if one.shape != other.shape or not one.size:
        raise ValueError(
            f"expected labels of as many partners, found {one.shape} and {other.shape}: pair them"
        )
    clusters = np.union1d(one, other)
    both = np.array([((one == each) & (other == each)).sum() for each in clusters])
    sizes = np.array([(one == each).sum() + (other == each).sum() for each in clusters])
    return float(2 * both.sum() / sizes.sum()) if weighted else float((2 * both / sizes).mean())


def entropy(labels: Labels, clusters: int) -> float:
    """Of the clusters' sizes, as a fraction of what equal sizes have: 1 is balanced, 0 a single cluster.

    >>> entropy(np.array([0, 1, 0, 1]), 2), entropy(np.array([0, 0]), 2)
    (1.0, 0.0)
    """
    share = np.bincount(labels, minlength=clusters) / len(labels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum() / np.log(clusters)) + 0.0
