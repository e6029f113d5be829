"""Data sets: registered as published, refused when damaged, and phantoms that can be learnt and repeated."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantom_files import drawn
from raw_files import assert_checked_before_parsed, registered
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latent_anatomy.data import slices, slices_check, slices_file
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.medmnist import MedMnist

OWN = [each for each in datasets.DATASETS if each.family == "medmnist" and getattr(each, "size", None) == 28]
PHANTOMS = [dataset for dataset in OWN if dataset.phantom]
PUBLISHED = [dataset for dataset in datasets.DATASETS if not dataset.phantom]
# Spec of unORANIC, its Table 1: classes, channels, images in train, val and test.
TABLE_1 = {
    "bloodmnist": (8, 3, 11959, 1712, 3421),
    "breastmnist": (2, 1, 546, 78, 156),
    "dermamnist": (7, 3, 7007, 1003, 2005),
    "pneumoniamnist": (2, 1, 4708, 524, 624),
    "retinamnist": (5, 3, 1080, 120, 400),
}


def named(dataset) -> str:
    return dataset.name


@pytest.fixture(scope="module")
def publisher(tmp_path_factory):
    """`medmnist.INFO` as the package itself evaluates it (with a home folder that it may write to)."""
    source = importlib.util.find_spec("medmnist").origin.replace("__init__.py", "info.py")
    spec = importlib.util.spec_from_file_location("medmnist_info", source)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        spec.loader.exec_module(module)
    return module.INFO


def test_every_set_is_found_by_its_name_and_no_other():
    assert len(set(datasets.NAMES)) == len(datasets.DATASETS)
    for dataset in datasets.DATASETS:
        assert datasets.find(dataset.name) is dataset
        assert dataset.name.startswith("phantom-") == dataset.phantom
        assert dataset.stands_for is None or not dataset.phantom
    with pytest.raises(ValueError, match=r"expected one of .*bloodmnist.*'bloodmist'"):
        datasets.find("bloodmist")


@pytest.mark.parametrize("name", TABLE_1)
def test_a_published_set_and_its_phantom_are_what_the_publisher_says(publisher, name):
    entry, original, phantom = publisher[name], datasets.find(name), datasets.find(f"phantom-{name}")
    assert original.files == (RawFile(f"{name}.npz", entry["url"], "md5", entry["MD5"]),)
    assert original.stands_for == name and original.note == "" and original.licence == entry["license"]
    assert entry["n_samples"] == dict(zip(("train", "val", "test"), TABLE_1[name][2:], strict=True))
    for dataset in (original, phantom):
        assert (dataset.classes, dataset.channels) == TABLE_1[name][:2]
        assert dataset.task == entry["task"]


def test_a_copy_that_is_not_the_publishers_file_says_so():
    own = [dataset for dataset in PUBLISHED if dataset.family == "medmnist" and dataset.stands_for]
    copies = [dataset for dataset in own if dataset.name != dataset.stands_for]
    assert named(copies[0]) == "breastmnist-resaved" and named(copies[1]) == "pneumoniamnist-reassembled"
    for copy in copies:
        assert "not the publisher's MD5" in copy.note
        assert copy.files[0].url is None and copy.files[0].algorithm == "sha256"


def test_data_sets_need_no_torch():
    command = "import sys, latent_anatomy.data.fetch; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)


# ---- raw files of the MedMNIST layout


def arrays(label_shape: tuple[int, ...] = (1,)) -> dict[str, np.ndarray]:
    """Random arrays in the layout of BreastMNIST."""
    random = np.random.default_rng(0)
    made = {}
    for split, count in zip(("train", "val", "test"), TABLE_1["breastmnist"][2:], strict=True):
        made[f"{split}_images"] = random.integers(0, 256, (count, 28, 28), np.uint8)
        made[f"{split}_labels"] = random.integers(0, 2, (count, *label_shape), np.uint8)
    return made


def breastmnist(folder, raw: dict[str, np.ndarray], **changes) -> MedMnist:
    """The data set whose file in `folder` holds `raw` and has the right checksum."""
    return registered(datasets.find("breastmnist"), folder / "breastmnist.npz", raw, **changes)


@pytest.mark.parametrize("label_shape", [(1,), ()])
def test_slices_hold_the_published_images_labels_and_splits(tmp_path, label_shape):
    raw = arrays(label_shape)
    content = breastmnist(tmp_path, raw, labels_shape=label_shape).to_slices(tmp_path)
    slices_file.write(tmp_path / "x.h5", content, {})
    for split in ("train", "val", "test"):
        part = slices_file.read(tmp_path / "x.h5", split)
        assert np.array_equal(part.images[:, 0], raw[f"{split}_images"])
        assert np.array_equal(part.labels, raw[f"{split}_labels"].ravel())
        assert part.subject[-1] == f"{split}-{len(part) - 1:06d}"
    assert len(set(content.subject)) == len(content)
    assert set(content.modality) == {"breast ultrasound"}


def nan_images() -> np.ndarray:
    images = np.zeros((78, 28, 28), np.float32)
    images[0, 0, 0] = np.nan
    return images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_labels": None}, "expected keys .*val_labels.*found"),
        ({"extra": np.zeros(1)}, "found extra"),
        ({"val_images": nan_images()}, r"val_images: expected uint8 \(78, 28, 28\), found float32 .*NaN"),
        ({"val_images": np.zeros((77, 28, 28), np.uint8)}, r"val_images: .*\(77, 28, 28\)"),
        ({"val_images": np.zeros((78, 28, 28, 3), np.uint8)}, r"val_images: .*\(78, 28, 28, 3\)"),
        ({"val_images": np.zeros((78, 64, 64), np.uint8)}, r"val_images: .*\(78, 64, 64\)"),
        ({"val_labels": np.zeros(78, np.uint8)}, r"val_labels: expected uint8 \(78, 1\).*\(78,\)"),
        ({"val_labels": np.full((78, 1), np.nan)}, "val_labels: .*NaN"),
        ({"val_labels": np.full((78, 1), 2, np.uint8)}, r"val_labels: expected labels 0\.\.1, found 2"),
        ({"val_labels": np.full((78, 1), None)}, "Object arrays cannot be loaded"),
    ],
)
def test_an_npz_of_another_layout_is_refused(tmp_path, change, message):
    raw = {key: value for key, value in (arrays() | change).items() if value is not None}
    with pytest.raises(ValueError, match=rf"(?s)breastmnist\.npz.*{message}"):
        breastmnist(tmp_path, raw).to_slices(tmp_path)


def test_a_wrong_checksum_is_refused_before_anything_is_parsed(tmp_path, monkeypatch):
    dataset = breastmnist(tmp_path, arrays())
    assert_checked_before_parsed(dataset, tmp_path / dataset.file.name, monkeypatch)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"retinamnist\.npz.*fetch"):
        datasets.find("retinamnist").to_slices(tmp_path)


# ---- phantoms


raw_dir = drawn(*PHANTOMS)


def test_phantoms_have_the_same_bytes_in_every_process(tmp_path, raw_dir):
    command = (
        "import sys; from pathlib import Path\nfrom latent_anatomy.datasets import registry as datasets\n"
    )
    command += "for name in sys.argv[2:]: datasets.find(name).generate(Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", command, str(tmp_path), *map(named, PHANTOMS)], check=True, env=environment
    )
    assert sorted(os.listdir(tmp_path)) == sorted(f"{phantom.name}.npz" for phantom in PHANTOMS)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (raw_dir / path.name).read_bytes()
        members = zipfile.ZipFile(path).infolist()
        assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}, "a clock in the file"


@pytest.mark.parametrize("phantom", PHANTOMS, ids=named)
def test_a_phantom_has_the_layout_of_what_it_stands_for(raw_dir, phantom):
    with np.load(raw_dir / phantom.files[0].name, allow_pickle=False) as raw:
        assert set(raw) == set(arrays())
        images = np.concatenate([raw[f"{split}_images"] for split in ("train", "val", "test")])
        labels = {split: raw[f"{split}_labels"] for split in ("train", "val", "test")}
    colour = (3,) if TABLE_1[phantom.published][1] == 3 else ()
    assert images.dtype == np.uint8 and images.shape == (256 + 64 + 128, 28, 28, *colour)
    assert len(np.unique(images, axis=0)) == len(images), "an image occurs twice"
    for split, count in (("train", 256), ("val", 64), ("test", 128)):
        assert labels[split].dtype == np.uint8 and labels[split].shape == (count, 1)
        assert set(labels[split].ravel()) == set(range(phantom.classes))
    content = phantom.to_slices(raw_dir)
    assert content.dataset == phantom.name and content.classes == phantom.classes
    slices_check.check(content, phantom.name)


def test_another_seed_and_another_size_are_other_phantoms(tmp_path, raw_dir):
    phantom = replace(PHANTOMS[0], train=16, val=8, test=8)
    phantom.generate(tmp_path)
    small = phantom.to_slices(tmp_path)
    assert np.count_nonzero(small.split == "train") == 16
    replace(phantom, seed=1).generate(tmp_path)
    assert not np.array_equal(phantom.to_slices(tmp_path).images, small.images)
    with pytest.raises(ValueError, match=r"expected uint8 \(256, 28, 28, 3\), found uint8 \(16,"):
        PHANTOMS[0].to_slices(tmp_path)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_phantom_cut_anywhere_is_refused(tmp_path_factory, raw_dir, share):
    folder, file = tmp_path_factory.mktemp("cut"), PHANTOMS[1].files[0].name
    whole = (raw_dir / file).read_bytes()
    (folder / file).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"\.npz: expected a whole \.npz"):
        PHANTOMS[1].to_slices(folder)


def probe_auc(features: np.ndarray, content: slices.Slices) -> float:
    """Test AUC, mean over classes, of a logistic regression on at most 40 principal components."""
    train, test = content.split == "train", content.split == "test"
    components = PCA(min(40, features.shape[1]), random_state=0)
    probe = make_pipeline(components, StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    scores = probe.fit(features[train], content.labels[train]).predict_proba(features[test])
    truth = np.eye(content.classes)[content.labels[test]]
    return roc_auc_score(truth, scores, average="macro")


@pytest.mark.parametrize("phantom", PHANTOMS, ids=named)
def test_classes_can_be_learnt_but_not_from_the_brightness_alone(raw_dir, phantom):
    content = phantom.to_slices(raw_dir)
    pixels = content.images.reshape(len(content), -1) / 255
    from_pixels, from_brightness = (
        probe_auc(pixels, content),
        probe_auc(pixels.mean(axis=1)[:, None], content),
    )
    assert from_pixels > 0.8
    assert from_brightness < 0.7


@pytest.mark.parametrize("phantom", PHANTOMS, ids=named)
def test_images_are_smooth_enough_for_noise_to_show_and_to_be_undone(raw_dir, phantom):
    """A weighted mean of 3 x 3 pixels must bring a noisy image (sigma 20 of 255) nearer to the clean one."""
    clean = phantom.to_slices(raw_dir).images[:64].astype(float)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 20, clean.shape), 0, 255)
    padded = np.pad(noisy, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    shifts = [padded[..., i : i + 28, j : j + 28] for i in range(3) for j in range(3)]
    weights = np.outer([1, 2, 1], [1, 2, 1]).ravel() / 16
    restored = sum(weight * shift for weight, shift in zip(weights, shifts, strict=True))
    assert np.mean((restored - clean) ** 2) < 0.75 * np.mean((noisy - clean) ** 2)
