"""Exported models that are made in no time, and heads to ask them about."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from test_imaging_jobs import SHAPES, SPACING_MM, STEPS, TO, Made, drawings, written

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import atlas, bias, registration, stripping, volume
from latent_anatomy.imaging.transform import Transform
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import imaging_steps
from latent_anatomy.pipeline.params import Imaging
from latent_anatomy.prediction import exported
from latent_anatomy.prediction.training_images import PERCENTILES
from latent_anatomy.training.method import Shape

SLICES = STEPS["slab"]["count"]
ANYTHING = {name: {"lowest": 0.0, "median": 0.5, "highest": 1.0} for name in PERCENTILES}
NON_COMMERCIAL = {"dataset": "made", "terms": "CC BY-NC-SA 4.0", "forbids_commercial_use": True}


def export(path: Path, method: str, shape: Shape, params: dict | None = None, **more) -> Path:
    """An exported model with its first weights, trained on nothing; `more` is of its document."""
    model = methods.load(method).Method
    chosen = model.Params.model_validate(params or {})
    training = {"job": "train", "run": method, "method": method, "seed": 1}
    training["params"] = chosen.model_dump(mode="json")
    document = {
        "format": exported.FORMAT,
        "job": {"job": "export", "run": method},
        "method": method,
        "shape": asdict(shape),
        "training": training,
        "imaging": None,
        "images": {"levels": ANYTHING, "native_mm": None, "modalities": ["drawing"]},
        "region": None,
        "thresholds": {},
        "left_out": "",
        "licence": NON_COMMERCIAL,
        "method_source": exported.method_source(training),
        "inputs": {},
    }
    torch.manual_seed(1)
    weights = {name: each.contiguous() for name, each in model(chosen, shape).state_dict().items()}
    exported.write(path, weights, document | more)
    return path


def imaging(**of_data_set) -> dict:
    """The settings of a chain that takes seconds, on heads of 4 mm; see `test_imaging_jobs`."""
    made = Made((), (), **of_data_set)
    known, datasets.DATASETS = datasets.DATASETS, (made,)
    try:
        steps = imaging_steps.jobs(Imaging(steps=STEPS), made.name)
    finally:
        datasets.DATASETS = known
    steps["gate"].pop("excluded")
    return {"modality": made.modality, "steps": json.loads(json.dumps(steps))}


def export_of_volumes(path: Path, method: str = "intensity", **more) -> Path:
    """The same of a model that takes heads."""
    size = STEPS["slab"]["size"]
    shape = Shape(1, size, size, 0, SLICES, ("brain", "lesion"))
    images = {"levels": ANYTHING, "native_mm": None, "modalities": ["MR FLAIR"]}
    told = {"imaging": imaging(), "region": "brain", "images": images}
    return export(path, method, shape, **told | more)


def know_the_fits(monkeypatch) -> None:
    """What takes seconds on heads is replaced by what is known of those that are drawn."""
    target = atlas.load("mni152", SPACING_MM)

    def register(fixed: Volume, moving: Volume, params: object, region: Volume) -> Transform:
        if fixed.values.shape != target.t1.values.shape:
            return TO["flair"].inverse().compose(TO["t1"])
        return TO["t1" if moving.values.shape == SHAPES["t1"] else "flair"]

    brain = target.brain, {"brain_ml": 1800.0}
    monkeypatch.setattr(atlas, "load", lambda **given: target)
    monkeypatch.setattr(bias, "correct", lambda image, settings: (image, {"field_cv": 0.1}))
    monkeypatch.setattr(registration, "register", register)
    monkeypatch.setattr(stripping, "strip", lambda head, atlas, settings, given: brain)


def bids(folder: Path, who: str, drawn: dict[str, Volume] | None = None) -> Path:
    """A drawn head with a lesion as FLAIR and T1w in a BIDS folder; returns its folder anat."""
    raw, anat = folder.with_name("drawn"), folder / who / "anat"
    written(raw, drawn or drawings(), who, ["lesion"])
    anat.mkdir(parents=True)
    for name, suffix in (("flair", "FLAIR"), ("t1", "T1w")):
        (raw / who / f"{name}.nii.gz").rename(anat / f"{who}_{suffix}.nii.gz")
    return anat


def lesion_of(folder: Path, who: str) -> Volume:
    """Where the lesion was drawn, on the grid of FLAIR."""
    return volume.read_mask(folder.with_name("drawn") / who / "lesion.nii.gz")


def write_png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
