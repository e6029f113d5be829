"""papers/baur.yaml holds what the paper prints; on data that are not the paper's, rows say so."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from reporting import assert_refused, pick
from synthetic_baur import BASELINES, MODELS, PAPER, comparison, paper, result
from synthetic_results import write

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation.protocols import lesions
from latent_anatomy.ledger import build as ledger
from latent_anatomy.ledger import results
from latent_anatomy.ledger.departures import departures
from latent_anatomy.methods import anogan, baur_vaegan
from latent_anatomy.methods import registry as methods
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.pipeline import params

PAGE = Path(__file__).parents[1] / "docs" / "baur.md"
PARAMS = Path(__file__).parents[1] / "params.yaml"
DICE = "lesions/training/dice"
PRINTED = {  # typed here a second time
    "dae": (0.12764, 0.14617),
    "sae1": (0.19739, 0.19061),
    "sae3": (0.58558, 0.19845),
    "sae-gan": (0.52636, 0.19780),
    "dvae": (0.16619, 0.17790),
    "svae": (0.59227, 0.19585),
    "anovaegan": (0.60508, 0.19277),
    "anogan": (0.37489, 0.21926),
}


def build(paths, phantom=False):
    return ledger.build(paper(), results.read(paths, "baur", phantom))


# What is printed


def test_every_printed_number_is_there_once():
    mean, deviation, time, text = paper().tables
    means, deviations = ({row.run: row.values[0] for row in table.rows} for table in (mean, deviation))
    assert {run: (means[run], deviations[run]) for run in MODELS} == PRINTED
    assert {row.metric for row in mean.rows} == {DICE}
    assert {row.run: row.values[0] for row in time.rows} == dict.fromkeys(MODELS) | {"anovaegan": 0.01541}
    assert [(row.run, row.values) for row in text.rows] == [("anogan", [19])]
    assert mean.rows[3].printed(0) == "0.52636" and deviation.rows[3].printed(0) == "0.19780"


def test_claims_say_of_the_table_what_the_table_says():
    *of_dice, of_time = paper().claims
    for claim in of_dice:
        least = PRINTED[claim.greater.run][0]
        assert {term.metric for term in claim.terms} == {DICE}
        assert claim.fails == [] and all(PRINTED[term.run][0] < least for term in claim.than), claim.claim
    assert len({claim.claim for claim in paper().claims}) == len(paper().claims) == 17
    assert {term.metric for term in of_time.terms} == {"reconstruction/seconds"}
    *_, time, text = paper().tables
    [slowest] = [row.values[0] for row in text.rows if row.run == of_time.greater.run]
    read = {row.run: row.values[0] for row in time.rows if row.values[0] is not None}
    assert {term.run for term in of_time.than} == {*MODELS} - {"anogan"} >= read.keys()
    assert all(seconds < 1 < slowest for seconds in read.values())


@pytest.mark.parametrize("run", MODELS)
def test_our_runs_have_the_settings_in_print(run):
    """At 256 x 256 pixels, as in params.yaml; what a collection changes is named in its rows."""
    block = dict(yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["methods"][run])
    chosen = methods.load(block.pop("method")).Method.Params.model_validate(block)
    made = results.Result(Path(), run, "lgg-flair", 1, {}, chosen.model_dump(mode="json"), paper().evaluation)
    assert departures(paper(), made, DICE) == []


def test_the_evaluation_has_the_settings_in_print():
    chosen = lesions.Params().model_dump(mode="json")
    printed = paper().evaluation["lesions"]
    assert chosen["percent"] == printed["percent"]
    assert chosen["post"] | printed["post"] == chosen["post"]


# What docs/baur.md says


def test_the_parameters_where_the_paper_is_silent_exist():
    table = PAGE.read_text(encoding="utf-8").split("## Where the paper is silent")[1].split("##")[0]
    named = [
        name.rpartition(".")[2]
        for line in table.splitlines()
        if line.startswith("| ")
        for name in re.findall("`(.+?)`", line.split("|")[2])
    ]
    models = (baur_vaegan.Params, anogan.Params, PostProcessing)
    known = {field for model in models for field in model.model_fields}
    assert len(named) == 20 and set(named) <= known


def test_the_collection_for_own_data_is_valid():
    block = re.search("^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    content = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    content["collections"] |= yaml.safe_load(block)
    chosen = params.validate(content | {"data": "mine"}).chosen
    assert list(chosen) == ["baur"] and chosen["baur"].datasets == ["bids-mystudy"]


# The ledger


def test_the_papers_data_are_private_and_its_rows_say_so():
    rows = build([])
    assert {(row.dataset, row.verdict, row.n_seeds) for row in rows} == {("tum-ms", "not run", "0")}
    row = pick(rows, method="sae3", metric=DICE)
    assert row.paper == "0.58558"
    assert (
        "private" in row.reason
        and "docs/baur.md says which public healthy FLAIR scans there are" in row.reason
    )
    lost = pick(rows, method="svae", metric="reconstruction/seconds")
    assert lost.paper == "" and "lost in the text" in lost.reason
    times = [row for row in rows if row.metric == "reconstruction/seconds" and row.paper]
    assert {(row.table, row.paper) for row in times} == {("Table 1", "0.01541"), ("Section 4, text", "19")}
    assert all("docs/speed.md" in row.reason for row in times)


def test_tumours_get_no_verdict_against_the_papers_lesions(tmp_path):
    """Not even where the very same number comes out."""
    rows = build(write(tmp_path, *(result(run, "lgg-flair") for run in (*MODELS, *BASELINES))))
    own = [row for row in rows if row.dataset == "lgg-flair"]
    assert {(row.paper, row.difference) for row in own} == {("", "")}
    assert {row.verdict for row in own if row.metric != "claim"} == {"in kind"}
    assert sorted(row.method for row in own if row.metric == DICE) == sorted(MODELS)
    row = pick(own, method="sae3", metric=DICE)
    assert row.reason.startswith(f"not data of the paper: {datasets.find('lgg-flair').note}")
    assert "one training" in row.reason
    paper_rows = [row for row in rows if row.dataset == "tum-ms"]
    assert {row.verdict for row in paper_rows} == {"not run"}
    assert len(paper_rows) == 8 + 8 + 8 + 1 + 17


def test_claims_are_tested_in_kind_and_their_rows_say_on_what(tmp_path):
    contents = [result(run, "lgg-flair") for run in MODELS]
    rows = build(write(tmp_path, *contents, comparison("lgg-flair", MODELS)))
    where = {"dataset": "lgg-flair", "verdict": "in kind"}
    held = pick(rows, table="Claim: spatial beats dense, AE", **where)
    assert (held.ours_mean, held.paper) == ("1/1", "")
    assert "lgg-flair, not data of the paper: low-grade gliomas" in held.reason
    assert "after Holm" in held.reason and "in the paper" not in held.reason.split("after Holm")[1]
    assert pick(rows, table="Claim: spatial beats dense, AE", dataset="tum-ms").verdict == "not run"
    row = pick(build(write(tmp_path, *contents)), table="Claim: AnoVAEGAN is the best", dataset="lgg-flair")
    assert (row.ours_mean, row.verdict) == ("", "undecided"), "one training each"


def test_the_claim_of_speed_is_decided_nowhere_and_its_row_says_where_times_are(tmp_path):
    contents = [result(run, "lgg-flair", seed) for run in MODELS for seed in (1, 2, 3)]
    rows = build(write(tmp_path, *contents, comparison("lgg-flair", MODELS)))
    [row] = [row for row in rows if row.metric == "claim" and "second" in row.table]
    assert (row.dataset, row.verdict, row.ours_mean, row.n_seeds) == ("tum-ms", "not run", "", "0")
    assert "docs/speed.md" in row.reason and "no result here holds one" in row.reason


def test_what_was_made_otherwise_than_in_print_is_in_the_reason(tmp_path):
    content = result("sae1", "lgg-flair") | {"trained_on": "ixi"}
    content["params"] |= {"epochs": 40, "blocks": 4}
    content["evaluation"]["lesions"]["percent"] = 95.0
    reason = pick(build(write(tmp_path, content)), method="sae1", metric=DICE, dataset="lgg-flair").reason
    for text in (
        "trained on ixi",
        "shortened: 40 of 150 epochs;",
        "blocks 4, printed 5",
        "lesions with percent 95.0, printed 98.0",
    ):
        assert text in reason


def test_a_phantom_has_the_rows_and_nothing_of_the_paper(tmp_path):
    paths = write(tmp_path, *(result(run, "phantom-brain") for run in (*MODELS, *BASELINES)))
    rows = build(paths, phantom=True)
    assert {(row.dataset, row.verdict, row.paper) for row in rows} == {("phantom-brain", "phantom", "")}
    assert len(rows) == 8 + 8 + 16
    assert not any("not data of the paper" in row.reason for row in rows)


@pytest.mark.parametrize("column", ["paper", "difference"])
def test_no_row_in_kind_can_have_the_papers_number(tmp_path, column):
    rows = build(write(tmp_path, result("sae3", "lgg-flair")))
    row = pick(rows, method="sae3", metric=DICE, dataset="lgg-flair")
    with pytest.raises(ValueError, match="nothing of the paper in kind"):
        replace(row, **{column: "0.58558"})


# Faults in the file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["tables"][0]["rows"][0].update(values=[None]),
            "expected numbers where runs are",
        ),
        (lambda c: c["private"].update({"tum-mss": "private"}), r"private: expected .*tum-ms.*'tum-mss'"),
        (lambda c: c["runs"]["dae"].update(released={"epochs": 1}), r"runs\.dae.*either released or printed"),
        (lambda c: c["runs"]["dae"].pop("printed"), r"runs\.dae.*either released or printed"),
        (lambda c: c["runs"]["dae"]["printed"].pop("epochs"), r"printed: expected a whole number of epochs"),
    ],
)
def test_a_fault_names_file_and_key(tmp_path, change, message):
    assert_refused(PAPER, change, message, tmp_path)
