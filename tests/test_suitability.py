"""What a collection cannot answer is known when it is planned."""

import fcntl

import h5py
import pytest
import yaml
from conftest import ROOT
from test_volume_datasets import IMAGES, LESION, ON_GRID, TABLE, bids, mirror  # noqa: F401

from latent_anatomy.data import slices_file
from latent_anatomy.data.outline import Outline, outline
from latent_anatomy.datasets import bids_names, medmnist
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.pipeline import params, suitability
from latent_anatomy.provenance.files import sha256_file


def planned(**chosen) -> params.Params:
    """A collection with the BIDS folder of these tests alone, and the study baur on it."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    studies = {"baur": {"seeds": [1]} | chosen} if chosen else {}
    collection = {"volumes": ["bids-mystudy"], "studies": studies}
    return params.validate(content | {"data": "mine", "collections": {"mine": collection}, "imaging": {}})


def test_a_folder_without_a_split_is_refused(mirror):  # noqa: F811
    bids(mirror, table=TABLE.replace("val", "train"))
    with pytest.raises(params.ParamsError, match=r"studies\.baur: expected .*, found none of val: give"):
        suitability.check(planned(datasets=["bids-mystudy"]))


def test_a_folder_without_masks_is_said(mirror):  # noqa: F811
    bids(mirror, IMAGES)
    [line] = suitability.check(planned(datasets=["bids-mystudy"]))
    assert line == (
        "Not evaluated by lesions: bids-mystudy: expected masks of lesion in bids-mystudy, found brain: "
        "choose other data, or do not ask it there"
    )


def test_a_folder_that_is_only_prepared_needs_nothing(mirror):  # noqa: F811
    bids(mirror, (*IMAGES, LESION), TABLE.replace("val", "train"))
    only = planned()
    assert suitability.check(only) == [f"Not taken: bids-mystudy: {LESION}"]
    assert only.without([]).collection.datasets == ["bids-mystudy"]


def test_who_is_left_out_counts_for_nothing(mirror):  # noqa: F811
    dataset = bids(mirror)
    assert outline(dataset).masks == {"brain", "lesion"}
    assert outline(dataset, ["sub-03"]).splits == {"train", "val"}
    assert outline(dataset, ["sub-03"]).masks == {"brain"}


def test_runs_that_nothing_asks_are_said():
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["studies"]["unoranic"]["evaluation"] = {"lesions": {}}
    content["collections"] = {"phantom": content["collections"]["phantom"]}
    content["collections"]["phantom"]["studies"]["unoranic"]["evaluation"] = {}
    content["imaging"]["datasets"] = {}
    said = suitability.unasked(params.validate(content))
    assert said and all(line.startswith("Not evaluated by lesions: ") for line in said)
    assert suitability.unasked(params.load(ROOT / "params.yaml")) == []


@pytest.mark.parametrize("suffix", ["mask", "roi", "dseg"])
@pytest.mark.parametrize("label", ["label-lesion", "label-Lesion", "desc-lesionX", "space-orig_label-LESION"])
@pytest.mark.parametrize("above", ["", "derivatives/me/"])
def test_names_of_masks(above, label, suffix):
    name = f"{above}sub-01/anat/sub-01_{label}_{suffix}.nii.gz"
    assert bids_names.MASK.fullmatch(name) and not bids_names.passed_over([name])


@pytest.mark.parametrize(
    "name",
    [
        LESION,
        "sub-01/anat/sub-02_T1w.nii.gz",
        "sub-01/anat/sub-01_lesion.nii.gz",
        "sub-01_FLAIR.nii",
        "derivatives/a/b/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "sub-01/anat/sub-01_space-MNI_T1w.nii.gz",
    ],
)
def test_what_looks_meant_and_is_not_taken(name):
    assert bids_names.passed_over([name, *IMAGES, ON_GRID]) == [name]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_in_another_encoding_is_named_and_blocks_nobody_else(mirror, encoding):  # noqa: F811
    dataset = bids(mirror, IMAGES)
    path = mirror / "bids-mystudy" / "participants.tsv"
    before = sha256_file(path)
    path.write_bytes(TABLE.replace("age", "größe").encode(encoding))
    sums = path.with_name("SHA256SUMS")
    sums.write_text(sums.read_text().replace(before, sha256_file(path)))
    planned(datasets=["bids-mystudy"])
    with pytest.raises(ValueError, match=r"participants\.tsv: expected a table in UTF-8"):
        _ = dataset.subjects


def test_a_quote_swallows_no_row(mirror):  # noqa: F811
    assert len(bids(mirror, table=TABLE.replace("\t40\t", '\t"40\t')).subjects) == 3


def test_a_link_to_nothing_has_its_own_remedy(mirror):  # noqa: F811
    dataset = bids(mirror)
    path = mirror / "bids-mystudy" / IMAGES[0]
    path.unlink()
    path.symlink_to("annex")
    assert "git annex get" in datasets.unavailable(dataset, mirror / "none", mirror)


def test_slices_that_another_process_writes_are_not_damaged(tmp_path):
    path = tmp_path / "slices.h5"
    h5py.File(path, "w").close()
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="found it locked: wait"):
            slices_file.read(path)


def of_images(monkeypatch, has, evaluation=("lesions",)):
    """The study unoranic on images that say what they have."""
    monkeypatch.setattr(medmnist.OfMedMnist, "has", has)
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["studies"]["unoranic"]["evaluation"] = {name: {} for name in evaluation}
    studies = {"unoranic": {"datasets": ["phantom-breastmnist"], "seeds": [1]}}
    mine = {"images": ["phantom-breastmnist"], "studies": studies}
    return params.validate(content | {"data": "mine", "collections": {"mine": mine}, "imaging": {}})


def test_images_without_a_split_are_refused(monkeypatch):
    has = Outline(frozenset({"train", "test"}), frozenset())
    with pytest.raises(params.ParamsError, match=r"studies\.unoranic: expected .*, found none of val: give"):
        suitability.check(of_images(monkeypatch, has))


def test_images_without_masks_are_said(monkeypatch):
    [line] = suitability.check(of_images(monkeypatch, medmnist.OfMedMnist.has))
    assert line.startswith("Not evaluated by lesions: phantom-breastmnist: expected masks of lesion in ")
    assert suitability.check(of_images(monkeypatch, None)) == []


def test_kinds_of_data_sets_need_no_files():
    for dataset in datasets.DATASETS:
        assert datasets.of_volumes(dataset) == hasattr(dataset, "subjects")
