"""The data sets, found by name. Adding one: a file here, and its entries in the tuple below.

The user's own BIDS folders need no entry: any name that begins with "bids-" is that of one (see `bids`).
"""

from pathlib import Path

from latent_anatomy.datasets import (
    acdc,
    acdc_frames,
    bids,
    ixi,
    lgg_flair,
    medmnist,
    mmwhs,
    mslub,
    phantom_acdc,
    phantom_brain,
    phantom_medmnist,
    phantom_mmwhs,
    single_head,
    sunnybrook,
)
from latent_anatomy.datasets.cohorts import dataset_of
from latent_anatomy.datasets.contract import Dataset, Volumes, find_in_mirror, unregistered

DATASETS: tuple[Dataset | Volumes, ...] = (
    *medmnist.DATASETS,
    *lgg_flair.DATASETS,
    *mslub.DATASETS,
    *ixi.DATASETS,
    *single_head.DATASETS,
    *acdc.DATASETS,
    *acdc_frames.DATASETS,
    *sunnybrook.DATASETS,
    *mmwhs.DATASETS,
    *phantom_medmnist.DATASETS,
    *phantom_brain.DATASETS,
    *phantom_acdc.DATASETS,
    *phantom_mmwhs.DATASETS,
)
NAMES = tuple(dataset.name for dataset in DATASETS)


def known(name: str) -> bool:
    """Whether there is a data set of this name; of a BIDS folder, whether its name is fit for one."""
    return name in NAMES or bids.NAME.fullmatch(name) is not None


def find(name: str) -> Dataset | Volumes:
    """The data set called `name`, or that of the cohort; ValueError with the names if there is none."""
    name = dataset_of(name)
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    if known(name):
        return bids.Bids(name)
    expected = f"one of {', '.join(NAMES)} or bids-<folder>"
    raise ValueError(f"data set: expected {expected}, found {name!r}: check its spelling")


def unavailable(dataset: Dataset | Volumes, raw_dir: Path, mirror: Path | None) -> str | None:
    """Why `dataset` cannot be had and how to get it; None if it is here, mirrored, drawn or has an address.

    Downloads nothing and asks no server: whether an address answers shows when it is fetched.
    """
    if dataset.phantom:
        return None
    if not dataset.files:
        return f"{dataset.name}: its folder is not here: {dataset.how_to_get}"
    for file in dataset.files:
        if (untrusted := unregistered(dataset, file)) is not None:
            return str(untrusted)
        mirrored = None if mirror is None else find_in_mirror(dataset, file, mirror)
        if (raw_dir / file.name).is_file():
            continue
        if mirrored is not None:
            try:
                file.verify(mirrored)
            except ValueError as error:
                return f"{dataset.name}: {error}"
        elif file.url is None:
            return f"{dataset.name}: {file.name} has no public address: {dataset.how_to_get}"
    return None
