"""papers/ra.yaml holds what the paper prints: it agrees with itself, and claims no more than it prints."""

from pathlib import Path

import numpy as np
import pytest
from synthetic_results import write

from latent_anatomy.datasets import fastmri, graz
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation.protocols import anomalies
from latent_anatomy.ledger import build, papers, results

PAPER = papers.load(Path(__file__).parents[1] / "papers" / "ra.yaml")
BRAIN = {  # boxes of the classes that Table 1 prints, typed here a second time, as RA's row of it is
    "total": 171,
    "edema": 18,
    "mass": 26,
    "lesion": 22,
    "resection": 10,
    "ventricles": 19,
    "craniotomy": 15,
    "septum": 1,
}
RA_FOUND = (142, 12, 21, 17, 10, 18, 13, 1)
RA_F1 = (0.3973, 0.4556, 0.3078, 0.2950, 0.5432, 0.7754, 0.3478, 0.1538)
WRIST = {
    "bone-anomaly": 180,
    "foreign-body": 4,
    "fracture": 10182,
    "metal": 414,
    "periosteal-reaction": 2036,
    "pronator-sign": 3,
    "soft-tissue": 76,
}


def printed(table: str) -> dict[tuple[str, str], float]:
    """Run and metric -> the number of a table."""
    rows = [row for each in PAPER.tables if each.table == table for row in each.rows]
    numbers = {(row.run, row.metric): row.values[0] for row in rows}
    assert len(numbers) == len(rows), "a number stands there twice"
    return numbers


def cells(table: str, name: str, what: str) -> dict[str, float]:
    """Run -> the number of a class."""
    metric = f"anomalies/as_released/{name}/{what}"
    return {run: value for (run, each), value in printed(table).items() if each == metric}


def test_every_cell_of_the_three_tables_is_there():
    """8 methods by 16 columns and their sizes; 7 by 16; 8 by 10 without two that are not applicable."""
    assert len(printed("Table 1")) == 8 * 16 + 8
    assert len(printed("Table 2")) == 7 * 16
    assert len([row for each in PAPER.tables if each.table == "Table 3" for row in each.rows]) == 8 * 10 - 2


def test_the_row_of_ra_is_that_of_table_1():
    numbers = printed("Table 1")
    for name, found, f1 in zip(BRAIN, RA_FOUND, RA_F1, strict=True):
        assert numbers["ra", f"anomalies/as_released/{name}/detected"] == found
        assert numbers["ra", f"anomalies/as_released/{name}/f1"] == f1
        assert numbers["ra", f"anomalies/boxes/{name}"] == BRAIN[name]


def test_no_class_of_table_1_has_more_found_than_boxes_nor_a_better_f1_than_recall():
    for name, boxes in BRAIN.items():
        found, f1 = cells("Table 1", name, "detected"), cells("Table 1", name, "f1")
        assert found.keys() == f1.keys() and len(found) == 8
        assert all(0 <= found[run] <= boxes and f1[run] <= found[run] / boxes + 1e-4 for run in found)
    for run, total in cells("Table 1", "total", "detected").items():
        shown = sum(cells("Table 1", name, "detected")[run] for name in list(BRAIN)[1:])
        assert shown <= total <= shown + BRAIN["total"] - sum(list(BRAIN.values())[1:])


@pytest.mark.parametrize("what", ["recall", "f1_capped"])
def test_the_averages_of_table_2_are_the_means_over_boxes(what):
    """Of all seven methods: a slip in any cell of a large class, or in a count, would show."""
    classes = {name: cells("Table 2", name, what) for name in WRIST}
    for run, total in cells("Table 2", "total", what).items():
        mean = np.average([classes[name][run] for name in WRIST], weights=list(WRIST.values()))
        assert total == pytest.approx(mean, abs=0.000051 + 0.0000501)


def test_table_2_is_of_at_most_ten_false_positives():
    for name in WRIST:
        recall, f1 = cells("Table 2", name, "recall"), cells("Table 2", name, "f1_capped")
        assert all(2 / 12 - 0.001 <= f1[run] / recall[run] <= 1 for run in recall)


