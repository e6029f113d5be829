"""The data sets, found by name. Adding one: a file here, and its entries in the tuple below."""

from pathlib import Path

from latent_anatomy.datasets import lgg_flair, medmnist, phantom_medmnist
from latent_anatomy.datasets.contract import Dataset, find_in_mirror

DATASETS: tuple[Dataset, ...] = (
    *medmnist.DATASETS,
    *lgg_flair.DATASETS,
    *phantom_medmnist.DATASETS,
)
NAMES = tuple(dataset.name for dataset in DATASETS)


def find(name: str) -> Dataset:
    """The data set called `name`; ValueError with the known names if there is none."""
    for dataset in DATASETS:
        if dataset.name == name:
            return dataset
    raise ValueError(f"data set: expected one of {', '.join(NAMES)}, found {name!r}: check its spelling")


def unavailable(dataset: Dataset, raw_dir: Path, mirror: Path | None) -> str | None:
    """Why `dataset` cannot be had and how to get it; None if it is here, mirrored, drawn or has an address.

    Downloads nothing and asks no server: whether an address answers shows when it is fetched.
    """
    if dataset.phantom:
        return None
    for file in dataset.files:
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
