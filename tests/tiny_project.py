"""A finished project that is as small as it gets: a git repository with one phantom, two runs, two seeds.

Run in the root of a copy of the pipeline, with that copy's package, as `finish` does.
"""

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
LEDGERS = ("results/ledger.csv", "results/ledger-phantom.csv")
LOCK = "requirements.lock"


def finish(path: Path) -> None:
    """Make the project at `path`: commit the pipeline, then run every job of it."""
    for name in ("src", "papers", "notebooks"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / LOCK, path / LOCK)
    (path / "params.yaml").write_text(yaml.safe_dump(parameters(), sort_keys=False), encoding="utf-8")
    git = ["git", "-C", str(path), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "A tiny project"]):
        subprocess.run([*git, *words], check=True)
    environment = os.environ | {"PYTHONPATH": str(path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, __file__], cwd=path, env=environment, check=True)


def parameters() -> dict:
    """params.yaml with one phantom, one epoch and the cheapest protocol."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["data"] = "phantom"
    content["studies"]["unoranic"] = {"runs": list(RUNS), "evaluation": {"reconstruction": {}}}
    nothing = {"datasets": [], "external": [], "seeds": [1]}
    for collection in content["collections"].values():
        unoranic = {"datasets": ["breastmnist"], "seeds": [1]}
        collection |= {"images": ["breastmnist"], "volumes": []}
        collection["studies"] = {"unoranic": unoranic, "baur": nothing}
    tiny = {"runs": list(RUNS), "params": {"epochs": 1, "width": 4, "latent": 8, "batch_size": 128}}
    content["imaging"] = {}
    content["collections"]["phantom"]["images"] = [DATASET]
    content["collections"]["phantom"]["studies"]["unoranic"] = {
        "datasets": [DATASET],
        "seeds": list(SEEDS),
        "changes": [tiny],
    }
    return content


def run_all() -> None:
    """Every job in the current folder, by the functions that the verbs call."""
    import torch

    from latent_anatomy import datasets, ledger, params, resolution
    from latent_anatomy.audit import layout
    from latent_anatomy.jobs import evaluate, paired_tests, slice, train

    torch.set_num_threads(1)
    resolution.write(params.load(Path("params.yaml")))

    def job(artefact: layout.Artefact) -> Path:
        return Path(".params", f"{artefact.job}.json")

    datasets.find(DATASET).generate(Path("data/raw", DATASET))
    sliced = layout.slices(DATASET)
    slice.run(DATASET, Path("data/raw", DATASET), job(sliced), Path(sliced.path))
    results = [layout.result("unoranic", DATASET, run, seed) for run in RUNS for seed in SEEDS]
    for result in results:
        model, slices = (Path(each.path) for each in result.made_of)
        history = Path(result.made_of[0].outputs["history"])
        train.run(job(result.made_of[0]), slices, model, history, Path(".scratch"), "cpu")
        outputs = map(Path, result.outputs.values())
        evaluate.run(job(result), slices, model, *outputs, Path(result.path), "cpu")
    tests = layout.comparison("unoranic", DATASET, results)
    metrics = [Path(each.outputs["metrics"]) for each in (*results, tests)]
    paired_tests.run(job(tests), Path("results/unoranic", DATASET), metrics[-1], Path(tests.path))
    ledger.write([Path("papers/unoranic.yaml")], metrics, *map(Path, LEDGERS))
    report(job(layout.report("unoranic")), results)


def report(job: Path, results: list) -> None:
    """A stand-in for the notebook's HTML, sealed as the rule does it."""
    import json

    from latent_anatomy.jobs import seal

    given = {
        "ledger_file": LEDGERS[1],
        "papers_file": "papers/unoranic.yaml",
        "metrics_files": [each.outputs["metrics"] for each in results],
        "arrays_files": [each.outputs["arrays"] for each in results],
        "history_files": [each.made_of[0].outputs["history"] for each in results],
    }
    html = io.BytesIO(
        b"<html>\n<head>\n</head>\n<body>" + Path(LEDGERS[1]).read_bytes() + b"</body>\n</html>\n"
    )
    seal.run(job, Path("notebooks/unoranic.ipynb"), json.dumps(given), html, Path("reports/unoranic.html"))


if __name__ == "__main__":
    run_all()
