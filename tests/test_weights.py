"""Weights of other publishers: registered with a method, verified, and part of its checkpoint."""

import json
import shutil

import pytest
import tiny_project
from rich_project import DATASET, WEIGHTS, content, mirror
from safetensors.torch import load_file

from latent_anatomy.audit.orders import Order
from latent_anatomy.data.cohorts import Replicate
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.download import Download
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.jobs.checkpoint import given_weights
from latent_anatomy.pipeline import availability, evaluation_jobs, layout, params, training_jobs
from latent_anatomy.provenance import formats

JOB = f"unoranic/{DATASET}/given/seed-1"


@pytest.mark.usefixtures("with_methods")
def test_a_run_whose_weights_cannot_be_had_is_named_and_left_out_with_those_that_stand_on_it(tmp_path):
    found = content()
    found["methods"]["above"] = {"method": "shift", "on": "given"}
    found["studies"]["sdnet"]["runs"].append("above")
    left, said = availability.reduced(params.validate(found), tmp_path / "raw", None)
    [line] = [line for line in said if "teacher" in line]
    assert line == "Not trained: given: teacher: teacher.txt has no public address: ask its author"
    assert {"given", "above"}.isdisjoint(left.studies["unoranic"].runs + left.studies["sdnet"].runs)
    assert {"given", "above"} <= set(left.untrained)

    folder = mirror(tmp_path / "mirror")
    whole, said = availability.reduced(params.validate(found), tmp_path / "raw", folder)
    assert "given" in whole.studies["unoranic"].runs and not any("teacher" in line for line in said)
    (folder / "teacher.txt").write_text("0.5")
    _, said = availability.reduced(params.validate(found), tmp_path / "raw", folder)
    [line] = [line for line in said if "teacher" in line]
    assert line.startswith("Not trained: given: teacher: ") and "expected sha256 " in line


def test_a_protocol_whose_weights_cannot_be_had_is_named_and_not_asked(tmp_path, monkeypatch):
    download = Download("teacher", (RawFile("teacher.txt", None, "sha256", "0" * 64),), "CC0-1.0", "ask")
    monkeypatch.setattr(protocols, "takes_weights", lambda name: name == "reconstruction")
    monkeypatch.setattr(protocols, "weights", lambda name, _: (download,) if name == "reconstruction" else ())
    chosen = params.validate(tiny_project.parameters())
    left, said = availability.reduced(chosen, tmp_path / "raw", None)
    [line] = [line for line in said if "teacher" in line]
    assert line == (
        "Not evaluated by reconstruction: unoranic: teacher: teacher.txt has no public address: ask"
    )
    assert not left.studies["unoranic"].evaluation and left.studies["ra"] == chosen.studies["ra"]
    assert [each.name for each in evaluation_jobs.downloads(chosen)] == ["teacher"]
    assert not evaluation_jobs.downloads(left)


def test_an_evaluation_with_weights_is_made_again_with_the_folder_in_which_they_lie(tmp_path):
    given = {"evaluation_weights": {"teacher/teacher.txt": f"sha256:{'0' * 64}"}}
    orders = {}
    for name, job in (("with", given), ("without", {})):
        made = layout.result("ra", "phantom-graz", "vae", Replicate(1), job)
        orders[name] = Order.of(made, {"device": "cpu"})
    assert "data/raw/teacher/teacher.txt" in orders["with"].inputs
    assert not any("weights" in word for word in orders["with"].words(tmp_path))
    extra = set(orders["with"].words(tmp_path)) ^ set(orders["without"].words(tmp_path))
    assert extra == {"--raw=data/raw"}, "which older sources do not know"


@pytest.mark.usefixtures("with_methods")
def test_a_download_goes_through_its_job_and_back():
    [download] = training_jobs.weights(params.validate(content()))["given"]
    assert Download.of_job(json.loads(json.dumps(download.job))) == download


@pytest.mark.slow
def test_weights_are_inputs_of_the_job_and_part_of_the_checkpoint(rich):
    checkpoint = rich / f"models/{JOB}/model.safetensors"
    assert load_file(checkpoint)["level"].item() == float(WEIGHTS)
    passport = formats.read_passport(checkpoint)
    assert passport["inputs"].keys() == {"slices", "weights/teacher/teacher.txt"}
    job = json.loads((rich / f".params/train/{JOB}.json").read_text())
    inputs = layout.of_job(job).inputs
    assert inputs["weights/teacher/teacher.txt"] == "data/raw/teacher/teacher.txt"
    evaluated = formats.read_passport(rich / f"results/{JOB}/passport.json")
    assert evaluated["inputs"].keys() == {"slices", "model"}


@pytest.mark.slow
def test_missing_or_wrong_weights_are_one_line_before_training(rich, tmp_path):
    job = json.loads((rich / f".params/train/{JOB}.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"teacher\.txt: expected weights .* found none"):
        given_weights(job, tmp_path)
    shutil.copytree(rich / "data/raw/teacher", tmp_path / "teacher")
    assert given_weights(job, tmp_path) == {"teacher/teacher.txt": tmp_path / "teacher/teacher.txt"}
    (tmp_path / "teacher/teacher.txt").write_text("0.5")
    with pytest.raises(ValueError, match=r"teacher\.txt: expected sha256 "):
        given_weights(job, tmp_path)
