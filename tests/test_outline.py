"""What data sets of images say that they have, before a pixel is read, is what their slices have."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import test_acdc
import test_ixi_slices
import test_lgg_t1
import test_sunnybrook
import yaml
from conftest import ROOT
from PIL import Image
from test_anomaly_data import SMALL
from test_lgg_t1 import raw_dir  # noqa: F401
from test_phantom_acdc import TINY as ACDC
from test_phantom_mmwhs import TINY as MMWHS
from tiny_hearts import take_checksums

from latent_anatomy.data.outline import Outline, of_three_splits, outline
from latent_anatomy.datasets import ixi, kermany, lgg_flair
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.pipeline import params, suitability

IMAGES = [each for each in datasets.DATASETS if not datasets.of_volumes(each)]
DRAWN = [each for each in IMAGES if each.phantom]
SMALLER = [ACDC, MMWHS, *(phantom for phantom, _ in SMALL.values())]
SMALLER = {each.name: each for each in SMALLER}


def said(content) -> Outline:
    """The outline of slices; only data sets at several sizes say theirs."""
    size = content.images.shape[-1] if "mnist" in content.dataset else None
    return Outline(frozenset(content.split.tolist()), frozenset(content.mask_names), size)


def named(dataset) -> str:
    return dataset.name


@pytest.mark.parametrize("dataset", IMAGES, ids=named)
def test_all_images_say_what_they_have_and_their_folds_have_these_splits(dataset):
    known = outline(dataset)
    assert known is not None
    for fold in getattr(dataset, "folds", ()):
        cohort = dataset.cohort(fold, "mr-100-ct-100" if "mmwhs" in dataset.name else 100)
        assert {name for name in ("train", "val", "test") if getattr(cohort, name)} == known.splits


@pytest.mark.parametrize("phantom", DRAWN, ids=named)
def test_the_slices_of_phantoms_have_what_these_say(tmp_path, phantom):
    if phantom.family == "medmnist":
        few = 8 if phantom.size > 64 else 16
        phantom = replace(phantom, train=few, val=few, test=few)
    phantom = SMALLER.get(phantom.name, phantom)
    phantom.generate(tmp_path)
    assert outline(phantom) == said(phantom.to_slices(tmp_path))


@pytest.fixture
def everywhere(monkeypatch):
    """The healthy people of these tests are in all splits."""
    first = {ixi.split_of(who): who for who in (f"IXI{number:03}" for number in range(30))}
    people = [*first.values(), *(f"IXI{number:03}" for number in range(900, 905))]
    monkeypatch.setattr(test_ixi_slices, "PEOPLE", people)


def test_healthy_people_beside_patients_have_what_is_said(everywhere, raw_dir):  # noqa: F811
    dataset = test_lgg_t1.dataset_of(raw_dir)
    assert outline(dataset) == said(dataset.to_slices(raw_dir))


def test_slices_of_ixi_have_what_is_said(everywhere, tmp_path):
    dataset = test_ixi_slices.ixi_slices(tmp_path, test_ixi_slices.arrays())
    assert outline(dataset) == said(dataset.to_slices(tmp_path))


def test_slices_of_hearts_have_what_is_said(tmp_path, monkeypatch):
    dataset = test_sunnybrook.stored(tmp_path, monkeypatch, test_sunnybrook.arrays())
    assert outline(dataset) == said(dataset.to_slices(tmp_path))


@pytest.mark.parametrize("name", ["acdc-frames", "acdc-frames-96"])
def test_frames_of_hearts_have_what_is_said(tmp_path, monkeypatch, name):
    frames = [f"patient{number:03}_frame{frame}.h5" for number in (1, 16, 31) for frame in ("01", "13")]
    dataset = test_acdc.stored(tmp_path, monkeypatch, dict.fromkeys(frames, test_acdc.frame()), name)
    assert outline(dataset) == said(dataset.to_slices(tmp_path))


@pytest.mark.parametrize("name", ["lgg-flair", "lgg-flair-128"])
def test_slices_of_gliomas_have_what_is_said(tmp_path, monkeypatch, name):
    monkeypatch.setattr(lgg_flair, "PATIENTS", {"train": 1, "val": 1, "test": 1})
    for table, columns in (
        ("index", ("patient", "file_stem", "slice")),
        ("clinical", ("patient", "hospital", "survival_days", "died", "age", "sex", "grade")),
    ):
        with (tmp_path / f"{table}.csv").open("w", newline="") as stream:
            rows = csv.DictWriter(stream, columns, restval="1", extrasaction="ignore")
            rows.writeheader()
            rows.writerows({"patient": who, "file_stem": who, "hospital": "HT"} for who in "abc")
    head = np.zeros((256, 256), np.uint8)
    head[50:200, 50:200] = 200
    for who in "abc":
        (tmp_path / who).mkdir()
        Image.fromarray(head).save(tmp_path / who / f"{who}.png")
        Image.fromarray(0 * head).save(tmp_path / who / f"{who}_mask.png")
    monkeypatch.setattr(lgg_flair, "MANIFEST", take_checksums(tmp_path, "list", start=""))
    dataset = replace(datasets.find(name))
    assert outline(dataset) == said(dataset.to_slices(tmp_path))


def test_chests_of_children_have_what_is_said(tmp_path, monkeypatch):
    names = [f"{label}/{label.lower()}-{number}.png" for label in kermany.LABELS for number in range(5)]
    (tmp_path / "index.csv").write_text(
        "label,file\n" + "".join(f"{name.replace('/', ',')}\n" for name in names)
    )
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / name)
    monkeypatch.setattr(kermany, "MANIFEST", take_checksums(tmp_path, "list", start=""))
    dataset = kermany.Kermany()
    assert outline(dataset) == said(dataset.to_slices(tmp_path))


# ---- what protocols ask of them


def planned(name: str, *evaluation: str) -> params.Params:
    """A collection with one data set of images, and a study of segmentations with these protocols."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["studies"]["sdnet"]["evaluation"] = {each: {} for each in evaluation}
    studies = {"sdnet": {"datasets": [name], "seeds": [1]}}
    mine = {"images": [*name.split("__")], "studies": studies}
    return params.validate(content | {"data": "mine", "collections": {"mine": mine}, "imaging": {}})


