"""How well are structures delineated? (Chartsias et al. 2019, Tables 1 to 3)

Two coefficients, which are not interchangeable:

    slice-dice     as in the paper's code. Of each slice (2 |A and B| + 0.1) / (|A| + |B| + 0.1), mean over a
                   subject's slices of all phases. A structure's prediction is rounded at 0.5; "average" is no
                   mean of structures but of the probabilities as they are, all structures counted together.
                   An empty slice that is left empty counts 1, and its smallest speck next to 0.
    volume-dice    as in the field. Of each volume, every pixel given to its likeliest structure or to the
                   background, mean over a subject's volumes; 1 where a structure is rightly missing.
                   "average" is the mean over structures.

Only what somebody has drawn counts: slices, and planes of slices, that are 255 are left out of both. Every
subject weighs the same, however many slices it has. Metrics, with m of "average" and the mask names:

    segmentation/slice-dice/<m>, segmentation/volume-dice/<m>
    segmentation/volume-dice/<phase>/<m>        of the volumes at ED and at ES
    segmentation/<modality>/slice-dice/<m>, segmentation/<modality>/volume-dice/<m>
                                                where there are several, in lower case

Each is a mean over subjects, beside <m>_sd, their SD (n - 1), where there are two or more.

Arrays: segmentation/subject (P,) text, segmentation/structures (L,) text, and segmentation/slice-dice/<m>,
segmentation/volume-dice/<m> (P,) float64, NaN where nobody has drawn the structure; and of up to 8 slices on
which something is drawn, evenly spaced, figure/segmentation/image (8, C, H, W), and figure/segmentation/truth
and figure/segmentation/prediction (8, L, H, W), 255 inside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latent_anatomy.evaluation.common import BATCH, Settings, pictures, spaced
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.metrics import dice
from latent_anatomy.training.method import Data

NEEDS = (("segment",),)
MASKS = ("*",)
UNPAIRED = {"segmentation/structures": "names"}

SMOOTH = 0.1
PHASES = ("ED", "ES")  # frames between them are another moment in each subject


class Params(Settings):
    """Nothing to choose."""


def possible(splits: dict[str, Data]) -> bool:
    """Needs test images with masks."""
    return splits["test"].masks is not None and bool(splits["test"].mask_names)


@dataclass(frozen=True)
class Counted:
    """Counts (n, L, 3) of n slices on which something is drawn, 0 where a plane is not: see `metrics.dice`.

    soft: of the probabilities; rounded: at 0.5; hard: of the likeliest. drawn (n, L) bool. On the CPU.
    """

    subject: tuple[str, ...]
    phase: tuple[str, ...]
    modality: tuple[str, ...]
    soft: Tensor
    rounded: Tensor
    hard: Tensor
    drawn: Tensor

    def where(self, column: str, value: str) -> "Counted":
        """The slices of one phase or modality."""
        rows = [row for row, entry in enumerate(getattr(self, column)) if entry == value]
        texts = (tuple(text[row] for row in rows) for text in (self.subject, self.phase, self.modality))
        return Counted(*texts, *(each[rows] for each in (self.soft, self.rounded, self.hard, self.drawn)))

    def slice_dice(self) -> Tensor:
        """Of each slice, "average" and the structures: (n, 1 + L), NaN where nothing is drawn."""
        pooled = dice.dice(self.soft.sum(1), SMOOTH)
        each = dice.dice(self.rounded, SMOOTH).masked_fill(~self.drawn, torch.nan)
        return torch.cat([pooled[:, None], each], 1)

    def volume_dice(self) -> tuple[list[str], Tensor]:
        """Subject of each volume, and "average" and the structures of it: (V, 1 + L), NaN as above."""
        volumes, membership = groups(self.subject, self.phase, self.modality)
        totals = self.hard.new_zeros(len(volumes), *self.hard.shape[1:]).index_add(0, membership, self.hard)
        seen = totals.new_zeros(totals.shape[:2]).index_add(0, membership, self.drawn.double()) > 0
        each = dice.dice(totals).masked_fill(~seen, torch.nan)
        return [subject for subject, *_ in volumes], torch.cat([each.nanmean(1, keepdim=True), each], 1)

    def of_subjects(self) -> tuple[list[str], dict[str, Tensor]]:
        """Subjects in the order of their names, and both coefficients of each: name -> (P, 1 + L)."""
        subjects, membership = groups(self.subject)
        owners, volumes = self.volume_dice()
        return [subject for (subject,) in subjects], {
            "slice-dice": means(self.slice_dice(), membership, len(subjects)),
            "volume-dice": means(volumes, groups(owners)[1], len(subjects)),
        }


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above; ValueError for a test split without masks, or other ones than training."""
    method.eval()
    test, structures = splits["test"], splits["train"].mask_names
    if test.mask_names != structures:
        raise ValueError(
            f"split test: expected masks of {', '.join(structures) or 'nothing'}, as in training, found "
            f"{', '.join(test.mask_names) or 'none'}: test where the same structures are drawn"
        )
    names = ("average", *structures)
    counted = count(method, test)
    subjects, tables = counted.of_subjects()
    metrics = {}
    for kind, table in tables.items():
        metrics |= summary(f"segmentation/{kind}", names, table)
    for phase in sorted(set(counted.phase).intersection(PHASES)):
        table = counted.where("phase", phase).of_subjects()[1]["volume-dice"]
        metrics |= summary(f"segmentation/volume-dice/{phase}", names, table)
    modalities = sorted(set(counted.modality))
    for modality in modalities if len(modalities) > 1 else ():
        for kind, table in counted.where("modality", modality).of_subjects()[1].items():
            metrics |= summary(f"segmentation/{modality.lower()}/{kind}", names, table)
    arrays = {"segmentation/subject": np.array(subjects), "segmentation/structures": np.array(structures)}
    for kind, table in tables.items():
        columns = zip(names, table.T.numpy(), strict=True)
        arrays |= {f"segmentation/{kind}/{name}": column.copy() for name, column in columns}
    return Results(metrics, arrays | figures(method, test))


