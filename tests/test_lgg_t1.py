"""LGG T1 beside IXI: the healthy train and validate, patients are tested, boxes lie around tumours."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_ixi_slices import PEOPLE, arrays

from latent_anatomy.data import slices_check
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets import ixi, lgg_t1
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.provenance.files import sha256_file

CLINICAL = """patient,hospital,year,age,sex,grade,survival_days,died
A,DU,1996,67,M,3,,
B,HT,1997,44,F,2,1335,1
"""
# Patient, number of the slice, and rows and columns of the tumour.
DRAWN = (("A", 9, None), ("A", 11, (100, 140, 60, 91)), ("B", 2, (120, 122, 150, 170)))


@pytest.fixture
def raw_dir(tmp_path):
    """Two patients, one of them darker than the other, and eight healthy people."""
    y, x = np.mgrid[:256, :256]
    for patient, number, tumour in DRAWN:
        image = ((y - 128) ** 2 + (x - 128) ** 2 < 100**2) * (150 if patient == "A" else 12)
        mask = np.zeros((256, 256), np.uint8)
        if tumour:
            top, bottom, left, right = tumour
            mask[top:bottom, left:right] = 255
        name = f"{patient}/{patient}_{number}"
        for place, values in ((f"lgg_t1/{name}.png", image), (f"lgg_flair/{name}_mask.png", mask)):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(tmp_path / place)
    (tmp_path / "lgg_flair" / lgg_t1.CLINICAL).write_text(CLINICAL)
    (tmp_path / "ixi").mkdir()
    np.savez(tmp_path / "ixi" / ixi.SLICES.name, **arrays())
    return tmp_path


def dataset_of(folder: Path) -> lgg_t1.LggT1:
    dataset = lgg_t1.LggT1()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    files = (RawFile(name, None, "sha256", sha256_file(folder / name)) for name in names)
    object.__setattr__(dataset, "files", tuple(files))
    return dataset


def test_the_healthy_train_and_validate_and_patients_are_tested(raw_dir):
    content = dataset_of(raw_dir).to_slices(raw_dir)
    slices_check.check(content, "lgg-t1")
    assert content.images.shape == (len(PEOPLE) * 8 + 3, 1, 128, 128)
    assert content.split[:-3].tolist() == [ixi.split_of(who) for who in PEOPLE for _ in range(8)]
    assert content.subject[:1].tolist() == [f"ixi-hh-slices:{PEOPLE[0]}"]
    assert content.subject[-3:].tolist() == ["lgg:A", "lgg:A", "lgg:B"] and content.slice[-3:].tolist() == [
        9,
        11,
        2,
    ]
    assert content.labels.tolist() == [0] * 64 + [0, 1, 1] and set(content.split[-3:]) == {"test"}
    assert content.site.tolist() == ["HH"] * 64 + ["DU", "DU", "HT"]


def test_boxes_and_masks_are_around_the_tumours_and_nobody_healthy_has_one(raw_dir):
    content = dataset_of(raw_dir).to_slices(raw_dir)
    assert content.boxes.tolist() == [[65, 30, 50, 16, 20, 0], [66, 75, 60, 10, 1, 0]]
    lesion = content.masks[:, content.mask_names.index("lesion")]
    assert not lesion[:65].any()
    for row, left, top, wide, high, _ in content.boxes.tolist():
        inside = lesion[row, top : top + high, left : left + wide]
        assert lesion[row].sum() == inside.sum() >= 0.9 * inside.size


def test_dark_and_bright_patients_come_out_alike_with_the_same_head(raw_dir):
    content = dataset_of(raw_dir).to_slices(raw_dir)
    heads = content.masks[-3:, content.mask_names.index("head")].astype(bool)
    assert (heads[0] ^ heads[2]).sum() < 0.01 * heads[0].sum()
    assert np.abs(heads[0].sum() - np.pi * 50**2) < 0.04 * heads[0].sum()
    bright, dark = (content.images[row, 0].astype(int) for row in (-3, -1))
    assert np.abs(bright - dark)[32:96, 32:96].max() <= 1 and bright[64, 64] == 102


def test_what_cannot_be_is_refused(raw_dir):
    path = raw_dir / "lgg_t1/A/A_9.png"
    before, whole = dataset_of(raw_dir), path.read_bytes()
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"A_9\.png: expected sha256"):
        before.to_slices(raw_dir)
    with pytest.raises(ValueError, match=r"A_9\.png: expected uint8 \(256, 256\), found uint8 \(128, 128\)"):
        dataset_of(raw_dir).to_slices(raw_dir)
    path.write_bytes(whole)
    for name in ("A_9", "A_11"):
        Image.fromarray(np.zeros((256, 256), np.uint8)).save(raw_dir / f"lgg_t1/A/{name}.png")
    with pytest.raises(ValueError, match="A: expected slices with something brighter than 8 of 255"):
        dataset_of(raw_dir).to_slices(raw_dir)


def test_its_files_are_registered_and_lie_in_three_folders():
    files = datasets.find("lgg-t1").files
    count = Counter(file.name.split("/")[0] for file in files)
    assert count == {"lgg_t1": 404, "lgg_flair": 405, "ixi": 1}
    assert {file.name: file.checksum for file in files}[f"ixi/{ixi.SLICES.name}"] == ixi.SLICES.checksum


@pytest.mark.skipif("LATENT_ANATOMY_MIRROR" not in os.environ, reason="needs the real slices")
def test_the_real_slices_are_read():
    content = datasets.find("lgg-t1").to_slices(Path(os.environ["LATENT_ANATOMY_MIRROR"]))
    slices_check.check(content, "lgg-t1")
    ill = content.labels == 1
    assert (len(content), ill.sum(), len(set(content.subject[content.site != "HH"]))) == (1884, 208, 104)
    heads = content.masks[:, 0].mean(axis=(1, 2))
    assert heads.min() > 0.1 and content.masks[ill, 1].any(axis=(1, 2)).all()
