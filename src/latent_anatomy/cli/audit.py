"""The verb `latent-anatomy audit`; docs/audit.md."""

import sys
from pathlib import Path
from typing import Annotated

import typer

CLEAR = "\r\033[K"  # to the beginning of a terminal's line, which is then empty


def audit(
    words: Annotated[
        list[str] | None, typer.Argument(help="What the rows have as table, data set, method or metric.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit code 3 also for what is not here.")] = False,
    recompute: Annotated[
        bool, typer.Option(help="Make slices, results, tests and reports again, and compare.")
    ] = False,
    retrain: Annotated[
        str | None, typer.Option(metavar="RUN", help="Train this run of params.yaml again, and compare.")
    ] = None,
    json: Annotated[bool, typer.Option(help="All that was found, as JSON.")] = False,
) -> None:
    """Prove the numbers of the ledgers, from the report to the raw files: all, or those that WORDS choose.

    Exit code 1 when something here contradicts a number, 3 when something here is not proven, else 0.
    """
    from latent_anatomy.audit import prove, show

    audited = prove.audit(Path(), words or (), recompute, retrain, progress)
    if sys.stderr.isatty():
        print(CLEAR, end="", file=sys.stderr)
    print(show.json(audited) if json else show.text(audited, bool(words)), end="" if json else "\n")
    if code := audited.exit_code(strict):
        raise typer.Exit(code)


def progress(what: str) -> None:
    """Say on stderr what is looked at: in one line of a terminal; elsewhere what takes long, line by line."""
    if sys.stderr.isatty():
        print(f"{CLEAR}{what}", end="", file=sys.stderr, flush=True)
    elif what.startswith(("recompute ", "retrain ")):
        print(what, file=sys.stderr, flush=True)
