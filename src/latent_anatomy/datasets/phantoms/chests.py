"""Drawings of chests: a beating heart (`hearts`) among lungs, liver, fat and bone, as it is imaged.

Cine MR and MR: magnitude images with a bias field. CT: Hounsfield units, blood with contrast agent, more of
it on the left. In all three other things are as bright as the blood of the left ventricle (the blood beside
it, the descending aorta; fat in MR, bone in CT), and papillary muscles lie in it, which are part of its mask.
All is computed in float64, so that after rounding the processor does not matter.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.datasets.phantoms.hearts import (
    BODY,
    PRECEDENCE,
    STRUCTURES,
    Array,
    Heart,
    Random,
    ellipsoid,
    tube,
)
from latent_anatomy.provenance.files import atomic_write

CONTRASTS = ("cine", "mr", "ct")
SIGNAL = {  # in cine MR (balanced SSFP), in MR (the same with dark muscle and fat) and in CT, HU
    "left": (1.0, 1.0, 360.0),
    "right": (0.94, 0.86, 240.0),
    "muscle": (0.4, 0.28, 105.0),
    "liver": (0.45, 0.5, 120.0),
    "stomach": (0.55, 0.35, 45.0),
    "fat": (0.9, 0.3, -90.0),
    "lung": (0.1, 0.06, -820.0),
    "bone": (0.55, 0.4, 280.0),
    "air": (0.0, 0.0, -1000.0),
}
VARIATION = 0.08  # of a tissue's signal between people: up to this fraction more or less
LEFT = ("left-ventricle", "left-atrium", "aorta")
NOISE = {"cine": 0.045, "mr": 0.035, "ct": 22.0}  # in each channel of the receiver; in HU
TEXTURE = 0.05  # standard deviation of smooth grain in MR, as a fraction of the signal
GRAIN_HU = 600.0  # what 1 of it becomes in CT
BIAS = (0.15, 0.3)  # of an MR image: largest deviation from 1
THROUGH = (-0.25, 0.25)  # where in its slice a voxel is sampled
REACH_MM = 18.0  # no part of the heart moves further outwards than this
DESCENDING = np.array([[-4.0, -72.0, -200.0], [-4.0, -72.0, 200.0]])  # aorta, body coordinates
GAIN = (70.0, 110.0)  # what signal 1 becomes in MR
COMPRESSION = 4  # noise: level 6 takes five times as long and saves nothing


def scan(
    heart: Heart, phases: Array, contrast: str, grid: Array, shape: tuple[int, int, int], random: Random
) -> NDArray[np.int16]:
    """Images (F, X, Y, Z) int16 of the contractions `phases` (F,).

    `grid` (4, 4) leads from voxels to coordinates of the heart; a voxel is the mean of two points along Z.
    """
    usual = np.array([values[CONTRASTS.index(contrast)] for values in SIGNAL.values()])
    shade = dict(zip(SIGNAL, usual * (1 + VARIATION * random.uniform(-1, 1, len(usual))), strict=True))
    images = np.zeros((len(phases), shape[2], shape[0] * shape[1]))
    for level in range(shape[2]):
        for offset in THROUGH:
            points = plane(grid, shape, level + offset)
            still = Canvas(np.full(points.shape[1], shade["air"]), shade, np.linalg.norm(grid[:3, 0]))
            resting = heart.depths(points, 0)["heart"]
            _surroundings(still, heart, points, resting)
            near = np.flatnonzero(resting > -REACH_MM)
            moving = np.ascontiguousarray(points[:, near])
            for image, e in zip(images, phases, strict=True):
                canvas = Canvas(still.signal[near], shade, still.edge)
                _heart(canvas, heart.depths(moving, e))
                shown = still.signal.copy()
                shown[near] = canvas.signal
                image[level] += shown / len(THROUGH)
    return _received(np.moveaxis(images, 1, 2).reshape(len(phases), *shape), contrast, random)


def labels(heart: Heart, e: float, grid: Array, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(X, Y, Z) 0, or 1 + place in STRUCTURES of what the centre of a voxel lies in; grid as in `scan`."""
    values = np.zeros((shape[2], shape[0] * shape[1]), np.uint8)
    for level in range(shape[2]):
        depths = heart.depths(plane(grid, shape, level), e)
        for number, name in enumerate(STRUCTURES, start=1):
            values[level][depths[name] > 0] = number
    return np.ascontiguousarray(values.T).reshape(shape)


