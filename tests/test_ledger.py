"""The ledger: a row for every printed number and claim, verdicts by the rules, phantoms by themselves."""

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting import pick
from scipy import stats
from synthetic_results import PAPER, comparison, overwrite, result, write
from synthetic_results import paper as load_paper

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger import build as ledger
from latent_anatomy.ledger import results
from latent_anatomy.ledger import table as ledger_table

RUNS = ("unoranic", "ae", "resnet18", "resnet18-corruption")
PSNR = {"table": "Table 2", "metric": "reconstruction/psnr"}
OURS = PSNR | {"method": "unoranic"}
AE = result("ae", "retinamnist")
EVERY_RUN = [result(run, "retinamnist") for run in RUNS]


def trainings(run: str, dataset: str) -> list[dict]:
    """Three of a run, which hardly differ."""
    return [result(run, dataset, seed, shift=0.0002 * (seed - 2)) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def paper():
    return load_paper()


def build(paper, paths, phantom=False):
    return ledger.build(paper, results.read(paths, "unoranic", phantom))


# Every printed number, and why it was not run


def test_without_results_every_number_and_claim_is_a_row_that_says_how_to_get_its_data(paper):
    rows = build(paper, [])
    numbers = sum(len(row.values) * len(row.metrics) for table in paper.tables for row in table.rows)
    assert len(rows) == numbers + len(paper.claims)
    assert {row.verdict for row in rows} == {"not run"}
    assert all(row.reason and row.paper and row.n_seeds == "0" and not row.ours_mean for row in rows)
    row = pick(rows, dataset="bloodmnist", **OURS)
    assert (row.paper, row.difference) == ("31.700", "")
    assert datasets.find("bloodmnist").how_to_get in row.reason


def test_reasons_tell_missing_data_from_a_missing_run_and_a_missing_metric(paper, tmp_path):
    content = result("unoranic", "retinamnist")
    del content["metrics"]["reconstruction/ssim"]
    rows = build(paper, write(tmp_path, content))
    where = {"dataset": "retinamnist"}
    assert "the run ae was not made on retinamnist" in pick(rows, method="ae", **PSNR, **where).reason
    reason = pick(rows, metric="reconstruction/ssim", table="Follow-up, 28 pixels", **where).reason
    assert reason == "the metrics of unoranic on retinamnist have no reconstruction/ssim"


def test_rows_beside_the_paper(paper, tmp_path):
    shifts = {1: 0.1, 2: 0.2, 3: 0.6}
    paths = write(tmp_path, *(result("unoranic", "retinamnist", *each) for each in shifts.items()))
    row = pick(build(paper, paths), dataset="retinamnist", **OURS)
    assert (row.paper, row.ours_mean, row.n_seeds, row.difference) == ("36.309", "36.6090", "3", "0.3000")
    half = stats.t.ppf(0.975, 2) * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3)
    assert float(row.ours_ci_low) == pytest.approx(36.609 - half, abs=1e-4)
    assert float(row.ours_ci_high) == pytest.approx(36.609 + half, abs=1e-4)
    assert row.verdict == "reproduced"


def test_one_seed_has_no_interval_and_says_so(paper, tmp_path):
    rows = build(paper, write(tmp_path, result("unoranic", "retinamnist")))
    row = pick(rows, dataset="retinamnist", **OURS)
    assert (row.ours_ci_low, row.ours_ci_high, row.n_seeds) == ("", "", "1")
    assert "one training" in row.reason


def test_a_substitute_has_rows_of_its_own_with_the_note_of_its_data_set(paper, tmp_path):
    rows = build(paper, write(tmp_path, result("unoranic", "breastmnist-resaved")))
    ours = pick(rows, dataset="breastmnist-resaved", **OURS)
    assert (ours.paper, ours.ours_mean, ours.verdict) == ("29.390", "29.3900", "reproduced")
    assert datasets.find("breastmnist-resaved").note in ours.reason
    original = pick(rows, dataset="breastmnist", **OURS)
    assert (original.verdict, original.ours_mean) == ("not run", "")
    assert "see the rows of breastmnist-resaved" in original.reason


