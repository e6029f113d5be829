"""Compare the runs of a study on one data set, image by image."""

from pathlib import Path

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.evaluation import scores
from latent_anatomy.evaluation.paired_tests import compare
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import passport as provenance
from latent_anatomy.provenance.files import hashes, sha256_file, write_json
from latent_anatomy.provenance.formats import read_passport
from latent_anatomy.provenance.passport import sealed


def run(params: Path, results: Path, metrics: Path, passport: Path) -> None:
    """Write `metrics` (JSON) and its passport, from the scores.npz of every run in a data set's `results`.

    The folds of a cohort are taken together, each subject with all of its slices in all of them. Raises
    ValueError naming the runs that have none, as those that were evaluated before there were any.
    """
    job = read_job(params, "paired-tests")
    seeds = dict.fromkeys(job["runs"], job["seeds"]) | job.get("seeds_of", {})
    files = {
        (name, seed): [
            results / name / str(Replicate(seed, fold)) / "scores.npz" for fold in job.get("folds", [None])
        ]
        for name in job["runs"]
        for seed in seeds[name]
    }
    inputs = {path.relative_to(results).as_posix(): path for paths in files.values() for path in paths}
    if missing := [name for name, path in inputs.items() if not path.is_file()]:
        raise ValueError(
            f"{results}: expected the scores.npz of every run, found no {', '.join(missing)}: evaluate these "
            "runs again, or keep the paired tests that are there"
        )
    for path in inputs.values():
        _own(path)
    proof = provenance.passport(inputs=inputs, job=job)
    tested = {key: scores.pooled([scores.read(path) for path in paths]) for key, paths in files.items()}
    runs = {run: [tested[run, seed] for seed in seeds[run]] for run in job["runs"]}
    write_json(metrics, compare(runs, job["without_randomness"]))
    write_json(passport, sealed(proof, outputs=hashes({"metrics": metrics})))


def _own(path: Path) -> None:
    """ValueError unless scores.npz is the one that the passport beside it names, if there is one."""
    beside = path.with_name("passport.json")
    named = read_passport(beside).get("outputs", {}).get("scores") if beside.is_file() else None
    if named not in (None, sha256_file(path)):
        raise ValueError(
            f"{path}: expected the scores that {beside.name} names, found others: evaluate this run again"
        )
