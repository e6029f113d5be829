"""Do a paper's claims hold on our runs? Decided data set by data set; see docs/ledger.md."""

import re
from dataclasses import dataclass, replace

from latent_anatomy.data.cohorts import labelled_of
from latent_anatomy.ledger.departures import departures
from latent_anatomy.ledger.papers import Claim, Paper, Term
from latent_anatomy.ledger.results import Results
from latent_anatomy.statistics.inference import holm

LEVEL = 0.05  # after Holm's correction over all comparisons that decide the claims of one paper


@dataclass(frozen=True)
class Comparison:
    """`greater` of a claim minus one of its opponents, on one data set.

    `p` and `interval` are those of the paired comparison, or None where only the point estimates (means
    over the seeds) are known. `p` is adjusted by `decide`.
    """

    opponent: str
    difference: float
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def held(self) -> bool:
        return self.difference > 0 and (self.p is None or self.p < LEVEL)

    def __str__(self) -> str:
        text = f"{self.difference:+.4f} over {self.opponent}"
        if self.p is None:
            return f"{text} by the point estimates, no paired test"
        return f"{text} [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}], p {self.p:.4f} after Holm"


@dataclass(frozen=True)
class Range:
    """Largest minus smallest value of a claim that something is constant, on one data set."""

    width: float
    within: float
    conditions: int

    @property
    def held(self) -> bool:
        return self.width <= self.within

    def __str__(self) -> str:
        return f"range {self.width:.4f} over {self.conditions} conditions, bound {self.within:g}"


@dataclass(frozen=True)
class Case:
    """A claim on one of our data sets, which answers to the data set `published` of the paper, or to none.

    `expected`: whether the paper's own numbers bear the claim out there; False where it answers to none.
    """

    dataset: str
    published: str | None
    expected: bool
    evidence: tuple[Comparison | Range, ...]
    caveats: tuple[str, ...]
    seeds: int

    @property
    def held(self) -> bool:
        return all(evidence.held for evidence in self.evidence)


@dataclass(frozen=True)
class Decision:
    """A claim with the data sets that were run, and those of the paper that were not."""

    claim: Claim
    cases: tuple[Case, ...]
    missing: tuple[str, ...]

    @property
    def held(self) -> str:
        """On how many of the data sets that were run it holds, such as "2/3"."""
        return f"{sum(case.held for case in self.cases)}/{len(self.cases)}"

    @property
    def in_kind(self) -> bool:
        """Whether it is about a data set that answers to none of the paper's."""
        return any(case.published is None for case in self.cases)

    @property
    def verdict(self) -> str:
        """Reproduced: holds exactly where the paper's own numbers say so; better: there and elsewhere."""
        if not self.cases:
            return "not run"
        if self.in_kind:
            return "in kind"
        if not all(case.held for case in self.cases if case.expected):
            return "not reproduced"
        return "better" if any(case.held for case in self.cases if not case.expected) else "reproduced"


def decide(paper: Paper, results: Results) -> list[Decision]:
    """Every claim of the paper, its paired p-values adjusted together.

    A data set of the paper that was not run is answered for by its substitutes. On a data set that answers
    to none of the paper's, a claim is decided by itself; on a cohort only if it is about one labelled alike.
    """
    decisions = []
    for claim in paper.claims:
        decisions.append(_gather(claim, paper, results))
        alike = [name for name in results.in_kind(paper) if _concerns(claim, name)]
        chosen = [name for name in alike if _was_run(claim, name, results)]
        cases = [_case(claim, None, name, paper, results) for name in chosen]
        decisions += [Decision(claim, (case,), ()) for case in cases]
    tests = [
        evidence
        for decision in decisions
        for case in decision.cases
        for evidence in case.evidence
        if isinstance(evidence, Comparison) and evidence.p is not None
    ]
    adjusted = iter(holm([test.p for test in tests]).tolist())

    def adjust(evidence: Comparison | Range) -> Comparison | Range:
        tested = isinstance(evidence, Comparison) and evidence.p is not None
        return replace(evidence, p=next(adjusted)) if tested else evidence

    return [
        replace(
            decision,
            cases=tuple(
                replace(case, evidence=tuple(adjust(evidence) for evidence in case.evidence))
                for case in decision.cases
            ),
        )
        for decision in decisions
    ]


def _gather(claim: Claim, paper: Paper, results: Results) -> Decision:
    cases, missing = [], []
    for published in claim.datasets:
        names = [name for name in results.standing_for(published) if _was_run(claim, name, results)]
        chosen = names[:1] if published in names else names
        missing += [] if chosen else [published]
        cases += [_case(claim, published, name, paper, results) for name in chosen]
    return Decision(claim, tuple(cases), tuple(missing))


def _concerns(claim: Claim, dataset: str) -> bool:
    """Whether a claim, which may be about few labels, is about a data set labelled like this one."""
    labelled = labelled_of(dataset)
    return not labelled or labelled in map(labelled_of, claim.datasets)


def _was_run(claim: Claim, dataset: str, results: Results) -> bool:
    return all(_values(term, dataset, results) for term in claim.terms)


def _values(term: Term, dataset: str, results: Results) -> dict[str, float]:
    """The metrics that a term matches on a data set, each a mean over the seeds; empty if none."""
    seeds = results.seeds(term.run, dataset)
    pattern = re.compile(re.escape(term.metric).replace(r"\*", "[^/]+"))
    keys = [key for key in seeds[0].metrics if pattern.fullmatch(key)] if seeds else []
    return {key: sum(result.metrics[key] for result in seeds) / len(seeds) for key in sorted(keys)}


def _case(claim: Claim, published: str | None, dataset: str, paper: Paper, results: Results) -> Case:
    seeds = {term: results.seeds(term.run, dataset) for term in claim.terms}
    caveats = {
        f"{term.run} {text}": None
        for term, results_of_term in seeds.items()
        for text in departures(paper, results_of_term[0], term.metric)
    }
    if claim.constant:
        values = _values(claim.constant, dataset, results).values()
        evidence = (Range(max(values) - min(values), claim.constant.within, len(values)),)
    else:
        evidence = tuple(_compare(claim.greater, term, dataset, results) for term in claim.than)
    least = min(len(results_of_term) for results_of_term in seeds.values())
    return Case(dataset, published, published in claim.holds, evidence, tuple(caveats), least)


def _compare(greater: Term, opponent: Term, dataset: str, results: Results) -> Comparison:
    """By the paired comparison, in which a classifier answers under the name of the other's probe."""
    paired = results.comparisons.get(dataset, {})
    for one, other, sign in ((greater, opponent, 1), (opponent, greater, -1)):
        key = f"{greater.metric}/{one.run}-minus-{other.run}"
        if f"{key}/difference" in paired:
            bounds = sorted(sign * paired[f"{key}/{bound}"] for bound in ("ci_low", "ci_high"))
            difference = sign * paired[f"{key}/difference"]
            return Comparison(opponent.run, difference, tuple(bounds), paired[f"{key}/p_value"])
    ours, theirs = (_values(term, dataset, results)[term.metric] for term in (greater, opponent))
    return Comparison(opponent.run, ours - theirs)
