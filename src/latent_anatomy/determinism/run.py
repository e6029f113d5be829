"""How far a result repeats itself: the same seed twice, and what seed and data split do to it.

The first question is about bits. A run of params.yaml is trained twice with the same seed, each time in a
fresh process (see `record`), and everything is compared: every tensor of the state dict and every loss,
after every step. On a CPU nothing may differ. The second is about the spread of the result, the number
that the method is judged by on held-out images (see `statistics.variance_components`).

A method's number is the first of HELD_OUT whose protocol its study runs and it has the capabilities for.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latent_anatomy.data.resplit import resplits
from latent_anatomy.data.slices import Slices
from latent_anatomy.determinism.text import same_seed_text, variance_text
from latent_anatomy.determinism.trace import Comparison, Trace, compare
from latent_anatomy.evaluation import registry as evaluation
from latent_anatomy.jobs.inputs import build, choose_device, read_slices, shape_of, splits_on
from latent_anatomy.pipeline import layout, params, resolve
from latent_anatomy.provenance.files import digest, write_json
from latent_anatomy.provenance.lock import alone
from latent_anatomy.provenance.passport import passport, sealed
from latent_anatomy.provenance.sources import PACKAGE_ROOT, source_digest
from latent_anatomy.statistics.variance_components import components
from latent_anatomy.training.environment import device_name
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Data
from latent_anatomy.training.seeds import derived_seed

HELD_OUT = ("reconstruction/psnr", "classification/disease/auc", "classification/corruption/auc")
PREFIX = "latent-anatomy-determinism-"  # of the temporary folders


@dataclass(frozen=True)
class Options:
    """What is asked; see the command line. `steps`, `epochs` and `threads` are None where not given."""

    device: str = "auto"
    steps: int | None = None
    epochs: int | None = None
    threads: int | None = None
    variance: bool = True
    seeds: int = 3
    splits: int = 3


def run(name: str, dataset: str, options: Options, out: Path | None) -> bool:
    """Answer both questions about run `name`, from params.yaml and data/slices here; print, and write `out`.

    Returns False when the two trainings differ on a CPU, where they must not. Raises ValueError for a run,
    data set or device that is not there, or a method without a held-out number.
    """
    job = find_job(params.load(Path("params.yaml")), name, dataset)
    full = job["params"]["epochs"]
    if options.epochs is not None:
        job["params"]["epochs"] = options.epochs
    inputs = {role: Path(path) for role, path in layout.of_job(job).made_of[0].inputs.items()}
    device = choose_device(options.device)
    cohort = job.get("cohort")
    content = read_slices(inputs["slices"], dataset, cohort)
    if options.variance and cohort and len(cohort["labelled"]) < len(cohort["train"]):
        raise ValueError(
            f"expected a cohort that is labelled throughout, found {dataset}, of which no other split says "
            "who is labelled: use --no-variance, which asks for the bits alone"
        )
    asked = {"job": "determinism", "steps": options.steps, "source": sources(job)}
    if options.variance and "on" in job:
        raise ValueError(
            f"expected a run that stands on no other, found {name} on {job['on']['run']}, which saw this "
            "split alone: use --no-variance, which asks for the bits alone"
        )
    if options.variance:
        asked |= {"seeds": options.seeds, "splits": options.splits}
        held_out_protocol(job, build(job, shape_of(content), device))  # refuse before training
    proof = passport(inputs=inputs, job=job | asked, device=device_name(device))

    print(f"{name} on {dataset}, seed {job['seed']}, {device_name(device)}, torch {torch.__version__}")
    document = {key: job[key] for key in ("study", "run", "dataset", "seed", "params", "training")}
    with terminated_as_exit(), nullcontext() if out is None else alone(out):
        same, observed = same_seed(job, inputs, options, full)
        document |= observed
        if options.variance:
            document["variance"] = variance(job, content, device, options, same.identical)
        if out is not None:
            write_json(out, document | {"passport": sealed(proof, content=digest(document))})
    return same.identical or device.type != "cpu"


def same_seed(job: dict, inputs: dict[str, Path], options: Options, full: int) -> tuple[Comparison, dict]:
    """The first answer, printed: the comparison, and what is to be written. `full`: epochs in params.yaml."""
    traces = record(job, inputs, options)
    same = compare(*traces[:2])
    other = compare(traces[0], traces[2]) if options.threads is not None else None
    conditions = {
        "epochs": job["params"]["epochs"],
        "epochs_in_params": full,
        "whole": traces[0].whole,
        "threads": traces[0].threads,
        "other_threads": options.threads,
    }
    print(same_seed_text(same, other, conditions), flush=True)
    document = {"conditions": conditions, "same_seed_twice": same.document()}
    return same, document | ({"other_threads": other.document()} if other is not None else {})


def variance(
    job: dict, content: Slices, device: torch.device, options: Options, deterministic: bool
) -> dict[str, object]:
    """The second answer, printed, with the seeds from the job's own on."""
    seeds = [job["seed"] + i for i in range(options.seeds)]
    metric, values = crossed(job, content, device, seeds, options.splits)
    parts = components(values)
    print(variance_text(metric, seeds, values, parts, deterministic))
    document = {"metric": metric, "seeds": seeds, "values": values.tolist()}
    return document | {"components": asdict(parts), "total": parts.total}


