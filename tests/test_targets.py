"""Targets that no job of the collection makes are told with the names that there are."""

import pytest

from latent_anatomy.pipeline import targets
from latent_anatomy.pipeline.params import ParamsError

JOBS = [
    ".params/slice/one.json",
    ".params/train/study/one/ae/seed-1.json",
    ".params/evaluate/study/one/ae/seed-1.json",
    ".params/evaluate/study/two.fold.25/ae/fold-0.seed-2.json",
    ".params/paired-tests/study/one.json",
    ".params/report/study.json",
    ".params/imaging/one/gate.json",
]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("results/nobody/one/ae/seed-1/metrics.json", "a study .* one of study, found 'nobody'"),
        (
            "results/study/three/ae/seed-1/metrics.json",
            "a data set .* one of one, two.fold.25, found 'three'",
        ),
        ("./results/study/one/nobody/seed-1/metrics.json", "a run .* one of ae, found 'nobody'"),
        (
            "results/study/two.fold.25/ae/seed-2/metrics.json",
            "a fold and seed .* one of fold-0.seed-2, found",
        ),
        ("models/study/two.fold.25/ae/fold-0.seed-2/model.safetensors", "a data set .* one of one, found"),
        ("results/study/comparison/two/metrics.json", "a data set .* one of one, found 'two'"),
        ("results/imaging/two/qc.csv", "a data set .* one of one, found 'two'"),
        ("data/slices/two.h5", "a data set .* one of one, found 'two'"),
        ("reports/one.html", "a study .* one of study, found 'one'"),
    ],
)
def test_a_name_that_no_job_has(tmp_path, target, said):
    with pytest.raises(ParamsError, match=said) as caught:
        targets.check(["all", target], JOBS, "mine", tmp_path)
    assert str(caught.value).startswith(f"{target}: expected ") and len(str(caught.value).splitlines()) == 1
    assert "'mine'" in str(caught.value)


def test_what_jobs_make_and_what_lies_here_is_right(tmp_path):
    here = "results/study/other/ae/seed-9/metrics.json"
    (tmp_path / here).parent.mkdir(parents=True)
    (tmp_path / here).touch()
    made = [
        "results/study/one/ae/seed-1/metrics.json",
        "results/study/two.fold.25/ae/fold-0.seed-2/passport.json",
        "results/study/comparison/one/metrics.json",
        "results/imaging/one/qc.csv",
        "data/slices/one.h5",
        "reports/study.html",
        "results/ledger.csv",
    ]
    targets.check(["all", "train", here, *made], JOBS, "mine", tmp_path)


def test_a_collection_that_makes_none(tmp_path):
    with pytest.raises(ParamsError, match="of which it has none, found 'study'"):
        targets.check(["models/study/one/ae/seed-1/model.safetensors"], JOBS[:1], "mine", tmp_path)
