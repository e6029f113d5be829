"""CT under two kernels: HU as the file has them, exact pairs, no identifiers, one line for what is bad."""

import gzip
import os
from functools import cached_property

import numpy as np
import pytest
from ct_files import chest, scans, write

from latent_anatomy.data import slices_check, slices_file
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.datasets import ct_kernels
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.ct_kernels import MODALITIES, CtKernels
from latent_anatomy.imaging import dicom
from latent_anatomy.provenance.files import sha256_file
from latent_anatomy.provenance.unpacking import LIMIT_VARIABLE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct")
    scans(folder)
    return folder


@pytest.fixture
def copied(made, tmp_path):
    """A folder with links to the files, of which a test may replace some."""
    for path in (each for each in made.rglob("*") if each.is_file()):
        target = tmp_path / path.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    return tmp_path


class Made(CtKernels):
    """The same with the checksums of whatever lies in a folder."""

    @cached_property
    def files(self):
        return ()


def slices_of(folder):
    dataset = Made()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    files = tuple(RawFile(name, None, "sha256", sha256_file(folder / name)) for name in names)
    object.__setattr__(dataset, "files", files)
    return dataset.to_slices(folder)


def replaced(path, content: bytes):
    path.unlink()
    path.write_bytes(content)


def rewritten(path, *args, **kwargs):
    path.unlink()
    write(path, *args, **kwargs)


def test_the_registered_files_are_24_pairs_14_single_slices_and_the_index():
    names = [file.name for file in datasets.find("ct-kernels").files]
    assert [sum(name.startswith(start) for name in names) for start in ("paired", "tcga", "index")] == [
        48,
        14,
        1,
    ]
    assert datasets.find("ct-kernels").family == "ct"


def test_a_slice_has_hu_by_slope_and_intercept_and_its_place(tmp_path):
    hu = chest(30)
    write(tmp_path / "a.dcm.gz", hu, 12.5)
    found = dicom.read(tmp_path / "a.dcm.gz")
    assert np.array_equal(found.hu, hu) and found.hu.dtype == np.float32
    assert found.place == (-67, -67, 12.5, 0.8, 0.8)
    assert (found.patient, found.kernel) == ("Lung_A", "B")


def test_pairs_are_of_one_place_of_one_patient_under_a_soft_and_a_sharp_kernel(made):
    slices = slices_of(made)
    slices_check.check(slices, "ct-kernels")
    paired = slices.pair >= 0
    assert set(slices.split[paired]) == {"train", "test"} and set(slices.split[~paired]) == {"val"}
    partner = slices.pair[paired]
    assert (slices.pair[partner] == np.flatnonzero(paired)).all()
    assert (slices.slice[partner] == slices.slice[paired]).all()
    assert slices.modality[paired].tolist() == list(MODALITIES) * (paired.sum() // 2)
    soft, sharp = (slices.images[slices.modality == each].astype(float) for each in MODALITIES)
    level = 255 * (-800 - ct_kernels.WINDOW[0]) / (ct_kernels.WINDOW[1] - ct_kernels.WINDOW[0])
    assert np.median(soft) == pytest.approx(level, abs=1) and sharp.std() > soft.std()
    assert (soft.max((1, 2, 3)) > 180).any(), "a vessel belongs to the lung"


def test_no_name_and_no_identifier_of_the_files_is_in_the_slices(made, tmp_path):
    slices = slices_of(made)
    slices_file.write(tmp_path / "made.h5", slices, {})
    content = (tmp_path / "made.h5").read_bytes()
    for secret in (b"Lung_", b"TCGA", b"a secret series", b"1.2.826"):
        assert secret not in content
    assert set(slices.subject) == {*ct_kernels.PAIRS, *ct_kernels.OTHERS}


def test_each_patient_is_tested_in_one_fold_in_which_the_other_trains():
    dataset = datasets.find("ct-kernels")
    first, second = (dataset.cohort(fold, 100) for fold in dataset.folds)
    assert (first.train, first.test) == (second.test, second.train) == (("patient-1",), ("patient-2",))
    with pytest.raises(ValueError, match="expected one of turns-0, turns-1, found 'turns-2'"):
        dataset.cohort("turns-2", 100)


def test_what_is_dark_and_touches_the_edge_is_no_lung():
    lungs = ct_kernels.lungs_of(chest().astype(np.float32))
    assert lungs[80:83, 40:70].all() and not lungs[:20].any() and 0.4 < lungs.mean() < 0.6


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"0008|0060": "MR"}, "the modality CT, found MR"),
        ({"0010|0020": ""}, "a patient .*found none"),
        ({"0018|1210": ""}, "a reconstruction kernel .*found none"),
    ],
)
def test_a_header_that_does_not_say_what_it_should_is_one_line(tmp_path, header, message):
    write(tmp_path / "a.dcm.gz", chest(), **header)
    with pytest.raises(ValueError, match=message) as error:
        dicom.read(tmp_path / "a.dcm.gz")
    assert "\n" not in str(error.value)


