"""The command line: one verb for each kind of job. Rules call these verbs and nothing else.

Heavy libraries are imported inside the verbs, so that each starts with what it needs.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from latent_anatomy.cli.audit import audit
from latent_anatomy.cli.bench import bench
from latent_anatomy.cli.data import Params, fetch, phantom, pool, slice_
from latent_anatomy.cli.imaging import image
from latent_anatomy.cli.look import check, list_, version
from latent_anatomy.cli.predict import export, predict
from latent_anatomy.cli.sync import sync
from latent_anatomy.provenance import threads

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(bench, name="bench")
app.add_typer(sync, name="sync")
app.add_typer(image, name="image")

EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)

Slices = Annotated[Path, typer.Option(help="Slices, HDF5.", exists=True, dir_okay=False)]
RAW = Path("data/raw")
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")]


app.command()(audit)
app.command("list")(list_)
app.command()(check)
app.command()(fetch)
app.command()(phantom)
app.command("slice")(slice_)
app.command()(pool)
app.command()(export)
app.command()(predict)


@app.callback()
def one_thread(
    context: typer.Context,
    _: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Say it.")] = False,
) -> None:
    """The verbs of Latent Anatomy."""
    if context.invoked_subcommand != "bench":  # which measures what a machine can do
        threads.one()


@app.command()
def train(
    params: Params,
    slices: Slices,
    model: Annotated[Path, typer.Option(help="Checkpoint to write, safetensors.")],
    history: Annotated[Path, typer.Option(help="Table of losses to write, CSV.")],
    scratch: Annotated[Path, typer.Option(help="Where a killed run goes on from.")] = Path(".scratch"),
    on: Annotated[
        Path | None, typer.Option(help="Checkpoint that it stands on, if any.", exists=True, dir_okay=False)
    ] = None,
    raw: Annotated[Path, typer.Option(help="Folder of raw files, with the weights it needs, if any.")] = RAW,
    device: Device = "auto",
) -> None:
    """Train a method."""
    from latent_anatomy.jobs.train import run

    run(params, slices, model, history, scratch, device, on, raw)


@app.command()
def evaluate(
    params: Params,
    slices: Slices,
    model: Annotated[Path, typer.Option(help="Checkpoint.", exists=True, dir_okay=False)],
    metrics: Annotated[Path, typer.Option(help="Metrics to write, JSON.")],
    scores: Annotated[Path, typer.Option(help="What runs are compared by, to write, npz.")],
    arrays: Annotated[Path, typer.Option(help="Values per image and pictures to write, npz.")],
    tables: Annotated[Path, typer.Option(help="Folder of tables to write, CSV.")],
    passport: Annotated[Path, typer.Option(help="Passport of them to write, JSON.")],
    trained_on: Annotated[
        Path | None, typer.Option(help="Slices it was trained on, if others.", exists=True, dir_okay=False)
    ] = None,
    raw: Annotated[Path, typer.Option(help="Folder of raw files, with weights of protocols, if any.")] = RAW,
    device: Device = "auto",
) -> None:
    """Evaluate a trained method with every protocol that it has the capabilities for."""
    from latent_anatomy.jobs.evaluate import run

    run(params, slices, model, metrics, scores, arrays, tables, passport, device, trained_on, raw)


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
    out: Annotated[Path, typer.Option(help="Ledger of real data to write, CSV.")],
    phantom_out: Annotated[Path, typer.Option(help="Ledger of phantoms to write, CSV.")],
    papers: Annotated[
        list[Path] | None, typer.Option(help="What was printed, YAML; once for each.", exists=True)
    ] = None,
    metrics: Annotated[list[Path] | None, typer.Argument(help="metrics.json files.")] = None,
) -> None:
    """Put every printed number of the papers beside ours; phantoms have a ledger of their own."""
    from latent_anatomy.ledger.build import write

    write(papers or [], metrics or [], out, phantom_out)


@app.command()
def report(
    params: Params,
    notebook: Annotated[Path, typer.Option(help="The report's notebook.", exists=True, dir_okay=False)],
    parameters: Annotated[str, typer.Option(help="The parameters that it runs with, JSON.")],
    out: Annotated[Path, typer.Option(help="Report to write, HTML.")],
) -> None:
    """Execute a notebook, and write it as a report with its passport."""
    from latent_anatomy.jobs.report import run

    run(params, notebook, parameters, out)


@app.command()
def index(
    params: Params,
    out: Annotated[Path, typer.Option(help="Page to write, HTML.")],
    ledger: Annotated[list[Path] | None, typer.Option(help="A ledger, CSV; once for each.")] = None,
    papers: Annotated[list[Path] | None, typer.Option(help="What was printed, YAML; once for each.")] = None,
    qc: Annotated[list[Path] | None, typer.Option(help="A table of the gate, CSV; once for each.")] = None,
    report: Annotated[list[Path] | None, typer.Option(help="A report beside it; once for each.")] = None,
) -> None:
    """Write the page that leads to all reports."""
    from latent_anatomy.reports.index import write

    write(params, ledger or [], papers or [], qc or [], report or [], out)


@app.command()
def passport(file: Annotated[Path, typer.Argument(help="HDF5, safetensors, JSON, HTML or PNG.")]) -> None:
    """Print an artefact's passport, if it is that of this very file: a picture saved from a report, too."""
    from latent_anatomy.provenance import formats
    from latent_anatomy.provenance.files import canonical_json

    document = formats.read_passport(file)
    if document.get("content") != (formats.content_of(file) if "content" in document else None):
        raise ValueError(f"{file}: expected its own passport, found that of another content: it was edited")
    print(canonical_json(document), end="")