def test_what_was_made_otherwise_than_released_is_in_the_reason(paper, tmp_path):
    content = result("unoranic", "retinamnist")
    content["params"] |= {"epochs": 200, "slope": 0.01, "cycle": {"stepping": "step"}}
    content["evaluation"]["probing"]["epochs"] = 50
    rows = build(paper, write(tmp_path, content))
    where = {"dataset": "retinamnist", "method": "unoranic"}
    reason = pick(rows, **PSNR, **where).reason
    assert "shortened: 200 of 1001 epochs, learning-rate cycle scaled to the length" in reason
    assert "slope 0.01, released 1.0" in reason
    assert "cycle.stepping step, released epoch" in reason
    assert "probing" not in reason
    assert "epochs" not in pick(rows, table="Table 1", metric="data/classes", **where).reason
    reason = pick(rows, table="Table 3", metric="probing/disease/own/auc", **where).reason
    assert "probing with epochs 50, released 251" in reason


def test_a_mis_scored_number_cannot_be_beaten(paper, tmp_path):
    rows = build(paper, write(tmp_path, result("resnet18-corruption", "retinamnist", shift=0.4)))
    found = [row for row in rows if row.method == "resnet18-corruption" and row.ours_mean]
    assert len(found) == 4
    assert {row.verdict for row in found} == {"not reproduced"}
    assert all("disease labels" in row.reason for row in found)


# Verdicts


@pytest.mark.parametrize(
    ("values", "neutral", "verdict"),
    [
        ([0.72], False, "reproduced"),  # exactly the tolerance
        ([0.73], False, "not reproduced"),  # above, but one seed is no evidence of better
        ([0.7401], False, "better"),  # more than twice the tolerance
        ([0.66], False, "not reproduced"),
        ([0.75, 0.76, 0.77], False, "better"),
        ([0.75, 0.76, 0.77], True, "not reproduced"),
        ([0.63, 0.64, 0.65], False, "not reproduced"),
        ([0.63, 0.73, 0.83], False, "reproduced"),  # wide, the interval holds the paper's number
        ([0.719, 0.720, 0.721], False, "reproduced"),
        ([0.7] * 3, False, "reproduced"),
    ],
)
def test_verdicts(values, neutral, verdict):
    assert ledger.judge(0.7, values, 0.02, neutral)[0] == verdict


def test_a_verdict_by_the_interval_alone_says_so():
    assert "interval alone" in ledger.judge(0.7, [0.63, 0.73, 0.83], 0.02)[1]
    assert ledger.judge(0.7, [0.70, 0.71], 0.02)[1] == ""


@given(
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.floats(0.001, 0.1),
    st.booleans(),
)
def test_verdicts_are_never_kinder_than_their_definition(printed, values, tolerance, neutral):
    verdict, _ = ledger.judge(printed, values, tolerance, neutral)
    mean = float(np.mean(values))
    if abs(mean - printed) <= tolerance:
        assert verdict == "reproduced"
    if verdict == "better":
        assert not neutral
        assert mean - printed > tolerance
        if len(values) > 1:
            error = np.std(values, ddof=1) / math.sqrt(len(values))
            assert mean - stats.t.ppf(0.975, len(values) - 1) * error > printed - 1e-9
    if verdict == "reproduced" and len(values) == 1:
        assert abs(mean - printed) <= tolerance + 2e-9
    if mean < printed - tolerance - 1e-8:
        assert verdict != "better"


# Claims


def claim(rows, name):
    return pick(rows, table=f"Claim: {name}")


def test_claims_without_scores_of_subjects_agree_with_the_paper_when_the_numbers_do(paper, tmp_path):
    names = ("breastmnist", "retinamnist", "dermamnist")
    contents = [each for run in RUNS for name in names for each in trainings(run, name)]
    rows = build(paper, write(tmp_path, *contents))
    row = claim(rows, "(ii) disease, AUC")
    assert (row.paper, row.ours_mean, row.verdict) == ("3/5", "1/3", "reproduced")
    assert "nor does it in the paper" in row.reason
    assert "no run on bloodmnist, pneumoniamnist" in row.reason
    assert claim(rows, "(ii) disease, ACC").ours_mean == "3/3"
    assert claim(rows, "(v) robustness, noise").verdict == "not run"


