"""params.yaml: every mistake is one line that names the key."""

from copy import deepcopy

import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from latent_anatomy.pipeline import params
from latent_anatomy.pipeline.selection import Change

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())
REAL, PHANTOM = (("collections", name, "studies", "unoranic") for name in ("real", "phantom"))


def with_entry(keys: tuple, value: object) -> dict:
    """params.yaml with one entry changed or added."""
    content = deepcopy(CONTENT)
    block = content
    for key in keys[:-1]:
        block = block[key]
    block[keys[-1]] = value
    return content


def without_entry(*keys: str) -> dict:
    """params.yaml less one entry."""
    content = deepcopy(CONTENT)
    block = content
    for key in keys[:-1]:
        block = block[key]
    del block[keys[-1]]
    return content


def only_line(content: dict) -> str:
    """The message about `content`, which must be one line."""
    with pytest.raises(params.ParamsError) as caught:
        params.validate(content)
    assert str(caught.value).startswith("params.yaml: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_file_in_the_repository_is_valid():
    assert params.load(ROOT / "params.yaml") == params.validate(CONTENT)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("data",), 3),
        (("training", "precision"), "fp8"),
        (("training", "compile"), "yes"),
        (("methods",), ["ae"]),
        (("studies", "unoranic", "runs"), []),
        ((*PHANTOM, "seeds"), [1.5]),
        ((*PHANTOM, "seeds"), []),
        ((*PHANTOM, "datasets"), "retinamnist"),
        ((*PHANTOM, "changes"), [{"runs": ["ae"], "params": 3}]),
        ((*PHANTOM, "changes"), [{"runs": ["ae"], "seeds": []}]),
    ],
)
def test_wrong_types_and_impossible_values(keys, value):
    line = only_line(with_entry(keys, value))
    assert ".".join(keys) in line and "found" in line


@pytest.mark.parametrize("keys", [("data",), ("training", "compile"), ("studies", "unoranic", "evaluation")])
def test_a_missing_key(keys):
    assert f"{'.'.join(keys)}: " in only_line(without_entry(*keys))


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("data",), "imaginary", "data: expected names of collections"),
        (("methods", "ae", "method"), "imaginary", "methods.ae.method"),
        (("studies", "unoranic", "runs"), ["imaginary"], "studies.unoranic.runs"),
        ((*REAL, "datasets"), ["imaginary"], "collections.real"),
        (
            (*REAL, "changes"),
            [{"runs": ["imaginary"], "params": {"epochs": 1}}],
            "collections.real.studies.unoranic.changes.runs",
        ),
        (
            (*REAL, "changes"),
            [{"runs": ["ae"], "datasets": ["imaginary"], "params": {}}],
            "collections.real.studies.unoranic.changes.datasets",
        ),
        (
            (*REAL, "evaluation"),
            {"imaginary": {}},
            "collections.real.studies.unoranic.evaluation",
        ),
    ],
)
def test_unknown_names(keys, value, named):
    line = only_line(with_entry(keys, value))
    assert named in line and "'imaginary'" in line


def test_phantoms_and_real_data_in_one_collection():
    content = with_entry(("collections", "real", "images"), ["retinamnist", "phantom-retinamnist"])
    content["collections"]["real"]["studies"] = {
        "unoranic": {"datasets": ["retinamnist", "phantom-retinamnist"], "seeds": [1]}
    }
    line = only_line(content)
    assert "collections.real: " in line and "both" in line


PLACES = ((), ("training",), ("imaging",), ("studies", "unoranic"), PHANTOM[:2], PHANTOM)


@given(
    place=st.sampled_from(PLACES), key=st.text(st.characters(codec="ascii", categories=["L"]), min_size=12)
)
def test_an_unknown_key_is_named_wherever_it_stands(place, key):
    keys = (*place, key)
    assert f"params.yaml: {'.'.join(keys)}: " in only_line(with_entry(keys, 1))


