"""papers/rotation.yaml holds what the abstract prints and compares nothing with it; ours are in kind."""

from pathlib import Path

import pytest
from reporting import assert_refused

from latent_anatomy.ledger import build, papers, results

FILE = Path(__file__).parents[1] / "papers" / "rotation.yaml"
PAPER = papers.load(FILE)
PRINTED = {"ari": 0.1901, "nmi": 0.1685, "dice": 0.1239}  # typed a second time, from the abstract
DATASET = "lgg-patches"


def result(run: str, **metrics: float) -> results.Result:
    return results.Result(Path(), run, DATASET, 1, metrics, {}, {})


def rows(tmp_path) -> list:
    gains = {f"consistency/gain/{name}": 0.1 for name in PRINTED}
    gains |= {f"consistency/gain/{name}/relative": 0.25 for name in PRINTED}
    known = {"consistency/ari": 0.5, "survival/both/c": 0.6}
    made = [result("rotation", **known, **gains)]
    made += [result(run, **known) for run in PAPER.runs if run != "rotation"]
    return build.build(PAPER, results.Results({(each.run, DATASET): [each] for each in made}, {}, False))


def test_the_three_gains_of_the_abstract_are_there_and_no_other_number():
    numbers = {row.metric: row.values for table in PAPER.tables for row in table.rows}
    assert numbers == {f"consistency/gain/{name}/relative": [value] for name, value in PRINTED.items()}


def test_ours_stand_in_kind_as_relative_gain_and_as_points_beside_no_number(tmp_path):
    found = [row for row in rows(tmp_path) if row.metric.startswith("consistency/gain/")]
    ours = {row.metric: row for row in found if row.dataset == DATASET}
    assert len(ours) == 2 * len(PRINTED)
    for name in PRINTED:
        points, relative = (ours[f"consistency/gain/{name}{ending}"] for ending in ("", "/relative"))
        assert (points.verdict, relative.verdict) == ("in kind", "in kind")
        assert (points.paper, relative.paper) == ("", "")
        assert (points.ours_mean, relative.ours_mean) == ("0.1000", "0.2500")
        assert "as points" in points.reason and "relative to the entangled" in relative.reason
        assert "pairs are simulated" in points.reason
    theirs = [row for row in found if row.dataset == "vienna-ct"]
    assert {row.verdict for row in theirs} == {"not run"} and len(theirs) == len(PRINTED)


def test_both_claims_of_one_training_are_undecided(tmp_path):
    claims = [row for row in rows(tmp_path) if row.metric == "claim" and row.dataset == DATASET]
    assert len(claims) == 2 and {row.verdict for row in claims} == {"undecided"}
    assert "four harmonisation methods" in claims[0].table + claims[0].reason


@pytest.mark.parametrize("other", [{"unknown": ""}, {"printed": {"epochs": 5}}])
def test_a_run_has_settings_or_says_why_none_is_known(tmp_path, other):
    change = lambda content: content["runs"]["rotation"].update(other)  # noqa: E731
    assert_refused(FILE, change, r"runs\.rotation.*either released or printed, or unknown", tmp_path)
