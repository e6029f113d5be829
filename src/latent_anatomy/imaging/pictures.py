"""Pictures of every imaging step: three planes of a head, with outlines or against the atlas.

Axial, coronal and sagittal, each voxel drawn at its size in millimetres. Left of the picture is the left of
the head (neurological convention), as the letters say. Grey values run from the 1st to the 99.5th percentile
of the volume's voxels that are not 0. The same volumes give the same bytes; about 30 to 150 KB each.
"""

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from latent_anatomy.data.slices import defect
from latent_anatomy.imaging.volume import Volume

WIDTH, HEIGHT = 820, 320  # largest size of a strip of three planes, in pixels
GAP = 12
TITLE = 18  # height of the line of text above a strip
LEVELS = 40  # of grey: enough for the eye, and noise becomes half as large a file
WINDOW = (1, 99.5)  # percentiles that become black and white
SQUARE_MM = 25  # of the checkerboard
BESIDE_MM = 6  # from the centre to the sagittal plane: between the hemispheres no cortex would be seen
# Okabe and Ito's orange and sky blue, which colour-blind readers can tell apart
ORANGE, BLUE, LIGHT = (230, 159, 0), (86, 180, 233), (220, 220, 220)
TINT = np.array([1.0, 0.86, 0.62])  # of the target in the checkerboard
PLANES = (((0, 1), "LR"), ((0, 2), "LR"), ((1, 2), "PA"))  # axes along a picture's width and height, letters
Title = list[tuple[str, tuple[int, int, int]]]


def outline(volume: Volume, mask: Volume, reference: Volume | None = None) -> bytes:
    """The volume through the mask's centre as PNG, with the outline of the mask and of a reference mask.

    An empty mask is said to be empty, and the planes go through the middle of the volume. Raises ValueError
    when the grids differ in shape.
    """
    references = [] if reference is None else [reference]
    _same_grid(volume, mask, *references)
    inside = mask.values > 0.5
    title: Title = [("mask" if inside.any() else "mask: EMPTY", ORANGE)]
    outlines = [(mask, ORANGE, 1)]
    for reference in references:
        title.append(("reference", BLUE))
        outlines.insert(0, (reference, BLUE, 2))  # below and wider: where both agree, each is seen
    return _png([_strip(volume, _centre(inside), title, outlines)])


def checkerboard(
    volume: Volume, atlas_t1: Volume, atlas_brain: Volume, ill: tuple[Volume, Volume] | None = None
) -> bytes:
    """A registered volume as PNG: above with the outline of its target, below in squares with the target.

    Squares of 25 mm alternate between the volume and the target, which is tinted; edges that run on from one
    to the other say that they match. The target is the atlas, or another image with a mask. Below them, with
    `ill`, an image and its lesion mask: the outline of the lesions, through the planes with most of them.
    Raises ValueError when the grids differ in shape.
    """
    _same_grid(volume, atlas_t1, atlas_brain, *(ill or ()))
    centre = _centre(atlas_brain.values > 0.5)
    image: Title = [("image", LIGHT)]
    brain: Title = [("outline of the target", ORANGE)]
    atlas: Title = [("target", tuple(int(255 * part) for part in TINT))]
    strips = [
        _strip(volume, centre, image + brain, [(atlas_brain, ORANGE, 1)]),
        _strip(volume, centre, image + atlas, other=atlas_t1),
    ]
    if ill is not None:
        sliced, lesion = ill
        marked = lesion.values > 0.5
        title: Title = [("lesion" if marked.any() else "lesion: NONE MARKED", BLUE)]
        through = _most(marked, sliced) if marked.any() else centre
        strips.append(_strip(sliced, through, title + brain, [(atlas_brain, ORANGE, 1), (lesion, BLUE, 1)]))
    return _png(strips)


def before_after(before: Volume, after: Volume) -> bytes:
    """Two states of a volume as PNG, one above the other, each with grey values of its own.

    Raises ValueError when the grids differ in shape.
    """
    _same_grid(before, after)
    centre = _centre(before.values > before.values.mean())
    return _png([_strip(before, centre, [("before", LIGHT)]), _strip(after, centre, [("after", LIGHT)])])


