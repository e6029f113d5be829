"""A run as one file: what it says, that it is believed only whole, and what it refuses."""

import json
import shutil
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from tiny_models import export as made
from tiny_runs import HEADS, PICTURES, trained_on_heads, trained_on_pictures

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.jobs.checkpoint import load_checkpoint
from latent_anatomy.jobs.inputs import build
from latent_anatomy.prediction import export, exported
from latent_anatomy.provenance.files import canonical_json, digest, sha256_file
from latent_anatomy.training.method import Shape

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project with both runs; not to be changed."""
    root = tmp_path_factory.mktemp("project")
    trained_on_pictures(root)
    trained_on_heads(root)
    return root


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of it to damage."""
    return shutil.copytree(finished, tmp_path / "project")


def document(path: Path) -> dict:
    with safe_open(path, framework="np") as stream:
        return json.loads(stream.metadata()["passport"])


def rewritten(path: Path, change, seal: bool) -> Path:
    """The file with another document, sealed anew or not."""
    content = path.read_bytes()
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    says = json.loads(header["__metadata__"]["passport"])
    change(says)
    if seal:
        says["seal"] = digest({key: value for key, value in says.items() if key != "seal"})
    header["__metadata__"]["passport"] = canonical_json(says)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def test_what_is_exported_is_what_was_trained(finished, tmp_path):
    """The same weights, and so the same map of any image."""
    out = tmp_path / "mean.safetensors"
    export.run(PICTURES, out, finished)
    read = exported.read(out, CPU)
    trained = build(json.loads((finished / "train-mean.json").read_text()), read.shape, CPU)
    load_checkpoint(trained, finished / "models" / PICTURES / "model.safetensors")
    assert trained.state_dict().keys() == read.method.state_dict().keys()
    for name, weights in trained.state_dict().items():
        assert torch.equal(weights, read.method.state_dict()[name])
    assert not read.method.training and not read.changed


def test_the_document_says_all_that_predict_needs(finished, tmp_path):
    out = tmp_path / "mean.safetensors"
    export.run(PICTURES, out, finished)
    says = document(out)
    metrics = json.loads((finished / "results" / PICTURES / "metrics.json").read_text())
    value = metrics["anomalies/validation/threshold"]
    assert says["thresholds"] == {"anomalies/validation": {"value": value, "post": None}}
    assert "lesions/training, lesions/validation" in says["left_out"]
    assert says["imaging"] is None and says["region"] is None
    assert says["shape"] == asdict(Shape(1, 28, 28, 2)) | {"structures": []}
    assert says["images"]["modalities"] == ["ultrasound"] and says["images"]["subjects"] == 16
    assert 0.3 < says["images"]["levels"]["middle"]["median"] < 0.45  # of discs of 90 to 110
    assert says["inputs"]["model"] == sha256_file(finished / "models" / PICTURES / "model.safetensors")
    assert says["licence"]["terms"] == datasets.find("phantom-breastmnist").licence
    assert str(finished) not in json.dumps(says)


def test_of_heads_it_has_the_steps_and_how_maps_are_filtered(finished, tmp_path):
    out = tmp_path / "intensity.safetensors"
    export.run(HEADS, out, finished)
    says = document(out)
    assert list(says["imaging"]["steps"]) == sorted(
        ["bias", "coregister", "register", "strip", "normalise", "gate", "slab"]
    )
    assert says["imaging"]["modality"] == "MR FLAIR" and says["region"] == "brain"
    assert says["thresholds"].keys() == {"lesions/training", "lesions/validation"}
    assert says["thresholds"]["lesions/training"]["post"]["median"] == 5
    assert "excluded" not in says["imaging"]["steps"]["gate"] and says["images"]["native_mm"] is None


def test_the_same_run_twice_gives_the_same_bytes(finished, tmp_path):
    for name in ("one.safetensors", "two.safetensors"):
        export.run(PICTURES, tmp_path / name, finished)
    assert sha256_file(tmp_path / "one.safetensors") == sha256_file(tmp_path / "two.safetensors")


def test_without_an_evaluation_it_has_no_threshold_and_says_so(project, tmp_path, capsys):
    shutil.rmtree(project / "results")
    export.run(PICTURES, tmp_path / "m.safetensors", project)
    assert document(tmp_path / "m.safetensors")["thresholds"] == {}
    assert "thresholds are left out: no evaluation of this run is here" in capsys.readouterr().err


