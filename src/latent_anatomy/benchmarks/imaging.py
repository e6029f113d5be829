"""Volumes per hour and core through the steps of `imaging`, and how that scales with cores.

A chain is what Snakemake starts for one subject: the verb of each step, one after the other, each a process
with one thread. N chains run side by side, as with `--cores N`, each on the same subject and in a folder of
its own, so that all have the same work. What is lost against one chain is lost to what cores share: memory,
cache, disk, clock. The numbers of chains are measured in turns.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from latent_anatomy.benchmarks.timing import in_turns, machine, machine_text, spread
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import imaging_steps, params
from latent_anatomy.pipeline.volume_files import subject_of
from latent_anatomy.provenance.files import write_json
from latent_anatomy.provenance.sources import PACKAGE_ROOT
from latent_anatomy.provenance.threads import ONE_THREAD

OF_ALL_SUBJECTS = ("gate", "slab")
LINES_SHOWN = 5


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds by the clock and seconds of a processor."""

    wall: float
    processor: float


def run(dataset: str, subject: str | None, raw: Path, processes: Sequence[int], repeats: int) -> dict:
    """Measure a subject (None: the first one) of `dataset` with each of these numbers of chains, in turns.

    Prints a table and returns all of it; `raw` holds the data set's files. Raises ValueError for a data set
    without volumes, a subject that it does not have, or a step that fails.
    """
    source = datasets.volumes(dataset)
    chosen = source.subjects[0] if subject is None else subject_of(source, subject)
    for file in chosen.files:
        if not (raw / file).is_file():
            raise ValueError(f"{raw / file}: expected a raw file, found none: {source.how_to_get}")
    jobs = imaging_steps.jobs(params.load(Path("params.yaml")).imaging, dataset)
    conditions = machine(torch.device("cpu"))
    usages: dict[str, dict[int, list[Usage]]] = {step: {} for step in jobs if step not in OF_ALL_SUBJECTS}
    with tempfile.TemporaryDirectory() as folder:
        for step in usages:
            write_json(Path(folder, f"{step}.json"), jobs[step])

        def measure(chains: int) -> None:
            commands = [
                chain(dataset, chosen.name, tuple(usages), raw, Path(folder), f"chain-{number}")
                for number in range(chains)
            ]
            for measured in side_by_side(commands):
                for step, usage in measured.items():
                    usages[step].setdefault(chains, []).append(usage)

        works = {str(chains): lambda chains=chains: measure(chains) for chains in processes}
        times = in_turns(works, repeats, 0, torch.device("cpu"))
    measured = {
        "machine": conditions,
        "dataset": dataset,
        "subject": chosen.name,
        "images": len(chosen.images),
        "repeats": repeats,
        "steps": {
            step: {str(chains): _of(all_usages) for chains, all_usages in by_chains.items()}
            for step, by_chains in usages.items()
        },
        "scaling": {
            chains: {
                "seconds": spread(all_times),
                **_rates(int(chains), len(chosen.images), spread(all_times)["median"]),
            }
            for chains, all_times in times.items()
        },
    }
    print(text(measured))
    return measured


def up_to_cores() -> list[int]:
    """1, 2, 4, ... and the number of cores."""
    most = cores()
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def chain(
    dataset: str, subject: str, steps: Sequence[str], raw: Path, folder: Path, name: str
) -> dict[str, list[str]]:
    """Step -> its command line: jobs `folder`/<step>.json, results in `folder`/`name`."""
    places = {"--raw": raw, "--interim": folder / name}
    return {
        step: [
            *(sys.executable, "-P", "-m", "latent_anatomy", "image", step, dataset, subject),
            *(word for option, path in places.items() for word in (option, str(path))),
            *("--params", str(folder / f"{step}.json")),
        ]
        for step in steps
    }


def side_by_side(chains: Sequence[Mapping[str, Sequence[str]]]) -> list[dict[str, Usage]]:
    """Run chains at the same time, the commands of each one after the other; what each command took."""
    with ThreadPoolExecutor(len(chains)) as pool:
        return list(
            pool.map(lambda commands: {name: took(words) for name, words in commands.items()}, chains)
        )


def took(command: Sequence[str]) -> Usage:
    """Run a command with one thread; ValueError with its last words when it fails."""
    paths = os.pathsep.join([str(PACKAGE_ROOT.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
        start = perf_counter()
        process = subprocess.Popen(
            command, stdout=words, stderr=words, env=os.environ | ONE_THREAD | {"PYTHONPATH": paths}
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            words.seek(0)
            last = "".join(words.readlines()[-LINES_SHOWN:])
            raise ValueError(f"expected exit code 0 of {command}, found {process.returncode}:\n{last}")
    return Usage(wall, used.ru_utime + used.ru_stime)


def _of(usages: Sequence[Usage]) -> dict[str, object]:
    return {
        "seconds": spread([usage.wall for usage in usages]),
        "processor_seconds": spread([usage.processor for usage in usages]),
    }


def _rates(chains: int, images: int, seconds: float) -> dict[str, float]:
    """Volumes per hour, every image of a subject being one, from the seconds of so many chains."""
    volumes = 3600 * chains * images / seconds
    return {"volumes_per_hour": volumes, "volumes_per_hour_and_core": volumes / min(chains, cores())}


def text(measured: dict) -> str:
    """The document of `run` as text."""
    lines = [
        machine_text(measured["machine"]),
        f"{measured['subject']} of {measured['dataset']}, {measured['images']} images; in turns, "
        f"{measured['repeats']} repeats",
        f"{'side by side':>12}  {'step':12}{'s':>8}{'quartiles':>18}{'processor s':>13}",
    ]
    for chains in measured["scaling"]:
        for step, by_chains in measured["steps"].items():
            each = by_chains[chains]
            low, high = each["seconds"]["lower_quartile"], each["seconds"]["upper_quartile"]
            lines.append(
                f"{chains:>12}  {step:12}{each['seconds']['median']:8.1f}{f'{low:.1f} to {high:.1f}':>18}"
                f"{each['processor_seconds']['median']:13.1f}"
            )
    lines.append(
        f"{'side by side':>12}{'s':>10}{'volumes/h':>12}{'volumes/h and core':>20}{'of the first':>14}"
    )
    first = next(iter(measured["scaling"].values()))["volumes_per_hour_and_core"]
    for chains, each in measured["scaling"].items():
        rate = each["volumes_per_hour_and_core"]
        lines.append(
            f"{chains:>12}{each['seconds']['median']:10.1f}{each['volumes_per_hour']:12.1f}{rate:20.1f}"
            f"{rate / first:14.1%}"
        )
    return "\n".join(lines)
