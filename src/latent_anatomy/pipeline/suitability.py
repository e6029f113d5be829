"""Can what was chosen be trained and evaluated? Asked of splits, masks and needs, before anything runs."""

import fnmatch

from latent_anatomy.data.outline import SPLITS, Outline, outline, together
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.pool import Pool
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline.params import Params, ParamsError

TRAINED, TESTED = SPLITS, ("test",)


def check(params: Params) -> list[str]:
    """A line on each thing that is not taken or not evaluated; ParamsError where a split is missing."""
    said = [line for name in params.collection.datasets for line in _passed_over(name)]
    for name, chosen in params.chosen.items():
        here = f"params.yaml: collections.{params.data}.studies.{name}"
        for tested, trained_on in chosen.tested.items():
            wanted = TRAINED if tested == trained_on else TESTED
            known = _outline(params, tested)
            if known and (missing := [split for split in wanted if split not in known.splits]):
                raise ParamsError(
                    f"{here}: expected subjects of {', '.join(wanted)} in {tested}, found none of "
                    f"{', '.join(missing)}: give them that split, or leave it among volumes alone"
                )
            for protocol in params.studies[name].evaluation:
                for source in dict.fromkeys((tested, trained_on)):
                    said += _without_masks(protocol, source, tested, _outline(params, source))
    return list(dict.fromkeys(said))


def check_taught(params: Params) -> None:
    """ParamsError for a run that learns to segment where no image has a mask; imports all methods."""
    for name, chosen in params.chosen.items():
        for dataset in chosen.trained:
            known = _outline(params, dataset)
            for run in chosen.runs(dataset, params.studies[name].runs) if known and not known.masks else ():
                if hasattr(methods.load(params.methods[run]["method"]).Method, "segment"):
                    raise ParamsError(
                        f"params.yaml: collections.{params.data}.studies.{name}: expected masks in "
                        f"{dataset}, from which {run} learns, found none: choose other data, or other runs"
                    )


def check_sizes(params: Params) -> None:
    """ParamsError for a run whose method has a `SIZE`, on images that are known to be of another.

    Also of the runs that others stand on. Imports all methods.
    """
    for study, sets in params.trained.items():
        for dataset, runs in sets.items():
            known = _outline(params, dataset)
            for run in runs if known and known.size else ():
                made_for = getattr(methods.load(params.methods[run]["method"]).Method, "SIZE", known.size)
                if made_for != known.size:
                    raise ParamsError(
                        f"params.yaml: collections.{params.data}.studies.{study}: expected images of "
                        f"{made_for}x{made_for} pixels, for which {run} is made, found "
                        f"{known.size}x{known.size} in {dataset}: choose other data, or other runs"
                    )


def unasked(params: Params) -> list[str]:
    """A line on each run of a study that none of its protocols can ask anything; imports all methods."""
    said = []
    for name, chosen in params.chosen.items():
        asked = params.studies[name].evaluation
        runs = {run for tested in chosen.tested for run in chosen.runs(tested, params.studies[name].runs)}
        for run in sorted(runs):
            method = methods.load(params.methods[run]["method"]).Method
            if asked and not any(_can(method, protocol) for protocol in asked):
                said.append(
                    f"Not evaluated by {', '.join(asked)}: {run} of {name} can do nothing that they ask"
                )
    return said


def _can(method: type, protocol: str) -> bool:
    return any(
        all(hasattr(method, need.split()[0]) for need in line) for line in protocols.load(protocol).NEEDS
    )


def _outline(params: Params, name: str) -> Outline | None:
    source = datasets.find(name)
    if isinstance(source, Pool):
        members = [_outline(params, member) for member in source.names]
        return None if None in members else together(members)
    prepared = params.imaging.datasets.get(source.name)
    return outline(source, prepared.excluded if prepared else ())


def _without_masks(protocol: str, source: str, tested: str, known: Outline | None) -> list[str]:
    asked = () if known is None else protocols.masks(protocol)
    if not (missing := [mask for mask in asked if not fnmatch.filter(known.masks, mask)]):
        return []
    return [
        f"Not evaluated by {protocol}: {tested}: expected masks of {missing[0]} in {source}, found "
        f"{', '.join(sorted(known.masks)) or 'none'}: choose other data, or do not ask it there"
    ]


def _passed_over(name: str) -> list[str]:
    return [f"Not taken: {name}: {file}" for file in getattr(datasets.find(name), "passed_over", ())]
