"""Small made-up result folders of the study `baur`, for tests of its ledger rows, figures and notebook."""

import copy
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from proofs import named
from scoring import scores_of

from latent_anatomy.evaluation.paired_tests import compare
from latent_anatomy.evaluation.protocols import lesions
from latent_anatomy.ledger import papers

PAPER = Path(__file__).parents[1] / "papers" / "baur.yaml"
MODELS = ("dae", "sae1", "sae3", "sae-gan", "dvae", "svae", "anovaegan", "anogan")
BASELINES = ("intensity", "healthy-mean", "chance")
KINDS = ("training", "validation", "oracle")
PATIENTS = 17  # the last one without lesions
SIZE = 48


@cache
def paper() -> papers.Paper:
    """papers/baur.yaml."""
    return papers.load(PAPER)


def printed(run: str) -> float:
    """The paper's Dice of a run; of a baseline, one that the paper does not have."""
    rows = {row.run: row.values[0] for row in paper().tables[0].rows}
    return rows.get(run, 0.3 / (1 + BASELINES.index(run)) if run in BASELINES else 0)


def dice(run: str, seed: int = 1) -> dict[str, NDArray]:
    """Kind of threshold -> Dice (P,) of a run that does about as well as in the paper."""
    common = np.random.default_rng(0).normal(0, 0.05, PATIENTS)
    own = np.random.default_rng([*run.encode(), seed]).normal(0, 0.01, PATIENTS)
    found = np.clip(printed(run) + common + own, 0.01, 0.99)
    found[-1] = np.nan
    return {"training": found, "validation": found + 0.005, "oracle": found + 0.01}


def result(run: str, dataset: str, seed: int = 1, shift: float = 0.0, kinds: tuple = KINDS) -> dict:
    """Job and metrics of a full-length run; see `synthetic_results.write`. `shift` is added to its Dice."""
    metrics = {"lesions/auprc": printed(run), "lesions/prevalence": 0.01}
    metrics |= {"lesions/patients": PATIENTS, "lesions/patients_without_lesions": 1}
    for number, kind in enumerate(kinds):
        values = dice(run, seed)[kind][:-1] + shift
        measured = {"threshold": 0.2 + 0.05 * number, "dice": values.mean(), "dice_sd": values.std(ddof=1)}
        measured |= {"dice_voxelwise": 0.5, "sensitivity_touched": 0.7, "sensitivity_covered": 0.6}
        measured |= {"false_positives_per_volume": 3.5, "volume_difference": -0.1}
        measured |= {"volume_difference_absolute": 0.2}
        metrics |= {f"lesions/{kind}/{name}": float(value) for name, value in measured.items()}
    for kind in kinds[:-1]:
        metrics[f"lesions/gap/{kind}"] = metrics["lesions/oracle/dice"] - metrics[f"lesions/{kind}/dice"]
    return {
        "study": "baur",
        "run": run,
        "dataset": dataset,
        "seed": seed,
        "metrics": metrics,
        "params": copy.deepcopy(paper().runs[run].settings) if run in MODELS else {},
        "evaluation": {"lesions": lesions.Params().model_dump(mode="json")},
        "job": "evaluate",
    }


def comparison(dataset: str, runs: tuple[str, ...]) -> dict:
    """Job and metrics of the paired tests of these runs, at the threshold from training."""
    subject = np.array([f"patient-{number}" for number in range(PATIENTS)])
    left = {
        run: [
            scores_of(
                {
                    "lesions/subject": subject[:-1],
                    "lesions/training/dice": dice(run)["training"][:-1] + 1e-4 * seed,
                }
            )
            for seed in (-1, 0, 1)
        ]
        for run in runs
    }
    return {"study": "baur", "dataset": dataset, "metrics": compare(left), "job": "paired-tests"}


def arrays(run: str, count: int = 3) -> dict[str, NDArray]:
    """What the evaluation leaves beside a metrics.json: Dice, histograms, pictures of `count` slices.

    A brain (an ellipse with some structure) with a bright lesion, larger from slice to slice.
    """
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    brain = (rows / 0.45) ** 2 + (columns / 0.36) ** 2 < 1
    healthy = brain * (0.45 + 0.1 * np.cos(20 * rows) * np.cos(16 * columns))
    radius = 0.05 + 0.03 * np.arange(count)[:, None, None]
    lesion = brain & ((rows - 0.1) ** 2 + (columns + 0.12) ** 2 < radius**2)
    noise = np.random.default_rng(0).normal(0, 0.02, (count, SIZE, SIZE)) * brain
    original = np.clip(healthy + 0.35 * lesion + noise, 0, 1)
    reconstruction = healthy + 0.35 * lesion * (1 - printed(run))
    residual = np.abs(original - reconstruction)
    planes = {"original": original, "residual": residual / residual.max(), "reference": lesion}
    planes["segmentation"] = residual > 0.05
    if run not in BASELINES:
        planes["reconstruction"] = np.broadcast_to(reconstruction, original.shape)
    found = {f"figure/lesions/{name}": _uint8(values) for name, values in planes.items()}
    edges = np.linspace(0, 1, 101)
    middles = (edges[:-1] + edges[1:]) / 2
    for number, name in enumerate(("healthy_training", "healthy_test", "lesion")):
        counts = 1e6 / 100**number * np.exp(-middles * (20 - 8 * number))
        found[f"lesions/histogram/{name}"] = counts.astype(np.int64)
    found["lesions/histogram/edges"] = edges
    found["lesions/subject"] = np.array([f"patient-{number}" for number in range(PATIENTS - 1)])
    return found | {f"lesions/{kind}/dice": values[:-1] for kind, values in dice(run).items()}


def _uint8(values: NDArray) -> NDArray[np.uint8]:
    return np.round(255 * values[:, None]).astype(np.uint8)


def write_arrays(metrics: Path, run: str) -> Path:
    """The arrays.npz beside a metrics.json."""
    path = metrics.with_name("arrays.npz")
    np.savez_compressed(path, **arrays(run))
    return named(path)


def write_history(root: Path, run: str, dataset: str) -> Path:
    """The history.csv of a run: three epochs, or one line where it is fitted in one go."""
    path = Path(root, "models", "baur", dataset, run, "seed-1", "history.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    trained = "epoch,rate/autoencoder,train/l1,val/l1\n1,0.001,90,95\n2,0.001,40,50\n3,0.001,30,45\n"
    path.write_text("epoch\n1\n" if run in BASELINES else trained, encoding="utf-8")
    return path
