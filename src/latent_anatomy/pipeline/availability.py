"""Which data sets can be had: asked before anything runs, so that nobody learns it hours later."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from latent_anatomy.data.dataset import Dataset, find_in_mirror
from latent_anatomy.datasets import registry as datasets

TIMEOUT_S = 5


def missing(names: Iterable[str], raw: Path, mirror: Path | None) -> list[tuple[str, str]]:
    """Those of the data sets `names` that cannot be had: (name, why and how to get it).

    `raw` is the folder of all data sets' raw files. A publisher is asked whether it answers, once, and
    only when a file is neither in `raw` nor in `mirror`.
    """
    found = []
    for dataset in map(datasets.find, names):
        folder = raw / dataset.name
        reason = datasets.unavailable(dataset, folder, mirror) or _unreachable(dataset, folder, mirror)
        if reason is not None:
            found.append((dataset.name, reason))
    return found


def _unreachable(dataset: Dataset, folder: Path, mirror: Path | None) -> str | None:
    if dataset.phantom:
        return None
    for file in dataset.files:
        mirrored = mirror is not None and find_in_mirror(dataset, file, mirror) is not None
        if not mirrored and not (folder / file.name).is_file():
            address = urlsplit(file.url)
            error = _error(f"{address.scheme}://{address.netloc}/")
            if error is not None:
                return f"{dataset.name}: {address.netloc} does not answer ({error}): {dataset.how_to_get}"
    return None


@cache
def _error(address: str) -> str | None:
    """The kind of error on the way to a server; None if it answers, whatever it answers."""
    import requests  # here, because most runs have nothing to ask

    try:
        requests.head(address, timeout=TIMEOUT_S).close()
    except requests.RequestException as error:
        return type(error).__name__
    return None
