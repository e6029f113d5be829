"""The data sets, found by name: those that the files of this folder, and of its phantoms, list as `DATASETS`.

The user's own BIDS folders need no entry: any name that begins with "bids-" is that of one (see `bids`).
Neither do pools of several data sets, which are named by their members (see `pool`).
"""

import pkgutil
from importlib import import_module
from pathlib import Path

from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.data.dataset import Dataset, Volumes, find_in_mirror, unregistered
from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import bids
from latent_anatomy.datasets.pool import Pool

PACKAGES = ("latent_anatomy.datasets", "latent_anatomy.datasets.phantoms")


def _listed() -> tuple[Dataset | Volumes, ...]:
    """What all files list, in the order of their names, phantoms last."""
    listed: list[Dataset | Volumes] = []
    for package in PACKAGES:
        folder = Path(__file__).parent.joinpath(*package.split(".")[2:])
        names = sorted(each.name for each in pkgutil.iter_modules([str(folder)]) if each.name != "registry")
        modules = [import_module(f"{package}.{name}") for name in names]
        listed += [dataset for module in modules for dataset in getattr(module, "DATASETS", ())]
    return tuple(listed)


DATASETS = _listed()
NAMES = tuple(dataset.name for dataset in DATASETS)


def known(name: str) -> bool:
    """Whether there is a data set of this name, or each member of a pool; BIDS folders are known by name."""
    return all(each in NAMES or bids.NAME.fullmatch(each) for each in name.split(SEPARATOR))


def of_volumes(dataset: object) -> bool:
    """Whether a data set is one of volumes; its files are not asked."""
    return not isinstance(dataset, Pool) and not hasattr(type(dataset), "to_slices")


def volumes(name: str) -> Volumes:
    """The data set of volumes called `name`; ValueError as in `find`, and for one of images."""
    if not of_volumes(found := find(name)):
        known = [each.name for each in DATASETS if of_volumes(each)]
        raise ValueError(
            f"{name}: expected a data set of volumes ({', '.join(known)} or bids-<folder>), "
            "found one of images, which has no steps of imaging: run `slice`"
        )
    return found


def find(name: str) -> Dataset | Volumes:
    """The data set called `name`, or that of the cohort; ValueError with the names if there is none."""
    name = dataset_of(name)
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    if SEPARATOR in name and known(name):
        return Pool(tuple(map(find, name.split(SEPARATOR))))
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
        if (raw_dir / file.name).is_file():
            continue
        try:
            mirrored = None if mirror is None else find_in_mirror(dataset, file, mirror)
            if mirrored is not None:
                file.verify(mirrored)
        except ValueError as error:
            return f"{dataset.name}: {error}"
        if mirrored is not None:
            continue
        if file.url is None:
            return f"{dataset.name}: {file.name} has no public address: {dataset.how_to_get}"
    return None
