"""Small made-up result folders of the study `sdnet`, for tests of its ledger rows, figures and notebook."""

import copy
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from proofs import named

from latent_anatomy.ledger import papers

PAPER = Path(__file__).parents[1] / "papers" / "sdnet.yaml"
STRUCTURES = ("myocardium", "left-ventricle", "right-ventricle")
MODALITIES = ("mr", "ct")
VOLUME = ("mean", "sd", "true_mean", "true_sd", "bias", "loa_low", "loa_high", "mae")
SUBJECTS = 9
SIZE = 12
CHANNELS, LATENT = 3, 3


@cache
def paper() -> papers.Paper:
    """papers/sdnet.yaml."""
    return papers.load(PAPER)


def printed(run: str, metric: str, part: str) -> float:
    """The number of the first column of the paper that is so labelled; 0.5 where there is none."""
    for table in paper().tables:
        for row in table.rows:
            for place, name in enumerate(table.columns):
                if (row.run, row.metric) == (run, metric) and name.endswith(f".{part}"):
                    return row.values[place]
    return 0.5


def part_of(dataset: str) -> str:
    """What is labelled of a cohort: "12.5" or "mr-100-ct-12.5"."""
    return dataset.split(".", 2)[2]


def dice(run: str, dataset: str, fold: int = 0) -> NDArray:
    """Average Dice (P,) of the subjects of a fold, about as in the paper."""
    common = np.random.default_rng(fold).normal(0, 0.04, SUBJECTS)
    own = np.random.default_rng([*run.encode(), fold]).normal(0, 0.01, SUBJECTS)
    around = printed(run, "segmentation/slice-dice/average", part_of(dataset))
    return np.clip(around + common - common.mean() + own - own.mean(), 0, 1)


def segmented(run: str, dataset: str) -> dict[str, float]:
    """Metrics of the protocol `segmentation`."""
    part, found = part_of(dataset), {}
    for kind in ("slice-dice", "volume-dice", "volume-dice/ED", "volume-dice/ES"):
        for name in ("average", *STRUCTURES):
            found[f"segmentation/{kind}/{name}"] = printed(run, f"segmentation/slice-dice/{name}", part)
            if "/" not in kind:
                found[f"segmentation/{kind}/{name}_sd"] = 0.05
    if part.startswith("mr") and "-0" not in part:
        for modality in MODALITIES:
            metric = f"segmentation/{modality}/slice-dice/average"
            found[metric] = printed(run, metric, part)
            found[f"segmentation/{modality}/volume-dice/average"] = 0.4
    return found


def factorised() -> dict[str, float]:
    """Metrics of the protocols of SDNet alone."""
    found = {f"modality/z{i}/accuracy": 0.5 + 0.05 * i for i in range(LATENT)}
    found |= {"modality/z/accuracy": 0.9, "modality/s/accuracy": 0.6, "modality/chance": 0.52}
    names = ("recognised", "recognised_real", "recognised_reconstructed", "anatomy-dice")
    found |= {f"transfer/{name}": 0.8 for name in names}
    found |= {f"factors/variance/{name}": 0.6 for name in ("least", "second", "rest")}
    for kind in ("frozen", "fine-tuned"):
        found |= {f"volume/{kind}/{name}_ml": 100.0 + place for place, name in enumerate(VOLUME)}
        found |= {f"volume/{kind}/{name}": 0.25 for name in ("r", "p_value", "p_permutation")}
    found |= {f"volume/fine-tuned/slice-dice/{name}": 0.7 for name in ("average", *STRUCTURES)}
    for name in ("modality-from-s/accuracy", "modality-from-s/chance", "modality-from-s/random"):
        found[f"disentanglement/{name}"] = 0.6
    for name in ("volume-from-z/r2", "volume-from-z/random", "cka_unbiased", "cka_unbiased_random"):
        found[f"disentanglement/{name}"] = 0.3
    return found | {
        f"disentanglement/distance-correlation{end}": 0.2 for end in ("_unbiased", "_unbiased_random")
    }


def result(run: str, dataset: str, fold: int, seed: int = 1, shift: float = 0.0) -> dict:
    """Job and metrics of a full-length run; see `synthetic_results.write`. `shift` is added to its Dice."""
    metrics = {key: value + shift for key, value in segmented(run, dataset).items()}
    return {
        "study": "sdnet",
        "run": run,
        "dataset": dataset,
        "fold": fold,
        "seed": seed,
        "metrics": metrics | (factorised() if run.startswith("sdnet") else {}),
        "params": copy.deepcopy(paper().runs[run].settings),
        "evaluation": {},
        "job": "evaluate",
    }


