"""The slices of IXI: every one in its place, people in one split wherever they appear."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import assert_checked_before_parsed, registered

from latent_anatomy.data import slices_check, slices_file
from latent_anatomy.datasets import ixi
from latent_anatomy.datasets import registry as datasets

PEOPLE = [f"IXI{number:03}" for number in range(12, 20)]


def arrays() -> dict[str, np.ndarray]:
    """Eight people, in the layout of the file: bright discs, wider from slice to slice, a spot in front."""
    y, x = np.mgrid[:120, :90]
    radius = 30 + np.arange(8)
    disc = (y - 60) ** 2 + (x - 45) ** 2 < radius[:, None, None] ** 2
    bright = 60 + 10 * np.arange(len(PEOPLE))
    image = (disc[None] * bright[:, None, None, None]).astype(np.uint8)
    image[:, :, 58:60, 44:46] += 20
    return {
        "image": image,
        "slice_index": np.tile(np.arange(54, 78, 3, dtype=np.int16), (len(PEOPLE), 1)),
        "subject": np.array([f"{person}-HH-1{index:03}" for index, person in enumerate(PEOPLE)]),
    }


def ixi_slices(folder, raw: dict[str, np.ndarray]):
    """The data set with a file of these arrays in `folder`."""
    return registered(datasets.find("ixi-hh-slices"), folder / ixi.SLICES.name, raw)


def test_slices_are_padded_in_the_middle_and_keep_who_and_where(tmp_path):
    raw = arrays()
    content = ixi_slices(tmp_path, raw).to_slices(tmp_path)
    slices_check.check(content, "slices")
    assert content.images.shape == (64, 1, 128, 128) and content.images.dtype == np.uint8
    inside = content.images[:, 0, 4:124, 19:109]
    assert content.images.sum(dtype=int) == inside.sum(dtype=int)
    assert np.array_equal(inside > 0, raw["image"].reshape(64, 120, 90) > 0)
    assert content.subject.tolist() == [person for person in PEOPLE for _ in range(8)]
    assert content.slice.tolist() == raw["slice_index"].ravel().tolist()
    assert (content.spacing_mm == 2).all() and set(content.modality) == {"MR T1"}
    assert set(content.site) == {"HH"}
    assert content.split.tolist() == [ixi.split_of(person) for person in content.subject]


def test_people_of_different_brightness_come_out_alike(tmp_path):
    content = ixi_slices(tmp_path, arrays()).to_slices(tmp_path)
    one, *others = content.images[:, 0].reshape(8, 8, 128, 128)
    for other in others:
        flat = (one > 0) & (np.abs(one.astype(int) - np.median(one[one > 0])) < 1)
        assert np.abs(one.astype(int) - other)[flat].max() <= 1


def test_the_head_is_what_is_not_air(tmp_path):
    content = ixi_slices(tmp_path, arrays()).to_slices(tmp_path)
    assert content.mask_names == ("head",)
    head, lit = content.masks[:, 0] == 1, content.images[:, 0] > 0
    dice = 2 * (head & lit).sum((1, 2)) / (head.sum((1, 2)) + lit.sum((1, 2)))
    assert dice.min() > 0.95


def test_the_same_file_gives_the_same_bytes(tmp_path):
    dataset = ixi_slices(tmp_path, arrays())
    for name in ("a.h5", "b.h5"):
        slices_file.write(tmp_path / name, dataset.to_slices(tmp_path), {})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "expected image, slice_index and subject"),
        ({"age": np.zeros(8)}, "expected image, slice_index and subject"),
        ({"image": arrays()["image"].astype(np.float32)}, "expected image uint8"),
        ({"image": arrays()["image"][..., :80]}, r"found uint8 \(8, 8, 120, 80\)"),
        ({"slice_index": np.zeros((8, 7), np.int16)}, "expected a name for each volume"),
        ({"subject": np.arange(8)}, "expected a name for each volume, found int64"),
        ({"subject": np.repeat(["IXI012-HH-1211"], 8)}, "expected every person once"),
        ({"image": np.zeros_like(arrays()["image"])}, "expected a head"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path, change, message):
    raw = {key: value for key, value in (arrays() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        ixi_slices(tmp_path, raw).to_slices(tmp_path)


def test_other_bytes_are_refused_before_they_are_parsed(tmp_path, monkeypatch):
    dataset = ixi_slices(tmp_path, arrays())
    assert_checked_before_parsed(dataset, tmp_path / ixi.SLICES.name, monkeypatch)


@given(st.integers(0, 999))
def test_a_person_is_in_one_split_in_every_ixi_data_set(number):
    """Whoever else is there: names of the publisher's files and of the files here differ only behind."""
    person = f"IXI{number:03}"
    names = (f"{person}-HH-1211-T1.nii.gz", f"t1/{person}-HH-1211_T1.nii.gz")
    for subject in map(ixi._subject, names):
        assert (subject.name, subject.split) == (person, ixi.split_of(person))


def test_about_one_in_ten_people_goes_to_test_and_one_to_validation():
    count = Counter(ixi.split_of(f"IXI{number:03}") for number in range(1000))
    assert set(count) == {"train", "val", "test"} and 70 < count["test"] < 130 and 70 < count["val"] < 130
