"""The page docs/add-a-method.md, followed to the letter in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "params.yaml", "profiles", "workflow", "papers", "notebooks", "src", "results")
DATASET = "phantom-breastmnist"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page."""
    page = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


@pytest.fixture
def project(tmp_path):
    """A copy of the project to which the method of the page has been added, and how to run in it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "phantom-*"))
        else:
            shutil.copy(source, tmp_path / name)
    (code,), (block,) = blocks("python"), blocks("yaml")
    (tmp_path / "src/latent_anatomy/methods/linear.py").write_text(code, encoding="utf-8")

    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    params["methods"] |= yaml.safe_load(block)
    study = params["studies"]["unoranic"]
    study["runs"].append("linear")
    study["collections"]["phantom"]["datasets"] = [DATASET]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return tmp_path, run


@pytest.mark.slow
def test_the_page_gives_a_method_that_is_planned_trained_and_evaluated(project):
    folder, run = project
    plan = run("snakemake", "--cores", "2", "-n")
    job = f"unoranic/linear/{DATASET}/seed-1"
    assert f"models/{job}/model.safetensors" in plan
    assert f"results/{job}/metrics.json" in plan

    command = (sys.executable, "-m", "latent_anatomy")
    slices = ("--slices", f"data/slices/{DATASET}.h5")
    model = ("--model", f"models/{job}/model.safetensors")
    run(*command, "phantom", DATASET, "--out", f"data/raw/{DATASET}")
    run(*command, "slice", DATASET, "--raw", f"data/raw/{DATASET}", "--params", f".params/slice/{DATASET}.json",
        "--out", slices[1])  # fmt: skip
    run(*command, "train", "--params", f".params/train/{job}.json", *slices, *model,
        "--history", f"models/{job}/history.csv")  # fmt: skip
    run(*command, "evaluate", "--params", f".params/evaluate/{job}.json", *slices, *model,
        "--metrics", f"results/{job}/metrics.json", "--arrays", f"results/{job}/arrays.npz")  # fmt: skip

    found = json.loads((folder / f"results/{job}/metrics.json").read_text(encoding="utf-8"))
    assert found["run"] == "linear"
    assert found["metrics"]["reconstruction/psnr"] > 10  # a grey image of the mean brightness has less
    assert found["metrics"]["probing/disease/own/auc"] > 0.6
    assert not any(key.startswith("revision/") and "anatomy" in key for key in found["metrics"])
