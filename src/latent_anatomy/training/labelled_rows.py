"""Which rows of a training split a method with few labels may use, and for what; shared by such methods.

A mask may be paired with its image only where `Data.labelled` allows it (None: everywhere). An image may
always be used without its mask. A mask may always be shown to a critic, without its image.
"""

import math

import torch
from torch import Tensor

from latent_anatomy.data.slices import defect
from latent_anatomy.metrics import dice
from latent_anatomy.training.method import Batch, Data, Shape


def structures(shape: Shape) -> int:
    """How many structures there are to segment; ValueError where the data set has no masks."""
    if not shape.structures:
        raise defect("data set", "masks to learn from", "none", "choose a data set for segmentation")
    return len(shape.structures)


def delineated(data: Data) -> Tensor:
    """Rows (n,) int64 of which all structures are delineated. ValueError where there is none."""
    return _rows(data, None)


def labelled(data: Data) -> Tensor:
    """Rows (n,) int64 whose mask may be paired with the image. ValueError where there is none."""
    return _rows(data, data.labelled)


def _rows(data: Data, allowed: Tensor | None) -> Tensor:
    whose = "of a labelled subject " if allowed is not None else ""
    rows = torch.zeros(0)
    if data.masks is not None:
        whole = dice.delineated(data.masks).all(1)
        rows = (whole if allowed is None else whole & allowed).nonzero()[:, 0]
    if not len(rows):
        raise defect(
            "data",
            f"at least one slice {whose}on which every structure is delineated",
            f"none among {len(data)} slices",
            "label more subjects, or look at the masks",
        )
    return rows


def images(data: Data, at_most: int, seed: int) -> Tensor:
    """All rows (n,) int64 in order; or of each subject ceil(at_most / subjects), where there are more.

    So somewhat more than `at_most` can remain. The draw depends on `seed` and the subjects alone.
    """
    if len(data) <= at_most:
        return torch.arange(len(data), device=data.device)
    rows: dict[str, list[int]] = {}
    for row, subject in enumerate(data.subject):
        rows.setdefault(subject, []).append(row)
    each = math.ceil(at_most / len(rows))
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for of_subject in rows.values():
        order = torch.randperm(len(of_subject), generator=generator)[:each].tolist()
        chosen += [of_subject[place] for place in order]
    return torch.tensor(sorted(chosen), device=data.device)


def at_least_two(batch: Batch) -> Batch:
    """A last batch of one image twice: batch normalisation of a single image has no variance."""
    if len(batch.images) > 1:
        return batch
    masks = None if batch.masks is None else batch.masks.repeat(2, 1, 1, 1)
    return Batch(batch.images.repeat(2, 1, 1, 1), masks=masks)
