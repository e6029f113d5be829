"""fastMRI with boxes: the slice that was marked, boxes on what they mark, healthy people in one split."""

import csv
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantom_files import drawn

from latent_anatomy.data import slices_check, slices_file
from latent_anatomy.datasets import fastmri, squares
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.phantoms.fastmri import KINDS, TESTED_SLICE, PhantomFastMri

PHANTOM = datasets.find("phantom-fastmri")
# RA's test lists, as its release has them: boxes of each class.
BOXES = {
    "posttreatment": 44,
    "mass": 26,
    "lesion": 22,
    "ventricles": 19,
    "edema": 18,
    "craniotomy": 15,
    "resection": 10,
    "dural": 7,
    "wml": 5,
    "sinus": 2,
    "septum": 1,
    "encephalomalacia": 1,
    "intraventricular": 1,
}

raw_dir = drawn(PHANTOM)


@pytest.fixture(scope="module")
def content(raw_dir):
    return PHANTOM.to_slices(raw_dir)


def test_the_phantom_has_healthy_people_everywhere_and_boxes_in_the_test_alone(content):
    slices_check.check(content, "phantom")
    assert content.images.shape == (90, 1, 64, 64) and content.images.dtype == np.uint8
    count = Counter(zip(content.split.tolist(), content.labels.tolist(), strict=True))
    assert count == {("train", 0): 42, ("val", 0): 8, ("test", 0): 16, ("test", 1): 24}
    assert set(content.boxes[:, 0]) == set(np.flatnonzero(content.labels))
    assert len(set(content.subject)) == len(content) and set(content.slice) == {TESTED_SLICE}
    names = {fastmri.CLASSES[kind] for kind in KINDS}
    assert {content.box_names[kind] for kind in content.boxes[:, 5]} == names and len(names) == 8


def test_boxes_are_those_of_the_table_on_the_smaller_image(raw_dir, content):
    with (raw_dir / fastmri.ANNOTATIONS).open(newline="") as stream:
        table = [row for row in csv.DictReader(stream) if row["study_level"] == "No"]
    rows = {subject: row for row, subject in enumerate(content.subject)}
    assert len(table) == len(content.boxes) == 27
    for box in table:
        x, y, width, height = (int(box[name]) * 64 / 72 for name in ("x", "y", "width", "height"))
        own = [each for each in content.boxes if each[0] == rows[box["file"]]]
        assert any(
            abs(left - x) < 1 and abs(top - y) < 1 and abs(wide - width) < 2 and abs(high - height) < 2
            for _, left, top, wide, high, _ in own
        )


def test_what_is_in_a_box_is_unlike_the_mean_head(content):
    """More than the rest of the head is, of nearly all: otherwise there is nothing that can be learnt."""
    healthy = content.images[(content.split == "train")][:, 0].astype(float).mean(axis=0)
    clearer = []
    for row, left, top, wide, high, _ in content.boxes:
        change = np.abs(content.images[row, 0] - healthy)
        inside = np.zeros(change.shape, bool)
        inside[top : top + high, left : left + wide] = True
        clearer.append(change[inside].mean() > change[~inside & (content.masks[row, 0] == 1)].mean())
    assert np.mean(clearer) > 0.7


def test_the_same_phantom_gives_the_same_bytes(tmp_path, raw_dir, content):
    small = replace(PHANTOM, normals=PHANTOM.validation + PHANTOM.tested + 1)
    small.generate(tmp_path)
    for name in (file.name for file in small.files if file.name.endswith(".h5")):
        assert (tmp_path / name).read_bytes() == (raw_dir / name).read_bytes()
    for name in ("a.h5", "b.h5"):
        slices_file.write(tmp_path / name, content, {})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


# ---- made files

FILE = "file_brain_AXT1_1_1"
HEALTHY = [f"file_brain_AXT1_0_{number}" for number in range(3)]
GOOD = [(FILE, 2, "No", 30, 10, 8, 8, "Mass"), (FILE, 0, "No", 5, 5, 0, 0, "Edema")]


def made(folder: Path, rows=GOOD, shape=(4, 60, 48), columns=fastmri.COLUMNS, flat=False) -> PhantomFastMri:
    """A data set in `folder`: three healthy people, and one with a bright patch in a box."""
    volume = np.zeros(shape, np.float32)
    volume[:, 5:-5, 5:-5] = 1
    volume[2:3, 10:18, 30:38] = 3
    for name in (*HEALTHY, FILE):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["reconstruction_rss"] = 0 * volume if flat else volume[:, ::-1]
    normals = [(name, 0, "Yes", "", "", "", "", fastmri.NORMAL) for name in HEALTHY]
    with (folder / fastmri.ANNOTATIONS).open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(columns)
        table.writerows([*normals, *rows])
    return PhantomFastMri(
        normals=0, validation=1, tested=1, listed=((FILE, (0, 2)),), normal_slice=3, size=60
    )