@pytest.mark.parametrize(
    ("protocol", "pattern"),
    [
        ("segmentation", "*"),
        ("surfaces", "*"),
        ("ventricles", "*-ventricle"),
        ("volume", "left-ventricle"),
        ("lesions", "lesion"),
    ],
)
def test_protocols_that_need_masks_say_so_at_the_plan(protocol, pattern):
    [line] = suitability.check(planned("phantom-radiography", protocol))
    assert line == (
        f"Not evaluated by {protocol}: phantom-radiography: expected masks of {pattern} in "
        "phantom-radiography, found none: choose other data, or do not ask it there"
    )


def test_masks_of_something_else_are_named():
    [line] = suitability.check(planned("phantom-fastmri", "segmentation", "ventricles"))
    assert "expected masks of *-ventricle in phantom-fastmri, found head: " in line
    everything = [name for name in protocols.names() if protocols.masks(name) and name != "lesions"]
    assert suitability.check(planned("phantom-acdc", *everything)) == []


@pytest.mark.parametrize("name", protocols.names())
def test_what_masks_a_protocol_names_is_what_it_asks_data_for(name):
    """Of all data of the tests that it can answer of, those without masks, if and only if it names none."""
    from test_protocols import ASKED

    protocol = protocols.load(name)
    able = [splits for splits in (data() for _, data in ASKED) if protocol.possible(splits)]
    bare = [
        {split: replace(each, masks=None, mask_names=()) for split, each in splits.items()} for splits in able
    ]
    assert able and any(map(protocol.possible, bare)) != bool(protocols.masks(name))


def test_a_pool_has_the_splits_of_any_and_the_masks_of_all(monkeypatch):
    monkeypatch.setattr(type(datasets.find("phantom-fastmri")), "has", of_three_splits("head", "lesion"))
    pool = "phantom-fastmri__phantom-graz"
    [line] = suitability.check(planned(pool, "lesions"))
    assert f"expected masks of lesion in {pool}, found none: " in line


def test_who_learns_to_segment_is_refused_where_nothing_is_drawn():
    refused = r"studies\.sdnet: expected masks in phantom-radiography, from which unet learns, found none: "
    with pytest.raises(params.ParamsError, match=refused):
        suitability.check_taught(planned("phantom-radiography", "segmentation"))
    suitability.check_taught(planned("phantom-acdc", "segmentation"))
    suitability.check_taught(params.load(ROOT / "params.yaml"))