def test_table_3_is_ordered_as_rates_are():
    for metric, dataset in (("chest", "radiography"), ("covid", "padchest-covid")):
        rows = [
            (row.run, row.metric.split("/")[-1], row.values[0])
            for table in PAPER.tables
            if table.table == "Table 3" and table.columns == [dataset] and "healthy" not in table.title
            for row in table.rows
        ]
        numbers = {(run, name): value for run, name, value in rows}
        assert len(numbers) == 8 * 4, metric
        for run in {run for run, *_ in rows}:
            assert numbers[run, "fpr95"] <= numbers[run, "fpr99"] <= 1


def test_classes_and_metrics_are_those_of_the_data_sets_and_of_the_protocol():
    known = {"total", *fastmri.BOX_NAMES, *graz.BOX_NAMES}
    kinds = {"as_released", "validation"}
    measures = {*anomalies.MEASURES, "detected"}
    for table in PAPER.tables:
        for row in table.rows:
            for metric in row.metrics:
                protocol, first, *rest = metric.split("/")
                assert protocol == "anomalies"
                if first in kinds:
                    assert rest == ["threshold"] or (rest[0] in known and rest[1] in measures), metric
                elif first == "boxes":
                    assert rest[0] in known
                else:
                    assert first in ("detection", "healthy") or table.not_run
    settings = anomalies.Params().model_dump()
    assert PAPER.evaluation == {"anomalies": settings}


def test_released_counts_of_the_brain_add_up_to_the_printed_total():
    counts = {
        row.metric.split("/")[-1]: row.values[0]
        for table in PAPER.tables
        if table.columns == ["fastmri"]
        for row in table.rows
        if row.metric.startswith("anomalies/boxes/")
    }
    assert counts.pop("total") == sum(counts.values()) == 171
    assert counts.keys() == set(fastmri.BOX_NAMES)


def test_claims_say_of_the_tables_what_the_tables_say():
    assert len({claim.claim for claim in PAPER.claims}) == len(PAPER.claims) == 8
    for claim in PAPER.claims:
        [dataset] = claim.holds
        numbers = {
            (row.run, row.metric): row.values[0]
            for table in PAPER.tables
            if table.columns == [dataset] and table.table.startswith("Table ")
            for row in table.rows
        }

        def value(term, numbers=numbers):
            counted = term.metric.replace("recall", "detected")
            return numbers[term.run, term.metric if (term.run, term.metric) in numbers else counted]

        assert all(value(term) < value(claim.greater) for term in claim.than), claim.claim
        assert len(claim.than) == (6 if dataset == "graz" else 7) and not claim.fails


def test_without_results_every_row_says_how_to_get_the_data():
    rows = build.build(PAPER, results.read([], "ra", phantom=False))
    assert {row.verdict for row in rows} == {"not run"}
    for name in ("fastmri", "graz", "radiography"):
        assert datasets.find(name).stands_for == name
        own = [row for row in rows if row.dataset == name and row.metric != "claim"]
        assert own and any("docs/anomaly-data.md" in row.reason for row in own)
    private = [row for row in rows if row.dataset == "padchest-covid" and row.metric != "claim"]
    assert private and all("are not listed anywhere" in row.reason for row in private)


def test_lpips_by_another_network_is_in_kind_under_its_name_and_compared_with_nothing(tmp_path):
    """Not even on the paper's own data: AlexNet's numbers are of another kind."""
    metrics = {"lpips/squeezenet-keras/healthy": 0.1178, "data/test/images": 9.0}
    contents = [
        {
            "study": "ra",
            "run": "si-vae",
            "dataset": dataset,
            "seed": seed,
            "metrics": metrics,
            "params": PAPER.runs["si-vae"].settings,
            "evaluation": {},
            "job": "evaluate",
        }
        for dataset in ("radiography", "kermany-130")
        for seed in (1, 2)
    ]
    rows = build.build(PAPER, results.read(write(tmp_path, *contents), "ra", phantom=False))
    own = [row for row in rows if row.metric.startswith("lpips/") and row.n_seeds != "0"]
    assert {row.dataset for row in own} == {"radiography", "kermany-130"}
    for row in own:
        assert (row.table, row.verdict, row.paper) == ("In kind: lpips", "in kind", "")
        assert row.ours_mean == "0.1178" and "all channels weigh the same" in row.reason
        assert ("not data of the paper" in row.reason) == (row.dataset == "kermany-130")
    printed = [row for row in rows if row.metric == "anomalies/healthy/lpips"]
    assert {row.verdict for row in printed} == {"not run"} and all(
        "SqueezeNet" in row.reason for row in printed
    )
