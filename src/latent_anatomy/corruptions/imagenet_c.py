"""The 14 corruptions of ImageNet-C at 5 severities, for 28 x 28 images, batched and replayable.

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019, as implemented by the package imagecorruptions 1.1.2 and used by unORANIC (Doerrich et al. 2023, Figure
5): the common set without glass blur. The reference needs 32 pixels, so an image is enlarged to 32 x 32 (grey
copied to three channels), corrupted, reduced to 28 x 28, and averaged over channels if it was grey. Each of
these steps ends on whole 8-bit levels, and a corruption truncates rather than rounds.

`sample` draws everything random about a corruption, `apply` does it: the same parameters on the same images
give the same bits. No draw depends on the severity, so one draw can be followed through all five.

Deviations:
    frost_texture="procedural"  frost is cropped from seeded textures with the statistics of the published
                                photographs, which are not ours to ship (weather.py); theirs can be passed in.

Everything runs where the images are, in float64, the reference's own precision, so the device must have it.
Given the same draws, levels equal the reference's but for single steps where rounding puts a value on either
side of a whole level (contrast, brightness of colours, motion blur, snow: under 1 % of values, by 1).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from latent_anatomy.corruptions import blur, digital, jpeg, noise, weather

SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 28  # of the images
WORKING_SIDE = 32  # at which they are corrupted


class Corruption(NamedTuple):
    """How to draw parameters (None: nothing is random), what to do with them, and a setting per severity."""

    sample: Callable[..., dict[str, Tensor]] | None
    apply: Callable[..., Tensor]
    settings: tuple


CORRUPTIONS = {
    "gaussian_noise": Corruption(noise.sample_normal, noise.gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": Corruption(noise.sample_quantile, noise.shot_noise, (60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(noise.sample_impulse, noise.impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": Corruption(None, blur.defocus_blur, ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))),
    "motion_blur": Corruption(
        blur.sample_angle, blur.motion_blur, ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))
    ),
    "zoom_blur": Corruption(
        None, blur.zoom_blur, ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
    ),
    "snow": Corruption(
        weather.sample_snow,
        weather.snow,
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": Corruption(
        weather.sample_frost, weather.frost, ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
    ),
    "fog": Corruption(weather.sample_fog, weather.fog, ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))),
    "brightness": Corruption(None, weather.brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Corruption(None, digital.contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "elastic_transform": Corruption(
        digital.sample_displacement,
        digital.elastic_transform,
        tuple(250 * f for f in (0.05, 0.065, 0.085, 0.1, 0.12)),
    ),
    "pixelate": Corruption(None, digital.pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": Corruption(None, jpeg.jpeg_compression, (25, 18, 15, 10, 7)),
}
NAMES = tuple(CORRUPTIONS)


def sample(
    name: str,
    shape: Sequence[int],
    generator: Generator,
    frost_texture: str | Sequence[Tensor] = "procedural",
) -> dict[str, Tensor]:
    """Draws the parameters of corruption `name` for images of `shape` (N, 3, 32, 32).

    Returns tensors whose first axis is N, for `apply` to move to the images; empty where nothing is random.
    `frost_texture` concerns "frost" alone: see `weather.sample_frost`. Raises ValueError for an unknown name
    or another shape.
    """
    corruption = _corruption(name)
    _check_shape(shape)
    if corruption.sample is None:
        return {}
    texture = {"frost_texture": frost_texture} if name == "frost" else {}
    return corruption.sample(tuple(shape), generator, **texture)


def apply(name: str, severity: int, images: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """Corrupts images (N, 3, 32, 32) float32 in [0, 1] with sampled `parameters`; returns their like.

    Values are rounded to the nearest of 256 levels on the way in and truncated to one on the way out.
    """
    corruption = _corruption(name)
    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected one of {SEVERITIES}, found {severity!r}")
    _check_shape(images.shape)
    levels = _levels(images)
    on_device = {key: value.to(images.device) for key, value in parameters.items()}
    return (corruption.apply(levels, corruption.settings[severity - 1], **on_device).floor() / 255).float()


def corrupt(
    name: str,
    severity: int,
    images: Tensor,
    generator: Generator,
    frost_texture: str | Sequence[Tensor] = "procedural",
) -> Tensor:
    """Enlarges, corrupts and reduces images (N, 1 or 3, 28, 28) float32 in [0, 1]; returns their like.

    >>> images = torch.rand(4, 1, 28, 28)
    >>> corrupt("fog", 3, images, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 28, 28])
    """
    enlarged = _enlarge(images)
    parameters = sample(name, enlarged.shape, generator, frost_texture)
    return _reduce(apply(name, severity, enlarged, parameters), channels=images.shape[1])


def resample_control(images: Tensor) -> Tensor:
    """`corrupt` without the corruption: what enlarging 28 to 32 pixels and back does by itself."""
    return _reduce(_enlarge(images), channels=images.shape[1])


def _enlarge(images: Tensor) -> Tensor:
    """(N, C, 28, 28) to (N, 3, 32, 32) like OpenCV's INTER_AREA on 8 bits, which uses fixed point.

    Output pixel d covers the source from 28/32 d on. It takes source pixel s where it begins, and of s + 1
    the share that lies beyond their border, in units of 1/2048.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2:] != (SIDE, SIDE):
        raise ValueError(f"images: expected (N, 1 or 3, {SIDE}, {SIDE}), found {tuple(images.shape)}")
    levels = _levels(images).expand(-1, 3, -1, -1).long()
    target = torch.arange(WORKING_SIDE, device=images.device)
    first = target * SIDE // WORKING_SIDE
    share = (target + 1 - (first + 1) * (WORKING_SIDE / SIDE)).clamp(min=0)
    second = (first + 1).clamp(max=SIDE - 1)
    share = torch.round(share * 2048).long()
    across = levels[..., first] * (2048 - share) + levels[..., second] * share
    upper = (2048 - share)[:, None] * (across[..., first, :] >> 4)
    lower = share[:, None] * (across[..., second, :] >> 4)
    return (((upper >> 16) + (lower >> 16) + 2) >> 2).float() / 255


