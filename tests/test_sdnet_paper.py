"""papers/sdnet.yaml holds what the paper prints, agrees with itself, and claims no more than it prints."""

import re
from pathlib import Path

import pytest
from reporting import ROOT, assert_refused, pick
from synthetic_results import write
from synthetic_sdnet import PAPER, comparison, paper, result

from latent_anatomy.data.cohorts import labelled_of, name_of
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.ledger import build as ledger
from latent_anatomy.ledger import results
from latent_anatomy.ledger.departures import departures
from latent_anatomy.methods import registry as methods

DICE = "segmentation/slice-dice/average"
FRACTIONS = ("100", "50", "25", "12.5", "6", "3", "1.5")


@pytest.fixture(scope="module")
def printed():
    """(run, metric, data set) -> number as printed; the first where it stands in several tables."""
    numbers = {}
    for table in paper().tables:
        for row in table.rows:
            for place, name in enumerate(table.columns):
                numbers.setdefault((row.run, row.metric, name), row.values[place])
    return numbers


def build(paths, phantom=False):
    return ledger.build(paper(), results.read(paths, "sdnet", phantom))


# What is printed


@pytest.mark.parametrize(
    ("run", "metric", "dataset", "mean", "deviation"),
    [  # typed here a second time, one of each corner of each table
        ("unet", DICE, "acdc.published.100", 0.85, 0.07),
        ("unet", DICE, "acdc.published.1.5", 0.21, 0.19),
        ("unet", "segmentation/slice-dice/right-ventricle", "acdc.published.6", 0.56, 0.22),
        ("mask-gan", "segmentation/slice-dice/myocardium", "acdc.published.3", 0.73, 0.32),
        ("mask-gan", DICE, "acdc.published.12.5", 0.79, 0.08),
        ("self-train", DICE, "acdc.published.3", 0.24, 0.15),
        ("self-train", "segmentation/slice-dice/left-ventricle", "acdc.published.100", 0.89, 0.05),
        ("sdnet", DICE, "acdc.published.1.5", 0.73, 0.12),
        ("sdnet", "segmentation/slice-dice/left-ventricle", "acdc.published.25", 0.85, 0.06),
        ("spatial-factorisation", DICE, "acdc.published.3", 0.66, 0.15),
        ("unet", "segmentation/slice-dice/left-ventricle", "qmri.6", 0.43, 0.28),
        ("self-train", "segmentation/slice-dice/myocardium", "qmri.6", 0.08, 0.06),
        ("sdnet", DICE, "qmri.50", 0.84, 0.05),
        ("sdnet-mmwhs", "segmentation/mr/slice-dice/average", "mmwhs.given.mr-12.5-ct-100", 0.39, 0.07),
        ("sdnet-mmwhs", "segmentation/ct/slice-dice/average", "mmwhs.given.mr-100-ct-12.5", 0.56, 0.06),
        ("sdnet-mmwhs", DICE, "mmwhs.given.mr-0-ct-100", 0.77, 0.04),
        ("sdnet-c4", DICE, "acdc.published.100", 0.681, 0.08),
        ("sdnet-nz128", DICE, "acdc.published.100", 0.82, 0.06),
    ],
)
def test_a_sample_of_means_and_sds(printed, run, metric, dataset, mean, deviation):
    assert (printed[run, metric, dataset], printed[run, f"{metric}_sd", dataset]) == (mean, deviation)


@pytest.mark.parametrize(
    ("table", "numbers"),
    [
        ("Table 1", 7 * 4 * 4 * 2),
        ("Table 2", 5 * 4 * 3 * 2),
        ("Table 3", 24 * 2),
        ("Section 5.1, text", 7 * 2),
        ("Section 5.2, text", 6 + 4),
        ("Section 5.4, text", 2 + 2 + 2 + 1),
        ("Section 5.6, text", 5 * 2 + 4 * 3),
    ],
)
def test_every_printed_number_is_there_once(table, numbers):
    found = [
        (row.run, row.metric, name)
        for part in paper().tables
        if part.table == table
        for row in part.rows
        for name in part.columns
    ]
    assert len(found) == len(set(found)) == numbers


def test_means_have_sds_and_both_are_fractions():
    for table in paper().tables:
        for row in table.rows:
            if "slice-dice" in row.metric or "accuracy" in row.metric:
                assert all(0 < value < 1 for value in row.values), row
            if row.metric.endswith("_sd"):
                assert table.neutral and max(row.values) <= 0.32


