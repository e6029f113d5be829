"""Brightness, contrast, saturation and hue of 8-bit RGB images, with OpenCV's fixed-point colour conversions.

Images are float32 (N, C, H, W) whole grey levels 0..255, C 1 or 3; factors are float64 (N,). The integers of
OpenCV's fixed-point arithmetic stay below 2**24, so that float32 carries them exactly.
"""

import torch
from torch import Tensor

GREY_WEIGHTS = (9798.0, 19235.0, 3735.0)  # red, green, blue of ITU-R 601 times 2**15
HUES = 180.0  # OpenCV keeps the hue of 8-bit images in steps of two degrees


def look_up(levels: Tensor, table: Tensor) -> Tensor:
    """Replace grey level v of image n by table[n, v]; table (N, 256)."""
    return table.float().gather(1, levels.flatten(1).long()).view_as(levels)


def ramp(like: Tensor) -> Tensor:
    """The 256 grey levels in the dtype and on the device of `like`."""
    return torch.arange(256, dtype=like.dtype, device=like.device)


def truncate(values: Tensor) -> Tensor:
    """To whole grey levels as numpy's astype(uint8) does after a clip: towards zero."""
    return values.clamp(0, 255).floor()


def grey(levels: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W): luma of RGB in OpenCV's rounding; an image with one channel as it is."""
    if levels.shape[1] == 1:
        return levels
    red, green, blue = (levels[:, i : i + 1] * weight for i, weight in enumerate(GREY_WEIGHTS))
    return ((red + green + blue + 2.0**14) / 2.0**15).floor()


def adjust_brightness(levels: Tensor, factor: Tensor) -> Tensor:
    """Multiply by factor."""
    return look_up(levels, truncate(ramp(factor) * factor.unsqueeze(1)))


def adjust_contrast(levels: Tensor, factor: Tensor) -> Tensor:
    """Stretch the distance from the image's mean luma by factor."""
    mean = grey(levels).double().mean((1, 2, 3))
    return look_up(levels, truncate(ramp(factor) * factor.unsqueeze(1) + (mean * (1 - factor)).unsqueeze(1)))


def adjust_saturation(levels: Tensor, factor: Tensor) -> Tensor:
    """Stretch the distance from each pixel's luma by factor; a grey image has none and stays."""
    if levels.shape[1] == 1:
        return levels
    colour, rest = factor.float().view(-1, 1, 1, 1), (1 - factor).float().view(-1, 1, 1, 1)
    return (levels * colour + grey(levels) * rest).round().clamp(0, 255)


def adjust_hue(levels: Tensor, factor: Tensor) -> Tensor:
    """Turn the hue by factor (1 is the full circle); a grey image has none and stays."""
    if levels.shape[1] == 1:
        return levels
    hue, saturation, value = _to_hsv(levels)
    turned = (hue + HUES * factor.view(-1, 1, 1)).remainder(HUES).floor()
    return _from_hsv(turned, saturation, value)


def _to_hsv(levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue 0..179, saturation and value 0..255, each (N, H, W) float32 whole numbers, as cv2.COLOR_RGB2HSV."""
    red, green, blue = levels.unbind(1)
    value = levels.amax(1)
    chroma = value - levels.amin(1)
    saturation = ((chroma * (255 * 4096 / value.clamp(min=1)).round() + 2048) / 4096).floor()
    sixth = (blue - red + 2 * chroma).where(value == green, red - green + 4 * chroma)
    sixth = (green - blue).where(value == red, sixth)
    hue = ((sixth * (HUES / 6 * 4096 / chroma.clamp(min=1)).round() + 2048) / 4096).floor()
    return hue + HUES * (hue < 0), saturation, value


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Inverse of `_to_hsv` in float32, (N, 3, H, W) whole grey levels, as cv2.COLOR_HSV2RGB.

    This rounds, as OpenCV 4 does in images narrower than 32 pixels; in wider ones its vector code truncates,
    so that a third of the values come out one grey level lower there.
    """
    sixth = (hue.float() * (6 / HUES)).unsqueeze(1)
    sector = sixth.floor()
    within = sixth - sector
    offset = 5 - 2 * torch.arange(3, device=hue.device).view(1, 3, 1, 1)  # 5, 3, 1: red, green, blue
    sector = (sector + offset).remainder(6)
    # How much of the chroma is missing: rises in sector 0, all of it in 1 and 2, falls in 3, none in 4 and 5.
    missing = torch.minimum(sector + within, (3 - sector) + (1 - within)).clamp(0, 1)
    saturation, value = (channel.unsqueeze(1) * (1 / 255) for channel in (saturation, value))
    return (value * (1 - saturation * missing) * 255).round()
