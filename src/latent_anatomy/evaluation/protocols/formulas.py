"""How much of what an anomaly map finds does its formula find alone, with nothing learnt?

A map compares an image with a reconstruction by a formula. RA's (Bercea et al., equation 5) is another one
than that of the methods beside it, |x - r|, and the paper changes both at once. Here each formula meets each
reconstruction, and each map is cut and scored as in `anomalies`:

    reconstruction    own        that of the method
                      mean       the mean healthy training image, the same for all
                      blurred    the image itself, smoothed
    formula           own        the method's, where it has a `residual`
                      absolute   |x - r|, averaged over channels
                      ssim       (1 - SSIM) / 2 at each pixel, 7 x 7
                      perceptual RA's, whatever the method's is, see `training.perceptual_map`; absent of
                                 images of fewer than 32 pixels on a side

    formulas/<reconstruction>-<formula>/auc                     images, by the mean of the map
    formulas/<reconstruction>-<formula>/recall, f1, f1_scale_free    boxes, at the threshold of healthy
                                                                validation images
    formulas/gap/auc, f1_scale_free     own-own minus the best of mean-own and blurred-own: what the method
                                        adds to its formula; of a method with a `residual`

What is nearly as good with "mean" or "blurred" as with "own" is the formula's. The paper does not ask this.
Where there are no boxes, or no healthy test images, their numbers are absent.

Table all: a row for each map. Arrays: formulas/<reconstruction>-<formula>/f1 (B,) float64.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.download import Download
from latent_anatomy.evaluation.common import Settings, batches, redraw
from latent_anatomy.evaluation.protocol import Paired, Results, Table
from latent_anatomy.evaluation.protocols import anomalies
from latent_anatomy.metrics import localisation
from latent_anatomy.metrics.detection import detection
from latent_anatomy.metrics.lesions.stacks import check_scores
from latent_anatomy.networks.lpips import SMALLEST
from latent_anatomy.training.healthy import absolute
from latent_anatomy.training.method import Data
from latent_anatomy.training.perceptual import Perceptual, lpips_of, of_lpips
from latent_anatomy.training.perceptual_map import seen_and_equalised

NEEDS = (("reconstruct", "anomaly_map"),)
UNPAIRED = {"formulas/*": "maps of one method beside each other; methods are compared by their own maps"}
PLOTS = {"all": {"template": "bar_horizontal", "x": "f1_scale_free", "y": "map"}}
COLUMNS = ("auc", "recall", "f1", "f1_scale_free")
GAPS = ("auc", "f1_scale_free")

Formula = Callable[[Tensor, Tensor], Tensor]


class Params(Settings):
    """How a map is cut, what a blurred image is, and what RA's map looks through."""

    false_positive_rate: float = Field(0.05, gt=0, lt=1, description="Of pixels of healthy images.")
    blur: float = Field(2.0, gt=0, description="Standard deviation, in pixels.")
    map_perceptual: Perceptual = Field(
        "squeezenet-torchvision", description="What LPIPS stands on in RA's map."
    )
    map_smoothing: float = Field(2.0, ge=0, description="Standard deviation in pixels, of LPIPS in RA's map.")


def weights(settings: Params) -> tuple[Download, ...]:
    """What RA's map needs."""
    return of_lpips(settings.map_perceptual)


def possible(splits: dict[str, Data]) -> bool:
    """As `anomalies`, and healthy images to average."""
    train = splits["train"]
    return anomalies.possible(splits) and bool(len(train) and (~anomalies.anomalous(train)).any())


