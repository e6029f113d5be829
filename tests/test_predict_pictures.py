"""Pictures: float maps, masks and the table; and what docs/predict.md prints, done."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, hashes
from PIL import Image
from test_predict_heads import rows
from tiny_models import export, export_of_volumes, write_png
from tiny_runs import PICTURES, pictures, trained_on_pictures

from latent_anatomy.cli import main as cli
from latent_anatomy.methods import registry as methods
from latent_anatomy.prediction.predict import run
from latent_anatomy.training.method import Shape

PAGE = ROOT / "docs/predict.md"


def folder_of(path: Path, count: int = 4) -> Path:
    """So many pictures; every second one has a spot."""
    for number, image in enumerate(pictures(np.random.default_rng(7), count)):
        write_png(path / f"scan {number}.png", image[0])
    return path


@pytest.fixture
def intensity(tmp_path) -> Path:
    """Its map is the picture itself, in units of its median."""
    rule = {"anomalies/validation": {"value": 2.0, "post": None}}
    return export(
        tmp_path / "i.safetensors", "intensity", Shape(1, 28, 28, 0), thresholds=rule, region="head"
    )


def test_maps_and_masks_of_pictures(intensity, tmp_path):
    source = folder_of(tmp_path / "png")
    assert run(intensity, source, tmp_path / "out", "cpu") == 0
    table = rows(tmp_path / "out")
    assert [row["file"] for row in table.values()] == [f"scan {number}.png" for number in range(4)]
    for number, (name, row) in enumerate(table.items()):
        image = np.asarray(Image.open(source / f"scan {number}.png"), np.float32) / 255
        values = np.load(tmp_path / f"out/{name}/{name}_desc-anomaly_map.npy")
        mask = np.asarray(Image.open(tmp_path / f"out/{name}/{name}_desc-anomaliesValidation_mask.png")) > 0
        # torch's median is the lower of the two in the middle
        middle = np.sort(image[image > 0])[(np.count_nonzero(image) - 1) // 2]
        assert values.shape == (1, 28, 28) and np.allclose(values[0], image / middle)
        assert np.array_equal(mask, values[0] >= 2) and mask.sum() == 25 * (number % 2)
        assert float(row["desc-anomaliesValidation_percent"]) == pytest.approx(100 * mask.mean())
        assert (tmp_path / f"out/{name}/figures/{name}_desc-overview.png").is_file()


def test_reconstructions_and_colour(tmp_path):
    model = export(
        tmp_path / "a.safetensors",
        "autoencoder",
        Shape(3, 28, 28, 2),
        {"epochs": 1, "width": 2, "latent": 2},
    )
    write_png(tmp_path / "png/a.png", np.random.default_rng(0).integers(0, 255, (28, 28, 3), np.uint8))
    write_png(tmp_path / "png/b.png", np.full((28, 28), 9, np.uint8))
    assert run(model, tmp_path / "png", tmp_path / "out", "cpu") == 1
    assert np.load(tmp_path / "out/sub-001/sub-001_desc-reconstruction_map.npy").shape == (3, 28, 28)
    assert "expected images of 3 x 28 x 28" in rows(tmp_path / "out")["sub-002"]["reason"]


@pytest.mark.parametrize(("method", "capability"), [("autoencoder", "reconstruct"), ("unet", "segment")])
def test_what_a_model_cannot_have_meant_is_no_map(tmp_path, monkeypatch, method, capability):
    small = {"width": 2} | ({"epochs": 1, "latent": 2} if method == "autoencoder" else {"depth": 2})
    model = export(tmp_path / "m.safetensors", method, Shape(1, 28, 28, 2, 1, ("lung",)), small)
    source, module = folder_of(tmp_path / "png", 1), methods.load(method).Method
    assert run(model, source, tmp_path / "sound", "cpu") == 0
    monkeypatch.setattr(module, capability, lambda self, images: images * torch.nan)
    assert run(model, source, tmp_path / "out", "cpu") == 1
    assert "784 of 784 values that are not" in rows(tmp_path / "out")["sub-001"]["reason"]


def test_pictures_that_are_none_are_lines(intensity, tmp_path):
    source = folder_of(tmp_path / "png", 1)
    whole = (source / "scan 0.png").read_bytes()
    (source / "a-text.png").write_text("no picture")
    (source / "b-cut.png").write_bytes(whole[:-60])
    (source / "c-empty.png").write_bytes(b"")
    write_png(source / "d-large.png", np.full((64, 64), 90, np.uint8))
    Image.new("RGBA", (28, 28)).save(source / "e-alpha.png")
    Image.new("RGB", (28, 28), (9, 99, 199)).save(source / "f-colour.png")
    Image.new("RGB", (28, 28), (90, 90, 90)).save(source / "g-grey.PNG")
    write_png(source / "h-black.png", np.zeros((28, 28), np.uint8))
    (source / "i-folder.png").mkdir()
    assert run(intensity, source, tmp_path / "out", "cpu") == 8
    found = {row["file"]: row for row in rows(tmp_path / "out").values()}
    failed = {file[0] for file, row in found.items() if row["status"] == "failed"}
    assert failed == set("abcdefhi") and len(found) == 10
    assert (
        "expected images of 1 x 28 x 28 (channels, rows, columns), as in training, found 1 x 64 x 64"
        in (found["d-large.png"]["reason"])
    )
    assert not any(str(tmp_path) in row["reason"] for row in found.values())


def test_intensities_unlike_those_of_training_are_a_warning(tmp_path):
    levels = {name: dict.fromkeys(("lowest", "median", "highest"), 0.4) for name in ("low", "middle", "high")}
    images = {"levels": levels, "native_mm": None, "modalities": ["ultrasound"]}
    model = export(tmp_path / "i.safetensors", "intensity", Shape(1, 28, 28, 0), images=images, region="head")
    source = folder_of(tmp_path / "png", 1)
    write_png(source / "z.png", 255 - np.asarray(Image.open(source / "scan 0.png")))
    assert run(model, source, tmp_path / "out", "cpu") == 0
    found = [row["warnings"] for row in rows(tmp_path / "out").values()]
    assert found[0] == "" and "training has 0.40 to 0.40" in found[1]


def test_a_model_of_volumes_takes_no_pictures_nor_the_other_way_round(intensity, tmp_path):
    source = folder_of(tmp_path / "png", 1)
    heads = export_of_volumes(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"expected volumes \(MR FLAIR\), found pictures"):
        run(heads, source, tmp_path / "out", "cpu")
    (tmp_path / "one.nii.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a PNG or a folder of PNGs \(drawing\), found volumes"):
        run(intensity, tmp_path / "one.nii.gz", tmp_path / "out", "cpu")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="expected a BIDS folder"):
        run(intensity, tmp_path / "nothing", tmp_path / "out", "cpu")


def test_what_the_page_prints_works_on_a_phantom(tmp_path, monkeypatch, capsys):
    """Its lines about pictures, as they stand there; those about heads are asked in test_predict_heads."""
    trained_on_pictures(tmp_path)
    folder_of(tmp_path / "pictures", 3)
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^latent-anatomy .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = [line for line in lines if "mean" in line]
    assert len(lines) == 3
    for line in [*lines, f"latent-anatomy predict models/{PICTURES} pictures --out of-run"]:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, line
    assert "trained on phantom-breastmnist, whose licence is" in capsys.readouterr().err
    table = rows(tmp_path / "maps")
    assert float(table["sub-002"]["score_mean"]) > float(table["sub-001"]["score_mean"])
    assert hashes(tmp_path / "maps") == hashes(tmp_path / "of-run")
