"""Pictures show the right planes at the right size and the right way round: the same bytes every time."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from latent_anatomy.imaging import pictures
from latent_anatomy.imaging.pictures import BLUE, GAP, ORANGE, TITLE
from latent_anatomy.imaging.volume import Volume
from latent_anatomy.provenance import formats

SPACING = (1.0, 2.0, 4.0)
SHAPE = (120, 80, 30)


def volume(values, spacing=SPACING) -> Volume:
    return Volume(np.asarray(values, np.float32), np.diag([*spacing, 1.0]))


def ball(centre=(0.5, 0.5, 0.5), radius_mm=40.0, shape=SHAPE, spacing=SPACING) -> Volume:
    grids = np.meshgrid(*(np.arange(length) for length in shape), indexing="ij")
    away = sum(
        ((grid - part * length) * step) ** 2
        for grid, part, length, step in zip(grids, centre, shape, spacing, strict=True)
    )
    return volume(away < radius_mm**2, spacing)


def head() -> Volume:
    """A bright ball in noise."""
    noise = np.random.default_rng(0).normal(0, 5, SHAPE)
    return volume(100 * ball().values + np.abs(noise))


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def coloured(picture: bytes, colour) -> np.ndarray:
    """Where a picture has a colour, up to what its palette rounds; its line of text left out."""
    near = np.abs(pixels(picture) - colour).max(axis=-1) <= 16
    near[:TITLE] = False
    return near


def planes(picture: np.ndarray) -> list[np.ndarray]:
    """The three planes of a picture of one strip, of a field of view of 120 x 160 x 120 mm."""
    width = picture.shape[1] - 2 * GAP
    ends = np.cumsum([round(width * part / 400) for part in (120, 120, 160)])
    starts = [0, ends[0] + GAP, ends[1] + 2 * GAP]
    return [
        picture[TITLE:, start : start + size]
        for start, size in zip(starts, np.diff(ends, prepend=0), strict=True)
    ]


def test_pictures_are_the_same_bytes_every_time_and_say_nothing_else():
    mask = ball()
    for make in (
        lambda: pictures.outline(head(), mask, ball(radius_mm=45)),
        lambda: pictures.checkerboard(head(), head(), mask),
        lambda: pictures.before_after(head(), head()),
    ):
        picture = make()
        assert picture == make()
        assert not {kind for kind, _ in formats._png_chunks(picture)} & {b"tEXt", b"iTXt", b"zTXt", b"tIME"}
        assert len(picture) < 200_000


def test_voxels_are_drawn_at_their_size():
    """A ball is round in every plane although the voxels are 1 x 2 x 4 mm."""
    for plane in planes(coloured(pictures.outline(head(), ball()), ORANGE)):
        rows, columns = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
        height, width = np.ptp(rows), np.ptp(columns)
        assert height == pytest.approx(width, rel=0.08)
        assert width == pytest.approx(80 * (pictures.WIDTH - 2 * GAP) / 400, rel=0.08)


@pytest.mark.parametrize(
    ("axis", "plane", "towards"),
    [(0, 0, "right"), (0, 1, "right"), (1, 0, "up"), (1, 2, "right"), (2, 1, "up"), (2, 2, "up")],
)
def test_the_axes_run_to_the_right_and_upwards(axis, plane, towards):
    """Rightwards, forwards and upwards in the head (RAS+) are rightwards or upwards in the picture."""
    spot = np.zeros(SHAPE)
    near = [slice(length // 3, 2 * length // 3) for length in SHAPE]
    near[axis] = slice(int(0.7 * SHAPE[axis]), int(0.9 * SHAPE[axis]))
    spot[tuple(near)] = 1
    whole = volume(np.ones(SHAPE))  # its centre is the middle
    bright = pixels(pictures.outline(volume(spot + 0.001), whole)).min(-1) > 200
    shown = planes(bright)[plane]
    rows, columns = np.nonzero(shown[30:])
    height, width = shown[30:].shape
    if towards == "right":
        assert np.median(columns) > 0.6 * width
    else:
        assert np.median(rows) < 0.4 * height


def test_mask_and_reference_have_their_colours_and_an_empty_mask_is_said():
    alone = pictures.outline(head(), ball())
    both = pictures.outline(head(), ball(), ball(radius_mm=50))
    assert coloured(alone, ORANGE).any() and not coloured(alone, BLUE).any()
    for plane in planes(coloured(both, BLUE)):
        assert plane.any()
    empty = volume(np.zeros(SHAPE))
    nothing, full = pictures.outline(head(), empty), pictures.outline(head(), ball())
    assert not coloured(nothing, ORANGE).any()
    assert (pixels(nothing)[:TITLE] != pixels(full)[:TITLE]).any()


def test_where_mask_and_reference_agree_both_are_seen():
    agreed = pictures.outline(head(), ball(), ball())
    assert coloured(agreed, ORANGE).any() and coloured(agreed, BLUE).any()


def test_the_checkerboard_shows_the_image_and_the_tinted_atlas():
    flat = volume(np.full(SHAPE, 7.0))
    board = pixels(pictures.checkerboard(flat, flat, ball()))
    lower = board[board.shape[0] // 2 + TITLE + 20 :]
    grey = (np.ptp(lower, axis=-1) == 0) & (lower.max(-1) > 60)
    tinted = lower[..., 0] > lower[..., 2] + 20
    assert 0.5 < grey.sum() / tinted.sum() < 2
    assert coloured(pictures.checkerboard(flat, flat, ball()), ORANGE)[: len(board) // 2].any()


def test_grey_values_do_not_depend_on_the_scale_of_the_intensities():
    one, other = head(), head()
    other = replace(other, values=other.values * np.float32(64))
    np.testing.assert_array_equal(
        pixels(pictures.outline(one, ball())), pixels(pictures.outline(other, ball()))
    )


@pytest.mark.parametrize("constant", [0.0, 5.0, -5.0])
def test_a_constant_volume_is_drawn(constant):
    flat = volume(np.full(SHAPE, constant))
    assert pictures.before_after(flat, head()) != pictures.before_after(head(), head())


def test_other_grids_are_refused():
    small = ball(shape=(60, 80, 30))
    for make in (
        lambda: pictures.outline(head(), small),
        lambda: pictures.outline(head(), ball(), small),
        lambda: pictures.checkerboard(head(), small, ball()),
        lambda: pictures.checkerboard(head(), head(), small),
        lambda: pictures.before_after(head(), small),
    ):
        with pytest.raises(ValueError, match="expected volumes on one grid"):
            make()