def find_job(chosen: params.Params, name: str, dataset: str) -> dict:
    """The evaluation job of run `name` on `dataset`, first fold and seed, which holds its training too."""
    jobs = [
        job
        for job in resolve.resolve(chosen).values()
        if job["job"] == "evaluate" and (job["run"], job["dataset"]) == (name, dataset)
    ]
    if not jobs:
        known = sorted({run for study in chosen.chosen for run in chosen.studies[study].runs})
        sets = sorted({each for collection in chosen.chosen.values() for each in collection.trained})
        raise ValueError(
            f"params.yaml: expected a run ({', '.join(known)}) and a data set ({', '.join(sets)}) of the "
            f"collection {chosen.data!r}, found {name!r} on {dataset!r}: choose among these, or change `data`"
        )
    trainings = {digest([job["params"], job["training"]]) for job in jobs}
    if len(trainings) > 1:
        studies = ", ".join(sorted({job["study"] for job in jobs}))
        raise ValueError(
            f"params.yaml: expected one training of {name!r} on {dataset!r}, found that {studies} change its "
            "parameters differently: give each a run of its own name in `methods`"
        )
    return jobs[0]


def sources(job: dict) -> str:
    """Digest of the sources that decide the answer."""
    return source_digest("latent_anatomy.determinism.run", *job["modules"])


def record(job: dict, inputs: dict[str, Path], options: Options) -> list[Trace]:
    """Traces of two equal trainings, and of a third with `options.threads`, each by a process of its own.

    `inputs`: "slices" and, of a run that stands on another, its checkpoint "on".
    """
    kinds = [("first of two", None), ("second of two", None)]
    if options.threads is not None:
        kinds.append((f"threads: {options.threads}", options.threads))
    traces = []
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        request, out = Path(folder, "request.json"), Path(folder, "trace.pt")
        for number, (label, threads) in enumerate(kinds):
            content = {"job": job, "device": options.device, "steps": options.steps}
            content |= {role: str(path) for role, path in inputs.items()}
            write_json(request, content | {"threads": threads, "label": label})
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT.parent), os.environ.get("PYTHONPATH", "")]),
                "PYTHONHASHSEED": str(number + 1),
                "TMPDIR": folder,  # so that what a killed process leaves goes with the folder
            }
            command = [
                sys.executable,
                "-P",
                "-m",
                "latent_anatomy.determinism.record",
                str(request),
                str(out),
            ]
            if (code := subprocess.run(command, env=environment, check=False).returncode) != 0:
                raise ValueError(
                    f"expected a training that ends, found exit code {code} ({label}): its message is above"
                )
            traces.append(Trace.load(out))
    return traces


def crossed(
    job: dict, content: Slices, device: torch.device, seeds: list[int], splits: int
) -> tuple[str, NDArray[np.float64]]:
    """The name of the held-out number, and its values (seeds, splits), from a training for each.

    The splits are re-splits, without the published one itself, so that all are draws of one kind.
    """
    values = np.empty((len(seeds), splits))
    for column, resplit in enumerate(resplits(content, splits)):
        data = splits_on(device, resplit)
        for row, seed in enumerate(seeds):
            method = build(job | {"seed": seed}, shape_of(content), device)
            protocol = held_out_protocol(job, method)
            place = f"{row + 1 + column * len(seeds)} of {values.size}: split {column + 1}, seed {seed}"
            with tempfile.TemporaryDirectory(prefix=PREFIX) as scratch:
                settings = TrainingParams.model_validate(job["training"])
                train(method, data["train"], data["val"], seed=seed, settings=settings,
                      scratch=Path(scratch), label=place)  # fmt: skip
            metric, values[row, column] = held_out(job, protocol, method, data, content.task, seed)
    return metric, values


def held_out_protocol(job: dict, method: nn.Module) -> str:
    """The protocol that gives the method's held-out number; ValueError when there is none."""
    protocols = list(dict.fromkeys(metric.split("/")[0] for metric in HELD_OUT))
    for protocol in protocols:
        if protocol in job["evaluation"] and evaluation.applies(protocol, method):
            return protocol
    raise ValueError(
        f"expected {' or '.join(protocols)} among the protocols of {job['study']} that {job['run']} can do, "
        f"found {', '.join(job['evaluation'])}: use --no-variance, which asks for the bits alone"
    )


def held_out(
    job: dict, protocol: str, method: nn.Module, data: dict[str, Data], task: str, seed: int
) -> tuple[str, float]:
    """Name and value of the number of HELD_OUT that `protocol` finds."""
    module = evaluation.load(protocol)
    settings = module.Params.model_validate(job["evaluation"][protocol])
    metrics = module.evaluate(method.eval(), data, settings, task, derived_seed(seed, protocol)).metrics
    metric = next(metric for metric in HELD_OUT if metric in metrics)
    return metric, metrics[metric]


@contextmanager
def terminated_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind as Ctrl-C does, so that temporary folders and processes go."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
