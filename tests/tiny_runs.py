"""Trained runs in the places of a project: one on pictures, one on heads; the jobs are the real ones."""

import json
from pathlib import Path

import numpy as np
import yaml
from conftest import ROOT
from proofs import sliced

from latent_anatomy.data import slices, slices_file
from latent_anatomy.jobs import evaluate, train
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import imaging_steps, params
from latent_anatomy.provenance.files import canonical_json

SIZE = 28
PICTURES = "unoranic/phantom-breastmnist/mean/seed-1"
HEADS = "baur/phantom-brain/intensity/seed-1"


def pictures(random: np.random.Generator, count: int) -> np.ndarray:
    """(N, 1, 28, 28) uint8: discs on a dark ground; every second one has a bright spot."""
    axes = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    disc = np.hypot(*axes) < 0.8
    images = disc * random.integers(90, 110, (count, SIZE, SIZE))
    images[1::2, 8:13, 10:15] = 250
    return images[:, None].astype(np.uint8)


def trained_on_pictures(root: Path) -> str:
    """The distance to the mean picture, trained and evaluated; returns its name."""
    count = 48
    content = slices.Slices(
        images=pictures(np.random.default_rng(0), count),
        labels=np.arange(count) % 2,
        subject=np.array([f"subject-{number}" for number in range(count)]),
        slice=np.zeros(count, np.int32),
        split=np.repeat(["train", "val", "test"], count // 3),
        modality=np.full(count, "ultrasound"),
        dataset="phantom-breastmnist",
        task="binary-class",
        classes=2,
    )
    _finish(root, PICTURES, content, "healthy_mean", {"by_position": False}, {"anomalies": {}}, {})
    return PICTURES


def trained_on_heads(root: Path) -> str:
    """The intensity of heads whose slices are noise, with bright lesions in who is tested."""
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    chosen = params.validate(yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")))
    job = imaging_steps.jobs(chosen.imaging, "phantom-brain")["slab"]
    random, people, each = np.random.default_rng(1), 6, 4
    count = people * each
    images = random.uniform(0.3, 0.5, (count, 1, SIZE, SIZE)).astype(np.float32)
    masks = np.zeros((count, 2, SIZE, SIZE), np.uint8)
    masks[:, 0, 3:25, 3:25] = 1
    masks[count // 2 :, 1, 10:16, 10:16] = 1
    images[masks[:, 1:] == 1] = 0.9
    images[masks[:, :1] == 0] = 0
    content = slices.Slices(
        images=images,
        masks=masks,
        mask_names=("brain", "lesion"),
        subject=np.repeat([f"patient{number:02}" for number in range(1, people + 1)], each),
        slice=np.tile(np.arange(each, dtype=np.int32), people),
        split=np.repeat(["train"] * 3 + ["val", "test", "test"], each),
        modality=np.full(count, "MR FLAIR"),
        spacing_mm=np.full((count, 3), 2, np.float32),
        dataset="phantom-brain",
        task="lesions",
        classes=0,
    )
    _finish(root, HEADS, content, "intensity", {}, {"lesions": {}}, json.loads(json.dumps(job)))
    return HEADS


def _finish(root: Path, name: str, content, method: str, given: dict, asked: dict, slab: dict) -> None:
    """Slices, checkpoint and results of a run, where a project has them."""
    study, dataset, run, _ = name.split("/")
    proof = sliced(dataset)
    proof["job"] |= slab
    file = root / f"data/slices/{dataset}.h5"
    slices_file.write(file, content, proof)
    job = {"study": study, "run": run, "dataset": dataset, "seed": 1, "method": method, "source": "0" * 64}
    job["params"] = methods.load(method).Method.Params.model_validate(given).model_dump(mode="json")
    job["training"] = {"precision": "fp32", "compile": False}
    jobs = {"train": job | {"job": "train"}, "evaluate": job | {"job": "evaluate", "evaluation": asked}}
    for kind, each in jobs.items():
        (root / f"{kind}-{run}.json").write_text(canonical_json(each), encoding="utf-8")
    model, results = root / "models" / name, root / "results" / name
    checkpoint = model / "model.safetensors"
    train.run(root / f"train-{run}.json", file, checkpoint, model / "history.csv", root / "scratch", "cpu")
    outputs = ("metrics.json", "scores.npz", "arrays.npz", "tables", "passport.json")
    evaluate.run(
        root / f"evaluate-{run}.json", file, checkpoint, *(results / each for each in outputs), "cpu"
    )