BAUR = ("collections", "phantom", "studies", "baur")


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("imaging", "datasets"), {"imaginary": {}}, "imaging.datasets: expected names of the volumes"),
        (
            ("collections", "phantom", "volumes"),
            ["phantom-brain", "phantom-retinamnist"],
            "collections.phantom.volumes: expected",
        ),
        (("collections", "phantom", "images"), ["phantom-brain"], "collections.phantom.images: expected"),
        (("collections", "phantom", "images"), [], "collections.phantom: expected each data set"),
        (("collections", "real", "volumes"), ["imaginary"], "collections.real.volumes: expected names"),
        ((*BAUR, "external"), [{"dataset": "phantom-retinamnist"}], ".external.0.trained_on: "),
        (
            (*BAUR, "external"),
            [{"dataset": "phantom-retinamnist", "trained_on": "phantom-dermamnist"}],
            "studies.baur.external: expected names of collections.phantom.studies.baur.datasets",
        ),
        (
            (*BAUR, "external"),
            [{"dataset": "phantom-brain", "trained_on": "phantom-brain"}],
            "studies.baur.external: expected data sets not under datasets",
        ),
        (
            (*BAUR, "external"),
            [{"dataset": "retinamnist", "trained_on": "phantom-brain"}],
            "found 'retinamnist'",
        ),
        (
            (*BAUR, "changes"),
            [{"evaluation": {"imaginary": {}}}],
            "studies.baur.changes.evaluation: expected",
        ),
    ],
)
def test_volumes_and_tests_on_other_data_sets(keys, value, named):
    assert named in only_line(with_entry(keys, value))


def test_volumes_may_be_prepared_for_no_study_and_nothing_be_there_at_all():
    at_hand = params.validate(CONTENT | {"data": "at-hand"})
    used = {name for chosen in at_hand.collection.studies.values() for name in chosen.tested}
    assert set(at_hand.collection.volumes) - used, "for the imaging chain alone"
    assert (
        params.validate(with_entry(("collections", "real", "volumes"), [])).collections["real"].volumes == []
    )


def test_a_change_concerns_the_runs_and_data_sets_that_it_names_or_all():
    change = Change
    assert change().concerns("any", "any")
    assert change(runs=["ae"]).concerns("ae", "any") and not change(runs=["ae"]).concerns("dae", "any")
    here = change(datasets=["here"])
    assert here.concerns("any", "here") and not here.concerns("any", "there")


def test_without_a_data_set_nothing_is_tested_that_was_trained_on_it():
    content = with_entry(
        (*BAUR, "external"), [{"dataset": "phantom-retinamnist", "trained_on": "phantom-brain"}]
    )
    found = params.validate(content)
    left = found.without(["phantom-brain"]).collection
    assert left.volumes == [] and left.studies["baur"].tested == {}
    left = found.without(["phantom-retinamnist"]).collection
    assert left.studies["baur"].tested == {"phantom-brain": "phantom-brain"}


def test_data_is_the_name_of_a_collection():
    line = only_line(CONTENT | {"data": "reel"})
    assert "data: expected names of collections (phantom, real, at-hand), found 'reel'" in line


def test_of_a_study_that_a_collection_does_not_name_it_has_nothing():
    found = params.validate(without_entry(*REAL) | {"data": "real"})
    assert "unoranic" not in found.chosen and found.collection.studies["unoranic"].tested == {}
    nothing = with_entry(("collections", "real", "images"), []) | {"data": "real"}
    nothing["collections"]["real"]["studies"] = {"unoranic": {"datasets": [], "seeds": [1]}}
    assert params.validate(nothing).chosen == {}


def test_without_leaves_the_rest_of_the_collection():
    found = params.validate(CONTENT | {"data": "real"})
    left = found.without(["bloodmnist", "dermamnist"]).collection
    everything = found.collection.images
    assert left.images == [name for name in everything if name not in ("bloodmnist", "dermamnist")]
    assert len(left.images) == len(everything) - 2
    assert left.studies["unoranic"].datasets == left.images[:3]
    assert left.studies["sdnet"] == found.collection.studies["sdnet"]
    assert left.studies["unoranic"].seeds == found.collection.studies["unoranic"].seeds
    with pytest.raises(params.ParamsError, match="none of the data sets of 'real' can be had"):
        found.without(found.collection.datasets)


