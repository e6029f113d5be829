"""What a method makes of a split: what it represents knowing the settings, else its biological embedding."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from latent_anatomy.evaluation.common import embed
from latent_anatomy.training.latents import chosen
from latent_anatomy.training.method import Data


def represented(method: nn.Module, data: Data) -> NDArray[np.float64]:
    """(N, d) float64; ValueError where it is not finite, or has several embeddings of which none is meant."""
    known = hasattr(method, "represent")
    latents = method.represent(data) if known else chosen(embed(method, data.images))
    latents = latents.double().cpu().numpy()
    if not np.isfinite(latents).all():
        raise ValueError("representation: expected finite numbers, found others: check the training")
    return latents


def codebook(latents: NDArray[np.float64], clusters: int, seed: int, starts: int):
    """scikit-learn's k-means (k-means++, the best of `starts`) of latents (N, d)."""
    from sklearn.cluster import KMeans

    if len(latents) < clusters:
        raise ValueError(f"k-means: expected {clusters} rows or more, found {len(latents)}: ask for fewer")
    return KMeans(clusters, n_init=starts, random_state=seed).fit(latents)