@app.command()
def determinism(
    method: Annotated[str, typer.Option(help="A run of params.yaml, under `methods`.")],
    dataset: Annotated[str, typer.Option(help="A data set of the chosen collection; data/slices has it.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Compare so many steps, not all.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of those in params.yaml.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Train also with so many, and compare.")] = None,
    variance: Annotated[bool, typer.Option(help="Whether to train each seed on each split.")] = True,
    seeds: Annotated[int, typer.Option(min=2)] = 3,
    splits: Annotated[int, typer.Option(min=2)] = 3,
    out: Annotated[Path | None, typer.Option(help="The same as JSON, to write.")] = None,
    device: Device = "auto",
) -> None:
    """Same seed twice: the same bits? And how much of a result's variance is the seed's, the split's?

    Exit code 1 when two trainings differ on a CPU.
    """
    from latent_anatomy.determinism.run import Options, run

    if not run(method, dataset, Options(device, steps, epochs, threads, variance, seeds, splits), out):
        raise typer.Exit(1)


@app.command()
def compare(
    rev_a: Annotated[str, typer.Argument(help="A revision of git, or workspace: the working tree.")],
    rev_b: Annotated[str, typer.Argument(help="Another one.")],
    out: Annotated[Path, typer.Option(help="Page to write, HTML.")] = Path("reports/compare.html"),
) -> None:
    """Show two versions side by side, from git and DVC's cache; docs/compare.md."""
    from latent_anatomy.versions.page import write

    write(rev_a, rev_b, out, Path())


def main() -> None:
    """Run a verb; a foreseen error is one message and exit code 1, words that it does not know are one and
    exit code 2, anything else shows its trace.
    """
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit("latent-anatomy: stopped")
    except typer.TyperException as error:  # about the words of the command line: without typer's box
        if said := " ".join(error.format_message().split()):
            verb = error.ctx.command_path if getattr(error, "ctx", None) else "latent-anatomy"
            remedy = f"{verb} --help lists them"
            print(
                f"{verb}: expected options and arguments that it has, found: {said}: {remedy}",
                file=sys.stderr,
            )
        sys.exit(error.exit_code)
    except EXPECTED_ERRORS as error:
        print(f"latent-anatomy: {type(error).__name__}: {_said(error)}", file=sys.stderr)
        sys.exit(1)


def _said(error: Exception) -> str:
    """What an error says; where the operating system words it, with the path and what to do."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is None:
        return str(error)
    return (
        f"{error.filename}: expected to read or write here, found: {error.strerror}: check the path, its "
        "permissions and the space on its disk"
    )
