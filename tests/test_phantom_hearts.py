"""Phantom hearts: exact volumes, incompressible muscle, structures apart, groups that differ as patients."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_fill_holes

from latent_anatomy.datasets.phantoms import chests
from latent_anatomy.datasets.phantoms.hearts import (
    BODY,
    GROUPS,
    STRUCTURES,
    Heart,
    contraction,
    ellipsoid,
    end_systole,
    tube,
)

hearts = st.builds(
    lambda group, seed: Heart.draw(np.random.default_rng(seed), group),
    st.sampled_from(list(GROUPS)),
    st.integers(0, 2**32 - 1),
)
phases = st.floats(0, 1)


def some(group: str, count: int = 20) -> list[Heart]:
    return [Heart.draw(np.random.default_rng(seed), group) for seed in range(count)]


def short_axis(heart: Heart, pixel: float, distance: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A grid around all of a heart's ventricles, slices from apex to base, and its shape."""
    grid = np.diag([pixel, pixel, distance, 1.0])
    grid[:3, 3] = -110, -60, distance / 2
    return grid, (int(180 / pixel), int(120 / pixel), int(heart.base(0) / distance) + 1)


def masks(labels: np.ndarray) -> list[np.ndarray]:
    """Of the left and the right ventricle and of the muscle."""
    names = ("left-ventricle", "right-ventricle", "myocardium")
    return [labels == 1 + STRUCTURES.index(name) for name in names]


def integrated(heart: Heart, e: float) -> tuple[float, float]:
    """Volumes in ml of the LV's cavity and wall: r^2 / 2 over angles and levels, by the midpoint rule."""
    theta = 2 * np.pi * (np.arange(48) + 0.5) / 48
    step = heart.base(e) / 2000
    inner, outer = heart.radii(theta[:, None], step * (np.arange(2000) + 0.5), e)
    cavity, whole = (np.pi / 48 * step * (radius**2).sum() / 1000 for radius in (inner, outer))
    return cavity, whole - cavity


