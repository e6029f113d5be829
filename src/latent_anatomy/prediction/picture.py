"""One picture of a subject: what the model saw, what it made of it, where it looks and what it marks."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from latent_anatomy.evaluation.common import spaced
from latent_anatomy.prediction.maps import ANOMALY, RECONSTRUCTION, Answer

COLUMNS = 6  # slices, evenly spaced
SIDE, LARGEST = 128, 160  # of each in pixels: smaller images are enlarged by whole factors
TITLE = 16
WHITE = 99.9  # percentile of the map that becomes white


def draw(images: NDArray[np.float32], answer: Answer, title: str = "image") -> bytes:
    """PNG with a row for the images (S, C, H, W) in [0, 1], called `title`, and for each map and mask.

    Same answer, same bytes. The map is white at its 99.9th percentile; masks are white on black.
    """
    rows = {title: images}
    if RECONSTRUCTION in answer.maps:
        rows["reconstruction"] = answer.maps[RECONSTRUCTION]
    if ANOMALY in answer.maps:
        own = answer.maps[ANOMALY]
        white = float(np.percentile(own, WHITE))
        rows[f"anomaly map, white at {white:.3g}"] = own[:, None] / (white or 1)
    marked = {f"mask at {name}": own for name, own in answer.masks.items()}
    marked |= {f"structure {name}": own for name, own in answer.structures.items()}
    rows |= {name: own[:, None].astype(np.float32) for name, own in marked.items()}
    shown = spaced(len(images), COLUMNS)
    tiles = {name: [_tile(own[index]) for index in shown] for name, own in rows.items()}
    width, height = next(iter(tiles.values()))[0].size
    wide = max(width * len(shown), 240)
    picture = Image.new("RGB", (wide, (height + TITLE) * len(tiles)))
    pen, font, top = ImageDraw.Draw(picture), ImageFont.load_default(12), 0
    for name, own in tiles.items():
        pen.text((3, top + TITLE / 2), name, (220, 220, 220), font, "lm")
        for column, tile in enumerate(own):
            picture.paste(tile, (column * width, top + TITLE))
        top += height + TITLE
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _tile(image: NDArray[np.float32]) -> Image.Image:
    """An image (C, H, W), of which 1 or 3 channels are shown, clamped to [0, 1]."""
    channels = image[:3] if len(image) >= 3 else image[:1].repeat(3, 0)
    grey = (channels.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    tile = Image.fromarray(np.ascontiguousarray(grey))
    factor = max(1, SIDE // max(tile.size))
    size = (tile.width * factor, tile.height * factor)
    if max(tile.size) > LARGEST:
        share = LARGEST / max(tile.size)
        return tile.resize((round(tile.width * share), round(tile.height * share)), Image.Resampling.BOX)
    return tile.resize(size, Image.Resampling.NEAREST)
