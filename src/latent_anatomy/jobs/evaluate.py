"""Evaluate one trained method: every protocol of its study for which it has the capabilities."""

import sys
from pathlib import Path

import numpy as np

from latent_anatomy.data.download import DATA
from latent_anatomy.evaluation import registry as evaluation
from latent_anatomy.evaluation import scores as paired_scores
from latent_anatomy.evaluation.protocol import check
from latent_anatomy.jobs.checkpoint import given_weights, load_checkpoint, verify_trained
from latent_anatomy.jobs.inputs import build, choose_device, read_slices, shape_of, splits_on
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.provenance import csv_table
from latent_anatomy.provenance import passport as provenance
from latent_anatomy.provenance.files import atomic_folder, atomic_write, hashes, write_json
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import sealed
from latent_anatomy.provenance.verify import still
from latent_anatomy.training.environment import device_name
from latent_anatomy.training.method import Shape
from latent_anatomy.training.seeds import derived_seed


@making("passport", "metrics", "scores", "arrays", "tables")
def run(
    params: Path,
    slices: Path,
    model: Path,
    metrics: Path,
    scores: Path,
    arrays: Path,
    tables: Path,
    passport: Path,
    device: str,
    trained_on: Path | None = None,
    raw: Path = DATA,
) -> None:
    """Write what the protocols say of a method, and a passport of it.

    metrics   JSON, name -> number
    scores    npz: what runs are compared by, see `evaluation.scores`
    arrays    npz: everything per image, subject or patient, and pictures
    tables    folder of CSV, <protocol>.<name>.csv; without files where no protocol made one

    Where the method was trained on another data set, `trained_on` has its slices: training and validation
    are then theirs, and only the test split is that of `slices`. `raw` is the folder in which the weights of
    others lie that protocols are given. ValueError when slices are missing there, or given elsewhere, and for
    an input that is not the one that the job expects; BlockingIOError when another process evaluates to the
    same files.
    """
    job, makers = read_with_makers(params, "evaluate")
    torch_device = choose_device(device)
    if (trained_on is not None) != ("trained_on" in job):
        found, remedy = (trained_on, "leave it out") if trained_on else ("none", "give it")
        expected = "--trained-on exactly for a method trained on other slices"
        raise ValueError(f"{params}: expected {expected}, found {found}: {remedy}")
    inputs = {"slices": slices, "model": model} | ({"trained_on": trained_on} if trained_on else {})
    weights = given_weights(job, raw, "evaluation_weights")
    inputs |= {f"weights/{name}": path for name, path in weights.items()}
    with still(inputs.values()):
        proof = provenance.passport(inputs=inputs, job=job, device=device_name(torch_device))
        seen = proof["inputs"]["trained_on" if trained_on else "slices"]
        verify_trained(model, job, makers.get("model"), seen)
        cohort = job.get("cohort")
        content = read_slices(slices, job["dataset"], cohort, makers.get("slices"))
        shape = shape_of(content)
        if part := job.get("test_subjects"):
            content = content.fewer("test", part)
        splits = splits_on(torch_device, content, cohort and cohort["labelled"])
        if trained_on is not None:
            others = read_slices(trained_on, job["trained_on"], maker=makers.get("trained_on"))
            splits = splits_on(torch_device, others) | {"test": splits["test"]}
            shape = fitting(shape_of(others), shape, slices)
        method = build(job, shape, torch_device)
        load_checkpoint(method.eval(), model)
    values = {f"data/{name}/images": len(split) for name, split in splits.items()}
    values |= {"data/classes": shape.classes, "data/channels": shape.channels}
    per_image, paired, made = {"subject": content.select("test").subject}, {}, {}
    for protocol, settings in job["evaluation"].items():
        if not evaluation.applies(protocol, method):
            continue
        module = evaluation.load(protocol)
        if not module.possible(splits):
            print(f"{protocol}: left out: {job['dataset']} cannot answer it", file=sys.stderr)
            continue
        chosen = module.Params.model_validate(settings)
        given = {"files": weights} if evaluation.takes_weights(protocol) else {}
        seed = derived_seed(job["seed"], protocol)
        results = module.evaluate(method, splits, chosen, content.task, seed, **given)
        by = module.paired(results.arrays)
        check(protocol, results, by)
        shared = sorted(per_image.keys() & results.arrays.keys())
        if again := [name for name in shared if not np.array_equal(per_image[name], results.arrays[name])]:
            raise ValueError(f"{protocol}: expected arrays of its own, found another {again[0]!r}: rename it")
        values |= results.metrics
        per_image |= results.arrays
        paired |= by
        made |= {f"{protocol}.{name}.csv": table for name, table in results.tables.items()}
    with atomic_write(arrays) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **per_image)
    paired_scores.write(scores, paired_scores.of(per_image, paired))
    with atomic_folder(tables) as folder:
        for name, table in made.items():
            csv_table.write(folder / name, *table)
    write_json(metrics, values)
    outputs = {"metrics": metrics, "scores": scores, "arrays": arrays}
    outputs |= {f"tables/{name}": tables / name for name in made}
    write_json(passport, sealed(proof, outputs=hashes(outputs)))


def fitting(trained: Shape, tested: Shape, path: Path) -> Shape:
    """The shape that a method was trained for, if it can see images of another data set; else ValueError."""
    if (trained.channels, trained.height, trained.width) != (tested.channels, tested.height, tested.width):
        raise ValueError(f"{path}: expected images of {trained}, found {tested}: cut both data sets alike")
    return trained