def read(dataset, folder):
    names = [fastmri.ANNOTATIONS, *(f"{name}.h5" for name in (*HEALTHY, FILE))]
    object.__setattr__(dataset, "files", tuple(map(fastmri.RawFile, names)))
    return dataset.to_slices(folder)


def test_a_box_is_where_the_image_is_changed_turned_and_padded(tmp_path):
    content = read(made(tmp_path), tmp_path)
    [box] = content.boxes.tolist()
    row = content.subject.tolist().index(FILE)
    assert content.slice[row] == 2, "nearest to the slice of the healthy"
    patch = np.argwhere(content.images[row, 0] == 255)
    assert box == [row, 36, 10, 8, 8, content.box_names.index("mass")]
    assert (patch.min(axis=0).tolist(), patch.max(axis=0).tolist(), len(patch)) == ([10, 36], [17, 43], 64)
    assert sorted(content.split.tolist()) == ["test", "test", "train", "val"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rows": [(FILE, 2, "No", 30, 10, 0, 6, "Mass")]},
            "slice 2: expected a box with an area, found 0 x 6",
        ),
        (
            {"rows": [(FILE, 2, "No", 44, 10, 8, 6, "Mass")]},
            "expected a box inside 48 x 60 pixels, found left 44",
        ),
        ({"rows": [(FILE, 2, "No", -1, 10, 8, 6, "Mass")]}, "expected a box inside"),
        (
            {"rows": [(FILE, 2, "No", 3, 10, 8, 6, "Masses")]},
            r"brain\.csv, line 5: expected a label of fastMRI\+",
        ),
        (
            {"columns": ("file", "slice", "level", "x", "y", "w", "h", "label")},
            "found no study_level, width, height",
        ),
        ({"shape": (2, 60, 48)}, r"\.h5: expected a slice [23], from 0, found 2 slices"),
        ({"flat": True}, "expected an image of more than one finite value, found only 0"),
    ],
)
def test_files_that_cannot_be_are_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        read(made(tmp_path, **change), tmp_path)
    assert "\n" not in str(error.value)


def test_a_volume_that_is_not_there_is_named(tmp_path):
    dataset = made(tmp_path)
    object.__setattr__(dataset, "files", (fastmri.RawFile(fastmri.ANNOTATIONS),))
    with pytest.raises(ValueError, match=rf"expected {FILE}\.h5 and 3 more, found none: run `phantom"):
        dataset.to_slices(tmp_path)


@given(st.data())
def test_a_box_on_the_square_covers_what_it_covered_and_stays_inside(data):
    shape = data.draw(st.tuples(st.integers(8, 400), st.integers(8, 400)))
    left, top = data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(0, shape[0] - 1))
    wide = data.draw(st.integers(1, shape[1] - left))
    high = data.draw(st.integers(1, shape[0] - top))
    size = data.draw(st.integers(8, 256))
    x, y, w, h = squares.box_in((left, top, wide, high), shape, size, "box")
    assert min(x, y) >= 0 and min(w, h) > 0 and max(x + w, y + h) <= size
    scale, before = size / max(shape), (max(shape) - shape[1]) // 2
    assert x <= (left + before) * scale and x + w >= (left + before + wide) * scale - 1e-6
    assert w <= wide * scale + 2


# ---- the real table


def test_the_list_names_92_files_with_slices():
    assert len(dict(fastmri.LISTED)) == len(fastmri.LISTED) == 92
    assert all(slices == tuple(sorted(set(slices))) and slices for _, slices in fastmri.LISTED)
    assert [fastmri.nearest(each, 3) for each in ((2, 4), (9,), (0, 5))] == [2, 9, 5]


@pytest.mark.skipif("LATENT_ANATOMY_MIRROR" not in os.environ, reason="needs the table of fastMRI+")
def test_on_the_listed_slices_the_real_table_has_the_171_boxes_of_the_release():
    marks = fastmri.read_marks(Path(os.environ["LATENT_ANATOMY_MIRROR"], "annotations/brain.csv"))
    found = Counter(
        fastmri.CLASSES[mark.label]
        for file, slices in fastmri.LISTED
        for mark in marks[file]
        if mark.box and mark.label in fastmri.CLASSES
        if mark.position == fastmri.nearest(slices, fastmri.NORMAL_SLICE)
    )
    assert found == BOXES and sum(found.values()) == 171
    normals = [file for file, own in marks.items() if fastmri._normal(own) and "_AXT1_" in file]
    assert len(normals) == 173 and not set(normals) & set(dict(fastmri.LISTED))
