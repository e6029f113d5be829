"""Train one method on one data set with one seed."""

import shutil
from pathlib import Path

from safetensors.torch import save

from latent_anatomy.data.download import DATA
from latent_anatomy.jobs.checkpoint import all_finite, given_weights, load_base
from latent_anatomy.jobs.inputs import build, choose_device, read_slices, shape_of, splits_on
from latent_anatomy.jobs.job import read_with_makers
from latent_anatomy.provenance import csv_table, formats
from latent_anatomy.provenance.files import atomic_write, canonical_json, digest, hashes
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import passport, sealed
from latent_anatomy.provenance.verify import finite, still
from latent_anatomy.training.environment import device_name
from latent_anatomy.training.loop import TrainingParams, train


@making("model", "history")
def run(
    params: Path,
    slices: Path,
    model: Path,
    history: Path,
    scratch: Path,
    device: str,
    on: Path | None = None,
    raw: Path = DATA,
) -> None:
    """Write the checkpoint `model` (safetensors, passport in its metadata) and the table `history` (CSV).

    `on` is the checkpoint of the run that this one stands on, `raw` the folder in which the weights of others
    lie that it is given; both become part of `model`. What a killed run
    needs to go on lies in `scratch`/<hash of job and inputs> and goes when it ends. ValueError for an input
    that is not the one that the job expects, BlockingIOError when another process trains `model`.
    """
    job, makers = read_with_makers(params, "train")
    torch_device = choose_device(device)
    weights = given_weights(job, raw)
    inputs = {"slices": slices} | ({} if on is None else {"on": on})
    inputs |= {f"weights/{name}": path for name, path in weights.items()}
    with still(inputs.values()):
        proof = passport(inputs=inputs, job=job, device=device_name(torch_device))
        data = read_slices(slices, job["dataset"], job.get("cohort"), makers.get("slices"))
        method = build(job, shape_of(data), torch_device)
        load_base(method, job, on, proof["inputs"]["slices"])
        if weights:
            method.load_weights(weights)
    splits = splits_on(torch_device, data, job.get("cohort", {}).get("labelled"))
    folder = scratch / digest({"job": job, "inputs": proof["inputs"]})[:16]
    rows = train(
        method,
        splits["train"],
        splits["val"],
        seed=job["seed"],
        settings=TrainingParams.model_validate(job["training"]),
        scratch=folder,
        label=f"{job['run']} on {job['dataset']}, seed {job['seed']}",
    )
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}
    finite(model, all_finite(weights))
    csv_table.write(history, list(rows[0]), [list(row.values()) for row in rows])
    whole = sealed(proof, content=formats.of_safetensors(save(weights)), outputs=hashes({"history": history}))
    with atomic_write(model) as temporary:
        temporary.write_bytes(save(weights, metadata={"passport": canonical_json(whole)}))
    shutil.rmtree(folder)
