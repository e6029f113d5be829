"""Small made-up result folders, for the tests of the ledger and of the notebooks."""

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
from proofs import named

from latent_anatomy.corruptions.augment import NAMES as CORRUPTIONS
from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.ledger import papers
from latent_anatomy.provenance.files import sha256_file, write_json
from latent_anatomy.provenance.passport import sealed

PAPER = Path(__file__).parents[1] / "papers" / "unoranic.yaml"
ORDER = ("bloodmnist", "breastmnist", "dermamnist", "pneumoniamnist", "retinamnist")


@cache
def paper() -> papers.Paper:
    """papers/unoranic.yaml."""
    return papers.load(PAPER)


def printed_metrics(run: str, column: int) -> dict[str, float]:
    """Every metric of a run that the paper's file names, with the number printed for a data set."""
    metrics = {}
    for table in paper().tables:
        for row in table.rows:
            if row.run == run and not table.not_run:
                value = row.values[min(column, len(row.values) - 1)]
                metrics |= {key: value for key in row.metrics if key not in metrics}
    return metrics


def robustness(level: float) -> dict[str, float]:
    """Falling AUC under two corruptions, and the means that the evaluation adds."""
    metrics = {"robustness/clean/auc": level, "robustness/resampled/auc": level - 0.01}
    metrics |= {f"robustness/{family}/auc": level - 0.1 for family in ("noise", "all")}
    for name in ("gaussian_noise", "fog"):
        metrics |= {f"robustness/{name}/{severity}/auc": level - 0.03 * severity for severity in range(1, 6)}
    return metrics


def result(run: str, dataset: str, seed: int = 1, shift: float = 0.0) -> dict:
    """Job and metrics of a full-length run that finds the printed numbers plus `shift`; see `write`."""
    published = dataset.removeprefix("phantom-").split("-")[0]
    metrics = printed_metrics(run, ORDER.index(published)) | robustness(0.9 if run == "unoranic" else 0.8)
    if run == "unoranic":
        metrics |= {f"revision/{name}/input_psnr": 20.0 + 2 * i for i, name in enumerate(CORRUPTIONS)}
        metrics |= {"revision/clean/anatomy_psnr": 26.5, "separation/linear_cka": 0.4}
    return {
        "study": "unoranic",
        "run": run,
        "dataset": dataset,
        "seed": seed,
        "metrics": {key: value + shift for key, value in metrics.items()},
        "params": copy.deepcopy(paper().runs[run].released),
        "training": {"precision": "fp32"},
        "evaluation": copy.deepcopy(paper().evaluation),
        "job": "evaluate",
    }


def comparison(dataset: str, values: dict[str, tuple[float, float]]) -> dict:
    """Job and metrics of a comparison; values: key -> (difference, p over trainings)."""
    metrics = {}
    for key, (difference, p) in values.items():
        metrics |= {f"{key}/difference": difference, f"{key}/p_value": p / 2, f"{key}/p_value_trainings": p}
        for start, half in (("ci", 0.05), ("trainings", 0.1)):
            metrics |= {f"{key}/{start}_low": difference - half, f"{key}/{start}_high": difference + half}
    return {
        "study": "unoranic",
        "dataset": dataset,
        "metrics": metrics,
        "job": "paired-tests",
    }


def write(root: Path, *contents: dict) -> list[Path]:
    """Write each metrics.json and its passport.json where its run would have put it, below `root`/results.

    A content is the job with its "metrics"; "inputs", where it has them, are those of the passport.
    """
    paths = []
    for content in contents:
        if "seed" in content:
            replicate = str(Replicate(content["seed"], content.get("fold")))
            parts = [content["study"], content["dataset"], content["run"], replicate]
        else:
            parts = [content["study"], "comparison", content["dataset"]]
        path = Path(root, "results", *parts, "metrics.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        overwrite(path, content)
        paths.append(path)
    return paths


def overwrite(path: Path, content: dict) -> None:
    """Write a content at `path` and beside it, whatever it is the content of."""
    job = {key: value for key, value in content.items() if key not in ("metrics", "inputs")}
    path.write_text(json.dumps(content["metrics"]), encoding="utf-8")
    passport = {"inputs": content.get("inputs", {}), "job": job}
    passport = sealed(passport, outputs={"metrics": sha256_file(path)})
    write_json(path.with_name("passport.json"), passport)


def write_arrays(metrics: Path, channels: int) -> Path:
    """The arrays.npz beside a metrics.json of unORANIC, with the pictures that the notebook shows."""
    rng = np.random.default_rng(0)
    names = ["clean/original", "clean/anatomy", "clean/reconstruction"]
    names += [f"{name}/{kind}" for name in CORRUPTIONS for kind in ("input", "anatomy", "reconstruction")]
    size = (8, channels, 28, 28)
    arrays = {f"figure/{name}": rng.integers(0, 256, size, dtype=np.uint8) for name in names}
    path = metrics.with_name("arrays.npz")
    np.savez_compressed(path, **arrays)
    return named(path)


def write_history(root: Path, run: str, dataset: str) -> Path:
    """A history.csv of three epochs, the second without a rate above zero."""
    path = Path(root, "models", "unoranic", dataset, run, "seed-1", "history.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "epoch,rate/all,train/loss,val/loss\n1,0.1,1,2\n2,0.2,0.5,1\n3,0.1,0.25,0.9\n", encoding="utf-8"
    )
    return path
