"""A finished project that is as small as it gets: a git repository with one phantom, two runs, two seeds.

Run in the root of a copy of the pipeline, with that copy's package, as `finish` does.
"""

import copy
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DATASET = "phantom-breastmnist"
RUNS = ("ae", "unoranic")
SEEDS = (1, 2)
STUDIES = ("unoranic", "baur", "sdnet")
LEDGERS = ("results/ledger.csv", "results/ledger-phantom.csv")
LOCK = "requirements.lock"


def finish(path: Path, content: dict | None = None, script: str = __file__) -> None:
    """Make the project at `path`: commit the pipeline, then run every job of it, which `script` does.

    `content` is that of params.yaml, by default `parameters`.
    """
    for name in ("src", "papers", "notebooks"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / LOCK, path / LOCK)
    (path / "params.yaml").write_text(
        yaml.safe_dump(content or parameters(), sort_keys=False), encoding="utf-8"
    )
    git = ["git", "-C", str(path), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "A tiny project"]):
        subprocess.run([*git, *words], check=True)
    environment = os.environ | {"PYTHONPATH": str(path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, script], cwd=path, env=environment, check=True)


def parameters() -> dict:
    """params.yaml with one phantom, one epoch and the cheapest protocol."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"data": "phantom", "imaging": {}}
    content["studies"]["unoranic"] = {"runs": list(RUNS), "evaluation": {"reconstruction": {}}}
    real = {"images": ["breastmnist"], "studies": {"unoranic": {"datasets": ["breastmnist"], "seeds": [1]}}}
    tiny = {"runs": list(RUNS), "params": {"epochs": 1, "width": 4, "latent": 8, "batch_size": 128}}
    unoranic = {"datasets": [DATASET], "seeds": list(SEEDS), "changes": [tiny]}
    content["collections"] = {
        "phantom": {"images": [DATASET], "studies": {"unoranic": unoranic}},
        "real": real,
        "at-hand": copy.deepcopy(real),
    }
    for collection in content["collections"].values():
        collection["studies"] |= {study: {"seeds": [1]} for study in STUDIES[1:]}
    return content


def run_all() -> None:
    """Every job in the current folder, by the functions that the verbs call."""
    import torch

    from latent_anatomy.data.cohorts import Replicate
    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.jobs import evaluate, paired_tests, slice, train
    from latent_anatomy.ledger import build
    from latent_anatomy.pipeline import job_files, layout, params

    torch.set_num_threads(1)
    job_files.write(params.load(Path("params.yaml")))

    def job(artefact: layout.Artefact) -> Path:
        return Path(".params", f"{artefact.job}.json")

    datasets.find(DATASET).generate(Path("data/raw", DATASET))
    sliced = layout.slices(DATASET)
    slice.run(DATASET, Path("data/raw", DATASET), job(sliced), Path(sliced.path))
    results = [layout.result("unoranic", DATASET, run, Replicate(seed)) for run in RUNS for seed in SEEDS]
    for result in results:
        model, slices = (Path(each.path) for each in result.made_of)
        history = Path(result.made_of[0].outputs["history"])
        train.run(job(result.made_of[0]), slices, model, history, Path(".scratch"), "cpu")
        outputs = [*map(Path, result.outputs.values()), Path(result.path).with_name(layout.TABLES)]
        evaluate.run(job(result), slices, model, *outputs, Path(result.path), "cpu")
    tests = layout.comparison("unoranic", DATASET, results)
    metrics = [Path(each.outputs["metrics"]) for each in (*results, tests)]
    paired_tests.run(job(tests), Path("results/unoranic", DATASET), metrics[-1], Path(tests.path))
    build.write([Path(f"papers/{study}.yaml") for study in STUDIES], metrics, *map(Path, LEDGERS))
    for study in STUDIES:
        report(study, shown(LEDGERS[1], study, results if study == "unoranic" else []))
    report("qc", {})


def shown(ledger: str, study: str, results: list) -> dict:
    """The parameters of a study's notebook."""
    return {
        "ledger_file": ledger,
        "papers_file": f"papers/{study}.yaml",
        "metrics_files": [each.outputs["metrics"] for each in results],
        "arrays_files": [each.outputs["arrays"] for each in results],
        "history_files": [each.made_of[0].outputs["history"] for each in results],
    }


def report(study: str, given: dict) -> None:
    """A stand-in for the notebook's HTML, sealed as the rule does it."""
    import json

    from latent_anatomy.jobs import seal

    text = f"<html>\n<head>\n</head>\n<body>{json.dumps(given)}</body>\n</html>\n"
    job, notebook = Path(f".params/report/{study}.json"), Path(f"notebooks/{study}.ipynb")
    seal.run(job, notebook, json.dumps(given), io.BytesIO(text.encode()), Path(f"reports/{study}.html"))


if __name__ == "__main__":
    run_all()
