"""Do cluster profiles of a person say how long they live? (Pan et al., arXiv 2509.11436)

The abstract says that profiles improve the prediction of survival by Cox models; how could not be read. Here
a person's profile is how many of their rows lie in each cluster (k-means of the training rows), as centred
log-ratios; of a pair the first row counts. Neither method nor clusters are shown any survival, so that
all splits' persons are asked, and cross-validated as persons: a ridge Cox model (`metrics.survival`) of
others, covariates standardised on them, gives everybody's risk, in `folds` parts, `repeats` times.

    survival/<model>/c           Harrell's C, mean over repeats, risks of all parts pooled
    survival/<model>/c_low, c_high  2.5 and 97.5 % of 1,000 bootstraps of persons, of the mean risk
    survival/<model>/log_rank_p  of the halves by median mean risk
    survival/<model>/c_hospital  C within hospitals of risks by models of the other hospitals, over those with
                                 `least` deaths or more, where there are two of them
    survival/persons, survival/events

with <model> clinical (the covariates), profile, or both; where there are no covariates, profile alone. Who
has no known time or covariate is left out. Array survival/<model>/concordance: of each person who can be
compared with another, survival/subject, the share of such pairs that their mean risk is right in. For
figures, of all persons: survival/shown/time, /event, and /<model>, 1 of the half with the larger mean risk.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from latent_anatomy.data.outline import SPLITS
from latent_anatomy.evaluation.common import Settings
from latent_anatomy.evaluation.protocol import Paired, Results
from latent_anatomy.evaluation.represented import codebook, represented
from latent_anatomy.metrics.survival import centred_log_ratio, cox, harrell, log_rank
from latent_anatomy.training.latents import anatomies
from latent_anatomy.training.method import Data

NEEDS = (("represent",), ("encode",))
BOOTSTRAPS = 1000
ENOUGH = 5  # events, of all
UNPAIRED = {"survival/shown/*": "they are drawn: what was observed, and two halves"}
Array = NDArray[np.float64]
Model = Literal["clinical", "profile", "both"]


class Params(Settings):
    """Lengths and the model."""

    clusters: int = Field(8, ge=2, description="Parts of a profile.")
    ridge: float = Field(10.0, gt=0, description="Of the Cox model, covariates having unit variance.")
    folds: int = Field(5, ge=2, description="Parts of a cross-validation.")
    repeats: int = Field(10, ge=1, description="Cross-validations.")
    least: int = Field(5, ge=1, description="Deaths of a hospital that has a C of its own.")


def possible(splits: dict[str, Data]) -> bool:
    """Needs persons with a known time, and five with an event."""
    return all(splits[name].time is not None for name in SPLITS) and _events(splits) >= ENOUGH


def evaluate(method: nn.Module, splits: dict[str, Data], settings: Params, task: str, seed: int) -> Results:
    """Metrics and arrays as above."""
    method.eval()
    book = codebook(represented(method, splits["train"]), settings.clusters, 0, 4)
    people = _people(method, splits, book, settings.clusters)
    time, event = people["time"], people["event"]
    metrics = {"survival/persons": float(len(time)), "survival/events": float(event.sum())}
    arrays: dict[str, NDArray] = {"survival/subject": people["subject"][_compared(time, event)]}
    arrays |= {"survival/shown/time": time, "survival/shown/event": event}
    for model, covariates in _models(people).items():
        name = f"survival/{model}"
        risks = _cross_validated(time, event, covariates, settings)
        metrics[f"{name}/c"] = float(np.mean([harrell(time, event, risk) for risk in risks]))
        mean = risks.mean(0)
        metrics[f"{name}/c_low"], metrics[f"{name}/c_high"] = _interval(time, event, mean)
        high = mean > np.median(mean)
        metrics[f"{name}/log_rank_p"] = log_rank(time, event, high)
        arrays[f"survival/shown/{model}"] = high.astype(np.uint8)
        across = _across_hospitals(people, covariates, settings)
        if across is not None:
            metrics[f"{name}/c_hospital"] = across
        arrays[f"{name}/concordance"] = _concordance(time, event, mean)
    return Results(metrics, arrays)


def paired(arrays) -> dict[str, Paired]:
    """Concordance of persons."""
    names = [name for name in arrays if name.endswith("/concordance")]
    return {name: Paired((name,), subject="survival/subject") for name in names}


def _events(splits: dict[str, Data]) -> int:
    happened = [
        name
        for data in splits.values()
        if data.event is not None
        for name, event in zip(data.subject, data.event.tolist(), strict=True)
        if event
    ]
    return len(set(happened))


def _people(method: nn.Module, splits: dict[str, Data], book, clusters: int) -> dict[str, NDArray]:
    """Name, time, event, hospital, covariates and profile of everybody of whom all is known."""
    rows: dict[str, list] = {}
    for data in (splits[name] for name in SPLITS):
        label = book.predict(represented(method, data))
        subject, once = np.array(data.subject), anatomies(data).cpu().numpy()
        for name in sorted(set(data.subject)):
            own = once[subject[once] == name]
            first = int(own[0])
            covariates = [] if data.covariates is None else data.covariates[first].tolist()
            if not np.isfinite([float(data.time[first]), *covariates]).all():
                continue
            rows.setdefault("subject", []).append(name)
            rows.setdefault("time", []).append(float(data.time[first]))
            rows.setdefault("event", []).append(int(data.event[first]))
            rows.setdefault("site", []).append(data.site[first] if data.site else "")
            rows.setdefault("clinical", []).append(covariates)
            rows.setdefault("counts", []).append(np.bincount(label[own], minlength=clusters))
    return {name: np.array(values) for name, values in rows.items()}


def _models(people: dict[str, NDArray]) -> dict[Model, Array]:
    profile = centred_log_ratio(people["counts"])
    if not people["clinical"].shape[1]:
        return {"profile": profile}
    both = np.concatenate([people["clinical"], profile], axis=1)
    return {"clinical": people["clinical"], "profile": profile, "both": both}


def _risk(time: Array, event: NDArray, covariates: Array, known: NDArray, ridge: float) -> Array:
    """Of everybody (n,), by a model of those that are `known`."""
    mean, scale = covariates[known].mean(0), covariates[known].std(0)
    z = (covariates - mean) / np.where(scale > 1e-9, scale, 1.0)
    return z @ cox(time[known], event[known], z[known], ridge)


def _cross_validated(time: Array, event: NDArray, covariates: Array, settings: Params) -> Array:
    """Risks (repeats, n) by models of the other parts, which have as many events as can be."""
    risks = np.empty((settings.repeats, len(time)))
    for repeat, risk in enumerate(risks):
        random = np.random.default_rng(repeat)
        part = np.empty(len(time), int)
        for value in (0, 1):
            rows = random.permutation(np.flatnonzero(event == value))
            part[rows] = np.arange(len(rows)) % settings.folds
        for fold in range(settings.folds):
            out = part == fold
            risk[out] = _risk(time, event, covariates, ~out, settings.ridge)[out]
    return risks


def _across_hospitals(people: dict[str, NDArray], covariates: Array, settings: Params) -> float | None:
    """C within hospitals of risks by models of the others; None unless two have enough deaths."""
    time, event, site = people["time"], people["event"], people["site"]
    able = [each for each in np.unique(site) if event[site == each].sum() >= settings.least]
    if len(able) < 2:
        return None
    risk = np.zeros(len(time))
    for each in able:
        risk[site == each] = _risk(time, event, covariates, site != each, settings.ridge)[site == each]
    chosen = np.isin(site, able)
    return harrell(time[chosen], event[chosen], risk[chosen], site[chosen])


def _interval(time: Array, event: NDArray, risk: Array) -> tuple[float, float]:
    random, found = np.random.default_rng(0), []
    for _ in range(BOOTSTRAPS):
        rows = random.integers(0, len(time), len(time))
        if event[rows].any() and np.unique(time[rows]).size > 1:
            found.append(harrell(time[rows], event[rows], risk[rows]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _first(time: Array, event: NDArray) -> NDArray[np.bool_]:
    """(n, n): whether the one is known to have had the event before the other."""
    return (time[:, None] < time) & (event[:, None] == 1)


def _compared(time: Array, event: NDArray) -> NDArray[np.bool_]:
    """Whether each person can be compared with somebody."""
    first = _first(time, event)
    return first.any(0) | first.any(1)


def _concordance(time: Array, event: NDArray, risk: Array) -> Array:
    """Of those who are `_compared`: the share of their pairs whose risks have the right order."""
    first = _first(time, event)
    right = ((risk[:, None] > risk) + 0.5 * (risk[:, None] == risk)) * first
    some = _compared(time, event)
    return (right + right.T)[some].sum(1) / (first | first.T)[some].sum(1)
