"""Which subjects of a data set go on to become slices, by the numbers that the imaging steps left.

A subject fails outright where a number is missing, not finite or impossible, and where registration made
the likeness to the atlas worse. Of those that remain, each measure becomes a modified z-score (Iglewicz and
Hoaglin, "How to Detect and Handle Outliers", ASQC 1993):

    z = 0.6745 (x - median) / MAD,    MAD = median |x - median|

counted in the direction in which the measure is bad, and the score of a subject is that of its worst
measure, at least 0. Deviations, each a parameter:

    limit     5, where the book has 3.5: that labels values to be looked at, while this leaves subjects out.
              In a sound cohort of 10 a subject in 60 is above 3.5 in a two-sided measure, one in 220 above 5
    spread    MAD counts as at least this, so that in a cohort of near twins nobody fails for a difference
              that does not matter, and a MAD of 0 needs no rule of its own
    loss      a registration that lowers the similarity by more fails; less may be interpolation's doing
    subjects  below 8 there is no score: in a cohort of 5 a sound subject in 36 is above 5
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator

from latent_anatomy.data.slices import defect
from latent_anatomy.provenance import csv_table

NORMAL = 0.6745  # MAD of the standard normal distribution
COLUMNS = ("subject", "passed", "score", "reason")
ANSWERS = {True: "yes", False: "no"}
BEFORE, AFTER = "similarity_before", "similarity_after"

Rows = Mapping[str, Mapping[str, float]]


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measure(Strict):
    """How a number is judged."""

    worse: Literal["lower", "higher", "either"] = Field(description="The direction in which it is bad.")
    spread: PositiveFloat = Field(description="MAD counts as at least this, in the measure's unit.")
    minimum: float | None = Field(None, description="A subject below it fails, whatever the others have.")
    maximum: float | None = Field(None, description="A subject above it fails, whatever the others have.")
    optional: bool = Field(False, description="Whether a subject may be without it.")


# The limits are those of any adult's head, so that a data set in which all are wrong alike fails; docs/qc.md
# has what sound heads have, and the reasons.
MEASURES = {
    AFTER: {"worse": "lower", "spread": 0.005, "minimum": 1.025},
    "affine_scale": {"worse": "either", "spread": 0.02, "minimum": 0.7, "maximum": 1.2},
    "affine_stretch": {"worse": "higher", "spread": 0.03, "maximum": 1.4},
    "brain_ml": {"worse": "either", "spread": 20, "minimum": 500, "maximum": 2500},
    "clipped_percent": {"worse": "either", "spread": 0.1},
    "coverage_percent": {"worse": "lower", "spread": 1, "minimum": 90},
    "dice": {"worse": "lower", "spread": 0.005, "optional": True},
    "field_cv": {"worse": "higher", "spread": 0.01},
    "head_ml": {"worse": "either", "spread": 300, "minimum": 500, "maximum": 8000},
    "native_brain_ml": {"worse": "either", "spread": 50, "minimum": 800, "maximum": 2000},
    "lesion_outside_percent": {"worse": "higher", "spread": 10, "maximum": 50, "optional": True},
    "zero_percent": {"worse": "higher", "spread": 1, "maximum": 30},
}


class Params(Strict):
    """What the gate lets pass. What `measures` says of a measure is added to what MEASURES says."""

    limit: PositiveFloat = Field(5.0, description="Highest score that passes.")
    loss: NonNegativeFloat = Field(0.02, description="Most similarity that registration may lose.")
    subjects: int = Field(8, ge=3, description="Fewest subjects with a measure for it to be scored.")
    measures: dict[str, Measure] = Field(description="By name; the defaults are MEASURES.")

    @model_validator(mode="before")
    @classmethod
    def _added_to_the_defaults(cls, content: dict) -> dict:
        given = content.get("measures", {})
        if not (isinstance(given, dict) and all(isinstance(rule, dict) for rule in given.values())):
            return content  # and pydantic says what is wrong
        merged = {name: MEASURES.get(name, {}) | given.get(name, {}) for name in MEASURES | given}
        return content | {"measures": merged}

    def of(self, measure: str) -> Measure | None:
        """How "<step>/<name>", or "<name>", is judged: by its name; None where it is only shown."""
        return self.measures.get(measure.rsplit("/", 1)[-1])


@dataclass(frozen=True)
class Verdict:
    """Whether a subject goes on.

    score   of its worst measure, 0 where none is bad; None without one (small cohorts, failures outright)
    reason  why it failed, in words; of one that passed empty, or why it has no score
    """

    subject: str
    score: float | None
    passed: bool
    reason: str


def collect(paths: Iterable[Path]) -> dict[str, dict[str, float]]:
    """Subject -> "<step>/<name>" -> number, of files <...>/<subject>/<step>/numbers.json.

    Raises ValueError for a file that holds anything but names and numbers.
    """
    rows: dict[str, dict[str, float]] = {}
    for path in sorted(map(Path, paths)):
        *_, subject, step, _ = path.parts
        try:
            numbers = json.loads(path.read_text(encoding="utf-8"))
            own = {f"{step}/{name}": _number(value) for name, value in numbers.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise defect(path, "an object of numbers", error, "run the step again") from error
        rows.setdefault(subject, {}).update(own)
    return rows


def modified_z(values: ArrayLike, spread: float) -> NDArray[np.float64]:
    """Modified z-scores (n,) of finite numbers (n,) among themselves, with a MAD of at least `spread` > 0."""
    deviations = np.asarray(values, np.float64) - np.median(values)
    return NORMAL * deviations / max(np.median(np.abs(deviations)), spread)


def judge(rows: Rows, params: Params, excluded: Mapping[str, str] | None = None) -> list[Verdict]:
    """A verdict on every subject of a data set, in the order of their names.

    rows: subject -> measure -> number; `excluded`: subject -> reason, left out by hand, with or without a
    row. Neither these nor those that fail outright count in the medians of the others.
    """
    rules = {measure: params.of(measure) for row in rows.values() for measure in row}
    rules = {measure: rule for measure, rule in sorted(rules.items()) if rule is not None}
    failed = {
        subject: "; ".join(reasons)
        for subject, row in rows.items()
        if (reasons := _faults(row, rules, params.loss))
    } | {subject: f"excluded by hand: {reason}" for subject, reason in (excluded or {}).items()}
    verdicts = [Verdict(subject, None, False, reason) for subject, reason in failed.items()]

    cohort = {subject: row for subject, row in rows.items() if subject not in failed}
    scores: dict[str, list[float]] = {subject: [] for subject in cohort}
    reasons: dict[str, list[str]] = {subject: [] for subject in cohort}
    for measure, rule in rules.items():
        values = {subject: row[measure] for subject, row in cohort.items() if measure in row}
        if len(values) < params.subjects:
            continue
        median = np.median(list(values.values()))
        z = modified_z(list(values.values()), rule.spread)
        bad = {"lower": -z, "higher": z, "either": np.abs(z)}[rule.worse]
        for (subject, value), score in zip(values.items(), bad.tolist(), strict=True):
            scores[subject].append(max(score, 0.0))
            if score > params.limit:
                far = f"score {score:.1f}, above {params.limit:g}"
                reasons[subject].append(f"{measure} {value:.4g}, where the median is {median:.4g}: {far}")
    unscored = f"not scored: no measure of {params.subjects} or more subjects"
    for subject, own in scores.items():
        reason = "; ".join(reasons[subject]) if own else unscored
        verdicts.append(Verdict(subject, max(own, default=None), not reasons[subject], reason))
    return sorted(verdicts, key=lambda verdict: verdict.subject)


def _faults(row: Mapping[str, float], rules: Mapping[str, Measure], loss: float) -> list[str]:
    """Why a subject fails whatever the others have."""
    faults = [f"{measure} is {value}" for measure, value in sorted(row.items()) if not math.isfinite(value)]
    for measure, rule in rules.items():
        value = row.get(measure)
        if value is None:
            faults += [] if rule.optional else [f"{measure} is missing"]
            continue
        if rule.minimum is not None and value < rule.minimum:
            faults.append(f"{measure} {value:.4g} is below {rule.minimum:g}")
        if rule.maximum is not None and value > rule.maximum:
            faults.append(f"{measure} {value:.4g} is above {rule.maximum:g}")
        before = row.get(measure.removesuffix(AFTER) + BEFORE) if measure.endswith(AFTER) else None
        if before is not None and value < before - loss:
            faults.append(f"{measure} {value:.4g} is below the {before:.4g} of before the registration")
    return faults


def write(path: Path, verdicts: Iterable[Verdict], rows: Rows) -> None:
    """Write qc.csv: a line for each verdict, with every number of the subject; empty where there is none."""
    measures = sorted({measure for row in rows.values() for measure in row})
    lines = []
    for verdict in verdicts:
        score = "" if verdict.score is None else verdict.score
        numbers = rows.get(verdict.subject, {})
        values = [numbers.get(measure, "") for measure in measures]
        lines.append([verdict.subject, ANSWERS[verdict.passed], score, verdict.reason, *values])
    csv_table.write(path, [*COLUMNS, *measures], lines)


def read(path: Path) -> tuple[list[Verdict], dict[str, dict[str, float]]]:
    """The verdicts and rows of a qc.csv, numbers to nine digits; ValueError for another or a damaged file."""
    answers = {answer: passed for passed, answer in ANSWERS.items()}
    verdicts, rows = [], {}
    with Path(path).open(encoding="utf-8", newline="") as stream:
        lines = csv.reader(stream)
        header = next(lines, [])
        measures = header[len(COLUMNS) :]
        if tuple(header[: len(COLUMNS)]) != COLUMNS or len(set(header)) != len(header):
            raise defect(path, f"columns {', '.join(COLUMNS)} and measures", header, "run the gate again")
        for line in lines:
            try:
                subject, passed, score, reason, *numbers = line
                verdict = Verdict(subject, float(score) if score else None, answers[passed], reason)
                row = {name: float(text) for name, text in zip(measures, numbers, strict=True) if text}
            except (KeyError, ValueError) as error:
                raise defect(path, "a line of qc.csv", line, "run the gate again") from error
            if subject in rows:
                raise defect(path, "each subject once", f"{subject} again", "run the gate again")
            verdicts.append(verdict)
            rows[subject] = row
    return verdicts, rows


def passing(path: Path) -> list[str]:
    """Names of the subjects that go on."""
    return [verdict.subject for verdict in read(path)[0] if verdict.passed]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
