"""How alike are healthy images and their reconstructions, to a network? (Bercea et al., RA, Table 3)

    lpips/<perceptual>/healthy     mean over the healthy test images of LPIPS, averaged over the pixels

In the name is what LPIPS stands on (see `training.perceptual`): numbers of different networks are not of one
kind. The paper's are of AlexNet, in its released code without scaling from [0, 1] to the network's range,
which no choice here is; of SqueezeNet, "squeezenet-torchvision" alone is LPIPS to the letter, all channels of
the others weigh the same. Reconstructions are clamped to [0, 1]. A method that copies its input has 0.

Arrays: lpips/<perceptual> (N,) float64, and lpips/subject (N,) text, of the healthy test images.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.download import Download
from latent_anatomy.evaluation.common import Settings, batches, redraw
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.protocols import anomalies
from latent_anatomy.networks.lpips import SMALLEST, Lpips
from latent_anatomy.training.method import Data
from latent_anatomy.training.perceptual import Perceptual, lpips_of, of_lpips

NEEDS = (("reconstruct", "anomaly_map"),)


class Params(Settings):
    """The network."""

    perceptual: Perceptual = Field("squeezenet-torchvision", description="What LPIPS stands on.")


def weights(settings: Params) -> tuple[Download, ...]:
    """What LPIPS needs."""
    return of_lpips(settings.perceptual)


def possible(splits: dict[str, Data]) -> bool:
    """Needs healthy test images that the network has features of."""
    test = splits["test"]
    return bool((~anomalies.anomalous(test)).any()) and min(test.stored.shape[2:]) >= SMALLEST


def evaluate(
    method: nn.Module,
    splits: dict[str, Data],
    settings: Params,
    task: str,
    seed: int,
    files: Mapping[str, Path] = MappingProxyType({}),
) -> Results:
    """Metric and arrays as above; `files` are those of `weights`, "<download>/<file>" -> path."""
    method.eval()
    test = splits["test"]
    network = lpips_of(settings.perceptual, files, test.device)
    rebuilt = redraw(method, test.images)
    rows = np.flatnonzero(~anomalies.anomalous(test))
    index = torch.from_numpy(rows).to(test.device)
    values = distances(network, test.batch(index).images, rebuilt[index])
    name = f"lpips/{settings.perceptual}"
    subjects = np.array([test.subject[row] for row in rows])
    return Results({f"{name}/healthy": float(values.mean())}, {name: values, "lpips/subject": subjects})


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Means over the healthy test images."""
    names = [name for name in arrays if name.startswith("lpips/") and name != "lpips/subject"]
    return {f"{name}/healthy": Paired((name,), subject="lpips/subject") for name in names}


@torch.no_grad()
def distances(network: Lpips, images: Tensor, rebuilt: Tensor) -> NDArray[np.float64]:
    """LPIPS of each pair of images (N, C, H, W), averaged over its pixels: (N,)."""
    pairs = zip(batches(images), batches(rebuilt.clamp(0, 1)), strict=True)
    planes = torch.cat([network(*pair) for pair in pairs])
    return planes.double().mean(dim=(1, 2, 3)).cpu().numpy()
