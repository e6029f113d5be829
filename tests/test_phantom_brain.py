"""phantom-brain: MSLUB's layout, the same bytes, exact masks, and a truth that fits the written files."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from phantom_files import drawn
from scipy.ndimage import binary_dilation
from scipy.spatial import KDTree

from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.mslub import Mslub
from latent_anatomy.datasets.phantoms.brain import PhantomBrain
from latent_anatomy.datasets.phantoms.people import LESION_MM3, VENTRICLES, Head, Lesions, atlas, move
from latent_anatomy.imaging import volume

SMALL = PhantomBrain(train=1, val=1, test=1, flair_mm=(3.0, 3.0, 4.0), t1_mm=(4.0, 4.0, 4.0))
raw = drawn(SMALL)
PATIENTS = [subject for subject in SMALL.subjects if subject.split != "train"]


def split_of(subject) -> str:
    return subject.split


@pytest.fixture(scope="module", params=SMALL.subjects, ids=split_of)
def case(request, raw):
    """One subject: its files as they are read, its truth, and where all voxels lie in the atlas."""
    subject = request.param
    images = {key: volume.read(raw / file) for key, file in subject.images.items()}
    masks = {key: volume.read_mask(raw / file) for key, file in subject.masks.items()}
    truth = SMALL.truth(subject)
    places = {"flair_at": truth.position(world(images["flair"]))}
    places["t1_at"] = truth.position(move(truth.t1_to_flair, world(images["t1"])))
    return SimpleNamespace(subject=subject, **images, **masks, **places, truth=truth)


def world(image: volume.Volume, mask: np.ndarray | None = None) -> np.ndarray:
    """Where the voxels of `image` lie, all or those of a mask."""
    mask = np.ones(image.values.shape, bool) if mask is None else mask
    return move(image.affine, np.argwhere(mask).astype(float))


def tissue(points: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (N,) of atlas points that are hardly anything else."""
    white, grey = atlas().white(points) / 255, atlas().grey(points) / 255
    return {"white": white > 0.95, "grey": grey > 0.9, "fluid": white + grey < 0.1}


def test_its_files_lie_as_those_of_mslub_do(raw):
    ours, theirs = SMALL.subjects[0], Mslub().subjects[0]
    assert (ours.images, ours.masks, ours.name) == (theirs.images, theirs.masks, theirs.name)
    assert set(hashes(raw)) == {file.name for file in SMALL.files}
    assert len(SMALL.files) == 4 * len(SMALL.subjects)


def test_healthy_people_for_training_and_patients_to_find_lesions_in():
    full = PhantomBrain()
    assert full in datasets.DATASETS
    assert [subject.split for subject in full.subjects] == ["train"] * 4 + ["val"] * 1 + ["test"] * 3
    assert [subject.name for subject in full.subjects] == sorted(subject.name for subject in full.subjects)
    assert full.phantom and full.stands_for is None and not full.prepared
    for subject in full.subjects:
        assert {full.sliced, full.guide} == set(subject.images)


def test_the_same_bytes_every_time_whoever_else_is_drawn(raw, tmp_path):
    more = replace(SMALL, val=2, test=0)  # patient03 is now for validation
    more.generate(tmp_path)
    assert hashes(tmp_path) == hashes(raw)
    replace(SMALL, val=0, test=0, seed=1).generate(tmp_path)
    again, first = hashes(tmp_path), hashes(raw)
    for file in SMALL.subjects[0].images.values():
        assert again[file] != first[file]


def test_the_grids_are_oblique_as_large_as_asked_and_hold_the_whole_brain(case):
    for image, spacing in ((case.flair, SMALL.flair_mm), (case.t1, SMALL.t1_mm)):
        np.testing.assert_allclose(image.spacing_mm, spacing, rtol=1e-5)
        turned = image.affine[:3, :3] / image.spacing_mm - np.eye(3)
        assert 0.005 < np.abs(turned[~np.eye(3, dtype=bool)]).max() < 0.4
    assert not case.flair.replaced and np.array_equal(case.flair.values, np.round(case.flair.values))
    assert 0 < (case.flair.values == 255).mean() + 1e-9 < 0.002  # the gain leaves room for the brightest fat
    edge = np.ones_like(case.brain.values, bool)
    edge[1:-1, 1:-1, 1:-1] = False
    assert not (case.brain.values > 0)[edge].any()


