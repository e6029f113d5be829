"""Does s know of the modality, does z know of the anatomy? What Chartsias et al. 2019 do not measure.

    disentanglement/modality-from-s/accuracy    logistic regression on s, as in `protocols.modality`
    disentanglement/modality-from-s/chance      of saying always what most test images are
    disentanglement/volume-from-z/r2            of the volume of the left ventricle, by ridge regression on
                                                the mean of z over the slices of a volume: R^2 on the test
                                                volumes, at most 1, below 0 if worse than their mean
    disentanglement/cka, .../cka_unbiased       linear CKA of s and z of the test images
    disentanglement/distance-correlation, .../distance-correlation_unbiased

s is the part that each channel takes of each of `grid` x `grid` cells, z its mean. Ridge regression
standardises each dimension and takes the penalty of the least leave-one-out error. Volumes are those of a
subject, modality and phase, from the slices on which the left ventricle is drawn: in ml where pixels have a
size, else in pixels. The unbiased measures are 0 in the mean where nothing is shared (see `dependence`).

Much can be read from any convolutional network: each number stands beside that of an untrained one of the
same parameters, modality-from-s/random, volume-from-z/random, cka_random and so on. Left out are
modality-from-s where `protocols.modality` is not possible, and volume-from-z where the left ventricle is
drawn in fewer than 3 volumes of the training split, or does not vary over those of the test split.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from latent_anatomy.data.slices import defect
from latent_anatomy.evaluation.common import Settings
from latent_anatomy.evaluation.factorised import (
    array,
    delineated,
    modality_means,
    pooled_anatomy,
    reader,
    rows_of,
    volumes,
)
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols import modality
from latent_anatomy.evaluation.untrained import fresh
from latent_anatomy.metrics import dependence
from latent_anatomy.training.method import Data

NEEDS = (("anatomy", "encode", "decode"),)

STRUCTURE = "left-ventricle"
PENALTIES = np.logspace(-3, 3, 7)
DEPENDENCE = {
    "cka": dependence.linear_cka,
    "cka_unbiased": dependence.linear_cka_unbiased,
    "distance-correlation": dependence.distance_correlation,
    "distance-correlation_unbiased": dependence.distance_correlation_unbiased,
}


class Params(Settings):
    """How s is seen."""

    grid: int = Field(4, ge=1, description="Cells per side over which channels of s are averaged.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs 4 test images or more; and for some of it, as said above, masks or modalities."""
    return len(splits["test"]) >= 4


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics as above, no arrays; ValueError for fewer than 4 test images."""
    if not possible(splits):
        raise defect("split test", "4 images or more", len(splits["test"]), "use a larger data set")
    method.eval()
    trained = _measure(method, splits, settings.grid)
    control = _measure(fresh(method, splits["train"], seed), splits, settings.grid)
    metrics = trained | {random_name(name): value for name, value in control.items()}
    if modality.possible(splits):
        metrics["modality-from-s/chance"] = modality.chance(np.array(splits["test"].modality))
    return Results({f"disentanglement/{name}": value for name, value in metrics.items()})


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Nothing: it leaves no arrays."""
    return {}


def random_name(name: str) -> str:
    """The control's name: a/accuracy and a/r2 -> a/random, cka -> cka_random."""
    return f"{name.partition('/')[0]}/random" if "/" in name else f"{name}_random"


def _measure(encoder: nn.Module, splits: dict[str, Data], grid: int) -> dict[str, float]:
    train, test = splits["train"], splits["test"]
    s, z = pooled_anatomy(encoder, test.images, grid), modality_means(encoder, test.images)
    metrics = {name: measure(s, z) for name, measure in DEPENDENCE.items()}
    if modality.possible(splits):
        known = reader(array(pooled_anatomy(encoder, train.images, grid)), np.array(train.modality))
        metrics["modality-from-s/accuracy"] = float(known.score(array(s), np.array(test.modality)))
    measured = {name: ventricles(splits[name]) for name in ("train", "test")}
    if len(measured["train"][0]) >= 3 and len(np.unique(measured["test"][0])) >= 2:
        of_train, of_test = (
            volume_means(encoder, splits[name], groups) for name, (_, groups) in measured.items()
        )
        ridge = make_pipeline(StandardScaler(), RidgeCV(alphas=PENALTIES)).fit(of_train, measured["train"][0])
        metrics["volume-from-z/r2"] = float(ridge.score(of_test, measured["test"][0]))
    return metrics


def ventricles(data: Data) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Volumes (V,) of the left ventricle in ml, or pixels without spacing, and the rows that each is of."""
    drawn = delineated(data, STRUCTURE)
    kept = [rows for each in volumes(data) if len(rows := each.rows[np.isin(each.rows, drawn)])]
    if not kept:
        return np.zeros(0), []
    plane = data.masks[:, data.mask_names.index(STRUCTURE)]
    sizes = array((plane == 1).sum(dim=(1, 2)))
    if data.spacing_mm is not None:
        sizes *= array(data.spacing_mm).prod(axis=1) / 1000
    return np.array([sizes[rows].sum() for rows in kept]), kept


def volume_means(encoder: nn.Module, data: Data, groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Mean of z over each group of rows: (V, nz)."""
    codes = modality_means(encoder, rows_of(data, np.concatenate(groups))).double()
    return array(torch.stack([part.mean(dim=0) for part in codes.split([len(rows) for rows in groups])]))
