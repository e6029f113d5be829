"""What a report draws of latents: points in a plane, where partners differ, and what lies in each cluster."""

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.evaluation.common import EXAMPLES, pictures
from latent_anatomy.training.method import Data

POINTS = 400  # rows of a scatter plot, at most, evenly spaced
Array = NDArray[np.float64]


def plane(latents: Array, setting: tuple[str, ...], data: Data) -> dict[str, NDArray]:
    """Rows of latents (N, d) on their two leading principal components, with their settings and classes.

    embedding (n, 2) float32, setting (n,) text and, where there are labels, class (n,) int64.
    """
    rows = np.linspace(0, len(latents) - 1, min(POINTS, len(latents))).astype(int)
    centred = latents - latents.mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:2]
    largest = np.abs(components).argmax(1)[:, None]
    components = components * np.sign(np.take_along_axis(components, largest, 1))  # the same each time
    points = np.zeros((len(rows), 2), np.float32)
    points[:, : len(components)] = centred[rows] @ components.T
    found = {"embedding": points, "setting": np.array(setting)[rows]}
    return found if data.labels is None else found | {"class": data.labels.cpu().numpy()[rows]}


def spectrum(parts: Array, technical: int, pairs: NDArray[np.int64]) -> dict[str, NDArray]:
    """Shares of the squared differences of partners, pairs (P, 2), along each direction of parts (N, d).

    The first `technical` of these are "technical" (r,), the others "biological" (d - r,); each the largest
    first. They are rotated coordinates, so that the shares of both add up to 1.
    """
    squares = ((parts[pairs[:, 1]] - parts[pairs[:, 0]]) ** 2).mean(0)
    share = squares / max(squares.sum(), 1e-300)
    both = {"technical": share[:technical], "biological": share[technical:]}
    return {name: np.sort(values)[::-1].astype(np.float32) for name, values in both.items()}


def clusters(label: NDArray[np.integer], data: Data) -> dict[str, NDArray[np.uint8]]:
    """Cluster -> its first test images, (n, C, H, W) uint8; of those that have any."""
    images = pictures(data.images)
    rows = {int(each): np.flatnonzero(label == each)[:EXAMPLES] for each in np.unique(label)}
    return {f"cluster-{each}": images[own] for each, own in rows.items()}
