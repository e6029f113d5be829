"""Some of a collection's runs and protocols: named in it, or on the command line."""

import pytest
import yaml
from conftest import ROOT

from latent_anatomy.pipeline import params, resolve

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
JOBS = resolve.resolve(params.validate(CONTENT))


def jobs(more: dict, of_collection: dict | None = None) -> dict[str, dict]:
    """Those of params.yaml with these keys, and these in its collection `phantom`."""
    phantom = CONTENT["collections"]["phantom"] | (of_collection or {})
    collections = CONTENT["collections"] | {"phantom": phantom}
    return resolve.resolve(params.validate(CONTENT | {"collections": collections} | more))


def runs(found: dict, kind: str) -> set[str]:
    return {job["run"] for job in found.values() if job["job"] == kind}


@pytest.mark.parametrize("wanted", ["dae", "dae,sdnet-c4", "intensity", "entangled"])
def test_a_run_is_made_wherever_the_collection_makes_it_and_nothing_else_is(wanted):
    found, names = jobs({"runs": wanted}), wanted.split(",")
    evaluations = {name: job for name, job in JOBS.items() if job["job"] == "evaluate"}
    expected = {name for name, job in evaluations.items() if job["run"] in names}
    assert expected and found.keys() & evaluations.keys() == expected
    assert all(job == JOBS[name] for name, job in found.items() if job["job"] in ("train", "evaluate"))


def test_what_a_run_stands_on_is_trained_and_not_evaluated():
    found = jobs({"runs": ["ltm"]})
    assert runs(found, "train") == {"ltm", "vq-vae"} and runs(found, "evaluate") == {"ltm"}


def test_a_protocol_is_asked_alone_and_studies_without_it_are_left_out():
    found = jobs({"protocols": "reconstruction"})
    evaluations = [job for job in found.values() if job["job"] == "evaluate"]
    assert evaluations and {tuple(job["evaluation"]) for job in evaluations} == {("reconstruction",)}
    assert {job["study"] for job in found.values() if job["job"] == "train"} == {"unoranic"}


def test_the_collection_says_the_same_as_the_command_line():
    part = {"runs": ["dae", "chance"], "protocols": ["lesions"]}
    assert jobs(part) == jobs({}, part) == jobs({"runs": "dae,chance", "protocols": "lesions"})
    assert jobs({"runs": "dae"}, part).keys() < jobs(part).keys()


@pytest.mark.parametrize(
    ("more", "of_collection", "message"),
    [
        ({"runs": "dea"}, {}, r"^params\.yaml: runs: expected names of .*'dea'"),
        ({"protocols": ["lesion"]}, {}, r"^params\.yaml: protocols: expected names of .*'lesion'"),
        ({}, {"runs": ["dea"]}, r"collections\.phantom\.runs: expected names of .*'dea'"),
        ({"runs": "dae"}, {"runs": ["sae1"]}, r": runs: expected names of .*\(sae1\), found 'dae'"),
        ({"runs": "ae", "protocols": "lesions"}, {}, "expected a study that has some of both, found none"),
        ({"runs": ["dae", "dae"]}, {}, "expected each once"),
    ],
)
def test_a_part_that_is_none_is_refused(more, of_collection, message):
    with pytest.raises(params.ParamsError, match=message):
        jobs(more, of_collection)