def test_numbers_keep_the_decimals_that_the_paper_gives_them():
    rows = {(row.run, row.metric): row for table in paper().tables for row in table.rows}
    assert rows["sdnet-c4", DICE].printed(0) == "0.681"
    assert rows["sdnet", "volume/fine-tuned/true_mean_ml"].printed(0) == "139.23"
    assert rows["unet", "segmentation/slice-dice/right-ventricle_sd"].printed(0) == "0.10"


# What the running text says of the tables


def test_the_running_text_of_table_3_agrees_with_it(printed):
    def mr(part):
        return printed.get(("sdnet-mmwhs", "segmentation/mr/slice-dice/average", f"mmwhs.given.{part}"))

    def ct(part):
        return printed.get(("sdnet-mmwhs", "segmentation/ct/slice-dice/average", f"mmwhs.given.{part}"))

    def alone(part):
        return printed["sdnet-mmwhs", DICE, f"mmwhs.given.{part}"]

    assert (alone("mr-100-ct-0"), mr("mr-100-ct-12.5")) == (0.75, 0.76)
    assert (alone("mr-0-ct-100"), ct("mr-12.5-ct-100")) == (0.77, 0.81)
    assert (alone("mr-12.5-ct-0"), alone("mr-0-ct-12.5")) == (0.27, 0.23)
    fixed = [f"mr-{part:g}-ct-{100 - part:g}" for part in (87.5, 75, 62.5, 50, 37.5, 25, 12.5)]
    of_mr, of_ct = [alone("mr-100-ct-0"), *map(mr, fixed)], [*map(ct, fixed), alone("mr-0-ct-100")]
    assert (max(of_mr), min(of_mr)) == (0.75, 0.49)
    assert (max(of_ct), min(of_ct)) == (0.77, 0.65)


def test_the_average_is_no_mean_of_structures(printed):
    """Which is what `segmentation/slice-dice/average` is there for; a slip in a cell would show here too."""
    structures = ("myocardium", "left-ventricle", "right-ventricle")
    differences = {}
    for run in ("unet", "mask-gan", "self-train", "sdnet"):
        for part in FRACTIONS:
            name = f"acdc.published.{part}"
            own = [printed[run, f"segmentation/slice-dice/{each}", name] for each in structures]
            differences[run, part] = printed[run, DICE, name] - sum(own) / 3
    assert differences["unet", "1.5"] == pytest.approx(0.21 - 0.94 / 3)
    assert min(differences, key=differences.get) == ("unet", "1.5")
    assert max(map(abs, differences.values())) < 0.11


def test_claims_say_of_the_tables_what_the_tables_say(printed):
    """`holds` needs what it says of the printed numbers; of the paper's tests it needs the star besides."""
    checked = 0
    for claim in paper().claims:
        for dataset in claim.datasets:
            terms = [printed.get((term.run, term.metric, term.on(dataset))) for term in claim.terms]
            if None not in terms:
                checked += 1
                if claim.greater:
                    said = terms[0] > max(terms[1:])
                elif claim.constant:
                    said = max(terms) - min(terms) <= claim.constant.within
                else:
                    said = max(terms) < claim.bound.below
                tested = any(words in claim.text + claim.note for words in ("paired t-test", "same test"))
                tested |= "in print" in claim.note  # which says why the larger number is none
                assert said or dataset in claim.fails, (claim.claim, dataset)
                assert tested or dataset in claim.holds, (claim.claim, dataset)
    assert checked == 7 + 8 + 4 + 8 + 7 + 2 + 1 + 1 + 2 + 6 + 2 + 1 + 1 + 1
    assert len({claim.claim for claim in paper().claims}) == len(paper().claims)


def test_table_2_decides_where_text_and_table_differ(printed):
    assert (printed["sdnet", DICE, "qmri.6"], printed["mask-gan", DICE, "qmri.6"]) == (0.79, 0.75)


# Our names and settings


def test_columns_are_cohorts_that_exist():
    for name in paper().datasets:
        if name not in paper().private:
            dataset, split, part = name.split(".", 2)
            found, share = datasets.find(dataset), part if dataset == "mmwhs" else float(part)
            folds = [fold for fold in found.folds if fold.rpartition("-")[0] == split]
            assert len(folds) == 3
            assert name_of(dataset, split, share) == name
            for fold in folds:
                cohort = found.cohort(fold, share)
                if dataset == "acdc":
                    assert len(cohort.labelled) == int(share * 70 / 100)


