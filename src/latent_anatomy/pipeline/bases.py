"""Runs that stand on other runs: `on` in a block of `methods`.

`on: <run>` is a run of the same study and `on: <study>/<run>` one of another: its checkpoint on the same data
set, with the same seed and fold. It is trained with that study's parameters, whether or not the study itself
trains it there.
"""

from collections.abc import Mapping

from latent_anatomy.pipeline.selection import Chosen, Study

Methods = Mapping[str, Mapping]


def base_of(methods: Methods, study: str, run: str) -> tuple[str, str] | None:
    """Study and run of the checkpoint that a run of a study stands on; None if it stands on none."""
    on = methods.get(run, {}).get("on")
    if on is None:
        return None
    elsewhere, _, base = on.rpartition("/")
    return elsewhere or study, base


def chain(methods: Methods, run: str) -> set[str]:
    """A run and those that it stands on."""
    base = base_of(methods, "", run)
    return {run} if base is None else {run} | chain(methods, base[1])


def check(methods: Methods, studies: Mapping[str, Study]) -> None:
    """Raise ValueError, naming the key, for an unknown run or study, and for a chain that does not end."""
    for run, block in methods.items():
        on = block.get("on")
        if on is None:
            continue
        study, _, base = str(on).rpartition("/")
        if base not in methods or (study and study not in studies):
            raise ValueError(
                f"methods.{run}.on: expected <run> or <study>/<run>, of methods ({', '.join(methods)}) and "
                f"studies ({', '.join(studies)}), found {on!r}: correct it"
            )
    for run in methods:
        chain = [run]
        while (base := base_of(methods, "", chain[-1])) is not None:
            chain.append(base[1])
            if base[1] == run:
                raise ValueError(
                    f"methods.{run}.on: expected a chain that ends, found {' -> '.join(chain)}: let "
                    "one stand alone"
                )
            if len(chain) > len(methods):
                break  # into a circle that begins further on


def trained(
    methods: Methods, studies: Mapping[str, Study], chosen: Mapping[str, Chosen]
) -> dict[str, dict[str, list[str]]]:
    """Study -> data set or cohort -> runs that are trained there, with those that others stand on."""
    runs: dict[str, dict[str, dict[str, None]]] = {name: {} for name in studies}
    for study, each in chosen.items():
        for dataset in each.trained:
            for run in each.runs(dataset, studies[study].runs):
                place = (study, run)
                while place is not None:
                    runs[place[0]].setdefault(dataset, {})[place[1]] = None
                    place = base_of(methods, *place)
    return {study: {name: list(each) for name, each in sets.items()} for study, sets in runs.items()}
