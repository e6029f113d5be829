"""Compare the runs of a study on one data set, image by image."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.evaluation.paired_tests import compare, concatenate
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import passport as provenance
from latent_anatomy.provenance.files import hashes, write_json
from latent_anatomy.provenance.passport import sealed


def run(params: Path, results: Path, metrics: Path, passport: Path) -> None:
    """Write `metrics` (JSON) and its passport, from the arrays.npz of every run in a data set's `results`.

    The folds of a cohort are taken together, each subject with all of its slices in all of them.
    """
    job = read_job(params, "paired-tests")
    files = {
        (name, seed): [
            results / name / str(Replicate(seed, fold)) / "arrays.npz" for fold in job.get("folds", [None])
        ]
        for name in job["runs"]
        for seed in job["seeds"]
    }
    inputs = {path.relative_to(results).as_posix(): path for paths in files.values() for path in paths}
    proof = provenance.passport(inputs=inputs, job=job)
    arrays = {key: _over_folds([_read(path) for path in paths]) for key, paths in files.items()}
    write_json(metrics, compare({run: [arrays[run, seed] for seed in job["seeds"]] for run in job["runs"]}))
    write_json(passport, sealed(proof, outputs=hashes({"metrics": metrics})))


def _over_folds(arrays: list[dict[str, NDArray]]) -> dict[str, NDArray]:
    return arrays[0] if len(arrays) == 1 else concatenate(arrays)


def _read(path: Path) -> dict[str, NDArray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if not name.startswith("figure/")}