@pytest.mark.parametrize(
    ("run", "otherwise"),
    [
        ("unet", ["soft_masks False, released True"]),
        (
            "sdnet",
            [
                "soft_masks False, released True",
                "frozen_prior False, released True",
                "repeated_passes shared, released as_released",
            ],
        ),
        ("mask-gan", ["decay_per update, printed epoch"]),
    ],
)
def test_our_defaults_differ_from_the_released_code_where_the_page_says_so(run, otherwise):
    method = methods.load({"mask-gan": "mask_gan"}.get(run, run)).Method
    chosen = method.Params().model_dump(mode="json")
    made = results.Result(Path(), run, "acdc.published.6", 1, {}, chosen, {})
    assert departures(paper(), made, DICE) == otherwise


def test_every_parameter_on_the_page_exists():
    table = (ROOT / "docs" / "sdnet.md").read_text(encoding="utf-8").split("## Paper and released code")[1]
    table = table.split("\n## ")[0]
    named = {
        name.partition(":")[0]
        for line in table.splitlines()
        if line.startswith("| ")
        for name in re.findall("`(.+?)`", line.rsplit("|", 2)[1])
    }
    known = {field for run in ("unet", "sdnet") for field in methods.load(run).Method.Params.model_fields}
    assert len(named) >= 12 and named <= known, named - known


# The ledger


def test_private_data_are_named_and_others_say_how_to_get_them():
    rows = build([])
    assert {row.verdict for row in rows} == {"not run"}
    table_2 = [row for row in rows if row.table == "Table 2"]
    assert len(table_2) == 5 * 4 * 3 * 2 and all("never released" in row.reason for row in table_2)
    where = {"method": "sdnet", "metric": DICE, "table": "Table 1"}
    assert "after registration" in pick(rows, dataset="acdc.published.6", **where).reason or (
        "humanheart-project" in pick(rows, dataset="acdc.published.6", **where).reason
    )


def test_folds_are_one_row_and_a_copy_without_spacing_stands_in(tmp_path):
    contents = [result("sdnet", "acdc-frames.published.6", fold, shift=0.01 * fold) for fold in range(3)]
    rows = build(write(tmp_path, *contents))
    where = {"method": "sdnet", "metric": DICE, "table": "Table 1"}
    row = pick(rows, dataset="acdc-frames.published.6", **where)
    assert (row.paper, row.ours_mean, row.n_seeds, row.verdict) == ("0.78", "0.7900", "1", "reproduced")
    assert "mean of 3 folds" in row.reason and "without the size of a pixel" in row.reason
    assert pick(rows, dataset="acdc.published.6", **where).verdict == "not run"


def test_a_measure_that_a_fold_leaves_open_is_open_for_the_run(tmp_path):
    contents = [result("sdnet", "acdc-frames.published.6", fold) | {"source": "a"} for fold in range(3)]
    contents[1]["metrics"] = {name: value for name, value in contents[1]["metrics"].items() if name != DICE}
    where = {"method": "sdnet", "metric": DICE, "table": "Table 1", "dataset": "acdc-frames.published.6"}
    row = pick(build(write(tmp_path, *contents)), **where)
    assert (row.ours_mean, row.verdict) == ("", "not run"), "no mean over the folds that have it"
    contents[1]["source"] = "b"
    with pytest.raises(ValueError, match="that only one of them has"):
        build(write(tmp_path, *contents))


def test_other_folds_and_other_data_are_in_kind(tmp_path):
    names = ("acdc-frames.disjoint.6", "acdc-frames-96.published.6", "sunnybrook.loo.50")
    rows = build(write(tmp_path, *(result("sdnet", name, 0) for name in names)))
    own = [row for row in rows if row.dataset in names]
    assert {row.verdict for row in own if row.metric != "claim"} == {"in kind"}
    assert {row.verdict for row in own if row.metric == "claim"} <= {"undecided"}, "one training of each"
    assert {(row.paper, row.difference) for row in own} == {("", "")}
    named = [(row.dataset, row.method, row.metric) for row in own if row.metric != "claim"]
    assert len(named) == len(set(named)), "each number once, whatever tables ask for it"
    assert {row.table for row in own if row.metric == DICE} == {"In kind: segmentation"}


def test_a_claim_about_few_labels_is_decided_on_cohorts_with_as_many(tmp_path):
    names = ("acdc-frames-96.published.6", "acdc-frames-96.published.100", "sunnybrook.loo.25")
    contents = [
        result(run, name, fold, shift=0.001 * fold)
        for run in ("unet", "sdnet")
        for name in names
        for fold in range(3)
    ]
    few = "Claim: SDNet beats the U-Net with few labels"
    rows = [row for row in build(write(tmp_path, *contents)) if row.table == few and row.dataset in names]
    assert {row.dataset: row.verdict for row in rows} == {names[0]: "in kind", names[2]: "in kind"}


