"""The verbs that look and change nothing: what there is, and what a folder of one's own would give."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Kind = StrEnum("Kind", ["datasets", "runs", "studies", "collections", "protocols"])


def version(asked: bool) -> None:
    """Print the version of this package, and end."""
    from latent_anatomy import __version__

    if asked:
        print(f"latent-anatomy {__version__}")
        raise typer.Exit


def list_(what: Annotated[Kind, typer.Argument(help="Of what.")]) -> None:
    """List what params.yaml and this package have, one line each."""
    from latent_anatomy.pipeline import listing, params

    print(listing.aligned(listing.KINDS[what](params.load(Path("params.yaml")))))


def check(folder: Annotated[Path, typer.Argument(help="A BIDS folder.")]) -> None:
    """Say what of a BIDS folder would be taken, as what, and what not and why; docs/hospital.md.

    Exit code 1 where nothing can be taken.
    """
    from latent_anatomy.datasets.bids_check import check
    from latent_anatomy.pipeline.listing import aligned

    found = check(folder)
    if found.taken:
        kinds = [*found.taken[0].images, "lesion"]
        files = [[{**who.images, **who.masks}.get(kind, "-") for kind in kinds] for who in found.taken]
        rows = [(who.name, who.split, *own) for who, own in zip(found.taken, files, strict=True)]
        print(f"Taken: {len(rows)} subjects")
        print(aligned([("subject", "split", *kinds), *rows]))
    for title, lines in (
        ("Refused", [f"{who}: {why}" if who else why for who, why in found.refused]),
        ("Not taken", [f"{name}: {why}" for name, why in found.left]),
        ("Note", found.notes),
    ):
        for line in lines:
            print(f"{title}: {line}")
    if not found.taken:
        print("Nothing can be taken.")
        raise typer.Exit(1)
