"""Chest X-rays: the layout of the Radiography Database, and Kermany's children, each tested once."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom_files import drawn
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch.nn.functional import interpolate

from latent_anatomy.data import slices_check
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets import kermany, radiography, squares
from latent_anatomy.datasets import registry as datasets

PHANTOM = datasets.find("phantom-radiography")
KERMANY = datasets.find("kermany-130")
raw_dir = drawn(PHANTOM)


def test_the_phantom_trains_on_normal_chests_and_its_opacities_can_be_told_but_not_by_brightness(raw_dir):
    content = PHANTOM.to_slices(raw_dir)
    slices_check.check(content, "phantom")
    assert content.images.shape == (104, 1, 64, 64)
    count = Counter(zip(content.split.tolist(), content.labels.tolist(), strict=True))
    assert count == {("train", 0): 48, ("val", 0): 12, ("test", 0): 20, ("test", 1): 24}
    train, test = content.select("train"), content.select("test")
    mean = train.images[:, 0].astype(float).mean(axis=0)
    exposure = test.images.mean(axis=(1, 2, 3)) / mean.mean()
    unlike = np.abs(test.images[:, 0] / exposure[:, None, None] - mean).mean(axis=(1, 2))
    assert roc_auc_score(test.labels, unlike) > 0.65
    brightness = roc_auc_score(test.labels, test.images.mean(axis=(1, 2, 3)))
    assert 0.25 < brightness < 0.85


def test_the_same_phantom_gives_the_same_bytes_and_lies_in_the_publishers_folders(tmp_path, raw_dir):
    few = replace(PHANTOM, sizes=(2, 1, 1), ill=("Lung_Opacity", 1, 1))
    few.generate(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    assert names == {
        *(f"Normal/images/Normal-{number}.png" for number in range(1, 5)),
        "Lung_Opacity/images/Lung_Opacity-1.png",
    }
    for name in names:
        assert radiography.FILE.fullmatch(name) and radiography.FILE.fullmatch(f"unpacked/{name}")
    for number in range(1, 5):
        name = f"Normal/images/Normal-{number}.png"
        assert (tmp_path / name).read_bytes() == (raw_dir / name).read_bytes()


def test_the_real_sets_are_those_of_the_released_lists():
    pneumonia, covid = datasets.find("radiography"), datasets.find("radiography-covid")
    assert sum(pneumonia.sizes) == 10192 and pneumonia.sizes[2] == 1019
    assert pneumonia.ill[2] - pneumonia.ill[1] + 1 == 6012 and covid.ill[2] - covid.ill[1] + 1 == 2474
    assert pneumonia.stands_for == "radiography" and covid.stands_for is None, "other normal images than RA's"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"expected 104 images, found no Normal-3\.png, and 0 more are missing"),
        (b"not a picture", r"Normal-3\.png: expected a picture, found a damaged file"),
        (
            np.full((9, 9), 7, np.uint8),
            r"Normal-3\.png: expected an image of more than one finite value.* only 7",
        ),
        (np.zeros((9, 9), bool), r"Normal-3\.png: expected 8 or 16 bits of grey, found bool"),
    ],
)
def test_images_that_cannot_be_are_refused_in_one_line(tmp_path, raw_dir, content, message):
    name, dataset = "Normal/images/Normal-3.png", replace(PHANTOM)
    for file in PHANTOM.files:
        (tmp_path / file.name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.name).symlink_to(raw_dir / file.name)
    (tmp_path / name).unlink()
    if content is None:
        kept = tuple(file for file in PHANTOM.files if file.name != name)
        object.__setattr__(dataset, "files", kept)
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        Image.fromarray(content).save(tmp_path / name)
    with pytest.raises(ValueError, match=message) as error:
        dataset.to_slices(tmp_path)
    assert "\n" not in str(error.value)


# ---- squares


def test_grey_is_divided_by_what_it_needs_and_a_square_is_padded_with_its_darkest_value(tmp_path):
    assert squares.unit_range(np.array([[0, 255]])).tolist() == [[0, 1]]
    assert squares.unit_range(np.array([[0, 32768]])).tolist() == [[0, 0.5]]
    square = squares.squared(np.array([[3, 4, 5, 6], [2, 9, 9, 9]]))
    assert square.tolist() == [[2] * 4, [3, 4, 5, 6], [2, 9, 9, 9], [2] * 4]
    Image.fromarray(np.dstack([np.arange(4, dtype=np.uint8).reshape(2, 2)] * 3)).save(tmp_path / "grey.png")
    assert squares.picture(tmp_path / "grey.png").tolist() == [[0, 1], [2, 3]]


def test_resizing_is_that_of_the_release_and_smooth_only_where_it_is_said():
    """The oracle: torch, which the released code resizes by, without smoothing."""
    image = np.random.default_rng(3).random((37, 37))
    oracle = interpolate(torch.from_numpy(image)[None, None], (16, 16), mode="bilinear", align_corners=False)
    assert np.abs(squares.resized(image, 16) - 255 * oracle[0, 0].numpy()).max() <= 0.501
    assert squares.resized(image, 16, smooth=True).std() < 0.8 * squares.resized(image, 16).std()


def test_the_98th_percentile_becomes_1_and_what_is_empty_is_refused():
    image = np.arange(100.0).reshape(10, 10)
    assert squares.bright(image, "image").max() == 1 and (squares.bright(image, "image") == 1).sum() == 2
    image[:] = 0
    image[0, 0] = 5
    with pytest.raises(ValueError, match="image: expected a 98th percentile above 0"):
        squares.bright(image, "image")
    with pytest.raises(ValueError, match="NaN"):
        squares.bright(np.array([[np.nan, 1]]), "image")


# ---- Kermany's children


def test_every_child_is_tested_once_and_only_the_healthy_train():
    tested = []
    for fold in KERMANY.folds:
        cohort = KERMANY.cohort(fold, 100)
        assert (len(cohort.train), len(cohort.val), len(cohort.test)) == (39, 13, 26)
        assert not [who for who in (*cohort.train, *cohort.val) if who.startswith("person")]
        tested += cohort.test
    assert len(tested) == len(set(tested)) == 130
    with pytest.raises(ValueError, match=r"expected one of turns-0, .*found 'turns-5'"):
        KERMANY.cohort("turns-5", 100)


def test_the_index_is_read_and_held_against_its_columns(tmp_path):
    path = tmp_path / kermany.INDEX
    path.write_text("label,file\nNORMAL,a.jpeg\n")
    assert kermany.read_index(path) == ["NORMAL/a.jpeg"]
    path.write_text("label,name\nNORMAL,a.jpeg\n")
    with pytest.raises(ValueError, match=r"index\.csv: expected the columns label, file, found no file"):
        kermany.read_index(path)
    path.write_text("label,file\nHEALTHY,a.jpeg\n")
    with pytest.raises(ValueError, match="expected labels NORMAL, PNEUMONIA, found 'HEALTHY'"):
        kermany.read_index(path)


def test_other_bytes_are_refused(tmp_path):
    (tmp_path / kermany.INDEX).write_text("label,file\n")
    with pytest.raises(ValueError, match=r"index\.csv: expected sha256 17e1824b"):
        KERMANY.to_slices(tmp_path)
    assert len(KERMANY.files) == 131 and all(isinstance(file, RawFile) for file in KERMANY.files)


@pytest.mark.skipif("LATENT_ANATOMY_MIRROR" not in os.environ, reason="needs Kermany's images")
def test_the_real_children_are_read():
    content = KERMANY.to_slices(Path(os.environ["LATENT_ANATOMY_MIRROR"], KERMANY.family))
    slices_check.check(content, "kermany-130")
    count = Counter(zip(content.split.tolist(), content.labels.tolist(), strict=True))
    assert count == {("train", 0): 39, ("val", 0): 13, ("test", 0): 13, ("test", 1): 65}
