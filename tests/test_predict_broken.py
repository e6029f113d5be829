"""Heads that are broken, each in another way: a line of the table for each, and no crash."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from test_imaging_jobs import drawings
from test_predict_heads import quick, rows  # noqa: F401
from tiny_models import bids, export_of_volumes

from latent_anatomy.imaging import stripping
from latent_anatomy.prediction.predict import run

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A BIDS folder with one sound head; not to be changed."""
    path = tmp_path_factory.mktemp("heads") / "bids"
    bids(path, "sub-01", drawings())
    return path


def broken(anat: Path, good: Path) -> dict[str, str]:
    """Subjects that are broken in as many ways, beside `good`; name -> part of the reason."""
    image = nibabel.load(good)
    data, content = np.asarray(image.dataobj), good.read_bytes()

    def place(name: str, suffix: str = "FLAIR.nii.gz") -> Path:
        path = anat / name / "anat" / f"{name}_{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save(name: str, array: np.ndarray, affine: np.ndarray = image.affine) -> None:
        nibabel.save(nibabel.Nifti1Image(array, affine), place(name))

    place("sub-cut").write_bytes(content[: len(content) // 2])
    place("sub-text").write_text("no image")
    place("sub-empty").write_bytes(b"")
    place("sub-bomb").write_bytes(gzip.compress(b"\0" * 1000))
    save("sub-constant", np.ones_like(data))
    save("sub-nan", np.full_like(data, np.nan))
    save("sub-frames", np.stack([data, data], -1))
    save("sub-thin", data[:, :, :3])
    save("sub-tiny", data, np.diag([0.2, 0.2, 0.2, 1]))
    save("sub-complex", data.astype(np.complex64))
    save("sub-zscores", data - np.percentile(data[data > 0], 60))
    lost = nibabel.Nifti1Image(data, None)
    lost.header["sform_code"] = lost.header["qform_code"] = 0
    nibabel.save(lost, place("sub-lost"))
    place("sub-t1only", "T1w.nii.gz").write_bytes(content)
    place("sub-twice", "run-1_FLAIR.nii.gz").write_bytes(content)
    place("sub-twice", "run-2_FLAIR.nii.gz").write_bytes(content)
    place("sub-phase", "part-phase_FLAIR.nii.gz").write_bytes(content)
    place("sub-folder").mkdir()
    place("sub-link").symlink_to("nowhere")
    (anat / "sub-nobody").mkdir()
    return {
        **{"sub-cut": "gzip", "sub-text": "NIfTI", "sub-empty": "NIfTI", "sub-bomb": "NIfTI"},
        **{"sub-constant": "constant", "sub-nan": "finite", "sub-frames": "one volume", "sub-thin": "voxels"},
        **{"sub-tiny": "extent", "sub-complex": "one real number", "sub-lost": "orientation"},
        **{"sub-zscores": "negative", "sub-t1only": "found t1", "sub-twice": "found 2 of flair"},
        **{"sub-phase": "part-phase", "sub-folder": "directory", "sub-link": "No such file"},
        "sub-nobody": "found none",
    }


def test_who_is_broken_is_a_line_of_the_table_and_the_others_do_not_suffer(folder, tmp_path, capsys):
    good = folder / "sub-01/anat/sub-01_FLAIR.nii.gz"
    people = tmp_path / "bids"
    expected = broken(people, good)
    (people / "sub-zz/anat").mkdir(parents=True)
    (people / "sub-zz/anat/sub-zz_FLAIR.nii.gz").write_bytes(good.read_bytes())
    assert len(expected) > 12
    assert run(export_of_volumes(tmp_path / "m.safetensors"), people, tmp_path / "out", "cpu") == len(
        expected
    )
    found = rows(tmp_path / "out")
    assert found.keys() == {*expected, "sub-zz"}
    for name, part in expected.items():
        row = found[name]
        assert row["status"] == "failed" and part in row["reason"], (name, row["reason"])
        assert (
            "\n" not in row["reason"] and "/tmp" not in row["reason"] and str(tmp_path) not in row["reason"]
        )
        assert not (tmp_path / "out" / name).exists()
    assert found["sub-zz"]["status"] == "done" and (tmp_path / "out/sub-zz/anat").is_dir()
    assert capsys.readouterr().err.count("failed: ") == len(expected)


def test_a_head_that_training_would_have_left_out_has_no_map(folder, tmp_path, monkeypatch):
    """What the gate refuses of anybody: here a brain of no size."""
    monkeypatch.setattr(
        stripping, "strip", lambda head, target, settings, given: (target.brain, {"brain_ml": 3.0})
    )
    assert run(export_of_volumes(tmp_path / "m.safetensors"), folder, tmp_path / "out", "cpu") == 1
    assert "brain_ml 3 is below 500" in rows(tmp_path / "out")["sub-01"]["reason"]