def test_results_of_another_model_and_settings_of_other_slices_are_refused(project, tmp_path):
    metrics = project / "results" / PICTURES / "metrics.json"
    metrics.write_text(metrics.read_text() + " ")
    with pytest.raises(ValueError, match=r"metrics\.json: expected sha256"):
        export.run(PICTURES, tmp_path / "m.safetensors", project)
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["imaging"].setdefault("steps", {}).setdefault("slab", {})["count"] = 7
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"expected the settings of the step slab that params\.yaml has"):
        export.run(HEADS, tmp_path / "m.safetensors", project)
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unoranic/phantom-breastmnist/mean", "expected <study>/<dataset>/<run>/<replicate>"),
        ("unoranic/phantom-breastmnist/mean/first", "expected seed-<n>"),
        ("unoranic/phantom-breastmnist/other/seed-1", "expected the checkpoint of the run, found none"),
    ],
)
def test_a_run_that_is_none_is_refused(finished, tmp_path, name, said):
    with pytest.raises((ValueError, OSError), match=said):
        export.run(name, tmp_path / "m.safetensors", finished)


def test_a_name_that_is_no_safetensors_is_refused(finished, tmp_path):
    with pytest.raises(ValueError, match=r"expected a name ending in \.safetensors"):
        export.run(PICTURES, tmp_path / "model.pt", finished)


@pytest.mark.parametrize("dataset", ["lgg-t1", "lgg-flair-128", "acdc-frames-96", "chris-t1", "radiography"])
def test_licences_that_forbid_commerce_are_known(dataset):
    assert export.NO_COMMERCE.search(datasets.find(dataset).licence)


@pytest.mark.parametrize("licence", ["CC BY 4.0", "CC0", "Apache-2.0", "CC BY-SA 3.0"])
def test_others_do_not_forbid_it(licence):
    assert not export.NO_COMMERCE.search(licence)


# ---- files that are not believed


@pytest.fixture
def model(tmp_path) -> Path:
    return made(tmp_path / "m.safetensors", "healthy_mean", Shape(1, 28, 28, 0), {"by_position": False})


def test_a_file_that_was_changed_is_refused(model):
    content = bytearray(model.read_bytes())
    content[-1] ^= 1  # a weight
    model.write_bytes(content)
    with pytest.raises(ValueError, match="it was changed since"):
        exported.read(model, CPU)


def test_a_threshold_that_was_edited_is_refused(model):
    rewritten(model, lambda says: says["thresholds"].update({"mine": {"value": 0, "post": None}}), seal=False)
    with pytest.raises(ValueError, match="changed after it was sealed"):
        exported.read(model, CPU)


def test_a_file_of_another_format_is_refused(model):
    rewritten(model, lambda says: says.update(format="latent-anatomy export 2"), seal=True)
    with pytest.raises(
        ValueError, match="expected 'latent-anatomy export 1', found 'latent-anatomy export 2'"
    ):
        exported.read(model, CPU)


def test_a_checkpoint_is_no_export(finished):
    with pytest.raises(ValueError, match=r"found 'a checkpoint, .*: export its run, or give the folder"):
        exported.read(finished / "models" / PICTURES / "model.safetensors", CPU)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"params": {"by_position": False, "floor": 0.01, "heat": 1}}, "found heat: extra inputs"),
        ({"params": {"floor": -1}}, "found floor: input should be greater than 0"),
        ({"method": "crystal_ball"}, "found 'crystal_ball'"),
        ({"params": {"by_position": True}}, None),
    ],
)
def test_a_method_that_this_version_has_not_like_that_is_refused(model, change, said):
    rewritten(model, lambda says: says["training"].update(change), seal=True)
    if said is None:  # the same shape of weights
        assert exported.read(model, CPU).method.params.by_position
        return
    with pytest.raises(ValueError, match=said):
        exported.read(model, CPU)


def test_sources_that_have_changed_since_are_noticed(model):
    rewritten(model, lambda says: says.update(method_source="0" * 64), seal=True)
    assert exported.read(model, CPU).changed


def test_a_method_that_can_nothing_of_it_is_refused(model, monkeypatch):
    monkeypatch.setattr(exported, "CAPABILITIES", ("segment",))
    with pytest.raises(ValueError, match="there is nothing to predict"):
        exported.read(model, CPU)


def test_percentiles_are_those_of_the_foreground():
    from latent_anatomy.prediction import training_images

    image = np.zeros((1, 1, 4, 4), np.uint8)
    assert training_images.levels(image) == {}
    image[0, 0, :2] = 51
    assert training_images.levels(image) == pytest.approx({"low": 0.2, "middle": 0.2, "high": 0.2})
