"""MedMNIST at 64, 128 and 224 pixels: pinned, read, drawn, and refused by what is made for 28."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from conftest import ROOT
from raw_files import registered

from latent_anatomy.data import slices_check
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.outline import outline, together
from latent_anatomy.datasets import medmnist
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.phantoms import drawings
from latent_anatomy.pipeline import job_files, params, suitability
from latent_anatomy.training.method import Shape

LARGE = (64, 128, 224)
PAIRS = [(name, size) for name in medmnist.MODALITY for size in LARGE]


@pytest.mark.parametrize(("published", "size"), PAIRS)
def test_a_size_is_the_publishers_file_and_no_paper_s(published, size):
    entry, found = medmnist.info(published), datasets.find(f"{published}_{size}")
    pinned = medmnist.MD5[f"{published}_{size}"]
    assert pinned == entry[f"MD5_{size}"], "the installed package and this repository"
    assert found.files == (RawFile(f"{published}_{size}.npz", entry[f"url_{size}"], "md5", pinned),)
    assert found.stands_for is None and f"{size} x {size}" in found.note
    assert outline(found).size == size == outline(datasets.find(f"phantom-{published}_{size}")).size


def test_every_checksum_is_another():
    assert len(set(medmnist.MD5.values())) == 20


def test_a_package_with_another_checksum_of_one_size_is_refused(monkeypatch):
    edited = medmnist.info("bloodmnist") | {"MD5_64": "0" * 32}
    monkeypatch.setattr(medmnist, "info", lambda published: edited)
    with pytest.raises(ValueError, match="the package medmnist: bloodmnist_64: expected MD5"):
        medmnist._official("bloodmnist", 64)
    assert medmnist._official("bloodmnist", 128).size == 128


def test_slices_hold_the_images_of_that_size_and_no_other(tmp_path):
    random, counts = np.random.default_rng(0), medmnist.info("breastmnist")["n_samples"]
    raw = {f"{split}_images": random.integers(0, 256, (n, 64, 64), np.uint8) for split, n in counts.items()}
    raw |= {f"{split}_labels": random.integers(0, 2, (n, 1), np.uint8) for split, n in counts.items()}
    found = datasets.find("breastmnist_64")
    content = registered(found, tmp_path / "breastmnist_64.npz", raw).to_slices(tmp_path)
    assert np.array_equal(content.images[:, 0], np.concatenate([raw[f"{each}_images"] for each in counts]))
    small = registered(datasets.find("breastmnist"), tmp_path / "breastmnist.npz", raw)
    with pytest.raises(ValueError, match=r"expected uint8 \(546, 28, 28\), found uint8 \(546, 64, 64\)"):
        small.to_slices(tmp_path)


@pytest.mark.parametrize(("name", "size"), [("phantom-retinamnist_64", 64), ("phantom-breastmnist_224", 224)])
def test_a_phantom_has_its_size_and_the_same_bytes_again(tmp_path, name, size):
    phantom = replace(datasets.find(name), train=8, val=4, test=4)
    first, again = tmp_path / "first", tmp_path / "again"
    phantom.generate(first)
    phantom.generate(again)
    [file] = phantom.files
    assert (first / file.name).read_bytes() == (again / file.name).read_bytes()
    content = phantom.to_slices(first)
    assert content.images.shape == (16, phantom.channels, size, size) and content.dataset == name
    slices_check.check(content, name)


@pytest.mark.parametrize("draw", [drawings.retina, drawings.pneumonia])
def test_a_larger_drawing_is_the_same_with_more_pixels(draw):
    """Means over 2 x 2 pixels of one twice as large are nearly it; where nothing is drawn pixel by pixel."""
    small, large = (draw(1, np.random.default_rng(3), drawings.Square(size)) for size in (28, 56))
    mean = large.reshape(28, 2, 28, 2, -1).mean(axis=(1, 3))
    assert np.abs(mean - small).mean() < 0.01 < np.abs(mean - mean.mean(axis=(0, 1))).mean()


def test_the_grain_of_a_cloud_keeps_its_size_on_the_square():
    """A texture twice as large is as smooth from one pixel of the small one to the next."""

    def change(size: int) -> float:
        step = size // 28
        cloud = drawings.Square(size).cloud(np.random.default_rng(0), 3)
        return float(np.abs(cloud - np.roll(cloud, step, axis=0)).mean())

    assert change(112) == pytest.approx(change(28), rel=0.25)


def collection(study: str, dataset: str, **chosen) -> params.Params:
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    studies = {study: {"datasets": [dataset], "seeds": [1]} | chosen}
    images = {"images": dataset.split("__"), "studies": studies}
    return params.validate(content | {"data": "mine", "collections": {"mine": images}, "imaging": {}})


@pytest.mark.parametrize("dataset", ["breastmnist_64", "phantom-breastmnist_224"])
def test_what_is_made_for_28_refuses_others_when_it_is_planned(dataset, tmp_path):
    size = dataset[-3:].strip("_")
    with pytest.raises(params.ParamsError) as caught:
        job_files.write(collection("unoranic", dataset), tmp_path)
    assert not list(tmp_path.rglob("*.json")), "nothing is planned"
    [line] = str(caught.value).splitlines()
    assert line == (
        "params.yaml: collections.mine.studies.unoranic: expected images of 28x28 pixels, for which unoranic "
        f"is made, found {size}x{size} in {dataset}: choose other data, or other runs"
    )


def test_what_stands_on_such_a_run_is_refused_with_it():
    only = {"phantom-breastmnist_64": ["rotation"]}
    with pytest.raises(params.ParamsError, match="for which ae-clean is made, found 64x64"):
        suitability.check_sizes(collection("rotation", "phantom-breastmnist_64", only=only))


@pytest.mark.parametrize("dataset", ["breastmnist", "phantom-breastmnist_64", "lgg-patches"])
def test_other_runs_sizes_and_data_are_not(dataset):
    study, runs = ("unoranic", ["resnet18"]) if "_64" in dataset else ("unoranic", ["ae", "unoranic"])
    suitability.check_sizes(collection(study, dataset, only={dataset: runs}))


def test_a_pool_has_a_size_where_its_members_agree():
    of = [outline(datasets.find(name)) for name in ("breastmnist_64", "retinamnist_64", "retinamnist")]
    assert together(of[:2]).size == 64 and together(of).size is None


@pytest.mark.parametrize("run", ["ae", "unoranic"])
def test_a_network_made_for_28_is_not_built_for_another_size(run):
    from latent_anatomy.methods import registry as methods

    block = params.load(ROOT / "params.yaml").methods[run]
    method = methods.load(block["method"]).Method
    with pytest.raises(ValueError, match="expected images of 28x28 pixels, found 64x64"):
        method(method.Params(), Shape(1, 64, 64, 2))
