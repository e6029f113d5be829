"""Sets of MedMNIST of which each image has a twin: `<name>-pairs`, the same anatomy as if acquired otherwise.

What differs within a pair is technical by construction, and nothing else: the classes are biology of which a
method is told nothing. The twin's setting is one of `SETTINGS`, all equally often and drawn without regard to
the class, by a fixed seed; the image as it is has the setting "as it is". A setting is the `modality`, such
as "breast ultrasound, sharp". Images, classes and splits are those of the set itself (see `medmnist`).

soft     a Gaussian kernel of BLUR pixels
sharp    unsharp masking with the same kernel: x + SHARPEN (x - blurred x)
bright   the power GAMMA of [0, 1]
noisy    normal noise of standard deviation NOISE, independent in each pixel and channel

They are simulated, and stand for no scanner.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.dataset import Dataset, RawFile
from latent_anatomy.data.outline import Outline
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets import medmnist

BLUR, SHARPEN, GAMMA, NOISE = 0.8, 1.5, 0.6, 0.05
AS_IT_IS = "as it is"
SEED = 1333
Image = NDArray[np.float64]
Random = np.random.Generator


def _blurred(image: Image) -> Image:
    from scipy import ndimage

    return ndimage.gaussian_filter(image, (0, BLUR, BLUR), mode="nearest")


SETTINGS: dict[str, Callable[[Image, Random], Image]] = {
    "soft": lambda image, random: _blurred(image),
    "sharp": lambda image, random: image + SHARPEN * (image - _blurred(image)),
    "bright": lambda image, random: image**GAMMA,
    "noisy": lambda image, random: image + NOISE * random.standard_normal(image.shape),
}


def with_twins(slices: Slices, name: str) -> Slices:
    """The slices, (N, C, H, W) uint8, each before its twin: 2 N rows of the data set `name`."""
    count, kinds = len(slices), list(SETTINGS)
    setting = np.random.default_rng(SEED).permutation(np.arange(count) % len(kinds))
    twins = [
        SETTINGS[kinds[kind]](image / 255, np.random.default_rng([SEED, row]))
        for row, (image, kind) in enumerate(zip(slices.images, setting, strict=True))
    ]
    made = np.round(255 * np.clip(twins, 0, 1)).astype(np.uint8)
    settings = [each for kind in setting for each in (AS_IT_IS, kinds[kind])]
    twice = {column: values.repeat(2, axis=0) for column, values in slices.columns().items()}
    twice["images"] = np.stack([slices.images, made], axis=1).reshape(-1, *made.shape[1:])
    twice["modality"] = np.char.add(np.char.add(twice["modality"], ", "), settings)
    twice["pair"] = np.arange(2 * count).reshape(-1, 2)[:, ::-1].ravel().astype(np.int64)
    return replace(slices, **twice, dataset=name)


class OfTwins(Dataset):
    """What is said of the set with twins of `base`."""

    base: Dataset

    @property
    def has(self) -> Outline:
        return self.base.has

    @property
    def name(self) -> str:
        return f"{self.base.name}-pairs"

    @property
    def channels(self) -> int:
        return self.base.channels

    @property
    def classes(self) -> int:
        return self.base.classes

    @property
    def task(self) -> str:
        return self.base.task

    @property
    def files(self) -> tuple[RawFile, ...]:
        return self.base.files

    def to_slices(self, raw_dir: Path) -> Slices:
        return with_twins(self.base.to_slices(raw_dir), self.name)


@dataclass(frozen=True)
class Pairs(OfTwins):
    """Of a set of MedMNIST."""

    base: medmnist.MedMnist
    family = medmnist.OfMedMnist.family

    @property
    def note(self) -> str:
        own = "each image beside a twin whose kernel, brightness or noise this project changed"
        return "; ".join(filter(None, [own, self.base.note]))

    @property
    def licence(self) -> str:
        return self.base.licence

    @property
    def how_to_get(self) -> str:
        return self.base.how_to_get


DATASETS = tuple(map(Pairs, medmnist.DATASETS))
