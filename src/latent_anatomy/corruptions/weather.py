"""Weather of ImageNet-C: snow, frost, fog and brightness.

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
2019, section 3. Corruptions take and return float64 levels (N, 3, H, W) in [0, 255], before truncation to
whole levels.

Deviation, `frost_texture="procedural"`: the published frost is cropped from five photographs that are not
ours to ship. FROST lists what we measured on them; textures with these statistics are made from a fixed seed
instead. The photographs themselves can be given as tensors.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Generator, Tensor

from latent_anatomy.corruptions.blur import motion_blur, zoom_matrix

TEXTURE_SIDE = 512
TEXTURE_SEED = 2019
# (mean R, G, B), (standard deviation R, G, B), exponent of the power spectrum 1 / frequency ** exponent. The
# exponent gives 32-pixel crops the photograph's share of the variance. The second and third are equal.
FROST = (
    ((77.7, 149.1, 165.7), (26.6, 16.3, 15.2), 2.4),
    ((200.8, 205.4, 214.5), (21.3, 22.0, 22.5), 2.2),
    ((200.8, 205.4, 214.5), (21.3, 22.0, 22.5), 2.2),
    ((137.6, 152.8, 165.2), (28.2, 28.2, 29.5), 2.1),
    ((112.4, 123.4, 134.7), (44.0, 42.8, 41.2), 2.1),
)


def sample_snow(shape, generator: Generator) -> dict[str, Tensor]:
    """Standard normal "flakes" (N, H, W) and the "angle" (N,) of their fall, -135 to -45 degrees."""
    count, _, height, width = shape
    options = {"generator": generator, "device": generator.device, "dtype": torch.float64}
    return {
        "flakes": torch.randn(count, height, width, **options),
        "angle": 90 * torch.rand(count, **options) - 135,
    }


def snow(levels: Tensor, setting: tuple, flakes: Tensor, angle: Tensor) -> Tensor:
    """Whitens the image and adds zoomed, thresholded, motion-blurred flakes, upright and upside down.

    `setting` is (mean, deviation, zoom, threshold, blur radius, blur sigma, share of the unwhitened image).
    """
    mean, deviation, zoom, threshold, radius, sigma, share = setting
    side = levels.shape[-1]
    matrix = zoom_matrix(side, zoom).to(levels.device)
    layer = matrix @ (mean + deviation * flakes) @ matrix.T
    layer = torch.where(layer < threshold, 0.0, layer).clamp(0, 1)
    layer = motion_blur(layer[:, None], (radius, sigma), angle)
    layer = torch.round(layer * 255)[..., :side, :side] / 255
    images = levels.float() / 255
    grey = (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    whitened = share * images + (1 - share) * torch.maximum(images, grey * 1.5 + 0.5)
    return (whitened + layer + layer.rot90(2, (2, 3))).clamp(0, 1) * 255


@cache
def procedural_frost() -> tuple[Tensor, ...]:
    """Five textures (3, 512, 512) uint8 with the means, deviations and spectra of FROST, always the same."""
    generator = torch.Generator().manual_seed(TEXTURE_SEED)
    frequency = torch.fft.fftfreq(TEXTURE_SIDE, dtype=torch.float64)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    textures = []
    for mean, deviation, exponent in FROST:
        white = torch.randn(TEXTURE_SIDE, TEXTURE_SIDE, generator=generator, dtype=torch.float64)
        amplitude = torch.where(squared > 0, squared, torch.inf) ** (-exponent / 4)
        field = torch.fft.ifft2(torch.fft.fft2(white) * amplitude).real
        field = field / field.std()
        channels = [centre + spread * field for centre, spread in zip(mean, deviation, strict=True)]
        textures.append(torch.stack(channels).round().clamp(0, 255).to(torch.uint8))
    return tuple(textures)


def sample_frost(
    shape, generator: Generator, frost_texture: str | Sequence[Tensor] = "procedural"
) -> dict[str, Tensor]:
    """Crops of random textures at random places: {"frost": (N, 3, H, W) uint8}, on the CPU.

    `frost_texture` is "procedural" or the textures themselves, each (3, h, w) uint8 RGB and larger than the
    image. They are used as given; the reference enlarges its photographs 1.1 times (bicubic) and knows only
    the first five of its six.
    """
    count, _, height, width = shape
    if isinstance(frost_texture, str) and frost_texture != "procedural":
        raise ValueError(f"frost_texture: expected 'procedural' or tensors, found {frost_texture!r}")
    textures = procedural_frost() if isinstance(frost_texture, str) else frost_texture
    for texture in textures:
        if (
            texture.dtype != torch.uint8
            or texture.ndim != 3
            or texture.shape[0] != 3
            or min(texture.shape[1:]) <= height
        ):
            raise ValueError(
                f"frost_texture: expected uint8 textures (3, h, w) larger than {height} x {width}, "
                f"found {texture.dtype} {tuple(texture.shape)}"
            )
    draws = torch.rand(count, 3, generator=generator, device=generator.device, dtype=torch.float64).tolist()
    crops = []
    for which, down, right in draws:
        texture = textures[int(which * len(textures))]
        top, left = int(down * (texture.shape[1] - height)), int(right * (texture.shape[2] - width))
        crops.append(texture[:, top : top + height, left : left + width])
    return {"frost": torch.stack(crops)}


def frost(levels: Tensor, setting: tuple[float, float], frost: Tensor) -> Tensor:
    """Weighted sum of image and frost; `setting` is (weight of the image, weight of the frost)."""
    return (setting[0] * levels + setting[1] * frost.double()).clamp(0, 255)


def sample_fog(shape, generator: Generator) -> dict[str, Tensor]:
    """Displacements of the midpoints of the height map, uniform in [-1, 1): {"wobble": (N, H, W) float64}."""
    count, _, height, width = shape
    uniform = torch.rand(
        count, height, width, generator=generator, device=generator.device, dtype=torch.float64
    )
    return {"wobble": 2 * uniform - 1}


def fog(levels: Tensor, setting: tuple[float, float], wobble: Tensor) -> Tensor:
    """Adds `strength` times a plasma fractal, then scales so that the brightest value keeps its place."""
    strength, decay = setting
    images = levels / 255
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    foggy = images + strength * plasma(wobble, decay)[:, None]
    return (foggy * brightest / (brightest + strength)).clamp(0, 1) * 255


def plasma(wobble: Tensor, decay: float) -> Tensor:
    """Diamond-square height maps (N, S, S) in [0, 1] on a torus, S a power of two.

    The corner starts at 0. Every other point is the mean of four neighbours plus its entry of `wobble` times
    an amplitude that falls by decay ** 2 with each halving of the step: Fournier, Fussell & Carpenter, CACM
    1982.
    """
    side = wobble.shape[-1]
    heights, amplitude, step = torch.zeros_like(wobble), 100.0**2, side
    while step >= 2:
        half = step // 2
        corner = heights[:, ::step, ::step]
        pairs = corner + corner.roll(-1, 1)
        squares = (pairs + pairs.roll(-1, 2)) / 4 + amplitude * wobble[:, half::step, half::step]
        heights[:, half::step, half::step] = squares
        top = (squares + squares.roll(1, 1)) + (corner + corner.roll(-1, 2))
        left = (squares + squares.roll(1, 2)) + (corner + corner.roll(-1, 1))
        heights[:, ::step, half::step] = top / 4 + amplitude * wobble[:, ::step, half::step]
        heights[:, half::step, ::step] = left / 4 + amplitude * wobble[:, half::step, ::step]
        step, amplitude = half, amplitude / decay**2
    heights = heights - heights.amin(dim=(1, 2), keepdim=True)
    return heights / heights.amax(dim=(1, 2), keepdim=True)


def brightness(levels: Tensor, shift: float) -> Tensor:
    """Raises the value V of HSV by `shift`, up to 1; as H and S stay, the channels keep their ratios."""
    images = levels / 255
    value = images.amax(dim=1, keepdim=True)
    return torch.where(value > 0, images / value, 1.0) * (value + shift).clamp(max=1) * 255
