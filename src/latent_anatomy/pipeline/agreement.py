"""Do the parts of params.yaml name each other as they are? ValueErrors, one line each, that name the key."""

from collections.abc import Iterable, Mapping
from itertools import chain, product

from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.data.pool import SEPARATOR
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline.selection import Chosen, Collection, Study, Sweep


def check_kinds(here: str, collection: Collection) -> None:
    """Every data set of a study is listed, and once, under its kind; others are only prepared."""
    for kind, names in (("images", collection.images), ("volumes", collection.volumes)):
        unknown = [name for name in names if not datasets.known(name)]
        among(f"{here}.{kind}", unknown, datasets.NAMES, "the known data sets")
        wrong = [name for name in names if (kind == "volumes") != datasets.of_volumes(datasets.find(name))]
        if wrong:
            raise ValueError(f"{here}.{kind}: expected data sets of {kind}, found {wrong[0]!r}: correct it")
    sources = {name for chosen in collection.studies.values() for name in chosen.sources}
    for name in collection.pools:
        datasets.find(name)
    for name in chain.from_iterable(chosen.datasets for chosen in collection.studies.values()):
        if name != dataset_of(name):
            raise ValueError(
                f"{here}: expected data sets under datasets, found the cohort {name!r}: use sweeps"
            )
    used = set(chain.from_iterable(name.split(SEPARATOR) for name in sources))
    listed = collection.datasets
    wrong = sorted(used - set(listed)) or sorted(name for name in listed if listed.count(name) > 1)
    if wrong:
        raise ValueError(
            f"{here}: expected each data set of its studies once under images or volumes, "
            f"found {wrong[0]!r} {listed.count(wrong[0])} times: list it once"
        )
    if len({datasets.find(name).phantom for name in listed}) > 1:
        raise ValueError(
            f"{here}: expected phantoms or real data sets, found both: give each a collection of its own"
        )


def check_chosen(
    here: str,
    chosen: Chosen,
    where: str,
    study: Study,
    methods: Iterable[str],
    trained: Mapping[str, list[str]],
) -> None:
    """What a collection takes of a `study` is there. `trained`: name -> runs that are trained in all."""
    for each in chosen.external:
        among(f"{here}.external", [each.trained_on], chosen.datasets, f"{here}.datasets")
        if each.dataset in chosen.datasets:
            raise ValueError(
                f"{here}.external: expected data sets not under datasets, found {each.dataset!r}: "
                "leave it out of one of them"
            )
    among(f"{here}.only", chosen.only, chosen.datasets, f"{here}.datasets")
    for name, only in chosen.only.items():
        among(f"{here}.only.{name}", only, methods, "methods")
    for label, sweep in chosen.sweeps.items():
        _check_sweep(f"{here}.sweeps.{label}", sweep, methods)
    runs = dict.fromkeys((*study.runs, *chain.from_iterable(trained.values())))
    names = (*chosen.tested, *chosen.sources)
    among(f"{here}.evaluation", chosen.evaluation, study.evaluation, f"{where}.evaluation")
    for protocol, block in chosen.evaluation.items():
        key = f"{here}.evaluation.{protocol}.datasets"
        if block.get("datasets") == []:
            raise ValueError(f"{key}: expected one data set or more, found none: leave the protocol out")
        among(key, block.get("datasets", []), names, f"{here}.datasets")
    names = dict.fromkeys((*names, *trained, *map(dataset_of, trained)))
    for change in chosen.changes:
        among(f"{here}.changes.runs", change.runs or [], runs, f"{where}.runs, sweeps and what they stand on")
        among(f"{here}.changes.datasets", change.datasets or [], names, f"{here}.datasets")
        among(f"{here}.changes.evaluation", change.evaluation, study.evaluation, f"{where}.evaluation")


def _check_sweep(here: str, sweep: Sweep, methods: Iterable[str]) -> None:
    """Its runs and folds are there, and every part of a fold leaves somebody labelled."""
    among(f"{here}.runs", sweep.runs or [], methods, "methods")
    for name in sweep.datasets:
        dataset = datasets.find(name)
        folds = [f"{split}-{fold}" for split, fold in product(sweep.splits, sweep.folds)]
        among(f"{here}.folds", folds, getattr(dataset, "folds", ()), f"the folds of {name}")
        for fold, part in product(folds, sweep.labelled):
            try:
                dataset.cohort(fold, part)
            except ValueError as error:
                raise ValueError(f"{here}.labelled: {name}, {fold}: {error}") from error


def among(key: str, names: Iterable[str], allowed: Iterable[str], source: str) -> None:
    """Raise ValueError for the first name that is not allowed."""
    for name in names:
        if name not in allowed:
            raise ValueError(
                f"{key}: expected names of {source} ({', '.join(allowed)}), found {name!r}: correct it"
            )
