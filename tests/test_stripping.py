"""The brain of deformed heads whose brain is known; commands of others, and what they may do wrong."""

import stat
import sys

import numpy as np
import pytest
from scipy import ndimage

from latent_anatomy.imaging import atlas
from latent_anatomy.imaging.stripping import Params, dice, strip
from latent_anatomy.imaging.volume import Volume


@pytest.fixture(scope="module")
def target():
    return atlas.load("mni152", 3.0)


@pytest.fixture(scope="module")
def deformed(target):
    """A head in atlas space, deformed smoothly by up to about 8 mm, and its brain."""
    distance = ndimage.distance_transform_edt(target.brain.values == 0, sampling=target.t1.spacing_mm)
    whole = np.where((distance > 7) & (distance < 13), 220, target.t1.values)
    random = np.random.default_rng(3)
    shifts = [ndimage.gaussian_filter(random.normal(size=whole.shape), 7) for _ in range(3)]
    where = [
        index + 2.7 * shift / np.abs(shift).max()
        for index, shift in zip(np.indices(whole.shape), shifts, strict=True)
    ]
    head = ndimage.map_coordinates(whole, where, order=1).astype(np.float32)
    brain = ndimage.map_coordinates(target.brain.values, where, order=1) >= 0.5
    return Volume(head, target.t1.affine), Volume(brain.astype(np.float32), target.t1.affine)


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["t1", "flair"])
def test_the_atlas_mask_follows_a_deformed_brain(target, deformed, contrast):
    head, brain = deformed
    if contrast == "flair":
        values = np.where(head.values > 20, 260 - 0.8 * head.values, head.values).astype(np.float32)
        head = Volume(values, head.affine)
    found, numbers = strip(head, target, Params(), brain)
    before = dice(target.brain.values > 0.5, brain.values > 0.5)
    assert numbers["dice"] > 0.95 and numbers["dice"] > before
    assert numbers["dice"] == dice(found.values > 0.5, brain.values > 0.5)


def test_the_same_head_gives_the_same_bytes(target, deformed):
    once, again = (strip(deformed[0], target, Params(spacing_mm=6, iterations=(5,)))[0] for _ in range(2))
    assert once.values.tobytes() == again.values.tobytes()


def test_a_given_mask_is_the_brain(target, deformed):
    head, brain = deformed
    found, numbers = strip(head, target, Params(kind="given"), brain)
    assert np.array_equal(found.values, brain.values)
    assert numbers == {"brain_ml": pytest.approx(brain.values.sum() * 27 / 1000)}


def test_a_given_mask_that_is_missing_empty_or_on_another_grid_is_refused(target, deformed):
    head, brain = deformed
    with pytest.raises(ValueError, match="given mask"):
        strip(head, target, Params(kind="given"))
    with pytest.raises(ValueError, match="empty"):
        strip(head, target, Params(kind="given"), Volume(0 * brain.values, brain.affine))
    with pytest.raises(ValueError, match="grid of the atlas"):
        strip(head, target, Params(kind="given"), Volume(brain.values[1:], brain.affine))


@pytest.mark.parametrize(
    ("kind", "command"), [("synthstrip", "mri_synthstrip"), ("synthstrip", "nipreps"), ("hdbet", "hd-bet")]
)
def test_a_command_that_is_not_installed_is_named(target, deformed, monkeypatch, tmp_path, kind, command):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=f"{command}.*given"):
        strip(deformed[0], target, Params(kind=kind))


def install(folder, name, body):
    """A command that stands for a network: Python with `words`, its arguments by their option."""
    path = folder / name
    start = "import sys, shutil, nibabel\nwords = dict(zip(sys.argv[1:], sys.argv[2:]))\n"
    path.write_text(f"#!{sys.executable}\n{start}{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


ABOVE_50 = (
    "image = nibabel.load(words['-i'])\n"
    "mask = (image.get_fdata() > 50).astype('uint8')\n"
    "nibabel.Nifti1Image(mask, image.affine).to_filename({out})"
)


@pytest.mark.parametrize(
    ("kind", "name", "out"),
    [
        ("synthstrip", "mri_synthstrip", "words['-m']"),
        ("hdbet", "hd-bet", "words['-o'].replace('.nii.gz', '_bet.nii.gz')"),
    ],
)
def test_the_mask_of_an_installed_command_is_taken(target, deformed, monkeypatch, tmp_path, kind, name, out):
    install(tmp_path, name, ABOVE_50.format(out=out))
    monkeypatch.setenv("PATH", str(tmp_path))
    found, _ = strip(deformed[0], target, Params(kind=kind))
    assert np.array_equal(found.values, deformed[0].values > 50)


@pytest.mark.parametrize("body", ["sys.exit('out of memory')", "print('out of memory')"])
def test_a_command_that_fails_or_writes_nothing_is_reported(target, deformed, monkeypatch, tmp_path, body):
    install(tmp_path, "mri_synthstrip", body)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="out of memory"):
        strip(deformed[0], target, Params(kind="synthstrip"))
