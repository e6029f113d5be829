"""The ledgers: made again from what lies here, row by row, and which results a row is made of."""

import csv
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from latent_anatomy.audit.expected import Jobs
from latent_anatomy.audit.links import Files, Link, State
from latent_anatomy.audit.replicates import lying
from latent_anatomy.ledger import build, papers, table
from latent_anatomy.ledger.papers import PHANTOM
from latent_anatomy.ledger.table import COLUMNS, Row
from latent_anatomy.pipeline import layout, reports
from latent_anatomy.pipeline.layout import COMPARISON, LEDGERS, Artefact

DAMAGED = (ValueError, TypeError, csv.Error)
SHOWN = 3  # differing rows in a message
MAKE = "snakemake --cores all --force -- results/ledger.csv"


class Ledgers:
    """Both ledgers of a project, and the results that they are made of.

    As in the rule `ledger`, these are those of the chosen collection, and those of other real data sets as
    they lie here.
    """

    def __init__(self, files: Files, jobs: Jobs) -> None:
        self.root, self.files = files.root, files
        studies = {study: jobs.params.collection.studies[study] for study in jobs.params.studies}
        self.printed = {study: path for study in studies if (path := reports.paper(study, self.root))}
        self.papers = {study: papers.load(self.root / path) for study, path in self.printed.items()}
        self.results: dict[str, Artefact] = {}
        self.comparisons: dict[tuple[str, str], Artefact] = {}
        for study, chosen in studies.items():
            built = chosen.tested
            for path in lying(self.root, f"results/{study}/*/*/*seed-*"):
                _, dataset, run, replicate = layout.place_of(path)
                runs = chosen.runs(dataset, jobs.params.studies[study].runs)
                made = run in runs and replicate in chosen.replicates(dataset, run)
                if made if dataset in built else not dataset.startswith(PHANTOM):
                    self.results[path] = jobs.result(path)
            for path in lying(self.root, f"results/{study}/{COMPARISON}/*"):
                dataset = path.split("/")[3]
                if dataset in built or not dataset.startswith(PHANTOM):
                    own = [each for each in self.results.values() if self._is_of(each, study, dataset)]
                    self.comparisons[study, dataset] = layout.comparison(study, dataset, own)

    def _is_of(self, result: Artefact, study: str, dataset: str) -> bool:
        return (result.says["study"], result.says["dataset"]) == (study, dataset)

    def rows(self) -> list[tuple[str, Row]]:
        """(ledger's path, row) of every row with a number of ours; none of a damaged ledger: see `check`."""
        rows = []
        for path in filter(self.files.here, LEDGERS):
            with suppress(*DAMAGED):
                rows += [(path, row) for row in table.read(self.root / path) if row.n_seeds != "0"]
        return rows

    def results_of(self, row: Row) -> list[Artefact]:
        """The results that a row is made of; for a claim, also the paired tests that decide it."""
        runs, names = {row.method}, row.dataset.split(" ")
        tests = []
        if row.metric == "claim":
            claims = self.papers[row.study].claims if row.study in self.papers else ()
            terms = [term for each in claims if f"Claim: {each.claim}" == row.table for term in each.terms]
            runs = {term.run for term in terms}
            names = list(dict.fromkeys(term.on(name) for name in names for term in terms))
            keys = [(row.study, name) for name in names]
            tests = [self.comparisons[key] for key in keys if key in self.comparisons]
        own = [
            each
            for each in self.results.values()
            if each.says["run"] in runs and any(self._is_of(each, row.study, name) for name in names)
        ]
        return own + tests

    def check(self) -> list[Link]:
        """Both ledgers against the ones that the papers and the metrics give now."""
        made = (*self.results.values(), *self.comparisons.values())
        metrics = [each.outputs["metrics"] for each in made if each.says["study"] in self.papers]
        with tempfile.TemporaryDirectory() as folder:
            again = {path: Path(folder, Path(path).name) for path in LEDGERS}
            try:
                printed = [self.root / path for path in self.printed.values()]
                build.write(printed, [self.root / path for path in metrics], *again.values())
            except (ValueError, OSError) as error:
                message = f"the metrics here give no ledger: {error}"
                return [Link(path, "rows", State.BROKEN, message) for path in LEDGERS]
            return [self._compare(path, made) for path, made in again.items()]

    def _compare(self, path: str, made: Path) -> Link:
        if not self.files.here(path):
            return Link(path, "file", State.NOT_HERE, "no ledger is here", MAKE)
        if (self.root / path).read_bytes() == made.read_bytes():
            message = "made again from the papers and the metrics here, it is the same bytes"
            return Link(path, "rows", State.HOLDS, message)
        try:
            differing = list(_unlike(table.read(self.root / path), table.read(made)))
        except DAMAGED as error:
            said = f"expected a ledger, found a damaged one ({error})"
            return Link(path, "rows", State.BROKEN, said, MAKE)
        shown = "; ".join(differing[:SHOWN]) or "the same rows in other bytes"
        more = f" and {len(differing) - SHOWN} more rows" if len(differing) > SHOWN else ""
        return Link(path, "rows", State.BROKEN, f"edited, or older than its metrics: {shown}{more}", MAKE)


def name(row: Row) -> str:
    """A row in words."""
    return " · ".join((row.table, row.dataset, row.method, row.metric))


def _unlike(standing: Iterable[Row], expected: Iterable[Row]) -> Iterable[str]:
    there, due = ({(row.study, name(row)): row for row in rows} for rows in (standing, expected))
    for place, row in due.items():
        if place not in there:
            yield f"{name(row)}: missing"
        elif there[place] != row:
            pairs = zip(COLUMNS, astuple(row), astuple(there[place]), strict=True)
            differing = [f"expected {key} {one}, found {other}" for key, one, other in pairs if one != other]
            yield f"{name(row)}: {', '.join(differing)}"
    yield from (f"{name(row)}: no metrics give this row" for place, row in there.items() if place not in due)
