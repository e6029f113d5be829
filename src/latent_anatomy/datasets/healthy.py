"""Healthy people of one data set beside the images of another, as one data set."""

from dataclasses import replace

import numpy as np

from latent_anatomy.data.pool import pooled
from latent_anatomy.data.slices import Slices


def beside(name: str, healthy: tuple[str, Slices], others: tuple[str, Slices]) -> Slices:
    """The slices of both, each with the name of where it is from; subjects become <that name>:<subject>.

    The healthy have label 0, no box, and nothing in a mask that only the others have. Columns that only they
    have are left out. ValueError where the others have columns that nobody has said of the healthy, or images
    of another shape or type.
    """
    (own_name, own), (other_name, other) = healthy, others
    count, _, height, width = own.images.shape
    nothing = np.zeros((count, height, width), np.uint8)
    drawn = () if own.masks is None else own.masks.swapaxes(0, 1)
    known = dict(zip(own.mask_names, drawn, strict=True))
    planes = [known.get(mask, nothing) for mask in other.mask_names]
    columns = {
        key: value if key in other.columns() else None
        for key, value in own.columns().items()
        if key not in ("labels", "masks", "boxes")
    }
    like = replace(
        own,
        **columns,
        labels=None if other.labels is None else np.zeros(count, np.int64),
        masks=None if other.masks is None else np.stack(planes, axis=1),
        mask_names=other.mask_names,
        boxes=None if other.boxes is None else np.zeros((0, 6), np.int32),
        box_names=other.box_names,
        task=other.task,
        classes=other.classes,
    )
    return pooled(name, {own_name: like, other_name: other})
