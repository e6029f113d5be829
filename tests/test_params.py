"""params.yaml: every mistake is one line that names the key."""

from copy import deepcopy

import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from latent_anatomy import params

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())
COLLECTIONS = ("studies", "unoranic", "collections")


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
        ((*COLLECTIONS, "phantom", "seeds"), [1.5]),
        ((*COLLECTIONS, "phantom", "seeds"), []),
        ((*COLLECTIONS, "phantom", "datasets"), "retinamnist"),
        ((*COLLECTIONS, "phantom", "changes"), [{"runs": ["ae"], "params": 3}]),
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
        (("data",), "imaginary", "studies.unoranic.collections"),
        (("methods", "ae", "method"), "imaginary", "methods.ae.method"),
        (("studies", "unoranic", "runs"), ["imaginary"], "studies.unoranic.runs"),
        ((*COLLECTIONS, "real", "datasets"), ["imaginary"], "studies.unoranic.collections.real.datasets"),
        (
            (*COLLECTIONS, "real", "changes"),
            [{"runs": ["imaginary"], "params": {"epochs": 1}}],
            "studies.unoranic.collections.real.changes.runs",
        ),
        (
            (*COLLECTIONS, "real", "changes"),
            [{"runs": ["ae"], "datasets": ["imaginary"], "params": {}}],
            "studies.unoranic.collections.real.changes.datasets",
        ),
        (
            (*COLLECTIONS, "real", "evaluation"),
            {"imaginary": {}},
            "studies.unoranic.collections.real.evaluation",
        ),
    ],
)
def test_unknown_names(keys, value, named):
    line = only_line(with_entry(keys, value))
    assert named in line and "'imaginary'" in line


def test_phantoms_and_real_data_in_one_collection():
    keys = (*COLLECTIONS, "real", "datasets")
    line = only_line(with_entry(keys, ["retinamnist", "phantom-retinamnist"]))
    assert ".".join(keys) in line and "both" in line


PLACES = ((), ("training",), ("studies", "unoranic"), (*COLLECTIONS, "phantom"))


@given(
    place=st.sampled_from(PLACES), key=st.text(st.characters(codec="ascii", categories=["L"]), min_size=12)
)
def test_an_unknown_key_is_named_wherever_it_stands(place, key):
    keys = (*place, key)
    assert f"params.yaml: {'.'.join(keys)}: " in only_line(with_entry(keys, 1))


def test_without_leaves_the_rest_of_the_collection():
    found = params.validate(CONTENT | {"data": "real"})
    left = found.without(["bloodmnist", "dermamnist"]).studies["unoranic"].collections["real"]
    assert left.datasets == ["breastmnist", "pneumoniamnist", "retinamnist"]
    assert left.seeds == found.studies["unoranic"].collections["real"].seeds
    with pytest.raises(params.ParamsError, match="none of the data sets of 'real' can be had"):
        found.without(found.studies["unoranic"].collections["real"].datasets)
