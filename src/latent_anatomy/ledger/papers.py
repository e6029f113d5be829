"""What a paper prints: the typed reader of papers/<study>.yaml.

One file per study, holding tables (a row is a run and a metric, a column is a data set of the paper)
and claims. It holds nothing of ours, so that a reviewer can check it against the paper page by page.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from latent_anatomy.ledger.printed_claims import Claim, Strict

PHANTOM = "phantom-"  # how the name of every phantom begins
SHOWN = 80  # letters of what was found in place of something else


class Run(Strict):
    """A run that the paper's rows are compared with.

    Its settings, nested as in the method's Params: `released` are those of the released code's configuration,
    `printed` those that stand in the paper; a parameter in one of the two. Where nobody can know any,
    `unknown` says why, in place of both.
    """

    name: str = Field(description="Name in reports.")
    shortened: str = Field("", description="What a shorter training changes beside its length.")
    released: dict = Field({})
    printed: dict = Field({})
    unknown: str = Field("", description="Why no setting is known.")

    @model_validator(mode="after")
    def _has_a_length(self) -> "Run":
        if bool(self.unknown) == bool(self.released or self.printed):
            found = "both settings and unknown" if self.unknown else "neither"
            raise ValueError(f"expected either released or printed, or unknown, found {found}: keep one")
        if self.unknown:
            return self
        if both := sorted(self.released.keys() & self.printed.keys()):
            raise ValueError(f"{both[0]}: expected either released or printed, found both: remove one")
        if not isinstance(self.settings.get("epochs"), int):
            raise ValueError(
                f"{self.source('epochs')}: expected a whole number of epochs, found none: add it"
            )
        return self

    @property
    def settings(self) -> dict:
        """The paper's settings, wherever they stand."""
        return self.released | self.printed

    def source(self, parameter: str = "") -> str:
        """Where a parameter stands, nested ones by their first name: "released" or "printed"."""
        return "printed" if parameter.split(".")[0] in self.printed or not self.released else "released"


class Row(Strict):
    """Printed numbers of one method in one metric, one for each column of the table.

    A number that is printed but cannot be read in the copy at hand is null.
    """

    run: str
    metric: str
    values: list[float | None]
    decimals: int = Field(3, ge=0, description="Decimals as printed.")
    note: str = ""
    also: dict[str, str] = Field({}, description="Further keys compared with the same numbers, with a note.")

    @property
    def metrics(self) -> dict[str, str]:
        """All metric keys of the row with their notes, the first one first."""
        return {self.metric: self.note, **self.also}

    def printed(self, column: int) -> str:
        """The number of a column with the decimals that the paper gives it; "" where it cannot be read."""
        value = self.values[column]
        return "" if value is None else f"{value:.{self.decimals}f}"


class Table(Strict):
    """One table of the paper, or a part of it; several entries may share the name in `table`."""

    table: str
    title: str
    columns: list[str] = Field(min_length=1, description="The paper's data sets.")
    rows: list[Row] = Field(min_length=1)
    note: str = Field("", description="For the reader of the table.")
    caveat: str = Field("", description="What the ledger says beside every comparison with it.")
    neutral: bool = Field(False, description="A larger value is not better: no row can be 'better'.")
    not_run: str = Field("", description="Why none of these numbers is compared with a run.")
    in_kind: dict[str, str] = Field(
        {}, description="Our metrics of the same kind, compared with none of these numbers, each with a note."
    )

    @model_validator(mode="after")
    def _rows_fit(self) -> "Table":
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(
                    f"{self.table}, {row.run} {row.metric}: expected {len(self.columns)} values, one for "
                    f"each column, found {len(row.values)}: correct the row"
                )
            if None in row.values and not self.not_run:
                raise ValueError(
                    f"{self.table}, {row.run} {row.metric}: expected numbers where runs are compared with "
                    "them, found null: read them, or say in not_run why none is compared"
                )
        return self


