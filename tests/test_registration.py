"""Registration recovers known movements of heads with scalp; transforms against ITK and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from latent_anatomy.imaging import atlas
from latent_anatomy.imaging.registration import Params, isotropic, register, similarity
from latent_anatomy.imaging.transform import Transform, resample
from latent_anatomy.imaging.volume import Volume

ANGLES = st.floats(-60, 60)
LENGTHS = st.floats(-100, 100)


def movement(angles_deg, shift_mm, scale=1.0):
    """About the middle of the atlas' brain."""
    centre = np.array([0.0, -18.0, 10.0])
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre + shift_mm - matrix[:3, :3] @ centre
    return Transform(matrix)


MOVEMENTS = st.builds(
    movement, st.tuples(ANGLES, ANGLES, ANGLES), st.tuples(LENGTHS, LENGTHS, LENGTHS), st.floats(0.5, 2)
)


def blob(shape=(20, 22, 24), seed=0):
    random = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(random.normal(size=shape), 2).astype(np.float32)
    return Volume(values, np.diag([4.0, 4.0, 4.0, 1.0]))


def points_of(mask):
    return np.argwhere(mask.values > 0.5) @ mask.affine[:3, :3].T + mask.affine[:3, 3]


@pytest.fixture(scope="module")
def target():
    return atlas.load("mni152", 3.0)


@pytest.fixture(scope="module")
def head(target):
    """The atlas' brain in a dark skull and a bright scalp, down to the neck; a wider field of view."""
    pad = 10
    brain = np.pad(target.t1.values, pad)
    affine = target.t1.affine.copy()
    affine[:3, 3] -= pad * affine[:3, :3].sum(1)
    distance = ndimage.distance_transform_edt(brain == 0, sampling=target.t1.spacing_mm)
    scalp = (distance > 7) & (distance < 13)
    return Volume(np.where(scalp, np.float32(220), brain), affine)


def test_points_go_where_the_matrix_says():
    transform = movement((0, 0, 90), (1, 2, 3))
    assert np.allclose(
        transform.points(np.array([[0.0, -18, 10], [5, -18, 10]])), [[1, -16, 13], [1, -11, 13]]
    )


@given(MOVEMENTS, MOVEMENTS)
@settings(max_examples=30)
def test_composition_is_first_one_then_the_other_and_the_inverse_undoes(one, other):
    points = np.random.default_rng(0).normal(0, 80, (5, 3))
    assert np.allclose(one.compose(other).points(points), other.points(one.points(points)))
    assert np.allclose(one.compose(one.inverse()).points(points), points)


@given(MOVEMENTS)
@settings(max_examples=10)
def test_a_written_transform_is_read_back_exactly(tmp_path_factory, transform):
    path = tmp_path_factory.mktemp("transforms") / "to.txt"
    transform.write(path)
    assert np.array_equal(Transform.read(path).matrix, transform.matrix)


def test_itk_reads_the_file_and_moves_points_alike(tmp_path):
    import SimpleITK

    transform = movement((10, -20, 30), (4, 5, 6), 1.1)
    transform.write(tmp_path / "to.txt")
    itk = SimpleITK.ReadTransform(str(tmp_path / "to.txt"))
    x, y, z = itk.TransformPoint((-7.0, -8.0, 9.0))  # ITK counts towards the left and the back
    assert np.allclose(transform.points(np.array([7.0, 8.0, 9.0])), [-x, -y, z])


def test_a_centre_in_a_file_of_itk_is_taken_into_account(tmp_path):
    import SimpleITK

    turn = SimpleITK.Euler3DTransform((10.0, 20.0, 30.0), 0.1, 0.2, 0.3, (1.0, 2.0, 3.0))
    affine = SimpleITK.AffineTransform(turn.GetMatrix(), turn.GetTranslation(), turn.GetCenter())
    SimpleITK.WriteTransform(affine, str(tmp_path / "itk.txt"))
    x, y, z = turn.TransformPoint((1.0, 2.0, 3.0))
    assert np.allclose(Transform.read(tmp_path / "itk.txt").points(np.array([-1.0, -2, 3])), [-x, -y, z])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nothing", "one transform"),
        ("#Insight Transform File V1.0\nTransform: BSplineTransform_double_3_3\n", "affine transform"),
        (
            "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 2\n",
            "12 param",
        ),
    ],
)
def test_what_is_no_linear_transform_is_refused(tmp_path, content, expected):
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(ValueError, match=expected):
        Transform.read(tmp_path / "x.txt")


