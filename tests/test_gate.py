"""The gate finds outliers in the bad direction, and nobody in a cohort that is sound."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from latent_anatomy.imaging import gate
from latent_anatomy.imaging.gate import Params, Verdict, judge, modified_z

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=3, max_size=30)
SCALED = st.sampled_from(list(gate.MEASURES))
# A possible value of each.
MIDDLE = {
    "affine_scale": 0.9,
    "affine_stretch": 1.2,
    "brain_ml": 1400.0,
    "clipped_percent": 0.9,
    "coverage_percent": 95.0,
    "dice": 0.9,
    "field_cv": 0.3,
    "head_ml": 3000.0,
    "lesion_outside_percent": 10.0,
    "native_brain_ml": 1300.0,
    "similarity_after": 1.5,
    "zero_percent": 10.0,
}


def cohort(measure: str, values) -> dict[str, dict[str, float]]:
    return {f"s{index:02}": {measure: float(value)} for index, value in enumerate(values)}


def spread_of(measure: str) -> float:
    return gate.MEASURES[measure]["spread"]


def sound(measure: str, count: int = 21) -> np.ndarray:
    """Values around a possible one, with a MAD well above the measure's smallest."""
    return MIDDLE[measure] + 4 * spread_of(measure) * np.linspace(-1, 1, count)


def failed(verdicts: list[Verdict]) -> list[str]:
    return [verdict.subject for verdict in verdicts if not verdict.passed]


@settings(max_examples=50, deadline=None)
@given(VALUES, st.floats(0.01, 100), st.floats(-100, 100), st.floats(0.01, 10))
def test_scores_do_not_depend_on_unit_or_origin(values, factor, shift, spread):
    moved = modified_z(np.array(values) * factor + shift, spread * factor)
    np.testing.assert_allclose(moved, modified_z(values, spread), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(modified_z(-np.array(values), spread), -modified_z(values, spread))


def test_scores_are_those_of_the_definition():
    values = [1.0, 2.0, 3.0, 4.0, 100.0]  # median 3, deviations 2 1 0 1 97, MAD 1
    np.testing.assert_allclose(modified_z(values, 1e-9), 0.6745 * (np.array(values) - 3))
    np.testing.assert_allclose(modified_z(values, 2.0), 0.6745 * (np.array(values) - 3) / 2)


@settings(max_examples=50, deadline=None)
@given(st.floats(500, 2500), st.integers(1, 30))
def test_nobody_fails_in_an_identical_cohort(value, count):
    rows = {f"s{index}": {"brain_ml": value, "dice": value / 2500, "field_cv": 0.1} for index in range(count)}
    verdicts = judge(rows, Params())
    assert failed(verdicts) == []
    assert {verdict.score for verdict in verdicts} == ({0.0} if count >= Params().subjects else {None})


@settings(max_examples=50, deadline=None)
@given(SCALED, st.floats(-1, 1))
def test_differences_that_do_not_matter_fail_nobody(measure, part):
    values = sound(measure, 1).repeat(12)
    values[5] += part * spread_of(measure)
    assert failed(judge(cohort(measure, values), Params())) == []


@settings(max_examples=50, deadline=None)
@given(SCALED, st.integers(0, 20), st.floats(60, 100), st.booleans())
def test_an_inserted_outlier_is_found_where_its_direction_is_bad(measure, place, far, up):
    values = sound(measure)
    values[place] += (1 if up else -1) * far * spread_of(measure)
    worse = gate.MEASURES[measure]["worse"]
    rule = gate.MEASURES[measure]
    assume(rule.get("minimum", -np.inf) <= values[place] <= rule.get("maximum", np.inf))
    bad = worse == "either" or (worse == "higher") == up
    verdicts = judge(cohort(f"step/{measure}", values), Params())
    assert failed(verdicts) == ([f"s{place:02}"] if bad else [])
    if bad:
        reason = verdicts[place].reason
        assert all(text in reason for text in (measure, f"{values[place]:.4g}", f"{np.median(values):.4g}"))
        assert f"{verdicts[place].score:.1f}" in reason
    else:
        assert verdicts[place].score == 0


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(15)))
def test_the_order_of_the_subjects_decides_nothing(order):
    rows = cohort("brain_ml", 1000 + np.arange(15.0) ** 3 / 4)
    assert judge({f"s{index:02}": rows[f"s{index:02}"] for index in order}, Params()) == judge(rows, Params())


