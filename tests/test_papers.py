"""papers/unoranic.yaml holds what the paper prints, and a fault in such a file is named."""

import re

import pytest
from reporting import assert_refused
from synthetic_results import PAPER

from latent_anatomy.ledger import papers


@pytest.fixture(scope="module")
def paper():
    return papers.load(PAPER)


def values(paper, table, run, metric):
    rows = [row for part in paper.tables if part.table == table for row in part.rows]
    return next(row.values for row in rows if (row.run, row.metric) == (run, metric))


def test_a_sample_of_printed_numbers(paper):
    """Typed here a second time, from the tables."""
    assert values(paper, "Table 2", "ae", "reconstruction/psnr_batch") == [
        30.837,
        28.725,
        38.125,
        34.787,
        35.872,
    ]
    assert values(paper, "Table 2", "unoranic", "reconstruction/psnr") == [31.7, 29.39, 38.569, 36.04, 36.309]
    key = "probing/disease/concatenated_released"
    assert values(paper, "Table 3", "resnet18", "classification/disease/acc") == [
        0.958,
        0.863,
        0.735,
        0.854,
        0.524,
    ]
    assert values(paper, "Table 3", "ae", f"{key}/auc") == [0.966, 0.819, 0.787, 0.904, 0.678]
    assert values(paper, "Table 3", "unoranic", f"{key}/acc") == [0.848, 0.808, 0.699, 0.862, 0.530]
    key = "probing/corruption/concatenated_released"
    assert values(paper, "Table 4", "ae", f"{key}/acc") == [0.736, 0.545, 0.640, 0.657, 0.785]
    assert values(paper, "Table 4", "unoranic", f"{key}/auc") == [0.755, 0.612, 0.643, 0.667, 0.847]
    key = "classification/corruption/as_released_acc"
    assert values(paper, "Table 4", "resnet18-corruption", key) == [0.184, 0.571, 0.046, 0.524, 0.283]


@pytest.mark.parametrize(
    ("table", "numbers"), [("Table 1", 25), ("Table 2", 10), ("Table 3", 30), ("Table 4", 30)]
)
def test_every_printed_number_is_there_once(paper, table, numbers):
    rows = [row for part in paper.tables if part.table == table for row in part.rows]
    assert sum(len(row.values) for row in rows) == numbers
    assert len({(row.run, row.metric) for row in rows}) == len(rows)


def test_what_is_not_printed_in_the_paper_says_so(paper):
    for table in paper.tables:
        printed = re.fullmatch(r"Table [1-4]", table.table)
        assert printed or table.not_run or "not printed" in table.caveat
    script = next(table for table in paper.tables if table.table == "Figure 4, plotting script")
    assert len(script.rows) == 24
    assert "plotting script" in script.caveat


def test_claims_say_of_the_tables_what_the_tables_say(paper):
    """Where a claim is about printed numbers, `holds` and `fails` follow from them."""
    printed = {}
    for table in paper.tables:
        if re.fullmatch(r"Table [2-4]", table.table):
            for row in table.rows:
                for metric in row.metrics:
                    for dataset, value in zip(table.columns, row.values, strict=True):
                        printed[row.run, metric, dataset] = value
    checked = 0
    for claim in paper.claims:
        for dataset in claim.datasets if claim.greater else ():
            ours = printed.get((claim.greater.run, claim.greater.metric, dataset))
            others = [printed.get((term.run, term.metric, dataset)) for term in claim.than]
            if ours is not None and None not in others:
                assert (dataset in claim.holds) == (ours > max(others)), (claim.claim, dataset)
                checked += 1
    assert checked == 35  # seven claims on five data sets
    counts = ["5/5", "5/5", "3/5", "4/5", "4/5", "1/1", "1/1", "1/1", "5/5", "5/5"]
    assert [claim.printed for claim in paper.claims] == counts


def test_numbers_keep_the_decimals_that_the_paper_gives_them(paper):
    row = next(
        row for part in paper.tables if part.table == "Table 2" for row in part.rows if row.run == "unoranic"
    )
    assert [row.printed(column) for column in range(5)] == ["31.700", "29.390", "38.569", "36.040", "36.309"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["tables"][1]["rows"][0]["values"].pop(), "tables.1.*expected 5 values.*found 4"),
        (lambda c: c["tables"][1]["rows"][0].update(values=["x"] * 5), r"tables\.1\.rows\.0\.values\.0"),
        (lambda c: c["tables"][1]["rows"][0].update(run="vae"), "Table 2: expected a run of .*found 'vae'"),
        (
            lambda c: c["tables"][1]["rows"][0].update(metric="reconstruction/mse"),
            "expected a word of tolerances",
        ),
        (lambda c: c["tables"][1].update(colums=[]), r"tables\.1\.colums"),
        (lambda c: c["tables"][1]["columns"].__setitem__(0, "phantom-bloodmnist"), "found the phantom"),
        (lambda c: c["claims"][0]["holds"].__setitem__(0, "phantom-bloodmnist"), "found the phantom"),
        (lambda c: c["claims"][0].pop("than"), r"claims\.0.*either greater and than, or constant"),
        (lambda c: c["claims"][0].update(fails=["retinamnist"]), "each data set once"),
        (lambda c: c["claims"][0]["holds"].__setitem__(0, "blodmnist"), "found 'blodmnist'"),
        (lambda c: c["runs"]["ae"]["released"].pop("epochs"), r"runs\.ae.*whole number of epochs"),
        (lambda c: c.pop("claims"), "claims: expected this key, found none: add it"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_key(tmp_path, change, message):
    assert_refused(PAPER, change, message, tmp_path)


def test_a_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text("tables: [", encoding="utf-8")
    with pytest.raises(ValueError, match=r"paper\.yaml: expected YAML"):
        papers.load(path)
