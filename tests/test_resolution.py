"""From params.yaml to the files of jobs: complete, canonical, and written only where they differ."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from latent_anatomy import methods, params, resolution
from latent_anatomy.provenance import canonical_json

CONTENT = yaml.safe_load((ROOT / "params.yaml").read_text())
RUN = "unoranic/{dataset}/{run}/seed-1"


def resolved(**blocks: object) -> dict[str, dict]:
    """The jobs of params.yaml with these top-level blocks instead."""
    return resolution.resolve(params.validate(deepcopy(CONTENT) | blocks))


def with_method(run: str, **chosen: object) -> dict:
    """The block `methods` with more parameters for a run."""
    return CONTENT["methods"] | {run: CONTENT["methods"][run] | chosen}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_job_has_every_parameter_of_its_method():
    for name, job in resolved().items():
        if name.startswith("train/"):
            model = methods.load(job["method"]).Method.Params
            assert job["params"].keys() == model.model_fields.keys()
            assert model.model_validate(job["params"]).model_dump(mode="json") == job["params"]


def test_real_runs_have_the_length_of_the_paper_unless_shortened():
    real, at_hand = resolved(data="real"), resolved(data="at-hand")
    default = methods.load("autoencoder").Params().epochs
    ae = {
        name: job["params"]["epochs"]
        for name, job in real.items()
        if job["job"] == "train" and job["run"] == "ae"
    }
    assert set(ae.values()) == {default} and len(ae) == 5 * 3
    for change in CONTENT["collections"]["at-hand"]["studies"]["unoranic"]["changes"]:
        for run in change["runs"]:
            for dataset in change["datasets"]:
                job = at_hand["train/" + RUN.format(run=run, dataset=dataset)]
                assert job["params"]["epochs"] == change["params"]["epochs"]
    assert (
        at_hand["train/" + RUN.format(run="ae", dataset="breastmnist-resaved")]["params"]["epochs"] == default
    )


def test_a_parameter_changes_the_jobs_of_its_run_alone():
    before, after = resolved(), resolved(methods=with_method("ae", latent=128))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if name.startswith(("train/", "evaluate/")) and "/ae/" in name}


@pytest.mark.parametrize(
    ("blocks", "named"),
    [
        ({"methods": with_method("ae", latents=8)}, "methods.ae.latents"),
        ({"methods": with_method("ae", latent="wide")}, "methods.ae.latent"),
        ({"methods": with_method("ae", epochs=0)}, "methods.ae.epochs"),
    ],
)
def test_a_wrong_parameter_of_a_method_is_named(blocks, named):
    with pytest.raises(params.ParamsError, match=rf"^params\.yaml: {named}: .*found") as caught:
        resolved(**blocks)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("evaluation", "named"),
    [
        ({"imaginary": {}}, "studies.unoranic.evaluation: expected protocols"),
        ({"probing": {"draw": 3}}, "studies.unoranic.evaluation.probing.draw: "),
    ],
)
def test_a_wrong_protocol_or_setting_is_named(evaluation, named):
    studies = deepcopy(CONTENT["studies"])
    studies["unoranic"]["evaluation"] = evaluation
    collections = deepcopy(CONTENT["collections"])
    for collection in collections.values():
        collection["studies"]["unoranic"].pop("evaluation", None)
    with pytest.raises(params.ParamsError) as caught:
        resolved(studies=studies, collections=collections, data="phantom")
    assert str(caught.value).startswith(f"params.yaml: {named}")


def test_a_wrong_setting_of_a_collection_is_named():
    collections = deepcopy(CONTENT["collections"])
    collections["phantom"]["studies"]["unoranic"]["evaluation"] = {"probing": {"draws": 0}}
    with pytest.raises(params.ParamsError, match=r"phantom\.studies\.unoranic\.evaluation\.probing\.draws: "):
        resolved(collections=collections, data="phantom")


def test_files_are_canonical_and_written_once(tmp_path, monkeypatch):
    found = params.validate(CONTENT)
    resolution.write(found, tmp_path)
    for name, job in resolution.resolve(found).items():
        assert (tmp_path / f"{name}.json").read_text() == canonical_json(job)
    before = times(tmp_path)
    monkeypatch.setattr(resolution, "resolve", lambda _: pytest.fail("resolved though nothing changed"))
    resolution.write(found, tmp_path)
    assert times(tmp_path) == before


def test_only_the_files_that_differ_are_written(tmp_path):
    resolution.write(params.validate(CONTENT), tmp_path)
    before = times(tmp_path)
    resolution.write(params.validate(CONTENT | {"methods": with_method("ae", latent=128)}), tmp_path)
    after = times(tmp_path)
    changed = {path.relative_to(tmp_path).as_posix() for path in before if before[path] != after[path]}
    assert changed - {resolution.WRITTEN}
    assert all("/ae/" in name for name in changed - {resolution.WRITTEN})


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}")])
def test_a_lost_or_changed_file_is_written_again(tmp_path, damage):
    found = params.validate(CONTENT)
    resolution.write(found, tmp_path)
    path = tmp_path / "train" / (RUN.format(run="ae", dataset="phantom-retinamnist") + ".json")
    right = path.read_text()
    damage(path)
    resolution.write(found, tmp_path)
    assert path.read_text() == right


def test_a_write_that_was_interrupted_is_not_taken_for_finished(tmp_path, monkeypatch):
    first = params.validate(CONTENT)
    resolution.write(first, tmp_path)
    written = []

    def stop_after_ten(path, text):
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path.write_text(text))

    with monkeypatch.context() as patch:
        patch.setattr(resolution, "write_text_if_changed", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            resolution.write(params.validate(CONTENT | {"methods": with_method("ae", latent=128)}), tmp_path)
    resolution.write(first, tmp_path)
    for name, job in resolution.resolve(first).items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == job


def test_a_protocol_runs_on_the_data_sets_that_it_names():
    for name, job in resolved(data="real").items():
        if name.startswith("evaluate/"):
            assert ("robustness" in job["evaluation"]) == (job["dataset"] == "pneumoniamnist")
            assert "probing" in job["evaluation"]


def test_an_impossible_value_for_some_data_sets_names_where_it_stands():
    content = deepcopy(CONTENT)
    changes = [{"runs": ["ae"], "params": {"epochs": 0}}]
    content["collections"]["phantom"]["studies"]["unoranic"]["changes"] = changes
    with pytest.raises(params.ParamsError, match=r"phantom\.studies\.unoranic\.changes\.params\.epochs.*found 0"):
        resolution.resolve(params.validate(content))