@settings(max_examples=15, deadline=None)
@given(hearts, phases)
def test_the_volume_of_the_left_ventricle_is_exact_and_its_muscle_keeps_its_own(heart, e):
    cavity, wall = integrated(heart, e)
    assert heart.volume_ml(e) == pytest.approx(cavity, rel=1e-4)
    assert heart.volume_ml(0) == pytest.approx(heart.ml)
    assert wall == pytest.approx(integrated(heart, 0)[1], rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(hearts)
def test_it_shrinks_all_the_way_to_systole(heart):
    volumes = [heart.volume_ml(e) for e in np.linspace(0, 1, 6)]
    assert (np.diff(volumes) < 0).all()
    assert heart.ejection == pytest.approx(1 - volumes[-1] / volumes[0])


@pytest.mark.parametrize("group", GROUPS)
def test_voxels_count_to_the_exact_volume(group):
    heart = some(group, 1)[0]
    for e in (0.0, 1.0):
        distance = heart.base(e) / 40  # the last slice ends at the base
        grid, shape = short_axis(heart, 2.5, distance)
        found, *_ = masks(chests.labels(heart, e, grid, shape))
        assert found.sum() * 2.5**2 * distance / 1000 == pytest.approx(heart.volume_ml(e), rel=0.01)


@settings(max_examples=15, deadline=None)
@given(hearts, phases, st.integers(0, 2**32 - 1))
def test_structures_lie_apart_and_inside_of_the_heart(heart, e, seed):
    points = np.random.default_rng(seed).uniform((-90, -60, -5), (60, 70, 150), (2000, 3)).T
    depths = heart.depths(points, e)
    inside = {name: depths[name] > 0 for name in STRUCTURES}
    assert sum(inside.values()).max() <= 1
    assert (depths["heart"] > 0)[np.any(list(inside.values()), axis=0)].all()
    assert inside["left-ventricle"][depths["papillary"] > 0].all()


@pytest.mark.parametrize("group", GROUPS)
def test_no_beat_reaches_further_than_what_is_drawn_anew(group):
    points = np.random.default_rng(0).uniform((-110, -70, -5), (60, 90, 160), (20_000, 3)).T
    for heart in some(group, 3):
        resting, beating = (heart.depths(points, e)["heart"] for e in (0, 1))
        softness = 2  # mm, half of the widest edge
        assert resting[beating > -softness].min() > -chests.REACH_MM


@pytest.mark.parametrize("group", GROUPS)
def test_a_slice_through_the_middle_is_a_ring_with_a_crescent_beside_it(group):
    heart = some(group, 1)[0]
    for e in (0.0, 1.0):
        grid, shape = short_axis(heart, 1.5, heart.base(e) / 5)
        plane = chests.labels(heart, e, grid, shape)[..., 2]
        cavity, right, muscle = masks(plane)
        assert cavity.any() and right.any()
        assert (cavity | muscle)[binary_dilation(cavity)].all()  # the wall is closed
        assert np.array_equal(binary_fill_holes(muscle), cavity | muscle)
        assert np.argwhere(right)[:, 0].mean() < np.argwhere(cavity)[:, 0].min()  # u: right to left
        assert (binary_dilation(right) & muscle).any() and not (binary_dilation(right) & cavity).any()


def test_every_structure_is_there_and_the_base_comes_down_in_systole():
    for heart in (some(group, 1)[0] for group in GROUPS):
        grid, _ = short_axis(heart, 5.0, 6.0)
        for e in (0.0, 1.0):
            found = chests.labels(heart, e, grid, (36, 24, 30))
            assert set(np.unique(found)) == set(range(8))
        assert heart.base(1) < heart.base(0)


def test_the_groups_differ_as_patients_do():
    ejection = {group: [heart.ejection for heart in some(group)] for group in GROUPS}
    assert min(ejection["NOR"] + ejection["RV"]) > 0.5 and min(ejection["HCM"]) > 0.6
    assert max(ejection["DCM"]) < 0.35 and max(ejection["MINF"]) < 0.45
    volume = {group: [heart.ml for heart in some(group)] for group in GROUPS}
    assert min(volume["DCM"]) > max(volume["NOR"] + volume["HCM"] + volume["RV"])
    wall = {group: [heart.wall for heart in some(group)] for group in GROUPS}
    assert min(wall["HCM"]) > 14 > 11 > max(wall["NOR"] + wall["DCM"] + wall["MINF"] + wall["RV"])
    assert min(heart.rv for heart in some("RV")) > 1.4 > max(heart.rv for heart in some("NOR"))


def test_a_scar_does_not_move_and_is_thinner():
    heart = replace(some("MINF", 1)[0], scar=1.0, shorten=0.0, oval=0.0)
    middle = np.array([heart.base(0) / 2])
    still, far = heart.scar_at, heart.scar_at + np.pi
    (at_rest, rest_wall), (squeezed, _) = (heart.radii(still, middle, e) for e in (0, 1))
    assert squeezed == pytest.approx(at_rest)
    assert heart.radii(far, middle, 1)[0] == pytest.approx((1 - heart.squeeze) * at_rest)
    inner, outer = heart.radii(far, middle, 0)
    assert rest_wall - at_rest < 0.75 * (outer - inner)


@pytest.mark.parametrize("frames", [2, 3, 8, 30])
def test_a_beat_starts_at_diastole_and_is_strongest_at_systole(frames):
    e = contraction(frames)
    assert e.shape == (frames,) and e[0] == 0 and e[end_systole(frames)] == pytest.approx(1)
    assert e.min() >= 0 and np.argmax(e) == end_systole(frames)
    assert (np.diff(e[: end_systole(frames) + 1]) > 0).all() and (np.diff(e[end_systole(frames) :]) < 0).all()


def test_one_frame_is_no_beat():
    with pytest.raises(ValueError, match="expected at least 2, ED and ES, found 1"):
        contraction(1)


def test_depths_of_simple_bodies():
    points = np.array([[0.0, 0, 0], [4, 0, 0], [0, 0, 9], [0, 7, 3]]).T
    np.testing.assert_allclose(ellipsoid(points, (0, 0, 0), (5, 5, 5)), [5, 1, -4, 5 - np.sqrt(58)])
    path = np.array([[0.0, 0, 0], [0, 0, 4], [0, 6, 4]])
    np.testing.assert_allclose(tube(points, path, 2.0), [2, -2, -3, 2 - np.sqrt(2)])


def test_the_apex_points_to_the_left_the_front_and_down():
    np.testing.assert_allclose(BODY @ BODY.T, np.eye(3), atol=2e-3)
    right, front, up = BODY[2]  # of the way from apex to base
    assert right > 0 > front and up > 0


def test_noise_and_tissues_are_those_of_the_contrasts():
    heart = some("NOR", 1)[0]
    grid, shape = short_axis(heart, 3.0, 12.0)
    labels = chests.labels(heart, 0, grid, shape)
    blood, right, muscle = masks(labels)
    for contrast in chests.CONTRASTS:
        random = np.random.default_rng(0)
        image = chests.scan(heart, np.zeros(1), contrast, grid, shape, random)[0]
        assert image.dtype == np.int16 and image.shape == shape
        assert np.median(image[blood]) > 1.3 * np.median(image[muscle])
        assert (image.min() < -700) == (contrast == "ct") and (contrast == "ct" or image.min() >= 0)
        assert np.median(image[right]) > np.median(image[muscle])  # blood, too
