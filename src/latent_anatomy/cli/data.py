"""The verbs that bring raw files and make slices of them."""

from pathlib import Path
from typing import Annotated

import typer

Params = Annotated[Path, typer.Option(help="Resolved job, from .params/.", exists=True, dir_okay=False)]


def fetch(
    name: Annotated[str, typer.Argument(help="A data set or, with --params, weights.")],
    out: Annotated[Path, typer.Option(help="Folder for the publisher's files.")],
    params: Annotated[
        Path | None, typer.Option(help="Resolved job of weights, from .params/.", exists=True, dir_okay=False)
    ] = None,
    file: Annotated[list[str] | None, typer.Option(help="One of its files, once for each; else all.")] = None,
) -> None:
    """Get a data set's files, or weights: from the folder in LATENT_ANATOMY_MIRROR or their publisher."""
    from latent_anatomy.data.dataset import mirror_folder
    from latent_anatomy.data.download import Download
    from latent_anatomy.data.fetch import fetch as fetch_files
    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.jobs.job import read_job

    source = datasets.find(name) if params is None else Download.of_job(read_job(params, "raw"))
    fetch_files(source, out, mirror_folder(), names=file or ())


def phantom(dataset: str, out: Annotated[Path, typer.Option(help="Folder for the files.")]) -> None:
    """Make a phantom data set, in the layout of the data set that it stands for."""
    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.provenance.lock import alone

    source = datasets.find(dataset)
    if not source.phantom:
        raise ValueError(f"{dataset}: expected a phantom, found real data: run `fetch {dataset}`")
    with alone(out):
        source.generate(out)


def slice_(
    dataset: str,
    raw: Annotated[Path, typer.Option(help="Folder of the publisher's files.", exists=True)],
    params: Params,
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
) -> None:
    """Turn a data set's files into the one HDF5 schema."""
    from latent_anatomy.jobs.slice import run

    run(dataset, raw, params, out)


def pool(
    slices: Annotated[list[Path], typer.Argument(help="Slices of each member, HDF5.", exists=True)],
    params: Params,
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
) -> None:
    """Take the slices of several data sets together as those of one."""
    from latent_anatomy.jobs.pool import run

    run(params, slices, out)
