"""The atlas from nilearn's package; SRI24 from an archive that is checked before it is read."""

import hashlib
import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from latent_anatomy.data.dataset import MIRROR_VARIABLE, RawFile
from latent_anatomy.imaging import atlas, volume, weights
from latent_anatomy.imaging.volume import Volume


def test_mni152_is_a_brain_at_the_origin_of_mni_space():
    found = atlas.load("mni152", 3.0)
    grids = [found.brain, found.around, found.white_matter, found.grey_matter]
    assert all(np.array_equal(one.affine, found.t1.affine) for one in grids)
    assert np.allclose(found.t1.spacing_mm, 3)
    assert 1700 < found.brain.values.sum() * 27 / 1000 < 2000  # ml
    assert ((found.around.values > 0) >= (found.brain.values > 0)).all()
    assert found.white_matter.values.min() >= 0 and 0.9 < found.white_matter.values.max() <= 1
    x, y, z, _ = np.linalg.inv(found.t1.affine) @ [25, -20, 25, 1]
    assert found.white_matter.values[round(x), round(y), round(z)] > 0.8


def test_an_unknown_atlas_is_refused():
    with pytest.raises(ValueError, match="mni152 or sri24"):
        atlas.load("talairach", 1.0)


@pytest.fixture
def sri24(tmp_path, monkeypatch):
    """An archive in a mirror folder, of SRI24's layout and registered by its own checksum."""
    values = np.zeros((60, 62, 64), np.float32)
    values[10:50, 10:50, 10:50] = 90
    volume.write(tmp_path / "spgr.nii.gz", Volume(values, np.diag([2.0, 2.0, 2.0, 1.0])), "uint8")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("sri24/spgr.nii", (tmp_path / "spgr.nii.gz").read_bytes())
        files.writestr("sri24/late.nii", b"not read")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "sri24_anatomy_nifti.zip").write_bytes(packed.getvalue())
    monkeypatch.setenv(MIRROR_VARIABLE, str(mirror))
    checksum = hashlib.sha256(packed.getvalue()).hexdigest()
    file = RawFile("sri24_anatomy_nifti.zip", None, "sha256", checksum)
    monkeypatch.setattr(atlas, "SRI24", replace(weights.SRI24, files=(file,)))
    return mirror / file.name


def test_sri24_is_read_from_its_archive_in_the_mirror(sri24, tmp_path):
    found = atlas.load("sri24", 2.0, tmp_path / "raw")
    assert found.white_matter is None and found.brain.values.any()
    assert (tmp_path / "raw" / "sri24" / sri24.name).is_file()


def test_an_archive_with_another_checksum_is_not_opened(sri24, tmp_path):
    sri24.write_bytes(sri24.read_bytes() + b"more")
    with pytest.raises(ValueError, match="sha256"):
        atlas.load("sri24", 2.0, tmp_path / "raw")


def test_where_to_get_an_archive_that_is_nowhere(sri24, tmp_path):
    sri24.unlink()
    with pytest.raises(ValueError, match=r"nitrc\.org"):
        atlas.load("sri24", 2.0, tmp_path / "raw")
