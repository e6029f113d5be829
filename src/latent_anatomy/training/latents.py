"""What rotations and harmonisers of a latent space share: settings, pairs, and latents that vary.

The technical factor of a slice, its setting, is its `modality` where a split has several (reconstruction
kernels, simulated scanners), else its `site` (hospitals). A pair is two rows with the same anatomy in two
settings.
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from latent_anatomy.data.slices import defect
from latent_anatomy.training.method import Data, FittedParams, Shape

AT_ONCE = 512  # images
CONSTANT = 1e-6  # of the largest standard deviation: what varies less is a feature that is dead
BIOLOGICAL = ("biological", "anatomy")  # names of embeddings that are meant to be free of the setting


Named = Literal["", "modality", "site"]


class LatentParams(FittedParams):
    """Parameters of whatever stands on an encoder."""

    embedding: str = Field("", description="Which of the encoder's; empty: the biological, or the only one.")


class Pairs(NamedTuple):
    """rows (P, 2) int64, the first of the setting whose name comes first; settings (P, 2), of `names`."""

    rows: Tensor
    settings: Tensor
    names: tuple[str, ...]


def factor(data: Data, name: Named = "") -> tuple[str, ...]:
    """The setting of each row, by the column `name`, else as above; ValueError where all have the same."""
    columns = (name,) if name else ("modality", "site")
    for names in (getattr(data, column) for column in columns):
        if len(set(names)) > 1:
            return names
    found = " and ".join(sorted({each for column in columns for each in getattr(data, column)})) or "none"
    raise defect(
        "settings", f"two or more, as {' or '.join(columns)}", found, "choose data of several scanners"
    )


def indices(names: tuple[str, ...], known: tuple[str, ...], device: torch.device) -> Tensor:
    """Where each of `names` (N,) is among `known`: (N,) int64; ValueError for one that is not."""
    if unknown := sorted(set(names) - set(known)):
        raise defect(
            f"setting {unknown[0]}", f"one of {', '.join(known)}", "one without training data", "train on it"
        )
    place = {name: index for index, name in enumerate(known)}
    return torch.tensor([place[name] for name in names], device=device)


def pairs(data: Data) -> Pairs:
    """Every pair once; ValueError where there is none, or one of two rows of the same setting."""
    setting = factor(data)
    names = tuple(sorted(set(setting)))
    number = indices(setting, names, data.device)
    if data.pair is None or not (data.pair >= 0).any():
        raise defect("pairs", "rows with a partner in another setting", "none", "choose data with pairs")
    first = torch.nonzero(data.pair >= 0)[:, 0]
    rows = torch.stack([first, data.pair[first]], dim=1)
    rows = torch.where((number[rows[:, 0]] > number[rows[:, 1]])[:, None], rows.flip(1), rows)
    rows = rows.unique(dim=0)  # a partner's partner is the row itself, or the next of a circle
    found = number[rows]
    if (found[:, 0] == found[:, 1]).any():
        row = int(rows[found[:, 0] == found[:, 1]][0, 0])
        raise defect(f"pair of row {row}", "two settings", f"{setting[row]} twice", "pair across settings")
    return Pairs(rows, found, names)


def anatomies(data: Data) -> Tensor:
    """Rows (n,) int64 that show each anatomy once: of a pair the first."""
    rows = torch.arange(len(data), device=data.device)
    return rows if data.pair is None else rows[(data.pair < 0) | (rows < data.pair)]


def chosen(embeddings: dict[str, Tensor], name: str = "") -> Tensor:
    """The embedding `name` (N, d), else the biological one, else the only one; ValueError for a choice."""
    wanted = [name] if name else [each for each in BIOLOGICAL if each in embeddings]
    if not wanted and len(embeddings) == 1:
        wanted = list(embeddings)
    if not wanted or wanted[0] not in embeddings:
        expected = f"an embedding {name!r}" if name else f"one of {', '.join(BIOLOGICAL)}, or a single one"
        raise defect("encoder", expected, ", ".join(embeddings), "set embedding")
    return embeddings[wanted[0]].flatten(1)


def encoded(on: nn.Module, images: Tensor, name: str) -> Tensor:
    """The embedding `name` of images (N, C, H, W) by an encoder, as `chosen`: (N, d) float64."""
    with torch.no_grad():
        return torch.cat([chosen(on.encode(part), name) for part in images.split(AT_ONCE)]).double()


def width_of(on: nn.Module, shape: Shape, name: str) -> int:
    """How many features that embedding has."""
    return encoded(on, torch.zeros(1, shape.channels, shape.height, shape.width), name).shape[1]


class Standard(nn.Module):
    """Latents with mean 0 and standard deviation 1 (n - 1) in training; features that are dead become 0."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(width, dtype=torch.float64))

    def fit(self, features: Tensor) -> Tensor:
        """By features (N, d), which it gives back standardised; ValueError unless two of them vary."""
        if len(features) < 2 or not torch.isfinite(features).all():
            raise defect("latents", "two finite rows or more", "others", "check the encoder's training")
        scale = features.std(0)
        varies = scale > CONSTANT * scale.max().clamp(min=1e-12)
        if int(varies.sum()) < 2:
            raise defect("latents", "two features that vary", int(varies.sum()), "train the encoder longer")
        self.mean.copy_(features.mean(0))
        self.weight.copy_(torch.where(varies, 1 / scale, 0.0))
        return self(features)

    @property
    def columns(self) -> Tensor:
        """Those that vary, (k,) int64."""
        return torch.nonzero(self.weight)[:, 0]

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, d) -> (N, d) float64."""
        return (features - self.mean) * self.weight
