"""The verbs `export` and `predict`: from a trained model to maps in a patient's own space."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[str, typer.Argument(help="<study>/<dataset>/<run>/<replicate>, as below models/.")],
    out: Annotated[Path, typer.Option(help="File to write, safetensors.")],
) -> None:
    """Put a trained run into one file: weights, settings, thresholds, licence; docs/predict.md."""
    from latent_anatomy.prediction.export import run as write

    write(run, out)


def predict(
    model: Annotated[Path, typer.Argument(help="An exported file, or the folder of a run in models/.")],
    images: Annotated[Path, typer.Argument(help="BIDS folder, NIfTI, folder of DICOM series or of PNGs.")],
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")] = "auto",
) -> None:
    """Find anomalies in images of your own, in their own space; exit code 1 if somebody's failed."""
    from latent_anatomy.prediction.predict import run

    if run(model, images, out, device):
        raise typer.Exit(1)
