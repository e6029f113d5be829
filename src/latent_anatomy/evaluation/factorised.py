"""What the protocols of factorised methods share: both factors of images, readers of them, volumes.

A factorised method says of an image where things are, `anatomy` s (n, C, H, W), and how they look,
`encode` "modality" z (n, nz), and draws an image of both, `decode`.
"""

from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.evaluation.common import batches, embed, infer
from latent_anatomy.metrics import dice
from latent_anatomy.training.method import Data

ITERATIONS = 1000  # of logistic regressions, which are fitted until they stop getting better


class Volume(NamedTuple):
    """The slices of one subject, modality and phase: rows (S,) int64 of a split, by position."""

    subject: str
    modality: str
    phase: str
    rows: NDArray[np.int64]


def modality_means(method: nn.Module, images: Tensor) -> Tensor:
    """z of images (N, 1, H, W), its mean where it has a distribution: (N, nz) float32."""
    embeddings = embed(method, images)
    if "modality" not in embeddings:
        raise defect(
            "encode", "an embedding 'modality'", ", ".join(embeddings), "ask methods that factorise images"
        )
    return embeddings["modality"]


def pooled_anatomy(method: nn.Module, images: Tensor, grid: int) -> Tensor:
    """s of images (N, 1, H, W), the part that each channel takes of each of grid x grid cells.

    (N, C * grid * grid) float32 in [0, 1]. Where the sides of the image are multiples of the grid, the mean
    over the cells of a channel is its area.
    """
    return infer(lambda part: F.adaptive_avg_pool2d(method.anatomy(part).float(), grid).flatten(1), images)


def reader(features: NDArray, labels: NDArray) -> Pipeline:
    """Logistic regression of labels (N,) on features (N, d), each standardised; L2 penalty, C = 1."""
    regression = LogisticRegression(max_iter=ITERATIONS)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)


def array(values: Tensor) -> NDArray[np.float64]:
    """Values on any device as float64, for scikit-learn."""
    return values.double().cpu().numpy()


@torch.no_grad()
def decoded(method: nn.Module, anatomy: Tensor, z: Tensor) -> Tensor:
    """Images (n, 1, H, W) float32 in [0, 1] of anatomy (n, C, H, W) and z (n, nz), in batches."""
    parts = batches(anatomy)
    pairs = zip(parts, z.split([len(part) for part in parts]), strict=True)
    return torch.cat([method.decode(part, of_part).float() for part, of_part in pairs])


def rows_of(data: Data, rows: NDArray[np.int64]) -> Tensor:
    """Images (n, C, H, W) float32 at `rows` (n,)."""
    return data.batch(torch.from_numpy(rows).to(data.device)).images


def volumes(data: Data) -> list[Volume]:
    """The volumes of a split, by subject, modality and phase, each of which may have no name."""
    nameless = ("",) * len(data)
    keys = list(zip(data.subject, data.modality or nameless, data.phase or nameless, strict=True))
    position = np.zeros(len(data)) if data.position is None else data.position.cpu().numpy()
    order = sorted(range(len(data)), key=lambda row: (keys[row], position[row]))
    groups = groupby(order, key=lambda row: keys[row])
    return [Volume(*key, np.array(list(rows), dtype=np.int64)) for key, rows in groups]


def middle_slices(data: Data, modality: str | None = None) -> NDArray[np.int64]:
    """The middle row of the first volume of each subject (of one modality): ED, where there are phases."""
    kept = [volume for volume in volumes(data) if modality in (None, volume.modality)]
    first = [next(group) for _, group in groupby(kept, key=lambda volume: volume.subject)]
    return np.array([volume.rows[len(volume.rows) // 2] for volume in first], dtype=np.int64)


def delineated(data: Data, structure: str) -> NDArray[np.int64]:
    """Rows on which a structure is drawn; none where the data do not have it."""
    if data.masks is None or structure not in data.mask_names:
        return np.zeros(0, np.int64)
    drawn = dice.delineated(data.masks)[:, data.mask_names.index(structure)]
    return torch.nonzero(drawn)[:, 0].cpu().numpy()
