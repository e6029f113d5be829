"""Prove a number: from the report to the checksum of the raw file, link by link.

    report -> ledger -> metrics -> checkpoint -> slices -> raw file -> checksum
    of volumes:                        slices -> table of who passed -> each step of each subject -> raw file

docs/audit.md says what each link states and what an audit finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from latent_anatomy.audit.checks import Checks
from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.ledgers import Ledgers
from latent_anatomy.audit.links import Files, Link, State, worst
from latent_anatomy.audit.recompute import recompute
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger.table import Row
from latent_anatomy.pipeline import layout, layout_of_volumes
from latent_anatomy.pipeline.layout import LEDGERS, PAIRED_TESTS, Artefact
from latent_anatomy.provenance.formats import read_passport


@dataclass(frozen=True)
class Number:
    """A row of a ledger: whether a report shows it, and the artefacts behind it, from the ledger down."""

    ledger: str
    row: Row
    shown: Link
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The numbers that were asked for, and the links of each artefact that was looked at, by its path."""

    numbers: tuple[Number, ...]
    links: dict[str, list[Link]]
    hashes: dict[str, str]

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


def audit(root: Path, words: Sequence[str] = (), again: bool = False) -> Audit:
    """Audit the rows of both ledgers below `root` that `words` choose, or everything.

    With `again`, the evaluations behind them are run again from their inputs and compared.
    Raises ValueError when no row is chosen, or params.yaml or a paper's file is wrong.
    """
    files, jobs = Files(root), Jobs(root)
    walk, books = Walk(Checks(files, jobs)), Ledgers(files, jobs)
    chosen = choose(books.rows(), words)
    for study in (*jobs.params.studies, "qc"):
        walk.down(layout.report(study))
    walk.links |= {link.path: [link] for link in books.check()}
    numbers = []
    for path, row in chosen:
        shown = walk.report(row.study, path)
        below = [each for result in books.results_of(row) for each in walk.down(result)]
        top = [shown.path, path] if shown.state is State.HOLDS else [path]
        numbers.append(Number(path, row, shown, tuple(dict.fromkeys([*top, *below]))))
    if not words:
        for result in (*books.results.values(), *books.comparisons.values()):
            walk.down(result)
        for dataset in sorted({path.parent.name for path in root.glob("results/imaging/*/*")}):
            walk.down(walk.gate(dataset))
        for dataset in jobs.params.collection.volumes:  # though no study may use them
            if files.here(layout.slices(dataset).path):
                walk.down(layout.slices(dataset))
    behind = {path for number in numbers for path in number.chain}
    links = {path: each for path, each in walk.links.items() if path in behind or not words}
    if again:
        for path in links.keys() & books.results.keys():
            result = books.results[path]
            links[path] = [*links[path], recompute(files, result, jobs.make(result))]
    return Audit(tuple(numbers), links, files.hashes())


class Walk:
    """Goes down the chains, to each artefact once; `links` has what was found, by the artefacts' paths."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.links: dict[str, list[Link]] = {}
        self._chains: dict[str, list[str]] = {}

    def down(self, artefact: Artefact) -> list[str]:
        """The paths of the artefact and of all that it is made of, so far as its chain is here."""
        if artefact.path not in self._chains:
            artefact = self._whole(artefact)
            here = self._here(artefact)
            raw = artefact.job.startswith("raw/")
            checks = self.checks
            self.links[artefact.path] = checks.raw(artefact) if raw else checks.artefact(artefact, here)
            below = artefact.made_of if here or artefact.says["job"] == PAIRED_TESTS else ()
            chain = [artefact.path, *(path for each in below for path in self.down(each))]
            self._chains[artefact.path] = list(dict.fromkeys(chain))
        return self._chains[artefact.path]

    def gate(self, dataset: str) -> Artefact:
        """The table of who passed, of a data set of volumes."""
        return layout_of_volumes.gate(datasets.find(dataset), self.checks.jobs.excluded(dataset))

    def _whole(self, artefact: Artefact) -> Artefact:
        """The artefact, also where it is one of volumes, with all that it is made of."""
        dataset = artefact.says.get("dataset")
        if artefact.job == f"slice/{dataset}" and layout.of_volumes(dataset):
            return layout_of_volumes.slices(datasets.find(dataset), self.checks.jobs.excluded(dataset))
        return artefact

    def _here(self, artefact: Artefact) -> bool:
        """Whether the chain of an artefact is here: of what git brings, something that git does not bring."""
        if artefact.job.startswith("evaluate/"):
            trained = artefact.made_of[0]
            own = [path for role, path in artefact.outputs.items() if role not in ("metrics", "scores")]
            return any(map(self.checks.files.here, [*own, trained.path, *trained.outputs.values()]))
        if artefact.job.startswith("paired-tests/"):
            own = [each.outputs[role] for each in artefact.made_of for role in ("scores", "arrays")]
            return any(map(self.checks.files.here, own))
        if artefact.says.get("job") == "gate":
            below = [layout.slices(artefact.says["dataset"]).path, *(artefact.inputs or {}).values()]
            return any(map(self.checks.files.here, below))
        return not artefact.job.startswith("report/") or self.checks.files.here(artefact.path)

    def report(self, study: str, ledger: str) -> Link:
        """Whether the report of a study shows a ledger."""
        artefact = layout.report(study)
        self.down(artefact)
        path = self.checks.files.root / artefact.path
        if not path.is_file():
            return self.links[artefact.path][0]
        try:
            shown = read_passport(path)["inputs"]
        except (ValueError, KeyError):
            return Link(artefact.path, "shown", State.HOLDS, "see the report")  # which is broken
        if ledger in shown:
            return Link(artefact.path, "shown", State.HOLDS, f"it shows {ledger}")
        message = f"it shows another ledger: choose the data of {ledger} in params.yaml and run snakemake"
        return Link(artefact.path, "shown", State.NOT_HERE, message)


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