def _reduce(images: Tensor, channels: int) -> Tensor:
    """(N, 3, 32, 32) to (N, channels, 28, 28) like OpenCV's INTER_AREA on 8 bits: the mean of an area."""
    # in sevenths of a pixel source s spans 7 s to 7 s + 7 and output d spans 8 d to 8 d + 8 (times 4 below):
    # weights are whole eighths, so no rounding but the last
    source = SIDE * torch.arange(WORKING_SIDE, device=images.device)
    target = WORKING_SIDE * torch.arange(SIDE, device=images.device)[:, None]
    overlap = torch.minimum(source + SIDE, target + WORKING_SIDE) - torch.maximum(source, target)
    weights = overlap.clamp(min=0).double() / WORKING_SIDE
    reduced = torch.round(weights @ _levels(images) @ weights.T) / 255
    return (reduced.mean(1, keepdim=True) if channels == 1 else reduced).float()


def _levels(images: Tensor) -> Tensor:
    """Whole levels 0 to 255 as float64."""
    if not images.is_floating_point() or not ((images >= 0) & (images <= 1)).all():
        raise ValueError(
            f"images: expected floating point values in [0, 1], found {images.dtype} from "
            f"{images.min().item()} to {images.max().item()}; divide 8-bit images by 255"
        )
    return torch.round(images.double() * 255)


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) != 4 or tuple(shape[1:]) != (3, WORKING_SIDE, WORKING_SIDE):
        raise ValueError(f"images: expected (N, 3, {WORKING_SIDE}, {WORKING_SIDE}), found {tuple(shape)}")


def _corruption(name: str) -> Corruption:
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption: expected one of {', '.join(NAMES)}, found {name!r}")
    return CORRUPTIONS[name]
