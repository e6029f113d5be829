"""The verbs `latent-anatomy bench <what>`: speed on this machine. What they print is for docs/speed.md."""

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure speed on this machine; docs/speed.md.")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<n>.")]
Channels = Annotated[int, typer.Option(min=1, help="Of the images.")]
Size = Annotated[int, typer.Option(min=8, help="Height and width of the images.")]
Repeats = Annotated[int, typer.Option(min=2, help="Measurements of each.")]
WarmUp = Annotated[int, typer.Option(min=0, help="Measurements before, not counted.")]
Processor = Annotated[
    bool, typer.Option("--processor", help="Seconds of the processor, on a machine that others use.")
]
Out = Annotated[Path | None, typer.Option(help="All that was measured, JSON, to write.")]


@bench.command("train")
def train(
    method: Annotated[str, typer.Option(help="A run of params.yaml, under `methods`.")],
    channels: Channels = 3,
    size: Size = 28,
    batch: Annotated[int | None, typer.Option(min=2, help="Images per step, not the run's own.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Steps of the loop before as many bare ones.")] = 10,
    repeats: Repeats = 20,
    warm_up: WarmUp = 1,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """The training loop beside the bare step, in turns; loading and augmentation."""
    from latent_anatomy.benchmarks.loop import run

    _write(out, run(method, channels, size, batch, block, repeats, warm_up, device))


@bench.command("methods")
def methods(
    runs: Annotated[list[str], typer.Argument(help="Runs of params.yaml, under `methods`.")],
    channels: Channels = 1,
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    like: Annotated[
        str | None,
        typer.Option(
            help="<collection>/<study>/<data set> whose parameters they have, not the methods' own."
        ),
    ] = None,
    maps: Annotated[bool, typer.Option("--maps", help="Inference is the anomaly map.")] = False,
    inference: Annotated[bool, typer.Option(help="Whether to measure it.")] = True,
    processor: Processor = False,
    repeats: Repeats = 10,
    warm_up: WarmUp = 1,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Samples per second of runs in training and in inference, in turns, beside what papers print."""
    from latent_anatomy.benchmarks.methods import run

    options = (like, maps, inference, processor)
    _write(out, run(runs, channels, size, batch, repeats, warm_up, device, *options))


@bench.command("anomalies")
def anomalies(
    images: Annotated[int, typer.Option(min=2, help="Healthy maps, and as many with a box.")] = 1000,
    size: Size = 128,
    repeats: Repeats = 5,
    warm_up: WarmUp = 1,
    processor: Processor = False,
    out: Out = None,
) -> None:
    """Threshold and box scores of RA's study from anomaly maps, beside the released way, in turns."""
    from latent_anatomy.benchmarks.anomalies import run

    _write(out, run(images, size, repeats, warm_up, processor))


@bench.command("rotations")
def rotations(
    rows: Annotated[int, typer.Option(min=160, help="Latents, and down to an eighth of them.")] = 100_000,
    features: Annotated[int, typer.Option(min=8, help="Of each.")] = 256,
    clusters: Annotated[list[int] | None, typer.Option(min=2, help="Sizes of codebooks: 5, 8, 15.")] = None,
    repeats: Repeats = 3,
    warm_up: WarmUp = 0,
    processor: Processor = False,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    out: Out = None,
) -> None:
    """Rotations and codebooks of drawn latents, and how their time grows with the rows."""
    from latent_anatomy.benchmarks.rotations import run

    _write(out, run(rows, features, clusters or [5, 8, 15], repeats, warm_up, processor, threads))


@bench.command("savings")
def savings(
    method: Annotated[str, typer.Option(help="A run of params.yaml that repeats passes.")] = "sdnet",
    size: Size = 224,
    width: Annotated[int | None, typer.Option(min=1, help="Of its networks, not the run's own.")] = None,
    repeats: Repeats = 10,
    warm_up: WarmUp = 1,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Iterations per second as SDNet's code makes them, and with each saving added, in turns."""
    from latent_anatomy.benchmarks.savings import run

    _write(out, run(method, size, width, repeats, warm_up, device))


@bench.command("imaging")
def imaging(
    dataset: Annotated[str, typer.Argument(help="A data set of volumes; its raw files are here.")],
    subject: Annotated[str | None, typer.Option(help="The first one, where not given.")] = None,
    processes: Annotated[
        list[int] | None, typer.Option(min=1, help="Subjects side by side, once for each number.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 3,
    raw: Annotated[Path, typer.Option(help="Folder of the data sets' folders.")] = Path("data/raw"),
    out: Out = None,
) -> None:
    """Volumes per hour and core from raw files to atlas space, with one subject and several side by side.

    Without --processes: 1, 2, 4, ... up to the number of cores.
    """
    from latent_anatomy.benchmarks.imaging import run, up_to_cores

    _write(out, run(dataset, subject, raw / dataset, processes or up_to_cores(), repeats))


def _write(out: Path | None, measured: dict) -> None:
    from latent_anatomy.provenance.files import write_json

    if out is not None:
        write_json(out, measured)
