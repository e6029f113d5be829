"""Export a run: what lies of it in models/, data/slices/ and results/, as one file."""

import re
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from latent_anatomy.data.cohorts import dataset_of, replicate
from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.jobs.checkpoint import load_checkpoint
from latent_anatomy.jobs.inputs import build, read_slices, shape_of
from latent_anatomy.pipeline import layout
from latent_anatomy.prediction import exported, thresholds, training_images
from latent_anatomy.prediction.imaging_settings import native_mm, settings
from latent_anatomy.provenance import verify
from latent_anatomy.provenance.files import hashes
from latent_anatomy.provenance.lock import making
from latent_anatomy.provenance.passport import commit, environment

FORM = "<study>/<dataset>/<run>/<replicate>"
LIBRARIES = ("torch", "numpy", "h5py", "safetensors")
REGIONS = ("brain", "interior", "head", "foreground")  # masks that say where a method is asked
NO_COMMERCE = re.compile(r"-NC\b|for research")


@making("out")
def run(name: str, out: Path, root: Path = Path()) -> None:
    """Write `out` (safetensors) of the run `name`, as <study>/<dataset>/<run>/<replicate> below `root`.

    What is left out of it, and the licence of its training images, is said on stderr. ValueError for another
    name and for files that do not belong together, FileNotFoundError for a run that is not there.
    """
    model, document = described(name, root)
    exported.write(out, load_file(model), document)
    for line in notes(document):
        print(line, file=sys.stderr)
    print(exported.read(out, torch.device("cpu")).licence, file=sys.stderr)


def described(name: str, root: Path) -> tuple[Path, dict]:
    """The checkpoint of a run, and what its export says of it; errors as in `run`."""
    parts = name.removeprefix("models/").strip("/").split("/")
    if len(parts) != 4:
        raise ValueError(f"run: expected {FORM}, found {name!r}: name it as its folder in models/ is")
    study, dataset, which, last = parts
    places = layout.model(study, dataset, which, replicate(last))
    model, slices = root / places.path, root / places.inputs["slices"]
    if not model.is_file():
        raise FileNotFoundError(f"{model}: expected the checkpoint of the run, found none: train it first")
    inputs = {"model": model, "slices": slices}
    with verify.still(inputs.values()):
        proof = verify.whole(model)
        job = proof["job"]
        content = read_slices(slices, job["dataset"], job.get("cohort"))
        held = hashes(inputs)
        verify.made_by(model, proof, places.says, None)
        verify.made_of(model, proof, {"slices": held["slices"]})
        shape = shape_of(content)
        load_checkpoint(build(job, shape, torch.device("cpu")), model)  # or it does not belong together
    source = datasets.find(dataset_of(dataset))
    train = content.select("train")
    imaging = settings(source, slices, root)
    images = training_images.summary(train, imaging is not None)
    if imaging is not None and "steps" in imaging:
        images["native_mm"] = native_mm(source, train, root)
    found, left_out, measured = thresholds.of_run(root / "results" / "/".join(parts), held["model"])
    document = {
        "format": exported.FORMAT,
        "job": {"job": "export", "study": study, "dataset": dataset, "run": which, "replicate": last},
        "method": job["method"],
        "shape": asdict(shape),
        "training": job,
        "imaging": imaging,
        "images": images,
        "region": next((region for region in REGIONS if region in content.mask_names), None),
        "thresholds": found,
        "left_out": left_out,
        "licence": {
            "dataset": dataset_of(dataset).replace(SEPARATOR, ", "),
            "terms": source.licence,
            "forbids_commercial_use": bool(NO_COMMERCE.search(source.licence)),
        },
        "method_source": exported.method_source(job),
        "inputs": held | hashes(measured),
        "source": commit(),
        "environment": environment(LIBRARIES),
    }
    return model, document


def notes(document: dict) -> list[str]:
    """What a document lacks, a line each."""
    lines = [document["left_out"]] if document["left_out"] else []
    images = document["images"]
    if "native_mm" in images and images["native_mm"] is None:
        lines.append("voxel sizes of the raw volumes are left out: no raw volume of training is here")
    return lines
