"""Own copies of the data sets with anomalies: found in a mirror, read as their phantoms are, or refused."""

from dataclasses import replace

import numpy as np
import pytest
from test_fastmri import PHANTOM as FASTMRI
from test_graz import PHANTOM as GRAZ
from test_radiography import PHANTOM as RADIOGRAPHY
from tiny_hearts import take_checksums

from latent_anatomy.data.fetch import fetch
from latent_anatomy.datasets import registry as datasets

SMALL = {  # a real data set as small as its phantom
    "fastmri": (FASTMRI, ("size", "validation", "tested", "listed", "normal_slice")),
    "graz": (GRAZ, ("size", "shares")),
    "radiography": (RADIOGRAPHY, ("size", "sizes", "ill")),
}


@pytest.fixture(params=SMALL)
def copied(request, tmp_path, monkeypatch):
    """The name of a data set, and a mirror with a phantom's files in its folder, one folder deeper."""
    monkeypatch.setenv("LATENT_ANATOMY_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mirror" / request.param
    phantom, _ = SMALL[request.param]
    phantom.generate(folder)
    (folder / "unpacked").mkdir()
    for file in phantom.files:
        if "/" not in file.name and not file.name.endswith(".csv"):
            (folder / file.name).rename(folder / "unpacked" / file.name)
    take_checksums(folder)
    return request.param, folder


def small(name: str):
    phantom, fields = SMALL[name]
    return replace(datasets.find(name), **{field: getattr(phantom, field) for field in fields})


def test_a_users_copy_is_fetched_and_read_as_the_phantom_is(copied, tmp_path):
    """Whatever folders the files lie in: images, splits, boxes and labels are the same."""
    name, _ = copied
    dataset, phantom = small(name), SMALL[name][0]
    fetch(dataset, tmp_path / "raw", tmp_path / "mirror")
    ours = dataset.to_slices(tmp_path / "raw")
    phantom.generate(tmp_path / "drawn")
    expected = phantom.to_slices(tmp_path / "drawn")
    assert ours.dataset == name and ours.columns().keys() == expected.columns().keys()
    for column, values in expected.columns().items():
        np.testing.assert_array_equal(getattr(ours, column), values)


def test_a_file_that_was_exchanged_is_refused_before_it_is_read(copied):
    name, folder = copied
    dataset = small(name)
    path = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".h5", ".png"))
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=rf"{path.name}: expected sha256"):
        dataset.to_slices(folder)


def test_without_the_folder_it_is_said_what_belongs_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR", raising=False)
    for name in (*SMALL, "graz-as-released", "radiography-covid"):
        dataset = replace(datasets.find(name))
        assert dataset.files == ()
        reason = datasets.unavailable(dataset, tmp_path, None)
        assert "docs/anomaly-data.md" in reason and "SHA256SUMS" in reason and "\n" not in reason
