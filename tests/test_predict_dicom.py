"""DICOM series: read as they lie, and nothing of what a header says of a person in any file or word."""

import gzip
import locale
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from test_imaging_jobs import drawings, grid, written
from test_predict_heads import rows
from tiny_models import export_of_volumes, know_the_fits

from latent_anatomy.imaging import itk, volume
from latent_anatomy.prediction import dicom, predict
from latent_anatomy.prediction.given import Given
from latent_anatomy.prediction.predict import run

PATIENT = "Mustermann^Erika"
SECRETS = {
    **{"0010|0010": PATIENT, "0010|0020": "PAT-7741", "0010|0030": "19471123", "0010|0040": "F"},
    **{
        "0008|0020": "20231224",
        "0008|0030": "131415",
        "0008|0050": "ACC-9932",
        "0008|0080": "Klinik Sankt Anna",
    },
    **{"0008|0090": "Dr^Zuweisung", "0008|1010": "SCANNER-EINS", "0010|1040": "Lindwurmstrasse 7"},
    **{
        "0020|000d": "1.2.826.0.1.3680043.2.1125.4711",
        "0020|0010": "STUDY-5512",
        "0008|1030": "Kopf Mustermann",
    },
}
WORDS = ["mustermann", "erika", *(value.lower() for value in SECRETS.values() if len(value) > 1)]
SERIES = {"flair": "1.2.826.0.1.3680043.2.1125.4711.1", "t1": "1.2.826.0.1.3680043.2.1125.4711.2"}
CALLED = {"flair": "AX t2 FLAIR Mustermann", "t1": "SAG MPRAGE Erika"}


def write_series(folder: Path, path: Path, kind: str, **more: str) -> None:
    """A NIfTI file as a series of slices, not in the order of their names, with distinctive identifiers."""
    image = SimpleITK.Cast(itk.image(volume.read(path)), SimpleITK.sitkInt16)
    direction = image.GetDirection()
    folder.mkdir(parents=True, exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    letters = locale.setlocale(locale.LC_CTYPE)
    own = {"0008|0060": "MR", "0008|103e": CALLED[kind], "0020|000e": SERIES[kind]} | more
    for index in range(image.GetDepth()):
        plane = image[:, :, index]
        position = image.TransformIndexToPhysicalPoint((0, 0, index))
        tags = (
            SECRETS
            | own
            | {
                "0020|0032": "\\".join(f"{each:.6f}" for each in position),
                "0020|0037": "\\".join(f"{direction[i]:.8f}" for i in (0, 3, 6, 1, 4, 7)),
                "0020|0013": str(index + 1),
                "0008|0018": f"{own['0020|000e']}.{index + 1}",
            }
        )
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"IM{(index * 37) % 101:04}"))
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(plane)
    locale.setlocale(locale.LC_CTYPE, letters)  # which the writer leaves at that of C, for all tests to come


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    """A folder, called by a name, with both series; not to be changed."""
    folder = tmp_path_factory.mktemp("dicom") / "Mustermann_Erika"
    written(folder.parent / "raw", drawings(), "one", [])
    for kind in SERIES:
        write_series(folder / kind, folder.parent / f"raw/one/{kind}.nii.gz", kind)
    header = (folder / "flair/IM0074").read_bytes().decode("latin-1")
    assert not [value for value in SECRETS.values() if value not in header], "they are there to be found"
    return folder


@pytest.fixture
def model(tmp_path, monkeypatch) -> Path:
    know_the_fits(monkeypatch)
    return export_of_volumes(tmp_path / "m.safetensors")


def told(out: Path) -> str:
    """Every name and every byte below a folder, unpacked, in lower case."""
    said = []
    for path in sorted(out.rglob("*")):
        said.append(path.relative_to(out).as_posix())
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if path.name.endswith(".gz") else content
            said.append(content.decode("latin-1"))
    return "\n".join(said).lower()


def test_a_series_is_the_volume_that_it_was_written_from(patient):
    [study] = dicom.studies(patient)
    assert study.images.keys() == {"flair", "t1"} and not study.problem and not study.warnings
    values, affine = dicom.volume_of(study.images["flair"])
    expected = volume.read(patient.parent / "raw/one/flair.nii.gz")
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine))
    assert np.allclose(turned.affine, expected.affine, atol=1e-4)
    assert np.allclose(np.asarray(turned.dataobj), np.trunc(expected.values), atol=1)


