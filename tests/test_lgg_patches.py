"""LGG patches: cut where there is brain, each with a twin, split within hospitals."""

from collections import Counter

import numpy as np
import pytest

from latent_anatomy.data import slices_check
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets.lgg_patches import MODALITIES, PATCH, LggPatches, patches, simulated, split_of
from latent_anatomy.provenance.files import sha256_file

HOSPITALS = {f"{site}-{index}": site for site, count in (("CS", 10), ("DU", 21)) for index in range(count)}


def slice_of(bright: int = 150) -> np.ndarray:
    y, x = np.mgrid[:256, :256]
    texture = np.random.default_rng(1).integers(0, 20, (256, 256))
    return (((y - 128) ** 2 + (x - 128) ** 2 < 100**2) * (bright + texture)).astype(np.uint8)


@pytest.fixture
def made(tmp_path):
    """Three patients of two hospitals and one of EZ, a slice each, the second with a tumour."""
    from PIL import Image

    rows, people = ["patient,file_stem,slice"], ("a", "b", "c", "e")
    for index, patient in enumerate(people):
        (tmp_path / patient).mkdir()
        mask = np.zeros((256, 256), np.uint8)
        mask[112:140, 112:140] = 255 * (patient == "b")
        Image.fromarray(slice_of(100 + 20 * index)).save(tmp_path / patient / "s_7.png")
        Image.fromarray(mask).save(tmp_path / patient / "s_7_mask.png")
        rows.append(f"{patient},s_7,7")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "clinical.csv").write_text(
        "patient,hospital,age,sex,grade,survival_days,died\na,DU,67,M,3,,\nb,DU,44,F,2,1335,1\n"
        "c,HT,50,F,2,800,0\ne,EZ,50,F,2,900,0\n"
    )
    dataset = LggPatches()
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    files = tuple(RawFile(name, None, "sha256", sha256_file(tmp_path / name)) for name in names)
    object.__setattr__(dataset, "files", files)
    return dataset.to_slices(tmp_path)


def test_every_patch_has_a_twin_and_what_is_known_of_its_patient_and_ez_is_left_out(made):
    slices_check.check(made, "lgg-patches")
    assert set(made.subject) == {"a", "b", "c"} and set(made.site) == {"DU", "HT"}
    assert (made.pair[made.pair] == np.arange(len(made))).all()
    assert made.modality[::2].tolist() == [MODALITIES[0]] * (len(made) // 2)
    assert (made.modality[made.pair] != made.modality).all() and (made.labels[made.pair] == made.labels).all()
    assert set(made.event[made.subject == "b"]) == {1} and np.isnan(made.time[made.subject == "a"]).all()


def test_tumour_is_what_covers_half_of_a_patch_and_what_covers_less_is_left_out():
    tumour = np.zeros((1, 256, 256), bool)
    before, labels = patches(slice_of()[None], tumour, "a")
    assert not labels.any() and before.shape == (2 * len(labels), PATCH, PATCH)
    tumour[0, 112:140, 112:140] = True  # a patch of the grid
    assert patches(slice_of()[None], tumour, "a")[1].sum() == 1
    tumour[0, 112:130, 112:140] = False
    assert len(patches(slice_of()[None], tumour, "a")[1]) == len(labels) - 1


def test_a_twin_is_the_same_each_time_of_each_patients_own_contrast_and_unlike_the_slice():
    image = slice_of()[None] / 255
    one, other = simulated(image, "a"), simulated(image, "b")
    assert np.array_equal(one, simulated(image, "a")) and one.min() >= 0 and one.max() <= 1
    inside = np.s_[0, 100:156, 100:156]
    assert abs(one[inside].mean() - other[inside].mean()) > 0.01
    assert min(np.abs(each - image)[inside].mean() for each in (one, other)) > 0.01


def test_each_hospital_is_split_in_the_same_shares():
    split = split_of(HOSPITALS)
    assert split == split_of(dict(reversed(HOSPITALS.items())))
    shares = Counter((HOSPITALS[name], where) for name, where in split.items())
    assert (shares["CS", "train"], shares["CS", "val"], shares["CS", "test"]) == (6, 1, 3)
    assert (shares["DU", "train"], shares["DU", "val"], shares["DU", "test"]) == (13, 2, 6)
