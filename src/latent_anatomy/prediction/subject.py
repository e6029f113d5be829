"""One subject, from the images that were given to its files and its line of the table."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latent_anatomy.prediction import chain, derivatives, heart, maps, picture, training_images
from latent_anatomy.prediction.exported import Exported
from latent_anatomy.prediction.given import Given
from latent_anatomy.prediction.table import Row

SIDES = "image, in atlas space: the patient's right is on the left"
WHITE = {"L": 255, "RGB": 255, "I;16": 65535}  # largest value of a pixel, by Pillow's modes


def volume_of(model: Exported, given: Given, work: Path, out: Path, row: Row) -> None:
    """The imaging steps below `work`, the files below `out`, and what there is to say in `row`.

    ValueError for images that cannot be taken; whatever else a library raises.
    """
    imaging, known = model.document["imaging"], model.document["images"]
    brains = "steps" in imaging
    prepared = (chain if brains else heart).prepare(given, imaging, work)
    row.numbers, row.warnings = prepared.numbers, prepared.warnings
    row.warnings += training_images.differences(prepared.images, known)
    row.warnings += training_images.other_spacing(prepared.native.spacing_mm, known.get("native_mm"))
    answer = maps.ask(model, prepared.images[:, None], prepared.brain, prepared.slab.kept)
    seen = prepared.slab.on(prepared.native, prepared.to_atlas, np.zeros_like(prepared.images), "nearest")
    row.covers = float(np.isfinite(seen[prepared.inside]).mean()) if prepared.inside.any() else 0.0
    atlas = imaging["steps"]["register"]["atlas"]["name"] if brains else None
    native = derivatives.write_volumes(out, given.name, answer, prepared, atlas)
    ml = prepared.native.voxel_ml
    row.values = {"brain_ml": float(prepared.inside.sum() * ml)} if brains else {}
    row.values |= answer.scores(prepared.brain)
    row.values |= {
        f"{name.removesuffix('_mask')}_ml": float(marked.sum() * ml)
        for name, marked in native.items()
        if marked.dtype == bool
    }
    derivatives.write_picture(
        out, given.name, picture.draw(prepared.images[:, None], answer, SIDES if brains else "image")
    )


def image_of(model: Exported, given: Given, work: Path, out: Path, row: Row) -> None:
    """The same of a PNG; it needs no imaging step and nothing below `work`."""
    [[path]] = given.images.values()
    image = _pixels(path, model.shape.channels)[None]
    row.warnings += training_images.differences(image, model.document["images"])
    if model.shape.positions > 1:
        row.warnings.append(
            "taken for a volume of one slice, at the lowest position: a picture does not tell"
        )
    region = np.ones((1, *image.shape[2:]), bool) if model.document["region"] is None else (image > 0).any(1)
    answer = maps.ask(model, image, region, np.zeros(1, np.int64))
    derivatives.write_images(out, given.name, answer)
    row.values = answer.scores(region)
    row.values |= {
        f"{name.removesuffix('_mask')}_percent": float(100 * marked.mean())
        for name, marked in derivatives.files(answer).items()
        if marked.dtype == bool
    }
    derivatives.write_picture(out, given.name, picture.draw(image, answer))


def _pixels(path: Path, channels: int) -> NDArray[np.float32]:
    """(C, H, W) in [0, 1] of a grey or coloured PNG; colour that is grey in truth is so for one channel."""
    with Image.open(path, formats=["PNG"]) as picture:
        if picture.mode not in WHITE:
            remedy = "save it as grey or RGB, without transparency or palette"
            raise ValueError(f"expected a PNG of {' or '.join(WHITE)}, found mode {picture.mode}: {remedy}")
        values = np.asarray(picture, np.float32) / np.float32(WHITE[picture.mode])
    image = values.reshape(*values.shape[:2], -1).transpose(2, 0, 1)
    if channels == 1 and len(image) == 3 and (image == image[:1]).all():
        image = image[:1]
    return np.ascontiguousarray(image)