class Paper(Strict):
    """A whole papers/<study>.yaml."""

    study: str
    title: str
    authors: str
    published: str
    tolerances: dict[str, float]
    runs: dict[str, Run]
    evaluation: dict[str, dict] = Field({}, description="The paper's settings of each protocol of ours.")
    private: dict[str, str] = Field({}, description="Data sets that nobody else can have, and why.")
    tables: list[Table]
    claims: list[Claim]

    @model_validator(mode="after")
    def _names_agree(self) -> "Paper":
        columns = list(dict.fromkeys(name for table in self.tables for name in table.columns))
        for table in self.tables:
            self._check(table.table, [] if table.not_run else [row.run for row in table.rows], table.columns)
            for row in table.rows:
                for metric in row.metrics:
                    self.tolerance(metric)
        for claim in self.claims:
            self._check(claim.claim, [term.run for term in claim.terms], claim.datasets)
            for dataset in claim.datasets:
                if dataset not in columns:
                    raise ValueError(
                        f"{claim.claim}: expected data sets of the paper's tables ({', '.join(columns)}), "
                        f"found {dataset!r}: correct it"
                    )
        for dataset in self.private:
            if dataset not in self.datasets:
                names = ", ".join(self.datasets)
                raise ValueError(
                    f"private: expected data sets of the paper ({names}), found {dataset!r}: correct it"
                )
        return self

    @property
    def datasets(self) -> list[str]:
        """The paper's data sets, in the order in which they appear."""
        columns = [dataset for table in self.tables for dataset in table.columns]
        return list(dict.fromkeys([*columns, *(name for claim in self.claims for name in claim.datasets)]))

    def _check(self, where: str, runs: list[str], datasets: list[str]) -> None:
        for run in runs:
            if run not in self.runs:
                raise ValueError(
                    f"{where}: expected a run of {', '.join(self.runs)}, found {run!r}: correct it"
                )
        for dataset in datasets:
            if dataset.startswith(PHANTOM):
                raise ValueError(
                    f"{where}: expected data sets of the paper, found the phantom {dataset}: leave it out"
                )

    def tolerance(self, metric: str) -> float:
        """Largest difference that counts as none; ValueError for a metric that has no tolerance."""
        known = [word for word in re.split("[/_]", metric) if word in self.tolerances]
        if not known:
            raise ValueError(
                f"{metric}: expected a word of tolerances ({', '.join(self.tolerances)}) in the metric's "
                "key, found none: correct the key or add a tolerance"
            )
        return self.tolerances[known[-1]]


def load(path: Path) -> Paper:
    """Read and check a paper's file. ValueError, one line per fault, names the file and the key."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ValueError(f"{path}: expected YAML in UTF-8, found a fault: {found}: correct it") from error
    if not isinstance(content, dict) or content.keys().isdisjoint(Paper.model_fields):
        keys, found = ", ".join(Paper.model_fields), " ".join(repr(content).split())[:SHOWN]
        raise ValueError(f"{path}: expected a paper, with the keys {keys}, found {found}: see docs/ledger.md")
    try:
        return Paper.model_validate(content)
    except ValidationError as error:
        raise ValueError("\n".join(f"{path}: {_line(fault)}" for fault in error.errors())) from error


def _line(fault: Mapping) -> str:
    """Key, what was expected, what was found and what to do."""
    key, kind, message = ".".join(map(str, fault["loc"])), fault["type"], fault["msg"]
    found = " ".join(repr(fault["input"]).split())[:SHOWN]
    match kind:
        case "value_error":
            what = message.removeprefix("Value error, ")
        case "missing":
            what = "expected this key, found none: add it"
        case "extra_forbidden":
            what = "expected no such key, found one: check its spelling, see docs/ledger.md"
        case _:
            wanted = message.replace("Input should be", "expected", 1)
            what = f"{wanted}, found {found}: correct it"
    return f"{key}{': ' if key else ''}{what}"
