"""The HDF5 schema: what is written is read, defects are named, nothing half-written counts as whole."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_anatomy.data import slices, slices_check, slices_file
from latent_anatomy.data.slices import COLUMNS, OPTIONAL, Slices
from latent_anatomy.jobs.inputs import splits_on
from latent_anatomy.provenance.formats import read_passport

FLOATS = ("spacing_mm", "time", "covariates")  # in which NaN is like NaN


def example(count: int = 8, size: int = 6, seed: int = 0, dtype: str = "uint8") -> Slices:
    """Slices with every column: two rows per subject, paired; one box and one half-drawn mask each."""
    random = np.random.default_rng(seed)
    rows = np.arange(count)
    grey = random.integers(0, 256, (count, 2, size, size + 1), np.uint8)
    masks = random.integers(0, 2, (count, 2, size, size + 1), np.uint8)
    masks[rows % 2 == 1, 1] = slices.NOT_DELINEATED
    names = np.array([f"Müller-{row // 2}" for row in rows])
    return Slices(
        images=grey if dtype == "uint8" else (grey / 255).astype(np.float32),
        labels=random.integers(-1, 3, count),
        masks=masks,
        mask_names=("brain", "lesion"),
        boxes=np.stack([rows, rows % 3, rows % 2, rows % 2 + 1, rows % 3 + 1, 0 * rows], axis=1).astype(
            np.int32
        ),
        box_names=("mass",),
        pair=np.where(rows ^ 1 < count, rows ^ 1, -1),
        spacing_mm=random.uniform(0.5, 3, (count, 3)).astype(np.float32),
        phase=np.array(["ED", "frame-07"])[rows % 2],
        site=np.array(["Köln", "Lyon", "Oslo"])[rows // 2 % 3],
        time=np.array([800, np.nan, 12.5], np.float32)[rows // 2 % 3],
        event=np.array([0, 0, 1], np.uint8)[rows // 2 % 3],
        covariates=np.array([[50, np.nan], [np.nan, 2], [71, 3]], np.float32)[rows // 2 % 3],
        covariate_names=("age", "grade"),
        subject=names,
        slice=(rows % 2).astype(np.int32),
        split=np.array(["train", "test", "unlabelled", "val"])[rows // 2 % 4],
        modality=np.array(["MR FLAIR", "T1"])[rows % 2],
        dataset="example",
        task="multi-class",
        classes=3,
    )


def same(first: Slices, second: Slices) -> bool:
    """Whether two Slices hold the same values of the same types."""
    columns = first.columns(), second.columns()
    if columns[0].keys() != columns[1].keys():
        return False
    attributes = ("dataset", "task", "classes", "mask_names", "box_names", "covariate_names")
    return all(getattr(first, name) == getattr(second, name) for name in attributes) and all(
        values.dtype.kind == columns[1][name].dtype.kind
        and (values.dtype.kind == "U" or values.dtype == columns[1][name].dtype)
        and np.array_equal(values, columns[1][name], equal_nan=values.dtype.kind == "f")
        for name, values in columns[0].items()
    )


def without(whole: Slices, *names: str) -> Slices:
    """Slices that lack some of the optional columns, with what belongs to them."""
    absent = dict.fromkeys(names) | ({"classes": 0} if "labels" in names else {})
    if {"time", "event"} & set(names):
        absent |= {"time": None, "event": None}
    return replace(whole, **absent, **({"covariate_names": ()} if "covariates" in names else {}))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 20),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(["uint8", "float32"]),
    absent=st.sets(st.sampled_from(OPTIONAL)),
)
def test_what_is_written_is_what_is_read_with_the_same_bytes(tmp_path_factory, count, seed, dtype, absent):
    written = without(example(count, seed=seed, dtype=dtype), *absent)
    folder = tmp_path_factory.mktemp("slices")
    passport = {"inputs": {"raw": "0" * 64}, "seed": seed, "unit": "µm"}
    slices_file.write(folder / "a.h5", written, passport)
    slices_file.write(folder / "b.h5", slices_file.read(folder / "a.h5"), passport)
    assert same(slices_file.read(folder / "b.h5"), written)
    assert read_passport(folder / "b.h5").items() > passport.items()
    assert (folder / "a.h5").read_bytes() == (folder / "b.h5").read_bytes()
    assert sorted(os.listdir(folder)) == ["a.h5", "b.h5"]


def test_a_file_without_covariates_has_no_attribute_for_them(tmp_path):
    slices_file.write(tmp_path / "x.h5", without(example(), *OPTIONAL), {})
    with h5py.File(tmp_path / "x.h5") as file:
        assert "covariate_names" not in file.attrs  # as files have always been


def check_part(part: Slices, whole: Slices, rows: np.ndarray) -> None:
    """That `part` is the rows of `whole`, each with its own values, boxes and partner."""
    slices_check.check(part, "part")
    chosen, columns = np.isin(whole.boxes[:, 0], rows), part.columns()
    assert columns.keys() == whole.columns().keys()
    for name in columns.keys() - {"boxes", "pair", "split"}:
        assert np.array_equal(columns[name], whole.columns()[name][rows], equal_nan=name in FLOATS), name
    partner = np.where(part.pair >= 0, rows[part.pair], -1)
    assert np.array_equal(partner, np.where(np.isin(whole.pair[rows], rows), whole.pair[rows], -1))
    assert np.array_equal(np.column_stack([rows[part.boxes[:, 0]], part.boxes[:, 1:]]), whole.boxes[chosen])


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 24), seed=st.integers(0, 1000))
def test_splits_are_a_partition_and_pairs_and_boxes_follow_their_slices(count, seed):
    whole = example(count, seed=seed)
    parts = [whole.select(split) for split in np.unique(whole.split)]
    assert sum(map(len, parts)) == count
    assert sum(len(part.boxes) for part in parts) == len(whole.boxes)
    for part in parts:
        check_part(part, whole, np.flatnonzero(whole.split == part.split[0]))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 24), seed=st.integers(0, 1000), data=st.data())
def test_subjects_that_are_split_anew_keep_what_is_theirs(count, seed, data):
    whole = example(count, seed=seed)
    names = sorted(set(whole.subject.tolist()))
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    split = {name: data.draw(st.sampled_from(slices.SPLITS)) for name in chosen}
    again = whole.resplit(split)
    check_part(again, whole, np.flatnonzero(np.isin(whole.subject, chosen)))
    assert again.split.tolist() == [split[name] for name in again.subject]


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 24), seed=st.integers(0, 1000), fewer=st.integers(1, 30))
def test_of_fewer_subjects_the_first_and_the_last_stay_with_all_that_is_theirs(count, seed, fewer):
    whole = example(count, seed=seed)
    own = list(dict.fromkeys(whole.select("test").subject.tolist()))
    part = whole.fewer("test", fewer)
    left = list(dict.fromkeys(part.select("test").subject.tolist()))
    assert len(left) == min(fewer, len(own)) and left == [name for name in own if name in left]
    assert left[:1] == own[:1] and (fewer < 2 or left[-1:] == own[-1:])
    places = np.diff([own.index(name) for name in left])
    assert not len(places) or places.max() - places.min() <= 1, "evenly spaced"
    kept = (whole.split != "test") | np.isin(whole.subject, left)
    check_part(part, whole, np.flatnonzero(kept))


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 24), seed=st.integers(0, 1000), absent=st.sets(st.sampled_from(OPTIONAL)))
def test_a_method_sees_every_column_of_its_split(count, seed, absent):
    whole = without(example(count, seed=seed), *absent)
    splits = splits_on(torch.device("cpu"), whole)
    assert set(splits) == set(whole.split.tolist())
    for name, data in splits.items():
        part = whole.select(name)
        for column in COLUMNS.keys() - {"split"}:
            seen = getattr(data, {"images": "stored", "slice": "position"}.get(column, column))
            expected = part.columns().get(column)
            assert np.array_equal(
                () if seen is None else seen, () if expected is None else expected, column in FLOATS
            ), column
        names = ("mask_names", "box_names", "covariate_names")
        assert all(getattr(data, each) == getattr(part, each) for each in names)


def test_a_partner_in_another_split_is_none():
    whole = example(2)  # one subject, two slices: as no file may have it, in two splits
    apart = replace(whole, split=np.array(["train", "test"])).select("train")
    assert apart.pair.tolist() == [-1]


def test_masks_that_nobody_drew_take_hardly_any_room(tmp_path):
    whole = example(count=40, size=64)
    undrawn = replace(whole, masks=np.full_like(whole.masks, slices.NOT_DELINEATED))
    slices_file.write(tmp_path / "with.h5", undrawn, {})
    slices_file.write(tmp_path / "without.h5", replace(undrawn, masks=None, mask_names=()), {})
    larger = (tmp_path / "with.h5").stat().st_size - (tmp_path / "without.h5").stat().st_size
    assert larger < undrawn.masks.nbytes / 10


def test_reading_one_split(tmp_path):
    path, whole = tmp_path / "x.h5", example()
    slices_file.write(path, whole, {})
    assert same(slices_file.read(path, "unlabelled"), whole.select("unlabelled"))
    slices_file.write(path, whole.select("train"), {})
    with pytest.raises(ValueError, match=r"x\.h5.*'test'.*train"):
        slices_file.read(path, "test")


def changed(name: str, index: object, value: object) -> dict:
    """The column `name` of the example with one thing in it changed."""
    column = example(dtype="float32").columns()[name].copy()
    if column.dtype.kind == "U":
        column = column.astype("U20")
    column[index] = value
    return {name: column}


DEFECTS = {
    "image type": (dict(images=np.zeros((8, 2, 6, 7))), "float32.*float64"),
    "image shape": (dict(images=np.zeros((8, 6, 7), np.uint8)), "4 dimension.*8, 6, 7"),
    "no images": (dict(images=np.zeros((8, 0, 6, 7), np.uint8)), "at least one"),
    "NaN": (changed("images", (3, 0, 1, 1), np.nan), "NaN"),
    "infinity": (changed("images", (3, 0, 1, 1), np.inf), "inf"),
    "above 1": (changed("images", (3, 0, 1, 1), 1.01), "1.01"),
    "below 0": (changed("images", (3, 0, 1, 1), -0.5), "-0.5"),
    "rows": (dict(labels=np.zeros(7, np.int64)), "8 rows of labels.*7"),
    "label type": (dict(labels=np.zeros(8, np.uint8)), "int64.*uint8"),
    "label too high": (changed("labels", 2, 3), r"0\.\.2.*3"),
    "label too low": (changed("labels", 2, -2), "-2"),
    "classes without labels": (dict(labels=None), "3 classes and no labels"),
    "labels without classes": (dict(classes=0), "0 classes and the labels"),
    "mask value": (changed("masks", (4, 1, 0, 0), 2), "slice 4, lesion"),
    "mask partly unknown": (changed("masks", (4, 0, 0, 0), 255), "slice 4, brain"),
    "mask size": (dict(masks=np.zeros((8, 2, 6, 6), np.uint8)), r"\(8, 2, 6, 7\).*\(8, 2, 6, 6\)"),
    "mask names": (dict(mask_names=("brain",)), r"\(8, 1, 6, 7\)"),
    "box outside": (changed("boxes", (1, 3), 7), r"inside 7 x 6.*\[1, 1, 1, 7"),
    "box overflow": (changed("boxes", (1, 3), 2**31 - 1), "inside 7 x 6"),
    "box of no slice": (changed("boxes", (1, 0), 8), "inside 7 x 6"),
    "empty box": (changed("boxes", (1, 4), 0), "inside 7 x 6"),
    "box class": (changed("boxes", (1, 5), 1), "inside 7 x 6"),
    "box columns": (dict(boxes=np.zeros((1, 5), np.int32)), "5 numbers"),
    "pair too high": (changed("pair", 0, 8), r"0\.\.7.*8"),
    "pair too low": (changed("pair", 0, -2), "-2"),
    "pair with itself": (changed("pair", 0, 0), "other than the row itself"),
    "pair of two subjects": (changed("pair", 0, 5), "one subject"),
    "spacing zero": (changed("spacing_mm", (0, 0), 0), "positive"),
    "spacing NaN": (changed("spacing_mm", (0, 0), np.nan), "positive"),
    "spacing in 2-D": (dict(spacing_mm=np.ones((8, 2), np.float32)), "three positive"),
    "subject in two splits": (changed("split", 0, "test"), "Müller-0 in more than one"),
    "unknown split": (changed("split", slice(0, 2), "holdout"), "unlabelled, found holdout"),
    "time alone": (dict(event=None), "time and event.*time alone"),
    "event alone": (dict(time=None), "time and event.*event alone"),
    "time zero": (changed("time", slice(0, 2), 0), "finite times in days above 0.*0"),
    "time negative": (changed("time", slice(0, 2), -3), "above 0.*-3"),
    "time infinite": (changed("time", slice(0, 2), np.inf), "finite times.*inf"),
    "event without a time": (changed("event", slice(2, 4), 1), "no event without a time.*Müller-1"),
    "event of two": (changed("event", 0, 2), "events 0 or 1.*2"),
    "two sites": (changed("site", 0, "Oslo"), "one site of every subject.*Müller-0"),
    "two times": (changed("time", 0, 801), "one time of every subject.*Müller-0"),
    "a time once known": (changed("time", 2, 801), "one time of every subject.*Müller-1"),
    "two events": (changed("event", 0, 1), "one event of every subject.*Müller-0"),
    "two ages": (changed("covariates", (5, 0), 72), "one covariates of every subject.*Müller-2"),
    "infinite age": (changed("covariates", (slice(0, 2), 0), np.inf), "an infinite age"),
    "no site": (changed("site", slice(0, 2), ""), "a site for every slice"),
    "covariate without a name": (dict(covariate_names=("age",)), "2 names.*'age'"),
    "covariate named twice": (dict(covariate_names=("age", "age")), "2 names.*'age', 'age'"),
    "names without covariates": (dict(covariates=None), "0 names.*'age', 'grade'"),
    "no subject": (changed("subject", 0, ""), "a subject for every slice"),
    "no phase": (changed("phase", 0, ""), "a phase for every slice"),
    "slice position": (changed("slice", 0, -1), "from 0"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_refused_when_written_and_when_read(tmp_path, monkeypatch, name):
    changes, message = DEFECTS[name]
    defective, path = replace(example(dtype="float32"), **changes), tmp_path / "x.h5"
    with pytest.raises(ValueError, match=rf"(?s)x\.h5: expected.*{message}"):
        slices_file.write(path, defective, {})
    assert not any(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(slices_file, "check", lambda *_: None)
        slices_file.write(path, defective, {})
    with pytest.raises(ValueError, match=rf"(?s)x\.h5: expected.*{message}"):
        slices_file.validate(path)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    slices_file.write(path, example(), {})
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, whole_file, share):
    path = tmp_path_factory.mktemp("cut") / "cut.h5"
    path.write_bytes(whole_file[: int(share * len(whole_file))])
    with pytest.raises(ValueError, match=r"cut\.h5: expected a whole HDF5 file.*delete the file"):
        slices_file.read(path)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in OPTIONAL])
def test_a_missing_dataset_is_named(tmp_path, whole_file, name):
    path = tmp_path / "x.h5"
    path.write_bytes(whole_file)
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(ValueError, match=rf"x\.h5.*missing \['{name}'\]"):
        slices_file.read(path)


def test_other_files_are_refused(tmp_path, whole_file):
    with pytest.raises(FileNotFoundError, match="none"):
        slices_file.read(tmp_path / "none.h5")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(ValueError, match="expected schema"):
        slices_file.read(path)
    path.write_bytes(whole_file)
    with h5py.File(path, "a") as file:
        del file.attrs["passport"]
    with pytest.raises(ValueError, match=r"x\.h5.*passport"):
        slices_file.read(path)
    path.write_bytes(whole_file)
    with h5py.File(path, "a") as file:
        file["notes"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"unknown \['notes'\]"):
        slices_file.read(path)


WRITE = """
import os, sys, numpy as np
from latent_anatomy.data import slices, slices_check, slices_file
from latent_anatomy.provenance import files
target, sabotage = sys.argv[1:]
count = 4000
content = slices.Slices(
    images=np.arange(count * 784, dtype=np.uint32).astype(np.uint8).reshape(count, 1, 28, 28),
    subject=np.arange(count).astype(str), slice=np.zeros(count, np.int32), split=np.full(count, "train"),
    modality=np.full(count, "x"), dataset="d", task="none", classes=0)
exec(sabotage)
slices_file.write(target, content, {})
"""


def start(path, sabotage: str = "", **options) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITE, str(path), sabotage]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    "moment",
    [
        "slices_file._encode = lambda text: os.kill(os.getpid(), 9)",  # images are written, subjects are not
        "files.os.fsync = lambda handle: os.kill(os.getpid(), 9)",  # all is written, nothing renamed
    ],
)
@pytest.mark.parametrize("old", [None, b"an older file"])
def test_a_kill_while_writing_leaves_what_was_there(tmp_path, moment, old):
    path = tmp_path / "x.h5"
    if old is not None:
        path.write_bytes(old)
    killed = start(path, moment)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == old
    again = start(path)
    assert again.communicate() == (None, "") and again.returncode == 0
    slices_file.validate(path)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    path = tmp_path / "x.h5"
    full = start(path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)))
    _, errors = full.communicate()
    assert full.returncode == 1
    assert errors.splitlines()[-1].startswith(f"OSError: {path}: could not be written")
    assert not any(tmp_path.iterdir())


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "x.h5"
    writers = [start(path) for _ in range(3)]
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    slices_file.validate(path)
    assert list(tmp_path.iterdir()) == [path]
