"""The page docs/add-a-method.md, followed to the letter in a copy of the project."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import ROOT
from safetensors.torch import load_file

from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Data, Shape, Stack

DATASET = "phantom-breastmnist"
JOB = f"unoranic/{DATASET}/linear/seed-1"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page."""
    page = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


@pytest.fixture
def project(clean, tmp_path):
    """A copy of the project to which the method of the page has been added."""
    project = clean.copy(tmp_path / "project")
    (linear, brightness, levelled), (block, on) = blocks("python"), blocks("yaml")
    folder = project.path / "src/latent_anatomy/methods"
    (folder / "linear.py").write_text(linear, encoding="utf-8")
    (folder / "brightness.py").write_text(brightness, encoding="utf-8")
    params = yaml.safe_load((project.path / "params.yaml").read_text(encoding="utf-8"))
    (folder / "levelled.py").write_text(levelled, encoding="utf-8")
    params["methods"] |= yaml.safe_load(block) | yaml.safe_load(on)
    params["methods"]["brightness"] = {"method": "brightness"}
    params["studies"]["unoranic"]["runs"] += ["linear", "levelled"]
    params["studies"]["baur"]["runs"].append("brightness")
    (project.path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return project


@pytest.mark.slow
def test_the_page_gives_a_method_that_is_planned_trained_and_evaluated(project):
    planned = project.plan()
    assert ("train", "unoranic", DATASET, "linear", "seed-1") in planned
    assert ("evaluate", "unoranic", DATASET, "linear", "seed-1") in planned
    assert ("train", "unoranic", DATASET, "levelled", "seed-1") in planned
    assert {
        (verb, "baur", "phantom-brain", "brightness", "seed-1") for verb in ("train", "evaluate")
    } < planned

    def run(verb: str, **options: str) -> None:
        words = [f"--{name}={value}" for name, value in options.items()]
        environment = os.environ | {"PYTHONPATH": str(project.path / "src")}
        command = [sys.executable, "-m", "latent_anatomy", *verb.split(), *words]
        subprocess.run(command, cwd=project.path, env=environment, capture_output=True, check=True)

    slices, model = f"data/slices/{DATASET}.h5", f"models/{JOB}/model.safetensors"
    run(f"phantom {DATASET}", out=f"data/raw/{DATASET}")
    run(f"slice {DATASET}", raw=f"data/raw/{DATASET}", params=f".params/slice/{DATASET}.json", out=slices)
    run("train", params=f".params/train/{JOB}.json", slices=slices, model=model, history="history.csv")
    run("evaluate", params=f".params/evaluate/{JOB}.json", slices=slices, model=model,
        metrics="metrics.json", scores="scores.npz", arrays="arrays.npz", tables="tables",
        passport="passport.json")  # fmt: skip

    found = json.loads((project.path / "metrics.json").read_text(encoding="utf-8"))
    assert found["reconstruction/psnr"] > 15
    assert found["probing/disease/own/auc"] > 0.6

    job = f".params/train/{JOB.replace('linear', 'levelled')}.json"
    run("train", params=job, slices=slices, on=model, model="levelled.safetensors", history="history.csv")
    above, below = (load_file(project.path / name) for name in ("levelled.safetensors", model))
    assert {f"on.{name}" for name in below} | {"level"} == above.keys() and above["level"] != 0
    assert not any(key.startswith("revision/") and "anatomy" in key for key in found)


def test_the_page_gives_a_method_that_is_fitted_and_finds_what_is_bright(tmp_path):
    names: dict = {}
    exec(blocks("python")[1], names)
    method = names["Method"](names["Method"].Params(), Shape(1, 16, 16, 0, 2))
    stored = torch.full((8, 1, 16, 16), 100, dtype=torch.uint8)
    settings = TrainingParams(precision="fp32", compile=False)
    train(method, Data(stored), Data(stored), seed=1, settings=settings, scratch=tmp_path)
    images = stored[:2].float() / 255
    images[1, 0, 4:6, 4:6] = 1.0
    region = torch.ones(2, 16, 16, dtype=torch.bool)
    region[1, 4] = False
    found = method.anomaly_map(Stack(images, region, torch.arange(2)))
    assert found.shape == (2, 1, 16, 16)
    assert torch.nonzero(found > 1e-6).tolist() == [[1, 0, 5, 4], [1, 0, 5, 5]]
    assert list(method.state_dict()) == ["mean"], "what is learnt is saved"