def _most(inside: NDArray[np.bool_], volume: Volume) -> list[int]:
    """The planes with most of a mask; the sagittal one is drawn beside the index, see `_plane`."""
    counts = (inside.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
    across, *others = (int(count.argmax()) for count in counts)
    return [across - round(BESIDE_MM / volume.spacing_mm[0]), *others]


def _same_grid(volume: Volume, *others: Volume) -> None:
    for other in others:
        if other.values.shape != volume.values.shape:
            found = f"{volume.values.shape} and {other.values.shape}"
            raise defect("picture", "volumes on one grid", found, "resample one onto the other")


def _centre(inside: NDArray[np.bool_]) -> list[int]:
    """Voxel nearest to the centroid; the middle voxel where nothing is inside."""
    if not inside.any():
        return [length // 2 for length in inside.shape]
    counts = [inside.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    return [round(float(np.average(np.arange(len(count)), weights=count))) for count in counts]


def _strip(
    volume: Volume,
    centre: list[int],
    title: Title,
    outlines: list[tuple[Volume, tuple[int, int, int], int]] = (),
    other: Volume | None = None,
) -> Image.Image:
    """The three planes through `centre` side by side below a line of text.

    `outlines` are masks with the colour and width of their lines; `other` takes every second square.
    """
    extent = volume.spacing_mm * volume.values.shape
    widths, heights = (np.array([extent[axes[side]] for axes, _ in PLANES]) for side in (0, 1))
    scale = min((WIDTH - 2 * GAP) / widths.sum(), HEIGHT / heights.max())  # pixels per millimetre
    sizes = np.maximum(np.round(np.stack([widths, heights], axis=1) * scale), 1).astype(int)
    strip = Image.new("RGB", (int(sizes[:, 0].sum()) + 2 * GAP, TITLE + int(sizes[:, 1].max())))
    draw = ImageDraw.Draw(strip)
    at = 3.0
    for text, colour in title:
        draw.text((at, TITLE / 2), text, colour, _font(), "lm")
        at += draw.textlength(text, _font()) + 16
    window, other_window = _window(volume), _window(other or volume)
    left = 0
    for (axes, letters), (width, height) in zip(PLANES, sizes.tolist(), strict=True):
        picture = _grey(_plane(volume, axes, centre), window, (width, height))
        if other is not None:
            tinted = _grey(_plane(other, axes, centre), other_window, (width, height)) * TINT
            rows, columns = (np.arange(length) // round(SQUARE_MM * scale) for length in (height, width))
            picture = np.where((rows[:, None] + columns)[..., None] % 2, tinted, picture)
        for mask, colour, thickness in outlines:
            picture[_line(_plane(mask, axes, centre), (width, height), thickness)] = colour
        top = TITLE + (strip.height - TITLE - height) // 2
        strip.paste(Image.fromarray(picture.astype(np.uint8)), (left, top))
        for letter, x, anchor in ((letters[0], left + 3, "la"), (letters[1], left + width - 3, "ra")):
            draw.text((x, top + 2), letter, LIGHT, _font(), anchor, stroke_width=1, stroke_fill=(0, 0, 0))
        left += width + GAP
    return strip


def _plane(volume: Volume, axes: tuple[int, int], centre: list[int]) -> NDArray[np.float32]:
    """The plane through `centre` along two axes, the first to the right, the second upwards."""
    [across] = {0, 1, 2} - set(axes)
    at = centre[across]
    if across == 0:
        at = min(at + round(BESIDE_MM / volume.spacing_mm[0]), volume.values.shape[0] - 1)
    return np.take(volume.values, at, axis=across).T[::-1]


def _window(volume: Volume) -> tuple[float, float]:
    """The intensities that become black and white; the first is below the second."""
    shown = volume.values[::2, ::2, ::2]  # an eighth of the voxels has the same percentiles
    shown = shown[shown != 0]
    low, high = np.percentile(shown, WINDOW) if len(shown) else (0.0, 1.0)
    if not high > low:  # a constant becomes grey
        low, high = low - abs(low), low + abs(low)
    return float(low), float(high)


def _resized(plane: NDArray[np.float32], size: tuple[int, int], how: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(size, how))


def _grey(
    plane: NDArray[np.float32], window: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    """The plane at its size in pixels, (height, width, 3), 0 to 255 in LEVELS steps; 0 stays black."""
    low, high = window
    shown = np.where(plane == 0, 0, np.clip((plane - low) / (high - low), 0, 1))
    shown = np.clip(_resized(shown, size, Image.Resampling.BICUBIC), 0, 1)
    grey = np.round(shown * (LEVELS - 1)) * (255 / (LEVELS - 1))
    return np.repeat(grey[..., None], 3, axis=-1)


def _line(plane: NDArray[np.float32], size: tuple[int, int], thickness: int) -> NDArray[np.bool_]:
    """Pixels (height, width) on a mask's outline: inside, and within `thickness` pixels of the outside."""
    inside = _resized(plane, size, Image.Resampling.BILINEAR) > 0.5
    kept = inside
    for _ in range(thickness):
        padded = np.pad(kept, 1)
        kept = kept & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~kept


@cache
def _font() -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, so that no machine writes another."""
    return ImageFont.load_default(13)


def _png(strips: list[Image.Image]) -> bytes:
    """Strips of one width below each other."""
    picture = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)))
    top = 0
    for strip in strips:
        picture.paste(strip, (0, top))
        top += strip.height
    stream = io.BytesIO()
    picture = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
