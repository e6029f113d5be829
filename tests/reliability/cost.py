"""What the checks cost a real training, in seconds and in percent of it.

    PYTHONPATH=src python tests/reliability/cost.py --data at-hand --epochs 2 \\
        train/unoranic/retinamnist/ae/seed-1=data/slices/retinamnist.h5

Each job of params.yaml is trained for a few epochs on the slices that it is given, with clocks around what
`provenance.verify`, the checks of weights and the hash of the state take. What is asked once counts once,
what is asked each epoch as often as the whole training has epochs.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from latent_anatomy.jobs import checkpoint, train
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.provenance import verify
from latent_anatomy.provenance.files import write_json
from latent_anatomy.training import state_file

SPENT: dict[str, float] = defaultdict(float)


def clocked(module, name: str, of_each: str) -> None:
    """Count what a function takes, `of_each` "job" or "epoch"."""
    run = getattr(module, name)

    def timed(*arguments, **options):
        begun = time.perf_counter()
        try:
            return run(*arguments, **options)
        finally:
            SPENT[of_each] += time.perf_counter() - begun

    setattr(module, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="+", help="<name of a job>=<its slices>")
    parser.add_argument("--data", required=True, help="A collection of params.yaml.")
    parser.add_argument("--epochs", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    content = params.load(Path("params.yaml")).model_dump(mode="json") | {"data": chosen.data}
    jobs = resolve.resolve(params.validate(content))
    for module, name in ((verify, "whole"), (verify, "made_by"), (checkpoint.verify, "finite")):
        clocked(module, name, "job")
    clocked(train, "finite", "job")
    clocked(state_file, "_sha256", "epoch")
    print("| training | epochs | an epoch, s | checks once, s | checks each epoch, s | of the training |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, slices in (each.split("=") for each in chosen.jobs):
        job, epochs = jobs[name], jobs[name]["params"]["epochs"]
        job["params"]["epochs"] = chosen.epochs
        SPENT.clear()
        with tempfile.TemporaryDirectory() as folder:
            places = [Path(folder, each) for each in ("model.safetensors", "history.csv", "scratch")]
            write_json(Path(folder, "job.json"), job)
            begun = time.perf_counter()
            train.run(Path(folder, "job.json"), Path(slices), *places, device="auto")
            epoch = (time.perf_counter() - begun - sum(SPENT.values())) / chosen.epochs
        each = SPENT["epoch"] / chosen.epochs
        share = (SPENT["job"] + each * epochs) / (epochs * (epoch + each))
        cells = f"{epochs:,} | {epoch:.2f} | {SPENT['job']:.3f} | {each:.4f} | {100 * share:.2f} %"
        print(f"| `{name}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