def evaluate(
    method: nn.Module,
    splits: dict[str, Data],
    settings: Params,
    task: str,
    seed: int,
    files: Mapping[str, Path] = MappingProxyType({}),
) -> Results:
    """Metrics, arrays and table as above; `files` are those of `weights`, "<download>/<file>" -> path.

    ValueError for maps that are negative or not finite.
    """
    method.eval()
    test, ill = splits["test"], anomalies.anomalous(splits["test"])
    healthy = anomalies.chosen(splits["val"], ~anomalies.anomalous(splits["val"]))
    mean, formulas = mean_image(splits["train"]), formulas_of(method, test, settings, files)
    metrics, arrays, rows = {}, {}, []
    validating, testing = (maps_of(method, each, mean, settings.blur, formulas) for each in (healthy, test))
    for (name, normal), (_, maps) in zip(validating, testing, strict=True):
        level, measured = localisation.threshold(normal, settings.false_positive_rate), {}
        if ill.any() and not ill.all():
            measured["auc"] = detection(ill, maps.mean(axis=(1, 2), dtype=np.float64))["auc"]
        if test.boxes is not None and len(test.boxes):
            boxes = localisation.score(maps, test.boxes.cpu().numpy(), anomalies.tissue(test), level)
            arrays[f"formulas/{name}/f1"] = boxes.f1()
            measured |= {
                "recall": float(boxes.found.mean()),
                "f1": float(boxes.f1().mean()),
                "f1_scale_free": float(boxes.f1(scale_free=True).mean()),
            }
        metrics |= {f"{name}/{key}": value for key, value in measured.items()}
        rows.append((name, *(measured.get(column, "") for column in COLUMNS)))
    for key in GAPS:
        if f"own-own/{key}" in metrics:
            bare = max(metrics[f"{name}-own/{key}"] for name in ("mean", "blurred"))
            metrics[f"gap/{key}"] = metrics[f"own-own/{key}"] - bare
    table = Table(("map", *COLUMNS), rows)
    return Results({f"formulas/{name}": value for name, value in metrics.items()}, arrays, {"all": table})


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """None: see UNPAIRED."""
    return {}


def mean_image(train: Data) -> Tensor:
    """The mean (1, C, H, W) of the healthy training images."""
    rows = torch.from_numpy(np.flatnonzero(~anomalies.anomalous(train))).to(train.device)
    parts = (train.batch(part).images.double().sum(dim=0) for part in rows.split(64))
    return (sum(parts) / len(rows)).float()[None]


def formulas_of(
    method: nn.Module, data: Data, settings: Params, files: Mapping[str, Path]
) -> dict[str, Formula]:
    """Every formula by its name, for images like those of `data`."""
    formulas: dict[str, Formula] = {"own": method.residual} if hasattr(method, "residual") else {}
    formulas |= {"absolute": absolute, "ssim": dissimilarity}
    if min(data.stored.shape[2:]) >= SMALLEST:
        network = lpips_of(settings.map_perceptual, files, data.device)
        formulas["perceptual"] = partial(
            seen_and_equalised, network=network, smoothing=settings.map_smoothing
        )
    return formulas


@torch.no_grad()
def maps_of(
    method: nn.Module, data: Data, mean: Tensor, blur: float, formulas: Mapping[str, Formula]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Name and maps (N, H, W) of every reconstruction under every formula."""
    images = data.images
    reconstructions = {
        "own": redraw(method, images),
        "mean": mean.expand_as(images),
        "blurred": blurred(images, blur),
    }
    for reconstruction, rebuilt in reconstructions.items():
        for formula, compare in formulas.items():
            parts = [compare(*pair) for pair in zip(batches(images), batches(rebuilt), strict=True)]
            maps = torch.cat(parts)[:, 0].float().cpu().numpy()
            check_scores(maps)
            yield f"{reconstruction}-{formula}", maps


def dissimilarity(images: Tensor, reconstructions: Tensor) -> Tensor:
    """(1 - SSIM) / 2 at each pixel, averaged over channels, (N, 1, H, W) in [0, 1]."""
    from skimage.metrics import structural_similarity

    pairs = zip(images.cpu().numpy(), reconstructions.clamp(0, 1).cpu().numpy(), strict=True)
    maps = [
        structural_similarity(
            one, other, win_size=anomalies.SSIM_WINDOW, data_range=1, channel_axis=0, full=True
        )[1].mean(axis=0)
        for one, other in pairs
    ]
    plane = np.clip((1 - np.stack(maps)) / 2, 0, 1).astype(np.float32)
    return torch.from_numpy(plane)[:, None].to(images.device)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Each plane of images (N, C, H, W), smoothed."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(images.cpu().numpy(), (0, 0, sigma, sigma), mode="nearest")
    return torch.from_numpy(smooth).to(images.device)