def test_masks_are_exact(case):
    brain, lesion = case.brain.values > 0, case.lesion.values > 0
    for mask in (case.brain, case.lesion):
        np.testing.assert_allclose(mask.affine, case.flair.affine, atol=1e-4)
        assert mask.values.shape == case.flair.values.shape
    assert np.array_equal(brain, case.truth.brain.values > 0)
    assert np.array_equal(lesion, case.truth.lesion.values > 0)
    assert np.array_equal(atlas().brain(case.flair_at) >= 0.5, brain.ravel())
    assert lesion.any() == (case.subject.split != "train")
    assert not (lesion & ~brain).any()
    assert (atlas().white(case.flair_at[lesion.ravel()]) > 0.59 * 255).all()


def test_lesion_voxels_lie_in_the_ellipsoids(case):
    lesions = case.truth.head.lesions
    offsets = case.flair_at[case.lesion.values.ravel() > 0, None] - lesions.centres
    inside = np.linalg.norm(np.einsum("lij,nlj->nli", lesions.shapes, offsets), axis=2) <= 1
    assert inside.any(axis=1).all()


def test_truth_leads_both_images_to_the_right_tissue(case):
    truth = case.truth
    inside = atlas().brain(case.t1_at) > 0.5
    points, values = move(truth.t1_to_flair, world(case.t1)[inside]), case.t1.values.ravel()[inside]

    def agreement(positions):
        expected = atlas().white(positions) + 0.7 * atlas().grey(positions)
        return np.corrcoef(expected, values)[0, 1]

    right = agreement(case.t1_at[inside])
    assert right > 0.8
    for wrong in (world(case.t1)[inside], *(points + 3 * axis for axis in np.eye(3))):
        assert agreement(truth.position(wrong)) < right - 0.02


def test_the_affine_is_the_best_and_leaves_what_makes_people_different(case):
    truth = case.truth
    points = world(truth.brain, truth.brain.values > 0)
    position = truth.position(points)

    def error(matrix):
        return np.linalg.norm(move(matrix, points) - position, axis=1)

    least = (error(truth.affine) ** 2).mean()
    assert 0.5 < np.median(error(truth.affine)) < 3 < 8 > error(truth.affine).max()
    assert least <= (error(truth.to_atlas) ** 2).mean()
    random = np.random.default_rng(0)
    for _ in range(10):
        change = np.eye(4)
        change[:3] += random.normal(0, 1e-3, (3, 4)) * [1, 1, 1, 100]
        assert (error(change @ truth.affine) ** 2).mean() > least


def test_people_lie_askew_and_move_between_the_scans(case):
    for matrix, degrees in (
        (case.truth.t1_to_flair, 6),
        (np.linalg.inv(case.truth.head.size) @ case.truth.to_atlas, 15),
    ):
        rotation = matrix[:3, :3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) > 0
        assert 0.2 < np.degrees(np.arccos((np.trace(rotation) - 1) / 2)) < degrees


def test_contrasts_are_those_of_t1_and_flair(case):
    for image, points, order in (
        (case.flair, case.flair_at, ["fluid", "white", "grey"]),
        (case.t1, case.t1_at, ["fluid", "grey", "white"]),
    ):
        inside = atlas().brain(points) > 0.9
        medians = {
            name: np.median(image.values.ravel()[inside & mask]) for name, mask in tissue(points).items()
        }
        assert sorted(medians, key=medians.get) == order


