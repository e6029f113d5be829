"""The job of a training: a run's parameters on a data set or cohort, who is in it, what the run stands on."""

import re
from dataclasses import asdict

from latent_anatomy.data.cohorts import SEPARATOR, Replicate
from latent_anatomy.data.download import Download
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import bases
from latent_anatomy.pipeline.params import Params, ParamsError, typed


def training(params: Params, study: str, run: str, dataset: str, replicate: Replicate) -> dict:
    """The training of a run, with that of the run that it stands on, if any, as `on`."""
    method, chosen = parameters(params, study, run, dataset)
    base = bases.base_of(params.methods, study, run)
    on = {} if base is None else {"on": training(params, *base, dataset, replicate)}
    _check_base(f"params.yaml: methods.{run}.on", method, on.get("on"))
    checksums = {
        name: each for given in methods.weights(method, chosen) for name, each in given.checksums.items()
    }
    return {
        "job": "train",
        "study": study,
        "run": run,
        "dataset": dataset,
        **_cohort(dataset, replicate),
        "seed": replicate.seed,
        "method": method,
        "params": chosen,
        "training": params.training.model_dump(mode="json"),
        **on,
        **({"weights": checksums} if checksums else {}),
    }


def parameters(params: Params, study: str, run: str, dataset: str) -> tuple[str, dict]:
    """The method of a run, and its parameters, complete, on a data set or cohort."""
    block = {key: value for key, value in params.methods[run].items() if key != "on"}
    method = block.pop("method")
    model = methods.load(method).Method.Params
    chosen = typed(model, block, f"methods.{run}")
    for change in params.collection.studies[study].changes:
        if change.concerns(run, dataset):
            block |= change.params
            chosen = typed(model, block, f"collections.{params.data}.studies.{study}.changes.params")
    return method, chosen


def weights(params: Params) -> dict[str, list[Download]]:
    """Run -> what it is given of others, for those runs of the collection that are given any."""
    downloads: dict[str, list[Download]] = {}
    for study, sets in params.trained.items():
        for dataset, runs in sets.items():
            for run in runs:
                if methods.takes_weights(params.methods[run]["method"]):
                    given = methods.weights(*parameters(params, study, run, dataset))
                    downloads[run] = list(dict.fromkeys([*downloads.get(run, ()), *given]))
    return downloads


def deterministic(params: Params, run: str) -> bool:
    """Whether a run's seed decides nothing."""
    return getattr(methods.load(params.methods[run]["method"]).Method, "DETERMINISTIC", False)


def _check_base(key: str, method: str, base: dict | None) -> None:
    """ParamsError unless a run stands on another just where its method asks for one, and on one that can."""
    asked = getattr(methods.load(method).Method, "ON", None)
    if asked is None and base is None:
        return
    if asked is None:
        raise ParamsError(
            f"{key}: expected nothing, because {method} stands on no other run, found "
            f"{base['run']!r}: remove it"
        )
    wanted = f"expected a run that can {' and '.join(asked) or 'do anything'}, on which {method} stands"
    if base is None:
        raise ParamsError(f"{key}: {wanted}, found none: name one")
    lacks = [each for each in asked if not hasattr(methods.load(base["method"]).Method, each)]
    if lacks:
        raise ParamsError(
            f"{key}: {wanted}, found {base['run']!r}, which cannot {' and '.join(lacks)}: name another"
        )


def _cohort(name: str, replicate: Replicate) -> dict:
    """The fold, and who is who in it; nothing for a data set that is used as it is split."""
    if replicate.fold is None:
        return {}
    dataset, split, labelled = name.split(SEPARATOR, 2)
    part = float(labelled) if re.fullmatch(r"[\d.]+", labelled) else labelled
    cohort = datasets.find(dataset).cohort(f"{split}-{replicate.fold}", part)
    return {"fold": replicate.fold, "cohort": {key: list(value) for key, value in asdict(cohort).items()}}
