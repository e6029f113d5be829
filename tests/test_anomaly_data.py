"""Own copies of the data sets with anomalies: found in a mirror, read as their phantoms are, or refused."""

from dataclasses import replace

import numpy as np
import pytest
from test_fastmri import PHANTOM as FASTMRI
from test_graz import PHANTOM as GRAZ
from test_ixi_slices import PEOPLE
from test_ixi_slices import arrays as ixi_arrays
from test_radiography import PHANTOM as RADIOGRAPHY
from tiny_hearts import take_checksums

from latent_anatomy.data import slices_check
from latent_anatomy.data.dataset import RawFile
from latent_anatomy.data.fetch import fetch
from latent_anatomy.data.outline import Outline, outline
from latent_anatomy.data.slices import Slices
from latent_anatomy.datasets import ixi
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.healthy import beside
from latent_anatomy.provenance.files import sha256_file

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


def test_fastmri_can_have_people_of_ixi_to_train_on_and_nobody_else_moves(tmp_path):
    """One slice of each training person there, and fastMRI's as they are."""
    FASTMRI.generate(tmp_path)
    (tmp_path / "ixi").mkdir()
    np.savez(tmp_path / "ixi" / "slices.npz", **ixi_arrays())
    given = {field: getattr(FASTMRI, field) for field in SMALL["fastmri"][1]} | {"size": 128}
    mixed = replace(
        datasets.find("fastmri-ixi"),
        ixi=RawFile("ixi/slices.npz", None, "sha256", sha256_file(tmp_path / "ixi/slices.npz")),
        **given,
    )
    files = (RawFile(file.name, None, "sha256", sha256_file(tmp_path / file.name)) for file in FASTMRI.files)
    object.__setattr__(mixed, "files", (*files, mixed.ixi))
    content = mixed.to_slices(tmp_path)
    assert outline(mixed) == Outline(frozenset(content.split.tolist()), frozenset(content.mask_names))
    slices_check.check(content, "fastmri-ixi")
    alone = replace(FASTMRI, size=128).to_slices(tmp_path)
    people = [who for who in PEOPLE if ixi.split_of(who) == "train"]
    count = len(people)
    assert content.subject[:count].tolist() == [f"ixi-hh-slices:{who}" for who in people]
    assert set(content.split[:count]) == {"train"} and not content.labels[:count].any()
    assert content.subject[count:].tolist() == [f"fastmri:{who}" for who in alone.subject]
    for column in ("images", "masks", "labels", "split", "slice"):
        np.testing.assert_array_equal(getattr(content, column)[count:], getattr(alone, column))
    np.testing.assert_array_equal(content.boxes, alone.boxes + np.array([count, 0, 0, 0, 0, 0]))
    assert content.images[:count].max() == 255, "on the scale of fastMRI's"


def test_the_healthy_have_nothing_of_what_only_the_ill_have():
    def slices(names, task, **columns):
        shape = (2, len(names), 4, 4)
        return Slices(
            images=np.zeros((2, 1, 4, 4), np.uint8),
            masks=np.ones(shape, np.uint8),
            mask_names=names,
            subject=np.array(["a", "b"]),
            slice=np.arange(2, dtype=np.int32),
            split=np.full(2, "train"),
            modality=np.full(2, "MR"),
            dataset="x",
            task=task,
            classes=2 if task else 0,
            **columns,
        )

    own = slices(("head",), "", site=np.full(2, "there"))
    ill = slices(
        ("lesion", "head"),
        "binary-class",
        labels=np.ones(2, np.int64),
        boxes=np.ones((1, 6), np.int32),
        box_names=("a", "b"),
    )
    both = beside("both", ("own", own), ("ill", ill))
    slices_check.check(both, "both")
    assert (
        both.masks[:2, 0].max() == 0 and both.masks[:2, 1].min() == 1 and both.labels.tolist() == [0, 0, 1, 1]
    )
    assert both.site is None and both.boxes.tolist() == [[3, 1, 1, 1, 1, 1]]
    with pytest.raises(ValueError, match="both: expected columns"):
        beside("both", ("own", slices(("head",), "")), ("ill", replace(ill, site=np.full(2, "here"))))


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
    for name in (*SMALL, "graz-as-released", "radiography-covid", "fastmri-ixi"):
        dataset = replace(datasets.find(name))
        assert dataset.files == ()
        reason = datasets.unavailable(dataset, tmp_path, None)
        assert "docs/anomaly-data.md" in reason and "SHA256SUMS" in reason and "\n" not in reason
