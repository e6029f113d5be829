"""`phantom-kernels`: patches of drawn lungs, each reconstructed twice from the same projections.

A slice of drawn lung tissue (`lungs`) is projected (Radon transform), gets Poisson noise of a full or a low
dose, and is reconstructed by filtered back-projection with a soft or a sharp filter. Everybody has two of the
four settings, all twos in turn: the same patch in both is an exact pair, and its setting is the `modality`.
Two filters of one dose share the noise too, as a scan that is reconstructed twice does. Four settings are so
few that each has 24 training people, more than a narrow auto-encoder has pooled features: harmonisers, which
learn each setting's moments, have what they need.

labels      the tissue that most of the patch is of, `lungs.TISSUES`
time, event survival in days: exponential, log hazard = HAZARD . (shares of tissues) + AGE (age - 65) / 10
covariates  age in years

They show no patient: what holds here need not hold of a scanner.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.dataset import Dataset, Phantom, RawFile
from latent_anatomy.data.outline import of_three_splits
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets.phantoms import lungs
from latent_anatomy.provenance.files import atomic_write
from latent_anatomy.provenance.unpacking import read_npz

FILTERS = ("hann", "ramp")  # soft, sharp
DOSES = {"full": 1e5, "low": 1e4}  # photons of each ray without an object
SETTINGS = tuple(f"CT {name} {dose}-dose" for name in FILTERS for dose in DOSES)
ANGLES = 60
PIXEL_MM, WATER = 1.5, 0.02  # attenuation of water per mm
WINDOW = (-1024.0, 400.0)  # HU that become 0 and 255
PATCH = 28
PEOPLE = {"train": 48, "val": 6, "test": 18}
HAZARD = np.array([0.0, 1.0, 2.0, 4.0, 1.0])
AGE, SURVIVAL, FOLLOW_UP = 0.3, 2200.0, (300.0, 2400.0)  # median of somebody healthy; censored between, days


def projected(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Line integrals of the attenuation of a slice (N, N) in HU: (N, ANGLES)."""
    from skimage.transform import radon

    return radon(WATER * PIXEL_MM * (1 + image / 1000), theta=_angles(), circle=True)


def noisy(integrals: NDArray[np.float64], photons: float, random: lungs.Random) -> NDArray[np.float64]:
    """What a detector makes of them with so many photons of each ray."""
    counts = random.poisson(photons * np.exp(-integrals))
    return -np.log(np.maximum(counts, 1) / photons)


def reconstructed(integrals: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """A slice (N, N) in HU, by filtered back-projection with a filter of FILTERS."""
    from skimage.transform import iradon

    image = iradon(integrals, theta=_angles(), filter_name=name, circle=True)
    return 1000 * (image / (WATER * PIXEL_MM) - 1)


def corners() -> list[tuple[int, int]]:
    """Upper left corners of the patches that lie wholly in the lung."""
    middle, reach = (lungs.SIZE - 1) / 2, lungs.RADIUS - 9
    places = range(0, lungs.SIZE - PATCH + 1, PATCH)
    far = [(max(abs(y - middle), abs(y + PATCH - 1 - middle)), y) for y in places]
    return [(y, x) for down, y in far for across, x in far if np.hypot(down, across) < reach]


def person(seed: list[int], chosen: tuple[int, int]) -> dict[str, NDArray]:
    """Patches (2 P, 28, 28) uint8 of somebody in the two `chosen` settings, tissue and setting of each, and
    days, event and age.
    """
    random = np.random.default_rng(seed)
    tissue = lungs.regions(random, lungs.shares(random))
    integrals = projected(lungs.draw(random, tissue))
    dosed = [noisy(integrals, photons, random) for photons in DOSES.values()]
    images = []
    for setting in chosen:
        image = reconstructed(dosed[setting % len(DOSES)], FILTERS[setting // len(DOSES)])
        images.append((image - WINDOW[0]) / (WINDOW[1] - WINDOW[0]))
    patches = [image[y : y + PATCH, x : x + PATCH] for y, x in corners() for image in images]
    parts = [tissue[y : y + PATCH, x : x + PATCH] for y, x in corners()]
    most = [np.bincount(part.ravel(), minlength=5).argmax() for part in parts]
    age = random.uniform(50, 80)
    risk = HAZARD @ np.bincount(np.concatenate(parts).ravel(), minlength=5) / (len(parts) * PATCH**2)
    days = random.exponential(SURVIVAL / np.log(2) / np.exp(risk + AGE * (age - 65) / 10))
    last = random.uniform(*FOLLOW_UP)
    return {
        "images": np.round(255 * np.clip(patches, 0, 1)).astype(np.uint8),
        "tissue": np.repeat(most, 2).astype(np.int64),
        "setting": np.tile(chosen, len(parts)).astype(np.int64),
        "time": np.full(2 * len(parts), max(1.0, np.round(min(days, last))), np.float32),
        "event": np.full(2 * len(parts), days <= last, np.uint8),
        "age": np.full(2 * len(parts), np.round(age), np.float32),
    }


@dataclass(frozen=True)
class Kernels(Phantom, Dataset):
    """The data set `phantom-kernels`."""

    name: str = "phantom-kernels"
    people: tuple[int, ...] = tuple(PEOPLE.values())
    seed: int = 0
    note = "drawn lung tissue, projected and reconstructed by this project"
    task = "multi-class"
    has = of_three_splits()
    classes = len(lungs.TISSUES)
    files = (RawFile("kernels.npz"),)

    def generate(self, raw_dir: Path) -> None:
        """Write the one file atomically; equal fields give equal bytes."""
        twos = list(combinations(range(len(SETTINGS)), 2))
        everybody = [person([self.seed, index], twos[index % len(twos)]) for index in range(sum(self.people))]
        arrays = {key: np.concatenate([each[key] for each in everybody]) for key in everybody[0]}
        with atomic_write(raw_dir / self.files[0].name) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)

    def to_slices(self, raw_dir: Path) -> Slices:
        self.files[0].verify(raw_dir / self.files[0].name)
        raw = read_npz(raw_dir / self.files[0].name)
        count, each = len(raw["images"]), 2 * len(corners())
        names = np.array([f"person-{index:03d}" for index in range(sum(self.people))])
        split = np.repeat(list(PEOPLE), self.people)
        return Slices(
            images=raw["images"][:, None],
            labels=raw["tissue"],
            pair=np.arange(count).reshape(-1, 2)[:, ::-1].ravel().astype(np.int64),
            subject=np.repeat(names, each),
            slice=np.tile(np.arange(each // 2, dtype=np.int32).repeat(2), sum(self.people)),
            split=np.repeat(split, each),
            modality=np.array(SETTINGS)[raw["setting"]],
            time=raw["time"],
            event=raw["event"],
            covariates=raw["age"][:, None],
            covariate_names=("age",),
            dataset=self.name,
            task=self.task,
            classes=self.classes,
        )


def _angles() -> NDArray[np.float64]:
    return np.linspace(0, 180, ANGLES, endpoint=False)


DATASETS = (Kernels(),)
