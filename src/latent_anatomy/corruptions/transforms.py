"""The 12 training corruptions of unORANIC: for each, `sample_*` draws parameters and a function applies them.

Parameters and rounding are those of albumentations 1.3.1 on uint8 images, the version that was current when
the paper's code was released (Doerrich et al., MICCAI-MLMI 2023; the paper names albumentations only as an
example). Images are float32 (N, C, H, W) whole grey levels 0..255, C 1 or 3; every parameter's first axis is
the image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_anatomy.corruptions import colour, filters
from latent_anatomy.corruptions.colour import look_up, ramp, truncate

DROPPED_PIXELS = 0.01
SOLARIZE_THRESHOLD = 128
Parameters = dict[str, Tensor]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Draw:
    """Random numbers from one generator (None: torch's global one) on one device."""

    generator: torch.Generator | None
    device: torch.device | str | None

    def uniform(self, low: float, high: float, *size: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Uniform in [low, high)."""
        return torch.empty(size, dtype=dtype, device=self.device).uniform_(
            low, high, generator=self.generator
        )

    def normal(self, *size: int) -> Tensor:
        """Standard normal, float32."""
        return torch.randn(size, generator=self.generator, device=self.device)


def sample_pixel_dropout(shape: Shape, draw: Draw) -> Parameters:
    n, _, h, w = shape
    return {"dropped": draw.uniform(0, 1, n, 1, h, w, dtype=torch.float32) < DROPPED_PIXELS}


def pixel_dropout(levels: Tensor, dropped: Tensor) -> Tensor:
    return levels.masked_fill(dropped, 0)


def sample_gaussian_blur(shape: Shape, draw: Draw) -> Parameters:
    # 3..7 with equal chances, even widths become the next odd one: 3, 5, 7 with 0.2, 0.4, 0.4.
    return {"size": (draw.uniform(3, 8, shape[0]).long() // 2) * 2 + 1}


def gaussian_blur(levels: Tensor, size: Tensor) -> Tensor:
    return (filters.correlate(levels, filters.gaussian_kernels(size)) + 0.5).floor()


def sample_color_jitter(shape: Shape, draw: Draw) -> Parameters:
    n = shape[0]
    factors = {name: draw.uniform(0.8, 1.2, n) for name in ("brightness", "contrast", "saturation")}
    return {**factors, "hue": draw.uniform(-0.2, 0.2, n), "order": draw.uniform(0, 1, n, 4).argsort(1)}


def color_jitter(
    levels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor, order: Tensor
) -> Tensor:
    """order (N, 4) int64: which of brightness, contrast, saturation, hue (0..3) comes first, second, ..."""
    steps = (
        (colour.adjust_brightness, brightness),
        (colour.adjust_contrast, contrast),
        (colour.adjust_saturation, saturation),
        (colour.adjust_hue, hue),
    )
    for which in order.unbind(1):
        for i, (adjust, factor) in enumerate(steps[: 4 if levels.shape[1] == 3 else 2]):
            levels = where_chosen(adjust, levels, which == i, {"factor": factor})
    return levels


def sample_downscale(shape: Shape, draw: Draw) -> Parameters:
    return {"scale": draw.uniform(0.5, 0.9, shape[0])}


def downscale(levels: Tensor, scale: Tensor) -> Tensor:
    return truncate(filters.downscale(levels / 255, scale) * 255)


def sample_gauss_noise(shape: Shape, draw: Draw) -> Parameters:
    sigma = draw.uniform(10, 50, shape[0]).sqrt().float()
    return {"noise": draw.normal(*shape) * sigma.view(-1, 1, 1, 1)}


def gauss_noise(levels: Tensor, noise: Tensor) -> Tensor:
    return truncate(levels + noise)


def sample_nothing(shape: Shape, draw: Draw) -> Parameters:
    return {}


def invert(levels: Tensor) -> Tensor:
    return 255 - levels


def sample_motion_blur(shape: Shape, draw: Draw) -> Parameters:
    """A line between two different pixels of a square of 3, 5 or 7: the second differs in x, or else in y."""
    n = shape[0]
    size = draw.uniform(1, 4, n).long() * 2 + 1
    x1, x2, y1, y2 = (draw.uniform(0, 1, 4, n) * size).long()
    other = (y1 + 1 + (draw.uniform(0, 1, n) * (size - 1)).long()) % size
    y2 = other.where(x1 == x2, y2)
    return {"start": torch.stack([x1, y1], 1), "end": torch.stack([x2, y2], 1), "size": size}


def motion_blur(levels: Tensor, start: Tensor, end: Tensor, size: Tensor) -> Tensor:
    return filters.correlate(levels, filters.line_kernels(start, end, size)).round()


def sample_multiplicative_noise(shape: Shape, draw: Draw) -> Parameters:
    return {"multiplier": draw.uniform(0.9, 1.1, shape[0]).float()}


def multiplicative_noise(levels: Tensor, multiplier: Tensor) -> Tensor:
    return look_up(levels, truncate(ramp(multiplier) * multiplier.unsqueeze(1)))


def sample_brightness_contrast(shape: Shape, draw: Draw) -> Parameters:
    n = shape[0]
    return {
        "alpha": draw.uniform(0.8, 1.2, n).float(),
        "beta": draw.uniform(-0.2 * 255, 0.2 * 255, n).float(),
    }


def brightness_contrast(levels: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return look_up(levels, truncate(ramp(alpha) * alpha.unsqueeze(1) + beta.unsqueeze(1)))


def sample_gamma(shape: Shape, draw: Draw) -> Parameters:
    return {"gamma": draw.uniform(0.8, 1.2, shape[0])}


def gamma(levels: Tensor, gamma: Tensor) -> Tensor:
    return look_up(levels, truncate((ramp(gamma) / 255) ** gamma.unsqueeze(1) * 255))


def solarize(levels: Tensor) -> Tensor:
    return (255 - levels).where(levels >= SOLARIZE_THRESHOLD, levels)


def sample_sharpen(shape: Shape, draw: Draw) -> Parameters:
    return {"alpha": draw.uniform(0.2, 0.5, shape[0]), "lightness": draw.uniform(0.5, 1.0, shape[0])}


def sharpen(levels: Tensor, alpha: Tensor, lightness: Tensor) -> Tensor:
    """Blend, with weight alpha, with a Laplacian-sharpened image whose kernel's centre is 8 + lightness."""
    around = -alpha.float().view(-1, 1, 1).repeat(1, 3, 3)
    around[:, 1, 1] = (1 - alpha).float() + alpha.float() * (8 + lightness).float()
    return filters.correlate(levels, around).round().clamp(0, 255)


def where_chosen(
    transform: Callable[..., Tensor], levels: Tensor, chosen: Tensor, parameters: Parameters
) -> Tensor:
    """Transform the images where `chosen` (N,) bool, leave the others; `parameters` are those of all N."""
    if levels.device.type != "cpu":  # selecting would make the host wait for the device
        return transform(levels, **parameters).where(chosen.view(-1, 1, 1, 1), levels)
    index = chosen.nonzero().squeeze(1)
    if len(index) == 0:
        return levels
    part = {name: values[index] for name, values in parameters.items()}
    return levels.index_copy(0, index, transform(levels[index], **part))


TRANSFORMS: dict[str, tuple[Callable[[Shape, Draw], Parameters], Callable[..., Tensor]]] = {
    "PixelDropout": (sample_pixel_dropout, pixel_dropout),
    "GaussianBlur": (sample_gaussian_blur, gaussian_blur),
    "ColorJitter": (sample_color_jitter, color_jitter),
    "Downscale": (sample_downscale, downscale),
    "GaussNoise": (sample_gauss_noise, gauss_noise),
    "InvertImg": (sample_nothing, invert),
    "MotionBlur": (sample_motion_blur, motion_blur),
    "MultiplicativeNoise": (sample_multiplicative_noise, multiplicative_noise),
    "RandomBrightnessContrast": (sample_brightness_contrast, brightness_contrast),
    "RandomGamma": (sample_gamma, gamma),
    "Solarize": (sample_nothing, solarize),
    "Sharpen": (sample_sharpen, sharpen),
}