def plane(grid: Array, shape: tuple[int, int, int], level: float) -> Array:
    """(3, X * Y) points of the heart at the voxels of one slice, or between slices."""
    x, y = np.indices(shape[:2]).reshape(2, -1)
    return grid[:3] @ np.stack([x, y, np.full(len(x), level), np.ones(len(x))])


@dataclass(eq=False)
class Canvas:
    """Signal (N,) of points, painted over; an edge is as soft as `edge` mm, the width of a voxel."""

    signal: Array
    shade: dict[str, float]
    edge: float

    def paint(self, tissue: str, depth: Array) -> None:
        self.signal += (self.shade[tissue] - self.signal) * np.clip(depth / self.edge + 0.5, 0, 1)


def _surroundings(canvas: Canvas, heart: Heart, points: Array, resting: Array) -> None:
    """Everything but the heart; does not move. `resting` (N,): depth below the surface of the heart at ED."""
    centre = np.array([-15.0, 0.0, 0.6 * heart.base(0)])
    x, y, z = place = BODY.T @ (points - centre[:, None])
    chest = ellipsoid((x, y), (25, -45), (130, 98))
    ribs = np.minimum(7 - np.abs((z + 0.5 * y) % 30 - 15), 4 - np.abs(chest + 8))
    for tissue, depth in (
        ("fat", chest + 30),
        ("muscle", chest + 16),
        ("bone", ribs),
        ("lung", chest),
        ("liver", np.minimum(ellipsoid(place, (60, -30, -122), (105, 90, 85)), chest)),
        ("stomach", np.minimum(ellipsoid(place, (-75, -40, -116), (62, 70, 72)), chest)),
        ("muscle", ellipsoid((x, y), (25, -100), (42, 34))),
        ("bone", ellipsoid((x, y), (25, -98), (21, 18))),
        ("left", tube(place, DESCENDING, 11.0)),
        ("fat", np.minimum(resting + heart.fat * (1.2 + np.sin(x / 19) * np.cos(z / 23)), chest + 2)),
    ):
        canvas.paint(tissue, depth)


def _heart(canvas: Canvas, depths: dict[str, Array]) -> None:
    canvas.paint("muscle", depths["heart"])
    for name in ("left-ventricle", *PRECEDENCE):
        canvas.paint("left" if name in LEFT else "right", depths[name])
    canvas.paint("muscle", depths["papillary"])


def _received(images: Array, contrast: str, random: Random) -> NDArray[np.int16]:
    """Texture, bias field, noise and gain over clean images (F, X, Y, Z); the bias is the same in all frames.

    Rician noise in MR (Gudbjartsson & Patz, MRM 34:910, 1995), Gaussian in CT.
    """
    from scipy.ndimage import gaussian_filter

    grain = gaussian_filter(random.standard_normal(images.shape[1:]), (1.5, 1.5, 0.7))
    grain *= TEXTURE / grain.std()
    if contrast == "ct":
        noise = NOISE["ct"] * random.standard_normal(images.shape)
        return np.round(images + GRAIN_HU * grain + noise).astype(np.int16)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in images.shape[1:]), indexing="ij")
    bias = sum(random.uniform(-1, 1) * axis + random.uniform(-0.5, 0.5) * axis**2 for axis in axes)
    bias *= random.uniform(*BIAS) / np.abs(bias).max()
    clean = images * (1 + grain) * (1 + bias)
    noise = NOISE[contrast] * random.standard_normal((2, *images.shape))
    return np.round(random.uniform(*GAIN) * np.hypot(clean + noise[0], noise[1])).astype(np.int16)


def write(path: Path, values: NDArray, spacing_mm: tuple[float, ...]) -> None:
    """Write `path` (.nii.gz) atomically: an image of three or four dimensions; equal values, equal bytes.

    `spacing_mm` of as many numbers, the fourth in seconds.
    """
    import nibabel

    affine = np.diag([*spacing_mm[:3], 1.0])
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_zooms(spacing_mm)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    with (
        atomic_write(path) as temporary,
        temporary.open("wb") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=stream, mtime=0) as packed,
    ):
        packed.write(image.to_bytes())
