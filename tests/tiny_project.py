"""A finished project that is as small as it gets: a git repository with one phantom, two runs, two seeds.

Run in the root of a copy of the pipeline, with that copy's package, as `finish` does.
"""

import copy
import html
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DATASET = "phantom-breastmnist"
RUNS = ("ae", "unoranic")
SEEDS = (1, 2)
STUDIES = ("unoranic", "baur", "sdnet", "ra", "rotation", "encoders")
PAPERS = tuple(f"papers/{study}.yaml" for study in STUDIES if (ROOT / f"papers/{study}.yaml").is_file())
LEDGERS = ("results/ledger.csv", "results/ledger-phantom.csv")
LOCK = "requirements.lock"
PAGE = Path("reports/index.html")


def finish(
    path: Path, content: dict | None = None, script: str = __file__, methods: dict[str, str] | None = None
) -> None:
    """Make the project at `path`: commit the pipeline, then run every job of it, which `script` does.

    `content` is that of params.yaml, by default `parameters`; `methods` are more of them, name -> source.
    """
    for name in ("src", "papers", "notebooks"):
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in (methods or {}).items():
        (path / f"src/latent_anatomy/methods/{name}.py").write_text(source, encoding="utf-8")
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

    from latent_anatomy.data.dataset import mirror_folder
    from latent_anatomy.data.download import DATA, Download
    from latent_anatomy.data.fetch import fetch
    from latent_anatomy.datasets import registry as datasets
    from latent_anatomy.jobs import pool, slice
    from latent_anatomy.pipeline import job_files, layout, params

    torch.set_num_threads(1)
    chosen = params.load(Path("params.yaml"))
    job_files.write(chosen)
    for dataset in chosen.collection.images:
        raw, sliced = Path("data/raw", dataset), layout.slices(dataset)
        datasets.find(dataset).generate(raw)
        slice.run(dataset, raw, Path(".params", f"{sliced.job}.json"), Path(sliced.path))
    for dataset in chosen.collection.pools:
        sliced = layout.slices(dataset)
        members = [Path(path) for path in sliced.inputs.values()]
        pool.run(Path(".params", f"{sliced.job}.json"), members, Path(sliced.path))
    for path in Path(".params/raw").iterdir():
        job = json.loads(path.read_text(encoding="utf-8"))
        if "download" in job:
            fetch(Download.of_job(job), DATA / path.stem, mirror_folder())
    report_all(LEDGERS[1], train_and_evaluate())
    report("qc", {})
    index()


def train_and_evaluate() -> list:
    """Every training, evaluation and paired test of .params, and the ledgers; returns the results."""
    from latent_anatomy.jobs import evaluate, paired_tests, train
    from latent_anatomy.ledger import build
    from latent_anatomy.pipeline import layout

    def jobs(kind: str) -> list[tuple[Path, dict]]:
        paths = sorted(Path(".params", kind).rglob("*.json"))
        return [(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths]

    def inputs(artefact: layout.Artefact) -> dict[str, Path]:
        return {role: Path(path) for role, path in artefact.inputs.items()}

    def standing(job: dict) -> int:
        return 1 + standing(job["on"]) if "on" in job else 0

    for path, job in sorted(jobs("train"), key=lambda each: standing(each[1])):
        made = layout.of_job(job)
        outputs = {"model": Path(made.path), "history": Path(made.outputs["history"])}
        given = {role: each for role, each in inputs(made).items() if role in ("slices", "on")}
        train.run(path, scratch=Path(".scratch"), device="cpu", **given, **outputs)
    results = []
    for path, job in jobs("evaluate"):
        made = layout.of_job(job)
        outputs = {role: Path(output) for role, output in made.outputs.items()}
        outputs |= {"tables": Path(made.path).with_name(layout.TABLES), "passport": Path(made.path)}
        evaluate.run(path, device="cpu", **inputs(made), **outputs)
        results.append(made)
    metrics = [Path(each.outputs["metrics"]) for each in results]
    for path, job in jobs("paired-tests"):
        study, dataset = job["study"], job["dataset"]
        tests = layout.comparison(study, dataset, [])
        metrics.append(Path(tests.outputs["metrics"]))
        paired_tests.run(path, Path("results", study, dataset), metrics[-1], Path(tests.path))
    build.write(list(map(Path, PAPERS)), metrics, *map(Path, LEDGERS))
    return results


def report_all(ledger: str, results: list) -> None:
    """A report of every study."""
    for study in STUDIES:
        report(study, shown(ledger, study, [each for each in results if each.says["study"] == study]))


def shown(ledger: str, study: str, results: list) -> dict:
    """The parameters of a study's notebook."""
    tests = sorted(map(str, Path("results", study).glob("comparison/*/metrics.json")))
    paper = f"papers/{study}.yaml"
    return ({"ledger_file": ledger, "papers_file": paper} if paper in PAPERS else {}) | {
        "metrics_files": [*(each.outputs["metrics"] for each in results), *tests],
        "arrays_files": [each.outputs["arrays"] for each in results],
        "history_files": [each.made_of[0].outputs["history"] for each in results],
    }


def report(study: str, given: dict) -> None:
    """A report as the rule makes it, with a stand-in for the notebook's HTML."""
    from latent_anatomy.jobs import report
    from latent_anatomy.pipeline import reports

    report.html = stand_in
    job, notebook = Path(f".params/report/{study}.json"), Path(reports.notebook(study, Path()))
    report.run(job, notebook, json.dumps(given), Path(f"reports/{study}.html"))


def index(tables: Sequence[str] = (), job: Path = Path(".params/report/index.json")) -> None:
    """The page that leads to the reports that are there, with the ledgers and these tables of the gate."""
    from latent_anatomy.reports import index

    papers = list(map(Path, PAPERS))
    reports = sorted(Path("reports").glob("*.html"))
    ledgers = list(map(Path, LEDGERS))
    index.write(job, ledgers, papers, list(map(Path, tables)), reports, PAGE)


def stand_in(notebook: Path, parameters: str) -> str:
    """HTML that stands for a notebook's: which files it shows, and what is in them."""
    given = json.loads(parameters)
    paths = [path for name, value in given.items() if name.endswith("_files") for path in value]
    shown = {path: Path(path).read_text(encoding="utf-8") for path in paths if path.endswith(".json")}
    body = html.escape(json.dumps([given, shown]))
    return f"<html>\n<head>\n</head>\n<body>{body}</body>\n</html>\n"


if __name__ == "__main__":
    run_all()
