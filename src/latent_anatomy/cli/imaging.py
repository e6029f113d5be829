"""The verbs `latent-anatomy image <step>`: the steps from raw volumes to slices, one subject at a time."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

image = typer.Typer(no_args_is_help=True, help="From raw brain volumes to slices in atlas space.")

Params = Annotated[Path, typer.Option(help="Resolved job, from .params/.", exists=True, dir_okay=False)]
Raw = Annotated[Path, typer.Option(help="Folder of the publisher's files.", exists=True)]
Interim = Annotated[Path, typer.Option(help="Folder of the subjects' folders.")]


STEPS = {
    "bias": "Correct the bias field of every image (N4).",
    "coregister": "Register the other images to the one that is sliced.",
    "register": "Register to the atlas; bring images and masks there.",
    "strip": "Find the brain.",
    "normalise": "Denoise, strip and scale to [0, 1].",
}


def _command_of(step: str) -> None:
    @image.command(step, help=STEPS[step])
    def run_step(dataset: str, subject: str, params: Params, raw: Raw, interim: Interim) -> None:
        from latent_anatomy.datasets import registry as datasets
        from latent_anatomy.jobs.imaging.step import Place
        from latent_anatomy.pipeline.volume_files import NUMBERS, PASSPORT, PICTURE, files_of, subject_of
        from latent_anatomy.provenance.lock import alone

        source = datasets.volumes(dataset)
        place = Place(source, subject_of(source, subject), raw, interim)
        folder = place.step(step)
        with alone(
            folder / PASSPORT, *(folder / name for name in [*files_of(source, step), PICTURE, NUMBERS])
        ):
            import_module(f"latent_anatomy.jobs.imaging.{step}").run(params, place)


for each in STEPS:
    _command_of(each)


@image.command()
def gate(
    params: Params,
    interim: Interim,
    subject: Annotated[list[str], typer.Option(help="Once for each.")],
    step: Annotated[list[str], typer.Option(help="A step with numbers, once for each.")],
    out: Annotated[Path, typer.Option(help="Table of subjects to write, CSV.")],
    passport: Annotated[Path, typer.Option(help="Its passport to write, JSON.")],
) -> None:
    """Judge all subjects of a data set by the numbers of their steps."""
    from latent_anatomy.jobs.imaging.gate import run

    run(params, interim, subject, step, out, passport)


@image.command()
def slab(
    dataset: str,
    params: Params,
    qc: Annotated[Path, typer.Option(help="Table of the gate.", exists=True, dir_okay=False)],
    interim: Interim,
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
) -> None:
    """Cut slices, in the one HDF5 schema, of the subjects that passed."""
    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.jobs.imaging.slab import run

    run(datasets.volumes(dataset), params, qc, interim, out)