def paired(arrays: Mapping[str, NDArray]) -> dict[str, Paired]:
    """Dice of every subject, by both coefficients; the paper tests them by Student's t."""
    kinds = ("segmentation/slice-dice/", "segmentation/volume-dice/")
    pair = {"subject": "segmentation/subject", "t_test": True}
    return {name: Paired((name,), **pair) for name in arrays if name.startswith(kinds)}


@torch.no_grad()
def count(method: nn.Module, data: Data) -> Counted:
    """Counts of all slices on which somebody has drawn something; ValueError when there are none."""
    rows = delineated(data)
    of_parts = []
    for part in parts(rows, data):
        batch = data.batch(part)
        drawn = dice.delineated(batch.masks)
        truth = batch.masks.masked_fill(~drawn[:, :, None, None], 0)
        soft = method.segment(batch.images).float()
        if not ((soft >= 0) & (soft <= 1)).all():  # NaN fails this too
            raise ValueError(
                "expected probabilities from 0 to 1 from `segment`, found others: look at how training ended"
            )
        planes = (soft, (soft > 0.5).float(), dice.hard(soft))
        counted = (dice.counts(plane, truth) * drawn[:, :, None] for plane in planes)
        of_parts.append((*counted, drawn))
    columns = ([text[row] for row in rows.tolist()] for text in texts(data))
    return Counted(*map(tuple, columns), *(torch.cat(each).cpu() for each in zip(*of_parts, strict=True)))


def delineated(data: Data) -> Tensor:
    """Rows (n,) of the slices on which a structure is drawn; ValueError when there are none."""
    rows = () if data.masks is None else dice.delineated(data.masks).any(1).nonzero()[:, 0]
    if not len(rows):
        raise ValueError(
            "expected slices on which structures are drawn, found none: use data with masks in this split"
        )
    return rows


def parts(rows: Tensor, data: Data) -> tuple[Tensor, ...]:
    """Rows in parts whose images fit into memory, as `common.batches` makes them."""
    height, width = data.stored.shape[-2:]
    return rows.split(max(1, BATCH * 28 * 28 // (height * width)))


def texts(data: Data) -> tuple[tuple[str, ...], ...]:
    """Subject, phase and modality of every slice, "" where the data do not say."""
    return tuple(column or ("",) * len(data) for column in (data.subject, data.phase, data.modality))


def groups(*columns: Sequence[str]) -> tuple[list[tuple[str, ...]], Tensor]:
    """The different rows of text columns (n,), sorted, and which of them each row is: (n,) int64."""
    rows = list(zip(*columns, strict=True))
    names = sorted(set(rows))
    place = {name: index for index, name in enumerate(names)}
    return names, torch.tensor([place[row] for row in rows])


def means(values: Tensor, membership: Tensor, count: int) -> Tensor:
    """Means of the rows of values (n, m) in each of `count` groups: (count, m), by nanmean's rules."""
    zeros = values.new_zeros(count, values.shape[1])
    totals = zeros.index_add(0, membership, values.nan_to_num(nan=0.0))
    return totals / zeros.index_add(0, membership, (~values.isnan()).to(values.dtype))


def summary(prefix: str, names: Sequence[str], table: Tensor) -> dict[str, float]:
    """Mean and SD over subjects (P, m) under "<prefix>/<name>"; nothing of what nobody has drawn."""
    metrics = {}
    for name, column in zip(names, table.T, strict=True):
        known = column[~column.isnan()]
        if len(known):
            metrics[f"{prefix}/{name}"] = float(known.mean())
        if len(known) > 1:
            metrics[f"{prefix}/{name}_sd"] = float(known.std())
    return metrics


@torch.no_grad()
def figures(method: nn.Module, data: Data) -> dict[str, np.ndarray]:
    """The pictures above; the same slices in whatever order the rows are."""
    inside = (data.masks == 1).flatten(1).any(1)
    rows = (inside if inside.any() else dice.delineated(data.masks).any(1)).nonzero()[:, 0].tolist()
    position = range(len(data)) if data.position is None else data.position.tolist()
    keys = list(zip(*texts(data), position, strict=True))
    rows = sorted(rows, key=keys.__getitem__)
    chosen = torch.tensor([rows[index] for index in spaced(len(rows))], device=data.device)
    batch = data.batch(chosen)
    planes = {
        "image": batch.images,
        "truth": (batch.masks == 1).float(),
        "prediction": dice.hard(method.segment(batch.images).float()),
    }
    return {f"figure/segmentation/{name}": pictures(values) for name, values in planes.items()}