def test_one_or_two_trainings_decide_no_claim(paper, tmp_path):
    key = "reconstruction/psnr/unoranic-minus-ae"
    for_these = comparison("retinamnist", {key: (0.3, 0.0001)})
    for_these["metrics"] = {
        name: value for name, value in for_these["metrics"].items() if "trainings" not in name
    }
    two = [each for run in RUNS for each in trainings(run, "retinamnist")[:2]]
    for contents in (EVERY_RUN, two):
        rows = build(paper, write(tmp_path / str(len(contents)), *contents, for_these))
        for name in ("(i) reconstruction", "(ii) disease, AUC", "(ii) disease, ACC"):
            row = claim(rows, name)
            assert (row.ours_mean, row.verdict) == ("", "undecided"), name
            assert "each run needs 3 trainings" in row.reason and " holds" not in row.reason


def test_what_was_tested_on_some_subjects_says_so_and_decides_no_claim(paper, tmp_path):
    """However many trainings there are: others were asked about other people."""
    contents = [each for run in RUNS for each in trainings(run, "retinamnist")]
    assert claim(build(paper, write(tmp_path / "all", *contents)), "(i) reconstruction").ours_mean
    for each in contents:
        each |= {"test_subjects": 5} if each["run"] == "ae" else {}
    rows = build(paper, write(tmp_path / "part", *contents))
    assert "tested on 5 subjects alone" in pick(rows, dataset="retinamnist", **PSNR | {"method": "ae"}).reason
    row = claim(rows, "(i) reconstruction")
    assert (row.ours_mean, row.verdict) == ("", "undecided")
    del contents[-1 - 2 * 3]["test_subjects"]
    with pytest.raises(ValueError, match="expected the test_subjects of"):
        build(paper, write(tmp_path / "mixed", *contents))


def test_a_claim_needs_significance_where_there_is_a_paired_test(paper, tmp_path):
    key = "reconstruction/psnr/unoranic-minus-ae"
    acc = "probing/disease/concatenated_released/acc/unoranic-minus-ae"
    outcomes = {}
    for p in (0.02, 0.03):  # two tests decide claims: Holm doubles the smaller p
        test = comparison("retinamnist", {key: (0.3, p), acc: (0.06, 0.5)})
        rows = build(paper, write(tmp_path, *EVERY_RUN, test))
        outcomes[p] = claim(rows, "(i) reconstruction")
        assert claim(rows, "(ii) disease, ACC").verdict == "not reproduced"
    assert (outcomes[0.02].ours_mean, outcomes[0.02].verdict) == ("1/1", "reproduced")
    assert "p 0.0400 after Holm" in outcomes[0.02].reason
    assert (outcomes[0.03].ours_mean, outcomes[0.03].verdict) == ("0/1", "not reproduced")


def test_a_comparison_the_other_way_round_counts_with_its_sign_turned(paper, tmp_path):
    test = comparison("retinamnist", {"reconstruction/psnr/ae-minus-unoranic": (0.3, 0.001)})
    row = claim(build(paper, write(tmp_path, *EVERY_RUN, test)), "(i) reconstruction")
    assert row.ours_mean == "0/1"
    assert "-0.3000 over ae [-0.4000, -0.2000]" in row.reason


def test_a_classifier_is_compared_under_the_name_of_the_probe(paper, tmp_path):
    key = "probing/corruption/concatenated_released/auc/unoranic-minus-resnet18-corruption"
    test = comparison("retinamnist", {key: (-0.2, 0.001)})
    row = claim(build(paper, write(tmp_path, *EVERY_RUN, test)), "detection beats the baseline, AUC")
    assert (row.paper, row.ours_mean, row.verdict) == ("5/5", "0/1", "not reproduced")
    assert "-0.2000 over resnet18-corruption [-0.3000, -0.1000], p 0.0010 after Holm" in row.reason


