"""fastMRI with its boxes, trained on healthy people of IXI as well: the mixture of RA, in part.

RA (Bercea et al.) trains on 711 images: 130 of fastMRI and one of each of 581 people of IXI, registered, at
1 mm. Here the second part is the training people of `ixi-hh-slices`, of one of IXI's three hospitals: of each
the slice SLICE of eight, at the height of the lateral ventricles, at 2 mm, not registered, divided by its
98th percentile as fastMRI's are. Who validates and who is tested is as in `fastmri`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets import squares
from latent_anatomy.datasets.fastmri import FastMri
from latent_anatomy.datasets.healthy import beside
from latent_anatomy.datasets.ixi import SLICES as IXI
from latent_anatomy.datasets.ixi import IxiSlices

HEALTHY = IxiSlices()
OF_MIRROR = replace(IXI, name=f"ixi/{IXI.name}")
SLICE = 4  # of the eight of each person, from 0


@dataclass(frozen=True)
class FastMriIxi(FastMri):
    """The data set `fastmri-ixi`: the files of `fastmri`, and the slices of IXI."""

    name = "fastmri-ixi"
    note = (
        "as fastmri, trained on people of one hospital of IXI as well, at 2 mm and not registered, where the "
        "paper has those of three"
    )
    ixi: RawFile = OF_MIRROR

    @property
    def how_to_get(self) -> str:
        return f"{super().how_to_get}; and the folder ixi"

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        own = self.supplied_files()
        return (*own, self.ixi) if own else ()

    def to_slices(self, raw_dir: Path) -> Slices:
        """As `FastMri`, with more to train on; subjects are fastmri:<file> and ixi-hh-slices:<person>."""
        people = replace(HEALTHY, file=self.ixi).to_slices(raw_dir).select("train")
        rows = np.arange(SLICE, len(people), len(people) // len(set(people.subject)))
        columns = {key: values[rows] for key, values in people.columns().items()}
        named = zip(columns["images"][:, 0], columns["subject"], strict=True)
        scaled = [squares.resized(squares.bright(image, name), self.size) for image, name in named]
        columns["images"] = np.stack(scaled)[:, None]
        others = super().to_slices(raw_dir)
        return beside(self.name, (HEALTHY.name, replace(people, **columns)), (self.family, others))


DATASETS = (FastMriIxi(),)