def test_a_name_by_which_itk_expects_a_binary_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.mat"):
        Transform.identity().write(tmp_path / "to.mat")


@pytest.mark.parametrize(
    "matrix", [np.zeros((4, 4)), np.eye(3), np.diag([-1.0, 1, 1, 1]), np.eye(4) * np.nan]
)
def test_a_matrix_that_is_no_movement_of_a_body_is_refused(matrix):
    with pytest.raises(ValueError, match="affine"):
        Transform(matrix)


def test_resampling_by_whole_voxels_shifts_and_zero_comes_from_outside():
    volume = blob()
    shifted = resample(volume, volume, movement((0, 0, 0), (8, 0, -4)), "linear").values
    assert np.allclose(shifted[:-2, :, 1:], volume.values[2:, :, :-1], atol=1e-5)
    assert not shifted[-2:].any()


def test_a_mask_stays_a_mask_and_keeps_its_volume_on_a_finer_grid():
    mask = Volume((blob().values > 0.03).astype(np.float32), blob().affine)
    mask.values[[0, -1]] = mask.values[:, [0, -1]] = mask.values[:, :, [0, -1]] = 0
    fine = Volume(np.zeros((80, 88, 96), np.float32), np.diag([1.0, 1.0, 1.0, 1.0]))
    found = resample(mask, fine, Transform.identity(), "nearest").values
    assert set(np.unique(found)) == {0, 1}
    assert abs(found.sum() / (mask.values.sum() * 64) - 1) < 1e-6


def test_similarity_is_highest_with_oneself_and_blind_to_contrast():
    volume, other = blob((40, 40, 40)), blob((40, 40, 40), seed=1)
    everywhere = Volume(np.ones_like(volume.values), volume.affine)
    inverted = Volume(3 - 2 * volume.values, volume.affine)
    assert similarity(volume, other, everywhere) < 1.05
    assert similarity(volume, inverted, everywhere) == pytest.approx(
        similarity(volume, volume, everywhere), abs=0.02
    )
    assert similarity(volume, volume, everywhere) > 1.5


def test_a_region_on_another_grid_or_without_voxels_is_refused():
    volume = blob()
    with pytest.raises(ValueError, match="grid of the image"):
        similarity(volume, volume, blob((8, 8, 8)))
    with pytest.raises(ValueError, match="empty"):
        register(volume, volume, Params(), Volume(np.zeros_like(volume.values), volume.affine))


def test_isotropic_keeps_the_centre_and_the_mean():
    ones = Volume(np.ones((30, 40, 12), np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    cubic = isotropic(ones, 2.0)
    assert cubic.values.shape == (15, 20, 24)
    assert np.allclose(cubic.affine @ [7, 9.5, 11.5, 1], ones.affine @ [14.5, 19.5, 5.5, 1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rigid", "affine"])
def test_a_head_is_brought_to_the_atlas_from_20_degrees_and_30_mm(target, head, kind):
    """The moving head has FLAIR's contrast and thick slices."""
    truth = movement((14, -8, 12), (18, -15, 18), 0.9 if kind == "affine" else 1.0)
    grid = Volume(np.zeros((80, 90, 60), np.float32), np.diag([3.0, 3.0, 4.5, 1.0]))
    grid.affine[:3, 3] = (-118.5, -152, -125)
    brain = np.where(head.values > 0, 260 - 0.8 * head.values, 0).astype(np.float32)
    moving = resample(Volume(brain, head.affine), grid, truth.inverse(), "linear")
    found = register(target.t1, moving, Params(transform=kind, spacing_mm=3), target.around)
    points = points_of(target.brain)
    error = np.linalg.norm(found.points(points) - truth.points(points), axis=1)
    assert np.median(error) < 1 and error.max() < 2
    if kind == "rigid":
        assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6)


def test_the_same_images_give_the_same_bytes(target, head):
    params = Params(spacing_mm=4, angles_deg=(0,), shifts_mm=(0,), starts=1, iterations=(20,))
    once, again = (register(target.t1, head, params, target.around).matrix for _ in range(2))
    assert once.tobytes() == again.tobytes()
