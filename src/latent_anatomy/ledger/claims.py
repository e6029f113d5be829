"""Do a paper's claims hold on our runs? Decided data set by data set; see docs/ledger.md."""

import re
from dataclasses import dataclass, replace

from latent_anatomy.data.cohorts import labelled_of
from latent_anatomy.ledger.departures import departures
from latent_anatomy.ledger.evidence import Beyond, Comparison, Range
from latent_anatomy.ledger.papers import Paper
from latent_anatomy.ledger.printed_claims import Bound, Claim, Term
from latent_anatomy.ledger.results import Result, Results
from latent_anatomy.statistics.inference import holm, t_interval
from latent_anatomy.statistics.trainings import LEAST, over_folds, over_trainings

Evidence = Comparison | Range | Beyond


@dataclass(frozen=True)
class Case:
    """A claim on one of our data sets, which answers to the data set `published` of the paper, or to none.

    `expected`: whether the paper's own numbers bear the claim out there; False where it answers to none.
    """

    dataset: str
    published: str | None
    expected: bool
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...]
    seeds: int

    @property
    def held(self) -> bool:
        return all(evidence.held for evidence in self.evidence)

    @property
    def decided(self) -> bool:
        """Whether there are trainings enough to say so."""
        return all(evidence.decided for evidence in self.evidence)


@dataclass(frozen=True)
class Decision:
    """A claim with the data sets that were run, and those of the paper that were not."""

    claim: Claim
    cases: tuple[Case, ...]
    missing: tuple[str, ...]

    @property
    def held(self) -> str:
        """On how many of the data sets that decide it it holds, such as "2/3"; "" where none does."""
        decided = [case for case in self.cases if case.decided]
        return f"{sum(case.held for case in decided)}/{len(decided)}" if decided else ""

    @property
    def in_kind(self) -> bool:
        """Whether it is about a data set that answers to none of the paper's."""
        return any(case.published is None for case in self.cases)

    @property
    def verdict(self) -> str:
        """Reproduced: holds exactly where the paper's own numbers say so; better: there and elsewhere."""
        if not self.cases:
            return "not run"
        decided = [case for case in self.cases if case.decided]
        if not decided:
            return "undecided"
        if self.in_kind:
            return "in kind"
        if not all(case.held for case in decided if case.expected):
            return "not reproduced"
        return "better" if any(case.held for case in decided if not case.expected) else "reproduced"


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

    def adjust(evidence: Evidence) -> Evidence:
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
    return all(_values(term, term.on(dataset), results) for term in claim.terms)


def _values(term: Term, dataset: str, results: Results) -> dict[str, float]:
    """The metrics that a term matches on a data set, each a mean over the seeds; empty if none."""
    seeds = results.seeds(term.run, dataset)
    pattern = re.compile(re.escape(term.metric).replace(r"\*", "[^/]+"))
    keys = [key for key in seeds[0].metrics if pattern.fullmatch(key)] if seeds else []
    return {key: sum(result.metrics[key] for result in seeds) / len(seeds) for key in sorted(keys)}


def _case(claim: Claim, published: str | None, dataset: str, paper: Paper, results: Results) -> Case:
    seeds = {term: results.seeds(term.run, term.on(dataset)) for term in claim.terms}
    caveats = {
        f"{term.run} {text}": None
        for term, results_of_term in seeds.items()
        for text in departures(paper, results_of_term[0], term.metric)
    }
    evidence: tuple[Evidence, ...]
    if claim.constant:
        values = [value for term in claim.terms for value in _values(term, dataset, results).values()]
        trainings = min(sum(seed.folds for seed in seeds[term]) for term in claim.terms)
        evidence = (Range(max(values) - min(values), claim.constant.within, len(values), trainings),)
    elif claim.bound:
        evidence = tuple(_beyond(claim.bound, term, seeds[term]) for term in claim.terms)
    else:
        evidence = tuple(_compare(claim.greater, term, dataset, results) for term in claim.than)
    least = min(len(results_of_term) for results_of_term in seeds.values())
    return Case(dataset, published, published in claim.holds, evidence, tuple(caveats), least)


def _compare(greater: Term, opponent: Term, dataset: str, results: Results) -> Comparison:
    """By the comparison over trainings and subjects, in which a classifier answers under the other's probe.

    Of a metric without scores of subjects, over trainings alone; not decided where a run was tested on some
    of the subjects.
    """
    paired = {} if greater.labelled or opponent.labelled else results.comparisons.get(dataset, {})
    for one, other, sign in ((greater, opponent, 1), (opponent, greater, -1)):
        key = f"{greater.metric}/{one.run}-minus-{other.run}"
        if f"{key}/p_value_trainings" in paired:
            bounds = sorted(sign * paired[f"{key}/trainings_{bound}"] for bound in ("low", "high"))
            difference = sign * paired[f"{key}/difference"]
            return Comparison(opponent.run, difference, tuple(bounds), paired[f"{key}/p_value_trainings"])
    both = [results.seeds(term.run, term.on(dataset)) for term in (greater, opponent)]
    ours, theirs = (_of_trainings(*each) for each in zip((greater, opponent), both, strict=True))
    name = f"{opponent.run} with {opponent.labelled}" if opponent.labelled else opponent.run
    partial = any(seed.test_subjects for seeds in both for seed in seeds)
    if partial or min(len(ours), len(theirs)) < LEAST:
        return Comparison(name, sum(ours) / len(ours) - sum(theirs) / len(theirs))
    if greater.run == opponent.run or results.seeds(greater.run, dataset)[0].folds >= LEAST:
        # Two metrics of each training, or trainings on the same folds.
        interval = over_folds([one - other for one, other in zip(ours, theirs, strict=True)])
    else:
        interval = over_trainings(ours, theirs)
    return Comparison(name, interval.estimate, (interval.low, interval.high), interval.p)


def _beyond(bound: Bound, term: Term, seeds: list[Result]) -> Beyond:
    """By the interval of a run's mean over its trainings."""
    values = _of_trainings(term, seeds)
    return Beyond(term.run, *t_interval(values), above=bound.above, below=bound.below, trainings=len(values))


def _of_trainings(term: Term, seeds: list[Result]) -> list[float]:
    """A metric of each seed, or of each fold, in the mean over the seeds, where there are several folds."""
    if seeds[0].folds < LEAST:
        return [seed.metrics[term.metric] for seed in seeds]
    folds = zip(*(seed.of_folds for seed in seeds), strict=True)
    return [sum(each[term.metric] for each in fold) / len(seeds) for fold in folds]
