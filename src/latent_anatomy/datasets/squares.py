"""Single images as squares of one size: what the readers of pictures with boxes share.

The steps are those of the released code of RA, in its order: `unit_range` (its X-rays) and `bright` (divided
by the 98th percentile, clipped), `squared` (padded on all sides with the darkest value), `resized` (bilinear
without smoothing, so that fine structures may alias). Boxes go the same way, rounded outwards.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.slices import defect

PERCENTILE = 98.0
Box = tuple[float, float, float, float]  # left, top, width, height


def picture(path: Path) -> NDArray:
    """The first channel (H, W) of a picture, uint8 or uint16; ValueError for a damaged file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = np.array(opened)
    except (UnidentifiedImageError, OSError) as error:
        raise defect(path, "a picture", f"a damaged file ({error})", "fetch it again") from error
    image = image[..., 0] if image.ndim == 3 else image
    if image.dtype == np.int32:  # as some versions of PIL have 16-bit grey
        image = image.astype(np.uint16)
    if image.dtype not in (np.uint8, np.uint16):
        raise defect(path, "8 or 16 bits of grey", image.dtype, "fetch it again")
    return image


def unit_range(image: NDArray) -> NDArray[np.float64]:
    """Grey values in [0, 1]: by 65536 where one exceeds 255, else by 255, as released."""
    return image / (65536 if image.max() > 255 else 255)


def varied(image: NDArray, where: object) -> None:
    """Raise ValueError for an image with NaN or of one value."""
    if not np.isfinite(image).all() or image.min() == image.max():
        found = f"only {image.flat[0]:g}" if np.isfinite(image).all() else "NaN"
        raise defect(where, "an image of more than one finite value", found, "check the raw file")


def bright(image: NDArray, where: object) -> NDArray[np.float64]:
    """Divided by its 98th percentile and clipped to [0, 1]; ValueError for an image that is nearly all 0."""
    varied(image, where)
    level = float(np.percentile(image, PERCENTILE))
    if not level > 0:
        expected = f"a {PERCENTILE:g}th percentile above 0"
        raise defect(where, expected, f"{level:g}", "leave out an image so empty")
    return np.clip(image / level, 0, 1)


def squared(image: NDArray) -> NDArray:
    """Padded to a square with its darkest value; of an odd number of rows the larger half lies behind."""
    side = max(image.shape)
    before = [(side - length) // 2 for length in image.shape]
    pad = [(first, side - length - first) for first, length in zip(before, image.shape, strict=True)]
    return np.pad(image, pad, constant_values=image.min())


def resized(image: NDArray, size: int, smooth: bool = False) -> NDArray[np.uint8]:
    """An image (H, W) in [0, 1] as (size, size) uint8; one that is no square is stretched to one."""
    from skimage.transform import resize

    fine = resize(image.astype(np.float64), (size, size), order=1, mode="edge", anti_aliasing=smooth)
    return np.round(255 * np.clip(fine, 0, 1)).astype(np.uint8)


def box_in(box: Box, shape: tuple[int, int], size: int, where: object) -> tuple[int, int, int, int]:
    """A box on an image of `shape`, on its square of `size`; ValueError unless it lies in the image."""
    left, top, width, height = box
    if not (width > 0 and height > 0):
        raise defect(where, "a box with an area", f"{width:g} x {height:g} pixels", "correct the table")
    if left < 0 or top < 0 or left + width > shape[1] or top + height > shape[0]:
        found = f"left {left:g}, top {top:g}, width {width:g}, height {height:g}"
        raise defect(where, f"a box inside {shape[1]} x {shape[0]} pixels", found, "correct the table")
    side = max(shape)
    edges = []
    for start, length, whole in ((left, width, shape[1]), (top, height, shape[0])):
        before = (side - whole) // 2
        first = int(np.floor((start + before) * size / side))
        last = int(np.ceil((start + length + before) * size / side - 1e-9))
        edges.append((first, last - first))
    (x, wide), (y, high) = edges
    return x, y, wide, high