def test_no_identifier_of_a_header_is_in_any_output(patient, model, tmp_path, capsys):
    assert run(model, patient, tmp_path / "out", "cpu") == 0
    said = told(tmp_path / "out") + "".join(capsys.readouterr()).lower()
    assert "sub-001_desc-anomaly_map.nii.gz" in said
    assert not [word for word in WORDS if word in said]
    row = rows(tmp_path / "out")["sub-001"]
    assert row["status"] == "done" and row["warnings"] == "" and row["file"] == ""
    found = nibabel.load(tmp_path / "out/sub-001/anat/sub-001_desc-anomaly_map.nii.gz")
    assert sorted(found.shape) == sorted(grid("flair").values.shape)


def broken(patient: Path, folder: Path, how: str) -> None:
    """One series of FLAIR that is not whole."""
    source = sorted((patient / "flair").iterdir())
    folder.mkdir(parents=True)
    for path in source:
        (folder / path.name).write_bytes(path.read_bytes())
    if how == "missing":
        (folder / "IM0074").unlink()  # the third slice
    elif how == "twice":
        (folder / "again").write_bytes((folder / "IM0074").read_bytes())
    elif how == "cut":
        (folder / "IM0074").write_bytes((folder / "IM0074").read_bytes()[:200])
    elif how == "half":
        content = (folder / "IM0074").read_bytes()
        (folder / "IM0074").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("how", ["missing", "twice", "cut", "half"])
def test_a_series_that_is_not_whole_is_a_line_without_a_word_of_whose_it_is(
    patient, model, tmp_path, how, capsys
):
    broken(patient, tmp_path / "Mustermann", how)
    assert run(model, tmp_path / "Mustermann", tmp_path / "out", "cpu") == 1
    row = rows(tmp_path / "out")["sub-001"]
    assert row["status"] == "failed" and row["reason"].startswith("expected ")
    said = told(tmp_path / "out") + "".join(capsys.readouterr()).lower()
    assert not [word for word in WORDS if word in said]


def test_what_a_library_says_of_a_series_is_not_told(patient, tmp_path):
    """Neither where the volume is read, nor where somebody's failing becomes a line."""
    broken(patient, tmp_path / "Mustermann", "half")
    files = tuple(sorted((tmp_path / "Mustermann").iterdir()))
    with pytest.raises(ValueError, match="expected files that can be read") as told_of:
        dicom.volume_of(files)
    assert "Mustermann" not in str(told_of.value)
    one, error = Given("sub-001", "dicom"), RuntimeError("reading /data/Mustermann/IM1, Erika")
    assert predict._reason(error, one, tmp_path, Path("elsewhere")) == "RuntimeError"
    assert "IM1" in predict._reason(error, Given("sub-001", "nifti"), tmp_path, Path("elsewhere"))


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"0008|103e": "cor T1 FLAIR"}, "t1"),
        ({"0008|103e": "x", "0018|0082": "2200", "0018|0081": "120", "0018|0080": "9000"}, "flair"),
        ({"0008|103e": "x", "0018|0081": "4", "0018|0080": "1900", "0018|0082": "900"}, "t1"),
        ({"0008|103e": "x", "0018|0081": "90", "0018|0080": "4000"}, "t2"),
        ({"0008|103e": "x"}, "unstated"),
        ({"0008|103e": "flair", "0008|0060": "CT"}, "ct"),
    ],
)
def test_what_a_series_is_says_its_description_or_its_times(more, kind):
    assert dicom._kind({"0008|0060": "MR"} | more) == kind


def test_patients_in_one_folder_are_apart_and_ct_is_refused(patient, model, tmp_path):
    folder = tmp_path / "export"
    for number, modality in ((1, "MR"), (2, "CT")):
        own = {"0010|0020": f"P{number}", "0020|000d": f"1.2.3.{number}", "0020|000e": f"1.2.3.{number}.1"}
        path = patient.parent / "raw/one/flair.nii.gz"
        write_series(folder / f"{number}", path, "flair", **own, **{"0008|0060": modality, "0018|0010": "Gd"})
    assert run(model, folder, tmp_path / "out", "cpu") == 1
    found = rows(tmp_path / "out")
    assert "contrast agent" in found["sub-001"]["warnings"] and found["sub-001"]["status"] == "done"
    assert "expected MR FLAIR (flair), found ct" in found["sub-002"]["reason"]
