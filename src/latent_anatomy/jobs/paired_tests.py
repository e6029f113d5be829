"""Compare the runs of a study on one data set, image by image."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy import provenance
from latent_anatomy.evaluation.comparison import compare
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import hashes, sealed, write_json


def run(params: Path, results: Path, metrics: Path, passport: Path) -> None:
    """Write `metrics` (JSON) and its passport, from the arrays.npz of every run in a data set's `results`."""
    job = read_job(params, "paired-tests")
    files = {
        name: [results / name / f"seed-{seed}" / "arrays.npz" for seed in job["seeds"]]
        for name in job["runs"]
    }
    inputs = {path.relative_to(results).as_posix(): path for paths in files.values() for path in paths}
    proof = provenance.passport(inputs=inputs, job=job)
    write_json(metrics, compare({name: [_read(path) for path in paths] for name, paths in files.items()}))
    write_json(passport, sealed(proof, outputs=hashes({"metrics": metrics})))


def _read(path: Path) -> dict[str, NDArray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if not name.startswith("figure/")}
