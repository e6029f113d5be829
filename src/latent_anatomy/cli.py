"""The command line: one verb for each kind of job. Rules call these verbs and nothing else.

Heavy libraries are imported inside the verbs, so that each starts with what it needs.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
bench = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")
app.add_typer(bench, name="bench")

EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)

Params = Annotated[Path, typer.Option(help="Resolved job, from .params/.", exists=True, dir_okay=False)]
Slices = Annotated[Path, typer.Option(help="Slices, HDF5.", exists=True, dir_okay=False)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")]


@app.command()
def fetch(dataset: str, out: Annotated[Path, typer.Option(help="Folder for the publisher's files.")]) -> None:
    """Get a data set's files, from the mirror folder in LATENT_ANATOMY_MIRROR or from its publisher."""
    from latent_anatomy import datasets
    from latent_anatomy.datasets.fetch import fetch as fetch_files
    from latent_anatomy.datasets.fetch import mirror_folder

    fetch_files(datasets.find(dataset), out, mirror_folder())


@app.command()
def phantom(dataset: str, out: Annotated[Path, typer.Option(help="Folder for the files.")]) -> None:
    """Make a phantom data set, in the layout of the data set that it stands for."""
    from latent_anatomy import datasets

    datasets.find(dataset).generate(out)


@app.command("slice")
def slice_(
    dataset: str,
    raw: Annotated[Path, typer.Option(help="Folder of the publisher's files.", exists=True)],
    params: Params,
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
) -> None:
    """Turn a data set's files into the one HDF5 schema."""
    from latent_anatomy.jobs.slice import run

    run(dataset, raw, params, out)


@app.command()
def train(
    params: Params,
    slices: Slices,
    model: Annotated[Path, typer.Option(help="Checkpoint to write, safetensors.")],
    history: Annotated[Path, typer.Option(help="Table of losses to write, CSV.")],
    scratch: Annotated[Path, typer.Option(help="Where a killed run goes on from.")] = Path(".scratch"),
    device: Device = "auto",
) -> None:
    """Train a method."""
    from latent_anatomy.jobs.train import run

    run(params, slices, model, history, scratch, device)


@app.command()
def evaluate(
    params: Params,
    slices: Slices,
    model: Annotated[Path, typer.Option(help="Checkpoint.", exists=True, dir_okay=False)],
    metrics: Annotated[Path, typer.Option(help="Metrics to write, JSON.")],
    arrays: Annotated[Path, typer.Option(help="Values per image to write, npz.")],
    passport: Annotated[Path, typer.Option(help="Passport of both to write, JSON.")],
    device: Device = "auto",
) -> None:
    """Evaluate a trained method with every protocol that it has the capabilities for."""
    from latent_anatomy.jobs.evaluate import run

    run(params, slices, model, metrics, arrays, passport, device)


@app.command("paired-tests")
def paired_tests(
    params: Params,
    results: Annotated[Path, typer.Option(help="Folder of the data set's results.", exists=True)],
    metrics: Annotated[Path, typer.Option(help="Paired tests to write, JSON.")],
    passport: Annotated[Path, typer.Option(help="Their passport to write, JSON.")],
) -> None:
    """Test the differences between the runs of a study on one data set, image by image."""
    from latent_anatomy.jobs.paired_tests import run

    run(params, results, metrics, passport)


@app.command()
def ledger(
    papers: Annotated[list[Path], typer.Option(help="What was printed, YAML; once for each.", exists=True)],
    out: Annotated[Path, typer.Option(help="Ledger of real data to write, CSV.")],
    phantom_out: Annotated[Path, typer.Option(help="Ledger of phantoms to write, CSV.")],
    metrics: Annotated[list[Path] | None, typer.Argument(help="metrics.json files.")] = None,
) -> None:
    """Put every printed number of the papers beside ours; phantoms have a ledger of their own."""
    from latent_anatomy.ledger import write

    write(papers, metrics or [], out, phantom_out)


@bench.command("train")
def bench_train(
    method: Annotated[str, typer.Option(help="A method of src/latent_anatomy/methods.")],
    channels: int = 3,
    steps: int = 20,
    device: Device = "auto",
) -> None:
    """Images per second of loading, augmentation, the bare step and the whole loop."""
    from latent_anatomy.benchmark import run

    run(method, channels, steps, device)


def main() -> None:
    """Run a verb; a foreseen error is one message and exit code 1, anything else shows its trace."""
    try:
        app()
    except EXPECTED_ERRORS as error:
        print(f"latent-anatomy: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