def test_a_claim_about_several_opponents_needs_all_of_them(paper, tmp_path):
    contents = {run: trainings(run, "pneumoniamnist-reassembled") for run in RUNS}
    row = claim(build(paper, write(tmp_path, *chain(*contents.values()))), "(v) robustness, noise")
    assert (row.ours_mean, row.verdict) == ("1/1", "reproduced")
    assert "pneumoniamnist-reassembled in place of pneumoniamnist" in row.reason
    for each in contents["resnet18"]:
        each["metrics"]["robustness/noise/auc"] += 0.1
    row = claim(build(paper, write(tmp_path, *chain(*contents.values()))), "(v) robustness, noise")
    assert (row.ours_mean, row.verdict) == ("0/1", "not reproduced")


def test_a_substitute_answers_for_a_claim_only_where_the_original_was_not_run(paper, tmp_path):
    names = ("breastmnist", "breastmnist-resaved")
    contents = [each for run in RUNS for name in names for each in trainings(run, name)]
    row = claim(build(paper, write(tmp_path, *contents)), "(i) reconstruction")
    assert (row.dataset, row.ours_mean) == ("breastmnist", "1/1")


def test_the_claim_of_constancy_is_about_the_range(paper, tmp_path):
    contents = trainings("unoranic", "bloodmnist")
    rows = build(paper, write(tmp_path, *contents))
    assert claim(rows, "(iv) revision").verdict == "reproduced"
    assert "range 1.4370 over 13 conditions" in claim(rows, "(iv) revision").reason
    for content in contents:
        content["metrics"]["revision/Sharpen/anatomy_psnr"] -= 3
    assert claim(build(paper, write(tmp_path, *contents)), "(iv) revision").verdict == "not reproduced"
    assert claim(build(paper, write(tmp_path / "one", contents[0])), "(iv) revision").verdict == "undecided"


def test_winning_where_the_paper_loses_is_better(paper, tmp_path):
    contents = {run: trainings(run, "dermamnist") for run in RUNS}
    for each in contents["ae"]:
        each["metrics"]["probing/corruption/concatenated_released/auc"] = 0.1
    row = claim(build(paper, write(tmp_path, *chain(*contents.values()))), "(iii) detection, AUC")
    assert (row.ours_mean, row.verdict) == ("1/1", "better")


# Phantoms


def test_phantom_rows_have_the_tables_but_nothing_of_the_paper(paper, tmp_path):
    contents = [result(run, "phantom-bloodmnist") for run in RUNS]
    real = build(paper, write(tmp_path, *(result(run, "bloodmnist") for run in RUNS)))
    rows = build(paper, write(tmp_path, *contents), phantom=True)
    assert {row.verdict for row in rows} == {"phantom"}
    assert {row.dataset for row in rows} == {"phantom-bloodmnist"}
    assert not any(row.paper or row.difference for row in rows)
    measured = [
        (row.table, row.method, row.metric) for row in real if row.dataset == "bloodmnist" and row.ours_mean
    ]
    assert [(row.table, row.method, row.metric) for row in rows if row.metric != "claim"] == [
        entry for entry in measured if entry[2] != "claim"
    ]


@pytest.mark.parametrize("renamed", ["job", "folder", "job and folder"])
def test_a_renamed_phantom_never_meets_the_paper(paper, tmp_path, renamed):
    content = result("unoranic", "phantom-bloodmnist")
    real = content | {"dataset": "bloodmnist"}
    if renamed == "job":
        [path] = write(tmp_path, content)
        overwrite(path, real)
    elif renamed == "folder":
        [path] = write(tmp_path, real)
        overwrite(path, content)
    else:  # what made it is still in the passport
        [path] = write(tmp_path, real | {"inputs": {"data/slices/phantom-bloodmnist.h5": "0"}})
    with pytest.raises(ValueError, match=r"metrics\.json: expected"):
        build(paper, [path])
    with pytest.raises(ValueError, match=r"metrics\.json: expected"):
        build(paper, [path], phantom=True)


def test_a_phantom_registered_under_a_real_name_is_refused(paper, tmp_path, monkeypatch):
    original = datasets.find("retinamnist")
    disguised = type("Disguised", (), {"phantom": True, "stands_for": "retinamnist", "name": original.name})()
    monkeypatch.setattr(datasets, "find", lambda name: disguised)
    with pytest.raises(ValueError, match="made of a phantom"):
        build(paper, write(tmp_path, result("unoranic", "retinamnist")))