def test_values_of_which_nobody_says_how_they_become_hu_are_refused(tmp_path):
    path = tmp_path / "a.dcm.gz"
    write(path, chest())
    intercept, another = b"\x28\x00\x52\x10", b"\x28\x00\x51\x10"
    content = gzip.decompress(path.read_bytes())
    assert content.count(intercept) == 1
    path.write_bytes(gzip.compress(content.replace(intercept, another)))
    with pytest.raises(ValueError, match="slope and intercept, which give HU, found no intercept"):
        dicom.read(path)


def damaged(whole: bytes) -> dict[str, bytes]:
    return {
        "a whole gzip file, found a damaged one": whole[: len(whole) // 2],
        "a damaged one .*CRC": whole[:-8] + bytes(4) + whole[-4:],
        "a damaged one .*gzipped": b"no archive",
        "a DICOM file, found another": gzip.compress(b"no DICOM" * 100),
    }


@pytest.mark.parametrize("message", list(damaged(b"")))
def test_a_damaged_file_is_one_line(tmp_path, message):
    path = tmp_path / "a.dcm.gz"
    write(path, chest())
    path.write_bytes(damaged(path.read_bytes())[message])
    with pytest.raises(ValueError, match=message) as error:
        dicom.read(path)
    assert "\n" not in str(error.value) and "fetch it again" in str(error.value)


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    write(tmp_path / "a.dcm.gz", chest())
    monkeypatch.setenv(LIMIT_VARIABLE, "0.00001")
    with pytest.raises(ValueError, match=f"set {LIMIT_VARIABLE} to more"):
        dicom.read(tmp_path / "a.dcm.gz")


def test_a_file_of_another_patient_or_kernel_than_listed_is_refused(copied):
    path = copied / "paired_kernels/Lung_A_B/1.dcm.gz"
    rewritten(path, chest(), 1, **{"0010|0020": "Lung_B"})
    with pytest.raises(ValueError, match="expected patient Lung_A, found patient Lung_B: fetch it again"):
        slices_of(copied)
    rewritten(path, chest(), 1, **{"0018|1210": "L"})
    with pytest.raises(ValueError, match="expected kernel B, found kernel L"):
        slices_of(copied)


def test_a_pair_of_two_places_is_refused(copied):
    rewritten(copied / "paired_kernels/Lung_A_L/1.dcm.gz", chest(), 1.5, **{"0018|1210": "L"})
    with pytest.raises(ValueError, match=r"Lung_A_L/1.dcm.gz: expected the grid of .*Lung_A_B/1.dcm.gz"):
        slices_of(copied)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "Lung_B_B70f/1.dcm.gz,paired_kernels",
            "Lung_B_B70f/1.dcm.gz,other",
            "Lung_B at 1 mm: expected a soft and",
        ),
        ("Lung_A,SIEMENS,Sensation 6,L,1", "Lung_A,SIEMENS,Sensation 6,B,1", "a sharp kernel, found B and B"),
        ("6,L,1", "6,Qr40,1", "expected a kernel of B, L, B40f, B70f, found Qr40"),
        ("file,set", "name,set", "expected the columns .*file"),
        ("Lung_B", "Lung_A", "expected"),
    ],
)
def test_an_index_whose_pairs_are_none_is_refused(copied, old, new, message):
    path = copied / "index.csv"
    text = path.read_text()
    assert old in text
    replaced(path, text.replace(old, new).encode())
    with pytest.raises(ValueError, match=message) as error:
        slices_of(copied)
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_registered_are_refused_before_they_are_parsed(copied):
    dataset = Made()
    path = copied / "paired_kernels/Lung_A_B/1.dcm.gz"
    file = RawFile("paired_kernels/Lung_A_B/1.dcm.gz", None, "sha256", sha256_file(path))
    object.__setattr__(dataset, "files", (file,))
    replaced(path, b"others")
    with pytest.raises(ValueError, match="expected sha256"):
        dataset.to_slices(copied)
