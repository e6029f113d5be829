"""Train one method on one data set with one seed."""

import csv
import io
import shutil
from pathlib import Path

from safetensors.torch import save

from latent_anatomy.jobs.inputs import build, choose_device, device_name, read_slices, shape_of, splits_on
from latent_anatomy.jobs.job import read_job
from latent_anatomy.provenance import atomic_write, canonical_json, digest, passport, sha256_file, write_text
from latent_anatomy.training import TrainingParams, train

HISTORY_DIGITS = 9  # a float32 is exact in nine significant digits


def run(params: Path, slices: Path, model: Path, history: Path, scratch: Path, device: str) -> None:
    """Write the checkpoint `model` (safetensors, passport in its metadata) and the table `history` (CSV).

    What a killed run needs to go on lies in `scratch`/<hash of job and slices> and goes when it ends.
    """
    job = read_job(params, "train")
    torch_device = choose_device(device)
    content = read_slices(slices, job["dataset"])
    splits = splits_on(torch_device, content)
    method = build(job, shape_of(content), torch_device)
    folder = scratch / digest({"job": job, "slices": sha256_file(slices)})[:16]
    rows = train(
        method,
        splits["train"],
        splits["val"],
        seed=job["seed"],
        settings=TrainingParams.model_validate(job["training"]),
        scratch=folder,
        label=f"{job['run']} on {job['dataset']}, seed {job['seed']}",
    )
    proof = passport(inputs={"slices": slices}, job=job, device=device_name(torch_device))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}
    write_text(history, _csv(rows))
    with atomic_write(model) as temporary:
        temporary.write_bytes(save(weights, metadata={"passport": canonical_json(proof)}))
    shutil.rmtree(folder)


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: f"{value:.{HISTORY_DIGITS}g}" for name, value in row.items()})
    return text.getvalue()