SWEEP = {"datasets": ["phantom-acdc"], "splits": ["fold"], "folds": [0], "labelled": [100]}


def with_sweeps(**sweeps: dict) -> params.Params:
    """The phantoms, with these sweeps of the study `sdnet`."""
    chosen = {"sweeps": {name: SWEEP | sweep for name, sweep in sweeps.items()}, "seeds": [1]}
    return params.validate(with_entry(("collections", "phantom", "studies", "sdnet"), chosen))


@pytest.mark.parametrize("study", ["unoranic", "baur", "sdnet", "ra"])
def test_a_run_that_is_added_to_a_study_is_made_wherever_the_study_is(study):
    content = deepcopy(CONTENT)
    content["methods"]["added"] = content["methods"]["ae"]
    content["studies"][study]["runs"].append("added")
    found = params.validate(content)
    chosen = found.collection.studies[study]
    choosing = [sweep for sweep in chosen.sweeps.values() if "added" not in (sweep.runs or ["added"])]
    elsewhere = (
        set(chosen.tested) - {name for sweep in choosing for name in sweep.cohorts} - chosen.only.keys()
    )
    assert elsewhere and "added" not in found.untrained
    for name in elsewhere:
        assert "added" in chosen.runs(name, found.studies[study].runs)


def test_sweeps_train_the_runs_of_the_study_or_those_that_they_choose():
    found = with_sweeps(all={}, few={"labelled": [100, 50], "runs": ["sdnet-c4"]})
    runs, chosen = found.studies["sdnet"].runs, found.collection.studies["sdnet"]
    assert chosen.runs("phantom-acdc.fold.100", runs) == [*runs, "sdnet-c4"]
    assert chosen.runs("phantom-acdc.fold.50", runs) == ["sdnet-c4"]
    assert "sdnet-c4" not in found.untrained and "sdnet-mmwhs" in found.untrained


def test_a_sweep_may_choose_nobody_and_no_run_that_is_unknown():
    assert (
        with_sweeps(none={"runs": []}).collection.studies["sdnet"].runs("phantom-acdc.fold.100", ["a"]) == []
    )
    with pytest.raises(
        params.ParamsError, match=r"sweeps\.one\.runs: expected names of methods .*'imaginary'"
    ):
        with_sweeps(one={"runs": ["imaginary"]})


ONLY = ("collections", "phantom", "studies", "ra", "only")


def test_on_some_data_sets_a_collection_makes_some_runs_alone_also_where_they_are_tested_elsewhere():
    content = with_entry(ONLY, {"phantom-graz": ["ltm", "sdnet"]})
    external = [{"dataset": "phantom-retinamnist", "trained_on": "phantom-graz"}]
    content["collections"]["phantom"]["studies"]["ra"]["external"] = external
    found = params.validate(content)
    chosen, runs = found.collection.studies["ra"], found.studies["ra"].runs
    for name in ("phantom-graz", "phantom-retinamnist"):
        assert chosen.runs(name, runs) == ["ltm", "sdnet"]
    assert chosen.runs("phantom-fastmri", runs) == runs
    assert found.trained["ra"]["phantom-graz"] == ["ltm", "vq-vae", "sdnet"], "and what they stand on"
    left = found.without_runs(["vq-vae"]).collection.studies["ra"]
    assert left.only == {"phantom-graz": ["sdnet"]}
    assert found.without(["phantom-graz"]).collection.studies["ra"].only == {}


@pytest.mark.parametrize(
    ("only", "named"),
    [
        (
            {"phantom-brain": ["ra"]},
            "studies.ra.only: expected names of collections.phantom.studies.ra.datasets",
        ),
        ({"phantom-graz": ["imaginary"]}, "studies.ra.only.phantom-graz: expected names of methods"),
    ],
)
def test_only_names_data_sets_of_the_study_and_methods(only, named):
    assert named in only_line(with_entry(ONLY, only))