def test_the_score_is_that_of_the_worst_measure_and_other_numbers_do_not_count():
    rows = {
        name: {"register/similarity_after": 1.2, "strip/dice": 0.98, "bias/scale": index**3}
        for index, name in enumerate(f"s{index}" for index in range(10))
    }
    rows["s4"] |= {"register/similarity_after": 1.1, "strip/dice": 0.97}
    verdicts = {verdict.subject: verdict for verdict in judge(rows, Params())}
    assert failed(verdicts.values()) == ["s4"]
    assert verdicts["s4"].score == pytest.approx(0.6745 * 0.1 / 0.005)
    assert "dice" not in verdicts["s4"].reason


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"brain_ml": 0.0, "dice": 0.9}, "brain_ml 0 is below 500"),
        ({"brain_ml": 2600.0, "dice": 0.9}, "brain_ml 2600 is above 2500"),
        ({"brain_ml": math.nan, "dice": 0.9}, "brain_ml is nan"),
        ({"brain_ml": 1400.0, "dice": 0.9, "anything": math.inf}, "anything is inf"),
        ({"dice": 0.9}, "brain_ml is missing"),
    ],
)
@pytest.mark.parametrize("others", [1, 20])
def test_the_impossible_fails_in_every_cohort_and_moves_no_median(row, reason, others):
    rows = {f"s{index:02}": {"brain_ml": 1400.0 + index, "dice": 0.9} for index in range(others)}
    alone = judge(rows, Params())
    verdicts = judge(rows | {"x": row}, Params())
    assert verdicts == [*alone, Verdict("x", None, False, reason)]