@pytest.mark.parametrize(
    ("name", "labelled"),
    [
        ("acdc.published.12.5", "12.5"),
        ("qmri.12.5", "12.5"),
        ("qmri.100", "100"),
        ("mmwhs.given.mr-12.5-ct-0", "mr-12.5-ct-0"),
        ("cine-cp-bold.100", "100"),
        ("ms-lesion-mni", ""),
    ],
)
def test_the_labelled_part_of_a_name(name, labelled):
    assert labelled_of(name) == labelled


def test_a_claim_is_decided_by_the_paired_test_over_all_folds(tmp_path):
    name, runs = "acdc-frames.published.1.5", ("unet", "mask-gan", "self-train", "sdnet")
    contents = [result(run, name, fold) for run in runs for fold in range(3)]
    rows = build(write(tmp_path, *contents, comparison(name, runs)))
    row = pick(rows, table="Claim: SDNet is the best with few labels", dataset=name)
    assert (row.ours_mean, row.paper, row.verdict) == ("1/1", "4/7", "reproduced")
    assert row.reason.count("after Holm") == 3


def case(tmp_path, claim: str, dataset: str, contents: list[dict]):
    """The ledger's row of a claim on a data set in kind."""
    rows = build(write(tmp_path / str(len(list(tmp_path.iterdir()))), *contents))
    return pick(rows, table=f"Claim: {claim}", dataset=dataset)


def test_a_bound_is_decided_by_the_interval_over_trainings(tmp_path):
    name, claim = "acdc-frames-96.published.1.5", "U-Net and self-training need more than two subjects"
    for shift, folds, verdict, held in (
        (0.0, 3, "in kind", "1/1"),  # 0.21 and 0.16 of 0.55
        (0.3, 3, "in kind", "1/1"),
        (0.345, 3, "in kind", "0/1"),  # below in the mean alone
        (0.0, 2, "undecided", ""),
    ):
        contents = [
            result(run, name, fold, shift=shift + 0.01 * fold)
            for run in ("unet", "self-train")
            for fold in range(folds)
        ]
        row = case(tmp_path, claim, name, contents)
        assert (row.verdict, row.ours_mean) == (verdict, held), shift
        assert "to be below 0.55" in row.reason


def test_runs_that_are_to_be_alike_are_so_within_the_bound(tmp_path):
    name, claim, runs = "acdc-frames-96.published.100", "a z of 4 or 32 is as good as one of 8", 3
    for shift, held in ((0.0, "1/1"), (0.05, "0/1")):
        contents = [
            result(run, name, fold, shift=shift * (run == "sdnet-nz4"))
            for run in ("sdnet", "sdnet-nz4", "sdnet-nz32")
            for fold in range(3)
        ]
        row = case(tmp_path, claim, name, contents)
        assert (row.verdict, row.ours_mean) == ("in kind", held)
        assert f"over {runs} conditions" in row.reason


def test_a_claim_may_compare_a_run_with_itself_on_more_labels(tmp_path):
    few, all_labels = "acdc-frames-96.published.6", "acdc-frames-96.published.100"
    claim = "subjects differ least with many labels"
    contents = [result("sdnet", name, fold) for name in (few, all_labels) for fold in range(3)]
    for content in contents:
        few_labels = content["dataset"] == few
        content["metrics"]["segmentation/slice-dice/average_sd"] = (
            0.05 + (0.1 + 0.001 * content["fold"]) * few_labels
        )
    row = case(tmp_path, claim, few, contents)
    assert (row.verdict, row.ours_mean) == ("in kind", "1/1") and "over sdnet with 100" in row.reason


def test_phantoms_have_the_rows_and_nothing_of_the_paper(tmp_path):
    contents = [result("sdnet", "phantom-acdc.fold.50", fold) for fold in range(2)]
    rows = build(write(tmp_path, *contents), phantom=True)
    assert {(row.verdict, row.paper) for row in rows} == {("phantom", "")}


# Faults in the file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["tables"][0]["rows"][0]["values"].pop(), "expected 7 values.*found 6"),
        (lambda c: c["private"].update({"qmri.7": "private"}), r"private: expected .*qmri\.6.*'qmri\.7'"),
        (lambda c: c["runs"].pop("mask-gan"), "Table 1: expected a run of .*found 'mask-gan'"),
        (
            lambda c: c["tables"][0]["rows"][0].update(metric="segmentation/hausdorff"),
            "expected a word of tol",
        ),
    ],
)
def test_a_fault_names_file_and_key(tmp_path, change, message):
    assert_refused(PAPER, change, message, tmp_path)
