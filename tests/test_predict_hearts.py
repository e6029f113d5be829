"""Hearts: prepared as those of ACDC, and their structures back on the grid on which they were imaged."""

import nibabel
import numpy as np
import pytest
from scipy import ndimage
from test_predict_heads import rows, values
from tiny_hearts import write_nifti
from tiny_models import ANYTHING, export

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.imaging import cardiac, nifti
from latent_anatomy.imaging.transform import Transform
from latent_anatomy.prediction import heart
from latent_anatomy.prediction.given import Given
from latent_anatomy.prediction.imaging_settings import settings
from latent_anatomy.prediction.predict import run
from latent_anatomy.training.method import Shape

SIZE, MM = 96, 2.0
IMAGING = {"modality": "MR cine", "hearts": {"spacing_mm": MM, "size": SIZE}}
SHAPES = {"cropped": (183, 156, 4), "padded": (61, 78, 4), "both": (210, 63, 3)}


def drawn(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image with a smooth ball that no mirroring leaves alone, and where it is bright."""
    axes = np.meshgrid(*[np.linspace(-1, 1, length) for length in shape], indexing="ij")
    distance = np.hypot(axes[0] - 0.1, axes[1] + 0.15)
    image = np.clip(500 - 600 * distance, 0, None) + 20 * (axes[0] + 2 * axes[1] + axes[2])
    return image.astype(np.float32), distance < 0.3


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_images_are_those_that_training_has_and_masks_come_back(tmp_path, shape):
    """Against the functions by which the data set is made, a label map going the way there as theirs do."""
    image, inside = drawn(shape)
    path = tmp_path / "heart.nii.gz"
    affine = np.array([[0, -1.5, 0, 9], [1.5, 0, 0, -7], [0, 0, 8, 3], [0, 0, 0, 1.0]])
    write_nifti(path, image, (1.5, 1.5, 8), affine)
    prepared = heart.prepare(Given("sub-001", "nifti", {"unstated": (path,)}), IMAGING, tmp_path / "work")
    fine, _ = cardiac.resampled(nifti.values(nibabel.load(path)).T, (1.5, 1.5), 1, MM)
    expected = cardiac.quantised(cardiac.square(cardiac.unit_range(fine, path), SIZE))
    assert np.array_equal(prepared.images, expected.astype(np.float32) / 255)
    coarse, _ = cardiac.resampled(inside.astype(np.uint8).T, (1.5, 1.5), 0, MM)
    there = cardiac.square(coarse, SIZE) > 0
    back = prepared.slab.on(prepared.native, Transform.identity(), there, "nearest")
    assert back.shape == shape
    known = np.isfinite(back)
    assert known.all() == (max(shape[:2]) * 1.5 <= SIZE * MM)
    one, other = np.nan_to_num(back) > 0, inside & known
    assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.95
    # A pixel that tells where in the image it lies, comes back there.
    for axis in (0, 1):
        ramp = np.indices(shape)[axis].astype(np.float32)
        fine, _ = cardiac.resampled(ramp.T, (1.5, 1.5), 1, MM)
        planes = cardiac.square(fine, SIZE)
        own = prepared.slab.on(prepared.native, Transform.identity(), planes, "linear")
        deep = ndimage.binary_erosion(known, np.ones((7, 7, 1)))  # at the rim the last pixel is repeated
        assert deep.any() and np.abs(own - ramp)[deep].max() < 1e-3


def test_structures_are_written_on_the_grid_of_the_image(tmp_path):
    image, _ = drawn(SHAPES["cropped"])
    write_nifti(tmp_path / "one.nii.gz", image, (1.5, 1.5, 8))
    write_nifti(tmp_path / "cine.nii.gz", np.stack([image] * 3, -1), (1.5, 1.5, 8))
    shape = Shape(1, SIZE, SIZE, 0, 9, ("right-ventricle", "myocardium"))
    images = {"levels": ANYTHING, "modalities": ["MR cine"]}
    small = {"width": 2, "depth": 2}
    model = export(tmp_path / "m.safetensors", "unet", shape, small, imaging=IMAGING, images=images)
    assert run(model, tmp_path / "one.nii.gz", tmp_path / "out", "cpu") == 0
    row = rows(tmp_path / "out")["sub-001"]
    for name in ("rightVentricle", "myocardium"):
        mask = values(tmp_path / f"out/sub-001/anat/sub-001_label-{name}_mask.nii.gz")
        assert mask.shape == image.shape
        assert float(row[f"label-{name}_ml"]) == pytest.approx(mask.sum() * 1.5 * 1.5 * 8 / 1000)
    assert 0.2 < float(row["covers"]) < 1 and "brain_ml" not in row
    assert "taken for MR cine" in row["warnings"]
    assert not list((tmp_path / "out").rglob("*space-*"))
    assert run(model, tmp_path / "cine.nii.gz", tmp_path / "cine", "cpu") == 1
    assert "expected an image of 3 axes" in rows(tmp_path / "cine")["sub-001"]["reason"]


def test_an_export_of_acdc_says_how_its_hearts_are_prepared(tmp_path):
    found = settings(datasets.find("acdc"), tmp_path / "none.h5", tmp_path)
    assert found == {"modality": "MR cine", "hearts": {"spacing_mm": 1.37, "size": 224}}
    assert settings(datasets.find("acdc-frames"), tmp_path / "none.h5", tmp_path) is None