@pytest.mark.parametrize("phantom", [True, False])
def test_real_results_and_phantoms_do_not_mix(paper, tmp_path, phantom):
    paths = write(tmp_path, result("ae", "retinamnist"), result("ae", "phantom-retinamnist"))
    with pytest.raises(ValueError, match="phantom"):
        build(paper, paths, phantom)


@pytest.mark.parametrize("column", ["paper", "difference", "verdict"])
def test_no_row_of_a_phantom_can_be_made_with_the_papers_number(paper, tmp_path, column):
    row = build(paper, write(tmp_path, result("ae", "phantom-retinamnist")), phantom=True)[0]
    with pytest.raises(ValueError, match="phantom"):
        replace(row, **{column: "not reproduced" if column == "verdict" else "1.0"})
    with pytest.raises(ValueError, match="phantom"):
        replace(row, dataset="retinamnist")


# Bad input


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([AE | {"metrics": {"reconstruction/psnr": math.nan}}], "expected a finite number"),
        ([AE | {"metrics": {"reconstruction/psnr": "31"}}], "expected a finite number"),
        ([{key: value for key, value in AE.items() if key != "params"}], "found no params"),
        ([AE | {"study": "sdnet"}], "expected results of the study unoranic"),
        ([AE, AE | {"seed": 2, "params": {"epochs": 3}}], "made alike"),
        ([AE, AE | {"seed": 2, "metrics": {}}], "such as"),
        ([AE | {"params": {"epochs": 3}}], "params.batch_size: expected this parameter"),
        ([AE | {"evaluation": {}}], "evaluation.probing.epochs: expected"),
        ([AE | {"dataset": "retinamnist2"}], "expected one of"),
    ],
)
def test_a_bad_metrics_file_is_one_clear_error(paper, tmp_path, contents, message):
    with pytest.raises(ValueError, match=message):
        build(paper, write(tmp_path, *contents))


def test_a_result_in_another_runs_folder_or_given_twice_or_cut_is_refused(paper, tmp_path):
    [path] = write(tmp_path, result("ae", "retinamnist"))
    with pytest.raises(ValueError, match="expected each seed once"):
        build(paper, [path, path])
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(ValueError, match="expected JSON, found a damaged file"):
        build(paper, [path])
    overwrite(path, result("unoranic", "retinamnist"))
    with pytest.raises(ValueError, match="found those of unoranic/retinamnist/unoranic/seed-1"):
        build(paper, [path])


# The file


def test_the_file_is_the_same_whatever_the_order_of_the_metrics_and_reads_back(tmp_path):
    paths = write(tmp_path, *(result(run, "retinamnist", seed) for run in RUNS for seed in (1, 2)))
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    ledger.write([PAPER], paths, one, tmp_path / "phantom.csv")
    ledger.write([PAPER], reversed(paths), other, tmp_path / "phantom.csv")
    assert one.read_bytes() == other.read_bytes()
    assert one.read_text(encoding="utf-8").splitlines()[0] == (
        "study,table,dataset,method,metric,paper,ours_mean,ours_ci_low,ours_ci_high,n_seeds,difference,verdict,reason"
    )
    assert ledger_table.read(one) == build(load_paper(), paths)


def test_a_failed_ledger_leaves_the_old_one(tmp_path):
    out, phantom = tmp_path / "ledger.csv", tmp_path / "phantom.csv"
    ledger.write([PAPER], [], out, phantom)
    before = out.read_bytes()
    renamed = write(tmp_path, result("ae", "retinamnist") | {"inputs": {"phantom-x.npz": "0"}})
    with pytest.raises(ValueError, match="phantom"):
        ledger.write([PAPER], renamed, out, phantom)
    assert out.read_bytes() == before
    assert sorted(Path(tmp_path).glob(".*")) == []


def test_a_table_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.csv"
    path.write_text("study,table\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"ledger\.csv: expected the columns"):
        ledger_table.read(path)


@pytest.mark.parametrize(("value", "text"), [(-0.00001, "0.0000"), (0.98765, "0.9877"), (31, "31.0000")])
def test_numbers_have_fixed_decimals(value, text):
    assert ledger.fixed(value) == text