# Read at a third of its size, a quarter too large, with slices of another thickness, not registered, cut off
# in mid-brain, with a lesion mask of something else, of zeros.
WRONG = {
    "register/affine_scale": (0.33, 2.0),
    "register/affine_stretch": (1.6,),
    "register/native_brain_ml": (50.0, 700.0, 2200.0),
    "register/similarity_after": (1.01,),
    "register/coverage_percent": (0.0, 55.0, 89.0),
    "register/lesion_outside_percent": (80.0,),
    "bias/flair/head_ml": (110.0, 450.0, 12000.0),
    "strip/brain_ml": (60.0, 2600.0),
    "normalise/zero_percent": (45.0, 100.0),
}


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize(("measure", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_heads_that_are_all_wrong_alike_fail(measure, value, count):
    sound_ones = {name: MIDDLE[name.rsplit("/", 1)[-1]] for name in WRONG}
    alike = {f"s{index}": sound_ones | {measure: value + index * 1e-6} for index in range(count)}
    assert failed(judge({"s0": sound_ones}, Params())) == []
    verdicts = judge(alike, Params())
    assert failed(verdicts) == sorted(alike)
    assert all(
        verdict.reason.startswith(f"{measure} {alike[verdict.subject][measure]:.4g} is ")
        for verdict in verdicts
    )


def test_a_subject_may_lack_what_is_optional():
    rows = cohort("brain_ml", np.full(10, 1400.0))
    rows["s03"]["dice"] = 0.5  # one alone is no cohort
    assert failed(judge(rows, Params())) == []


def test_a_registration_that_made_it_worse_fails():
    rows = {"a": {"r/similarity_before": 1.2, "r/similarity_after": 1.1, "c/similarity_before": 1.0}}
    [verdict] = judge(rows, Params())
    assert not verdict.passed and verdict.reason.startswith("r/similarity_after 1.1 is below the 1.2")
    rows["a"]["r/similarity_after"] = 1.185
    assert failed(judge(rows, Params())) == []


def test_the_excluded_are_listed_with_or_without_numbers_and_do_not_count():
    rows = cohort("brain_ml", [1400.0, 1410, 1420, 1430, 1440, 1450, 1460, 900])
    excluded = {"s07": "motion", "unreadable": "damaged file"}
    verdicts = {verdict.subject: verdict for verdict in judge(rows, Params(subjects=7), excluded)}
    assert sorted(failed(verdicts.values())) == ["s07", "unreadable"]
    assert verdicts["unreadable"].reason == "excluded by hand: damaged file"
    assert verdicts["s03"].score == 0  # the median of the seven that remain


def test_small_cohorts_are_not_scored_and_say_so():
    verdicts = judge(cohort("brain_ml", [600.0, 1400, 1401, 1402, 1403, 1404, 1405]), Params())
    assert failed(verdicts) == []
    assert all(verdict.score is None and "not scored" in verdict.reason for verdict in verdicts)
    assert failed(judge(cohort("brain_ml", [600.0, 1400, 1401]), Params(subjects=3))) == ["s00"]


def test_parameters_are_added_to_the_defaults_and_checked():
    params = Params(measures={"brain_ml": {"minimum": 300}, "snr": {"worse": "lower", "spread": 1}})
    assert params.measures["brain_ml"].minimum == 300 and params.measures["brain_ml"].maximum == 2500
    assert params.of("strip/snr").worse == "lower" and params.of("strip/other") is None
    assert Params(**params.model_dump()) == params
    json.dumps(params.model_dump(), allow_nan=False)
    for wrong in (
        {"limit": 0},
        {"measures": {"snr": {}}},
        {"measures": 3},
        {"measures": {"dice": 3}},
        {"a": 1},
    ):
        with pytest.raises(ValidationError):
            Params(**wrong)


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.text("ab,\"' \n", min_size=1),
        st.dictionaries(st.sampled_from(["strip/brain_ml", "strip/dice", "x"]), st.floats(width=32)),
        max_size=12,
    )
)
def test_what_is_written_is_read_and_written_again_as_the_same_bytes(tmp_path_factory, rows):
    first, second = (tmp_path_factory.getbasetemp() / f"qc-{number}.csv" for number in (1, 2))
    verdicts = judge(rows, Params(subjects=3))
    gate.write(first, verdicts, rows)
    read, numbers = gate.read(first)
    gate.write(second, read, numbers)
    assert first.read_bytes() == second.read_bytes()
    assert [(each.subject, each.passed, each.reason) for each in read] == [
        (each.subject, each.passed, each.reason) for each in verdicts
    ]
    assert numbers.keys() == rows.keys()
    for subject, row in rows.items():
        assert numbers[subject].keys() == row.keys()
        for name, value in row.items():
            np.testing.assert_array_equal(np.float32(numbers[subject][name]), np.float32(value))
    assert gate.passing(first) == [verdict.subject for verdict in verdicts if verdict.passed]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,passed,score,reason\n",
        "subject,passed,score,reason,x,x\n",
        "subject,passed,score,reason\na,maybe,,\n",
        "subject,passed,score,reason\na,yes,high,\n",
        "subject,passed,score,reason,x\na,yes,1,\n",
        "subject,passed,score,reason\na,yes,1,\na,yes,1,\n",
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text):
    (tmp_path / "qc.csv").write_text(text)
    with pytest.raises(ValueError, match=r"qc.csv: expected .* run the gate again"):
        gate.passing(tmp_path / "qc.csv")


def test_numbers_are_collected_by_subject_under_their_steps(tmp_path):
    paths = []
    for place, numbers in {
        "a/strip": {"brain_ml": 1400},
        "a/bias": {"t1/field_cv": 0.1},
        "b/strip": {},
    }.items():
        path = tmp_path / place / "numbers.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(numbers))
        paths.append(path)
    found = gate.collect(paths)
    assert found == {"a": {"bias/t1/field_cv": 0.1, "strip/brain_ml": 1400.0}, "b": {}}
    assert Params().of("bias/t1/field_cv") == Params().measures["field_cv"]


@pytest.mark.parametrize("text", ["[1]", '{"a": "1"}', '{"a": null}', '{"a": true}', '{"a": {}}', "{"])
def test_a_file_of_anything_but_numbers_is_refused(tmp_path, text):
    path = tmp_path / "numbers.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"numbers.json: expected an object of numbers"):
        gate.collect([path])
