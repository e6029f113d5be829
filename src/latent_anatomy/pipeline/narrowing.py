"""A part of a collection: some of its runs, asked by some of its protocols.

A study that has none of them is left out. What a run stands on is trained all the same (see `bases`).
"""

from collections.abc import Iterable
from itertools import chain

from latent_anatomy.pipeline.agreement import among
from latent_anatomy.pipeline.selection import Chosen, Collection, Study

Studies = dict[str, Study]


def narrowed(
    data: str, studies: Studies, collection: Collection, runs: list[str] | None, protocols: list[str] | None
) -> tuple[Studies, Collection]:
    """Studies, and what the collection `data` takes: its own part, and of that `runs` and `protocols`.

    None stands for all. ValueError, naming the key, for a name that no study of the collection has, and where
    no study has both.
    """
    own = (collection.runs, collection.protocols)
    for where, part in ((f"collections.{data}.", own), ("", (runs, protocols))):
        if part != (None, None):
            studies, collection = _part(where, studies, collection, *part)
    return studies, collection


def _part(
    where: str, studies: Studies, collection: Collection, runs: list[str] | None, protocols: list[str] | None
) -> tuple[Studies, Collection]:
    taken = {name: each for name, each in collection.studies.items() if each.trained}
    made = chain.from_iterable(_made(studies[name], each) for name, each in taken.items())
    asked = chain.from_iterable(studies[name].evaluation for name in taken)
    among(f"{where}runs", runs or [], dict.fromkeys(made), "what the collection makes")
    among(f"{where}protocols", protocols or [], dict.fromkeys(asked), "what the collection asks")
    left = {name: _less_of_study(study, runs, protocols) for name, study in studies.items()}
    parts = {name: _less_of_chosen(each, runs) for name, each in taken.items()}
    for name, part in parts.items():
        if not _made(left[name], part) or (protocols is not None and not left[name].evaluation):
            parts[name] = Chosen(seeds=part.seeds)
    if taken and not any(part.trained for part in parts.values()):
        raise ValueError(
            f"{where}runs, {where}protocols: expected a study that has some of both, found none: "
            "choose others"
        )
    return left, collection.model_copy(update={"studies": collection.studies | parts})


def _made(study: Study, chosen: Chosen) -> list[str]:
    """The runs that a collection makes of a study, anywhere."""
    return list(chain.from_iterable(chosen.runs(name, study.runs) for name in chosen.trained))


def _kept(names: Iterable[str], wanted: list[str] | None) -> list[str]:
    return [name for name in names if wanted is None or name in wanted]


def _less_of_study(study: Study, runs: list[str] | None, protocols: list[str] | None) -> Study:
    evaluation = {name: study.evaluation[name] for name in _kept(study.evaluation, protocols)}
    return study.model_copy(update={"runs": _kept(study.runs, runs), "evaluation": evaluation})


def _less_of_chosen(chosen: Chosen, runs: list[str] | None) -> Chosen:
    sweeps = {
        label: sweep.model_copy(update={"runs": None if sweep.runs is None else _kept(sweep.runs, runs)})
        for label, sweep in chosen.sweeps.items()
    }
    only = {name: _kept(own, runs) for name, own in chosen.only.items()}
    return chosen.model_copy(update={"sweeps": sweeps, "only": only})
