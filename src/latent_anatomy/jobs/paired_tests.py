"""Compare the runs of a study on one data set, image by image."""

from pathlib import Path

from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.evaluation import scores
from latent_anatomy.evaluation.paired_tests import compare
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.provenance import passport as provenance
from latent_anatomy.provenance.files import hashes, write_json
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import sealed
from latent_anatomy.provenance.verify import beside as speaking_for
from latent_anatomy.provenance.verify import made_by, still


@making("passport", "metrics")
def run(params: Path, results: Path, metrics: Path, passport: Path) -> None:
    """Write `metrics` (JSON) and its passport, from the scores.npz of every run in a data set's `results`.

    The folds of a cohort are taken together, each subject with all of its slices in all of them. Raises
    ValueError naming the runs that have none, as those that were evaluated before there were any, and for
    scores that are not what the passport beside them was sealed for, or are another run's.
    """
    job, makers = read_with_makers(params, "paired-tests")
    seeds = dict.fromkeys(job["runs"], job["seeds"]) | job.get("seeds_of", {})
    folds = job.get("folds", [None])
    files = {
        (name, seed): [results / name / str(Replicate(seed, fold)) / "scores.npz" for fold in folds]
        for name in job["runs"]
        for seed in seeds[name]
    }
    inputs = {path.relative_to(results).as_posix(): path for paths in files.values() for path in paths}
    if missing := [name for name, path in inputs.items() if not path.is_file()]:
        raise ValueError(
            f"{results}: expected the scores.npz of every run, found no {', '.join(missing)}: evaluate these "
            "runs again, or keep the paired tests that are there"
        )
    with still(inputs.values()):
        proof = provenance.passport(inputs=inputs, job=job)
        for (run, seed), paths in files.items():
            for fold, path in zip(folds, paths, strict=True):
                says = {"job": "evaluate", "study": job["study"], "dataset": job["dataset"]}
                says |= {"run": run, "seed": seed, "fold": fold}
                maker = makers.get(path.relative_to(results).as_posix())
                beside = path.with_name("passport.json")
                made_by(beside, speaking_for(beside, {"scores": path}), says, maker)
        tested = {key: scores.pooled([scores.read(path) for path in paths]) for key, paths in files.items()}
    runs = {run: [tested[run, seed] for seed in seeds[run]] for run in job["runs"]}
    write_json(metrics, compare(runs, job["without_randomness"]))
    write_json(passport, sealed(proof, outputs=hashes({"metrics": metrics})))
