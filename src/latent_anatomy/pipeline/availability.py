"""Which data sets and weights can be had: asked before anything runs, not learnt hours later."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from latent_anatomy.data.dataset import Dataset, find_in_mirror
from latent_anatomy.data.download import Download
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.pool import Pool
from latent_anatomy.pipeline import weights
from latent_anatomy.pipeline.params import Params, ParamsError

TIMEOUT_S = 5


def missing(names: Iterable[str], raw: Path, mirror: Path | None) -> list[tuple[str, str]]:
    """Those of the data sets `names` that cannot be had: (name, why and how to get it).

    `raw` is the folder of all data sets' raw files. A publisher is asked whether it answers, once, and
    only when a file is neither in `raw` nor in `mirror`.
    """
    reasons = {name: _unavailable(datasets.find(name), raw, mirror) for name in names}
    return [(name, reason) for name, reason in reasons.items() if reason is not None]


def _of_members(pool: Pool, raw: Path, mirror: Path | None) -> str | None:
    reasons = dict(missing(pool.names, raw, mirror))
    return f"{pool.name}: {next(iter(reasons.values()))}" if reasons else None


def reduced(chosen: Params, raw: Path, mirror: Path | None) -> tuple[Params, list[str]]:
    """What of `chosen` can be made with the files that can be had, and a line on each thing that cannot.

    A data set is left out with all that is made of it, a run whose weights cannot be had with those that
    stand on it, and a protocol whose weights cannot. ParamsError when nothing is left.
    """
    untrained = ", ".join(chosen.untrained)
    said = (
        [f"Not trained: {untrained}: no study of the collection {chosen.data!r} takes them"]
        if untrained
        else []
    )
    without = missing([*chosen.collection.datasets, *chosen.collection.pools], raw, mirror)
    said += [f"Not built: {reason}" for _, reason in without]
    try:
        left = chosen.without([name for name, _ in without])
    except ParamsError as error:  # who has nothing wants to know what is missing
        raise ParamsError("\n".join([*said, str(error)])) from error
    lost = {}
    for run, downloads in weights.of_runs(left).items():
        reasons = [_unavailable(each, raw, mirror) for each in downloads]
        if any(reasons):
            lost[run] = next(filter(None, reasons))
    said += [f"Not trained: {run}: {reason}" for run, reason in lost.items()]
    left = left.without_runs(lost) if lost else left
    mute = {}
    for place, downloads in weights.of_protocols(left).items():
        reasons = [_unavailable(each, raw, mirror) for each in downloads]
        if any(reasons):
            mute[place] = next(filter(None, reasons))
    said += [f"Not evaluated by {protocol}: {study}: {reason}" for (study, protocol), reason in mute.items()]
    return left.without_protocols(mute) if mute else left, said


def _unavailable(source: Dataset | Pool | Download, raw: Path, mirror: Path | None) -> str | None:
    if isinstance(source, Pool):
        return _of_members(source, raw, mirror)
    folder = raw / source.name
    return datasets.unavailable(source, folder, mirror) or _unreachable(source, folder, mirror)


def _unreachable(dataset: Dataset | Download, folder: Path, mirror: Path | None) -> str | None:
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