@pytest.mark.parametrize("case", PATIENTS, indirect=True, ids=split_of)
def test_lesions_are_bright_in_flair_and_dark_in_t1_against_the_white_matter_around(case):
    lesion = case.lesion.values > 0
    for contrast in ("flair", "t1"):
        image = getattr(case, contrast)
        to_flair = np.eye(4) if contrast == "flair" else case.truth.t1_to_flair
        ring = (binary_dilation(lesion, iterations=3) & ~binary_dilation(lesion)).ravel()
        around = world(case.lesion)[ring & tissue(case.flair_at)["white"]]
        voxels = [
            np.round(move(np.linalg.inv(image.affine) @ np.linalg.inv(to_flair), where)).astype(int)
            for where in (world(case.lesion, lesion), around)
        ]
        inside, outside = (np.median(image.values[tuple(indices.T)]) for indices in voxels)
        assert inside > 1.15 * outside if contrast == "flair" else inside < 0.9 * outside


@pytest.mark.parametrize("case", PATIENTS, indirect=True, ids=split_of)
def test_no_threshold_finds_the_lesions(case):
    lesion, brain, flair = case.lesion.values > 0, case.brain.values > 0, case.flair.values
    dice = [
        2 * (lesion & (flair > t)).sum() / ((brain & (flair > t)).sum() + lesion.sum()) for t in range(256)
    ]
    assert 0.02 < max(dice) < 0.75
    outside = flair[~brain]
    assert (outside > np.median(flair[lesion])).sum() > 10 * lesion.sum()  # fat is as bright


def test_the_noise_is_that_of_magnitude_images(case):
    air = case.flair.values[:6, :6, -20:]  # a corner high beside the head
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.1)  # Rayleigh


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_deformation_folds_nothing_and_is_the_same_on_a_grid(seed):
    random = np.random.default_rng(seed)
    head = Head.draw(random, 0)
    points, step = random.uniform((-75, -110, -70), (75, 75, 80), (500, 3)), 1e-4
    columns = [(head.deform(points + step * axis) - head.deform(points)) / step for axis in np.eye(3)]
    assert np.linalg.det(np.stack(columns, axis=2)).min() > 0.2
    affine = np.eye(4)
    affine[:3] = random.normal(0, 5, (3, 4))
    voxels = np.indices((3, 4, 5)).reshape(3, -1).T
    np.testing.assert_allclose(head.on_grid(affine, (3, 4, 5)), head.deform(move(affine, voxels)), atol=1e-9)


def test_lesions_are_log_normal_in_size_and_keep_to_the_ventricles():
    random = np.random.default_rng(0)
    lesions = Lesions.draw(random, 4000)
    median, spread = LESION_MM3
    assert np.log(lesions.volumes_mm3).mean() == pytest.approx(np.log(median), abs=0.1)
    assert np.log(lesions.volumes_mm3).std() == pytest.approx(spread, abs=0.1)
    np.testing.assert_allclose(4 / 3 * np.pi / np.abs(np.linalg.det(lesions.shapes)), lesions.volumes_mm3)
    fluid = random.uniform(VENTRICLES[0] - (35, 55, 30), VENTRICLES[0] + (35, 55, 30), (20_000, 3))
    ventricles = KDTree(fluid[tissue(fluid)["fluid"]])
    near, all_over = (ventricles.query(places)[0] for places in (lesions.centres, atlas().lesion_places))
    assert np.median(near) < 0.6 * np.median(all_over)
    assert (near > 20).any()  # but not only there


def test_people_differ():
    random = np.random.default_rng(0)
    points = random.uniform((-60, -90, -50), (60, 60, 60), (1000, 3))
    one, other = (Head.draw(random, 0) for _ in range(2))
    assert np.median(np.linalg.norm(one.deform(points) - other.deform(points), axis=1)) > 1
    assert (one.skull, one.scalp, one.ventricles) != (other.skull, other.scalp, other.ventricles)
    assert not np.allclose(one.size, other.size, atol=0.01)
