"""Prove a number: from the report to the checksum of the raw file, link by link.

    report -> ledger -> metrics -> checkpoint -> slices -> raw file -> checksum
    of volumes:                        slices -> table of who passed -> each step of each subject -> raw file

docs/audit.md says what each link states and what an audit finds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from latent_anatomy.audit import edits, orders, replicates
from latent_anatomy.audit.again import Again
from latent_anatomy.audit.checks import Checks
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.git_history import Change
from latent_anatomy.audit.ledgers import Ledgers
from latent_anatomy.audit.links import Files, Link, State, worst
from latent_anatomy.audit.walk import Walk
from latent_anatomy.ledger.table import Row
from latent_anatomy.pipeline import layout
from latent_anatomy.pipeline.layout import LEDGERS

REPEATED = tuple(kind for kind in orders.ORDERS if kind != "train")
PROVEN, BROKEN, UNPROVEN = 0, 1, 3  # exit codes; 2 is that of a wrong command line


@dataclass(frozen=True)
class Number:
    """A row of a ledger: whether a report shows it, and the artefacts behind it, from the ledger down."""

    ledger: str
    row: Row
    shown: Link
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The numbers that were asked for, and the links of each artefact that was looked at, by its path.

    `changes` are the commits that edited what stood in papers and results.
    """

    numbers: tuple[Number, ...]
    links: dict[str, list[Link]]
    hashes: dict[str, str]
    changes: tuple[Change, ...] = ()

    @cached_property
    def states(self) -> dict[str, State]:
        """The state of each artefact, by its path."""
        return {path: worst(link.state for link in links) for path, links in self.links.items()}

    def of(self, number: Number) -> State:
        """The state of a number: that of the weakest link of its chain."""
        return worst({number.shown.state, *map(self.states.__getitem__, number.chain)})

    @property
    def state(self) -> State:
        """The state of everything that was looked at."""
        return worst({*self.states.values(), *(number.shown.state for number in self.numbers)})

    def exit_code(self, strict: bool = False) -> int:
        """1 for a break; 3 where something is here that is not proven, or, if `strict`, not here; else 0."""
        if self.state is State.BROKEN:
            return BROKEN
        found = {link.state for links in self.links.values() for link in links}
        unproven = {State.UNPROVEN, State.NOT_HERE} if strict else {State.UNPROVEN}
        return UNPROVEN if unproven & (found | {number.shown.state for number in self.numbers}) else PROVEN


def audit(
    root: Path,
    words: Sequence[str] = (),
    recompute: bool = False,
    retrain: str | None = None,
    say: Callable[[str], None] = lambda path: None,
) -> Audit:
    """Audit the rows of both ledgers below `root` that `words` choose, or everything.

    With `recompute`, imaging steps, slices, evaluations, paired tests and reports behind them are made again
    from their inputs and compared; with `retrain`, so are the checkpoints of the run of that name. `say` is
    told what is looked at. Raises ValueError when no row is chosen, `retrain` has no checkpoint here, or
    params.yaml or a paper's file is wrong.
    """
    files, jobs = Files(root), Jobs(root)
    walk, books = Walk(Checks(files, jobs), say), Ledgers(files, jobs)
    rows = choose(books.rows(), words)
    for study in (*jobs.params.studies, "qc", layout.INDEX):
        walk.down(layout.report(study))
    walk.links |= {link.path: [link] for link in (*books.check(), *replicates.check(jobs))}
    numbers = []
    for path, row in rows:
        shown = walk.report(row.study, path)
        results = books.results_of(row)
        places = {replicates.place(each.says["study"], each.says["dataset"]): None for each in results}
        below = [each for result in results for each in walk.down(result)]
        top = [shown.path, path] if shown.state is State.HOLDS else [path]
        whole = [*top, *(place for place in places if place in walk.links), *below]
        numbers.append(Number(path, row, shown, tuple(dict.fromkeys(whole))))
    for study, chosen in jobs.params.collection.studies.items():
        made = [*books.results.values(), *books.comparisons.values()]
        own = [each for each in made if each.says["study"] == study and each.says["dataset"] in chosen.tested]
        walk.shows(study, own)
    if not words:
        _everything(walk, books)
    for link in edits.uncommitted(jobs.history):
        own = next((path for path in walk.links if link.path in _files_of(walk, path)), link.path)
        walk.links.setdefault(own, []).append(link)
    asked = [path for path in walk.links if path.startswith((edits.PAPERS, *edits.ASKED))]
    numbers = [replace(each, chain=(*each.chain, *_about(each, asked))) for each in numbers]
    behind = {path for number in numbers for path in number.chain}
    links = {path: each for path, each in walk.links.items() if not words or path in behind}
    again = Again(files, jobs, say)
    for path in _to_repeat(walk, links, recompute, retrain):
        links[path] = [*links[path], again.link(walk.artefacts[path])]
    return Audit(tuple(numbers), links, files.hashes(), tuple(edits.committed(jobs.history)))


def _everything(walk: Walk, books: Ledgers) -> None:
    """Goes down from all that lies here."""
    for result in (*books.results.values(), *books.comparisons.values()):
        walk.down(result)
    root = walk.checks.files.root
    for dataset in sorted({path.parent.name for path in root.glob("results/imaging/*/*")}):
        walk.down(walk.gate(dataset))
    for dataset in walk.checks.jobs.params.collection.volumes:  # though no study may use them
        if walk.checks.files.here(layout.slices(dataset).path):
            walk.down(layout.slices(dataset))


def _files_of(walk: Walk, path: str) -> tuple[str, ...]:
    artefact = walk.artefacts.get(path)
    return (path,) if artefact is None else (path, *artefact.outputs.values())


def _about(number: Number, asked: Sequence[str]) -> list[str]:
    """Of what was edited of papers, parameters and notebooks, that which a number rests on."""
    paper = f"{edits.PAPERS}/{number.row.study}.yaml"
    return [path for path in asked if path == paper or not path.startswith(f"{edits.PAPERS}/")]


def _to_repeat(walk: Walk, links: dict, recompute: bool, retrain: str | None) -> list[str]:
    """The paths of those artefacts that are made again, in the order in which one is made of the other."""
    kinds = REPEATED if recompute else ()
    chosen = [
        each
        for path, each in walk.artefacts.items()
        if path in links
        and path != layout.report(layout.INDEX).path  # of no notebook; what it says is proven without
        and (
            each.says.get("job") in kinds or (each.says.get("job") == "train" and each.says["run"] == retrain)
        )
    ]
    if retrain and all(each.says["job"] != "train" for each in chosen):
        raise ValueError(
            f"expected a run with checkpoints behind these numbers, found {retrain!r}: see models/"
        )
    order = list(orders.ORDERS)
    return [each.path for each in sorted(chosen, key=lambda each: order.index(each.says["job"]))]


def choose(rows: Sequence[tuple[str, Row]], words: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows with each word as table, data set, method or metric, or in it where none is called so."""
    for word in map(str.casefold, words):
        exact = [each for each in rows if word in map(str.casefold, parts_of(each[1]))]
        part = [each for each in rows if any(word in text.casefold() for text in parts_of(each[1]))]
        rows = exact or part
        if not rows:
            places = " and ".join(LEDGERS)
            raise ValueError(f"expected a number with {word!r} in its row, found none: see {places}")
    return list(rows)


def parts_of(row: Row) -> tuple[str, ...]:
    """What a row can be chosen by."""
    return (row.table, row.dataset, row.method, row.metric)