def comparison(dataset: str, runs: tuple[str, ...]) -> dict:
    """Job and metrics of the paired tests of these runs."""
    metrics = {}
    for place, one in enumerate(runs):
        for other in runs[place + 1 :]:
            stem = f"segmentation/slice-dice/average/{one}-minus-{other}"
            difference = float((dice(one, dataset) - dice(other, dataset)).mean())
            metrics |= {f"{stem}/difference": difference, f"{stem}/ci_low": difference - 0.02}
            metrics |= {f"{stem}/ci_high": difference + 0.02, f"{stem}/p_value": 0.001}
            metrics |= {f"{stem}/p_value_t": 0.0005, f"{stem}/p_value_holm": 0.006}
            metrics |= {
                f"{stem}/trainings_low": difference - 0.03,
                f"{stem}/trainings_high": difference + 0.03,
            }
            metrics |= {f"{stem}/p_value_trainings": 0.002, f"{stem}/p_value_trainings_holm": 0.012}
    return {"study": "sdnet", "dataset": dataset, "metrics": metrics, "job": "paired-tests"}


def arrays(run: str, dataset: str, fold: int = 0) -> dict[str, NDArray]:
    """What the evaluation leaves beside a metrics.json."""
    rng = np.random.default_rng(0)

    def pictures(count: int, planes: int) -> NDArray[np.uint8]:
        return rng.integers(0, 256, (count, planes, SIZE, SIZE), dtype=np.uint8)

    masks = np.zeros((4, len(STRUCTURES), SIZE, SIZE), np.uint8)
    for place in range(len(STRUCTURES)):
        masks[:, place, 2 : 5 + place, 3 * place : 3 * place + 3] = 255
    found = {
        "segmentation/subject": np.array([f"patient{fold}{number}" for number in range(SUBJECTS)]),
        "segmentation/structures": np.array(STRUCTURES),
        "segmentation/slice-dice/average": dice(run, dataset, fold),
        "segmentation/volume-dice/average": dice(run, dataset, fold) - 0.05,
        "figure/segmentation/image": pictures(4, 1),
        "figure/segmentation/truth": masks,
        "figure/segmentation/prediction": np.roll(masks, 1, axis=3),
    }
    return found | (factors() if run.startswith("sdnet") else {})


def factors() -> dict[str, NDArray]:
    """The arrays of SDNet alone."""
    rng = np.random.default_rng(1)

    def pictures(planes: int) -> NDArray[np.uint8]:
        return rng.integers(0, 256, (1, planes, SIZE, SIZE), dtype=np.uint8)

    found = {f"figure/arithmetic/{name}": pictures(1) for name in ("image", "reconstruction")}
    found |= {f"figure/arithmetic/swaps/{name}": pictures(1) for name in ("added", "exchanged", "permuted")}
    found |= {f"figure/arithmetic/{name}": pictures(CHANNELS) for name in ("channels", "soft-channels")}
    for i in range(2):
        stem = f"figure/arithmetic/traversal/z{i}"
        found |= {f"{stem}/images": pictures(7), f"{stem}/correlation": pictures(1)}
        found[f"{stem}/difference"] = pictures(1)
    found |= {f"figure/transfer/{name}": pictures(1) for name in ("source", "style", "result")}
    true = 100 + rng.normal(0, 20, 6)
    found |= {"transfer/direction": np.array(["MR to CT"]), "volume/true_ml": true}
    found |= {f"volume/{kind}/ml": true + rng.normal(0, 5, 6) for kind in ("frozen", "fine-tuned")}
    return found | {"factors/variance": np.array([0.9, 0.6, 0.7])}


def write_arrays(metrics: Path, content: dict) -> Path:
    """The arrays.npz beside the metrics.json of a content."""
    path = metrics.with_name("arrays.npz")
    np.savez_compressed(path, **arrays(content["run"], content["dataset"], content["fold"]))
    return named(path)


def write_history(root: Path, run: str, dataset: str) -> Path:
    """The history.csv of a run on its first fold: three epochs."""
    path = Path(root, "models", "sdnet", dataset, run, "fold-0.seed-1", "history.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("epoch,train/loss,val/loss\n1,1,2\n2,0.5,1\n3,0.25,0.9\n", encoding="utf-8")
    return path
