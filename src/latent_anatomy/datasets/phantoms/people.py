"""Whom the phantom heads belong to: an average brain, and how each person differs from it.

The brain is the average of 152 people (ICBM152 2009a symmetric: Fonov et al., NeuroImage 54:313-327, 2011)
as nilearn ships it: grey and white matter as fractions at 1 mm, and a T1 average of the brain alone. A `Head`
says where each of its points lies in the atlas, in closed form, so that everything about it is known exactly.
All is computed in float64, so that after rounding the processor does not matter.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.imaging import volume

Array = NDArray[np.float64]
Random = np.random.Generator

CLOSING_MM = 20.0  # grooves of the brain narrower than twice this are bridged by the skull
CENTRE = np.array([0.0, -18.0, 0.0])  # of the brain, atlas mm: what sizes and rotations leave in place
VENTRICLES = np.array([0.0, -15.0, 12.0]), np.array([24.0, 32.0, 20.0])  # centre and reach, atlas mm
LESION_MM3 = 150.0, 1.2  # volume: median, and standard deviation of its logarithm
EDGE_MM = 0.6  # half-width of a soft edge


@dataclass(frozen=True, eq=False)
class Map:
    """Values (X, Y, Z) over the world, linear between voxels, beyond its edge as at the edge."""

    values: np.ndarray
    affine: Array

    def __call__(self, points: Array) -> Array:
        """(N,) values at world `points` (N, 3)."""
        from scipy.ndimage import map_coordinates  # slow to load, and only drawing needs it

        voxels = move(np.linalg.inv(self.affine), points).T
        return map_coordinates(self.values, voxels, np.float64, order=1, mode="nearest")


@dataclass(frozen=True, eq=False)
class Atlas:
    """The average brain; distances in mm, 0 inside.

    white, grey    fractions, 0..255 for 0..1      brain     0 or 1
    from_brain     distance to the brain           from_hull distance to the brain with its grooves bridged
    lesion_places  (P, 3) points in white matter   lesion_odds  (P,) their probabilities
    """

    white: Map
    grey: Map
    brain: Map
    from_brain: Map
    from_hull: Map
    lesion_places: Array
    lesion_odds: Array


@cache
def atlas() -> Atlas:
    """The tissue maps of the installed nilearn (not imported), and what follows from them."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from scipy.spatial import KDTree

    package = find_spec("nilearn")
    if package is None:
        raise ModuleNotFoundError("expected the package nilearn, which has the tissue maps: install it")
    folder = Path(package.origin).parent / "datasets" / "data"
    names = {"brain": "t1", "grey": "gm", "white": "wm"}
    read = {
        key: volume.read(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        for key, name in names.items()
    }
    # Nothing beyond the edge: the brain stem is cut by the lowest plane, and would go on as at the edge.
    affine = read["brain"].affine.copy()
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    padded = {key: np.pad(image.values, 1) for key, image in read.items()}
    padded["brain"] = padded["brain"] > 0
    maps = {key: Map(values.astype(np.uint8), affine) for key, values in padded.items()}

    # Distances need no finer grid than 2 mm, but room around the brain.
    step, margin = 2.0, 30
    coarse = affine @ np.diag([step, step, step, 1])
    coarse[:3, 3] -= margin * step
    inside = np.pad(padded["brain"][::2, ::2, ::2], margin)
    from_brain = distance_transform_edt(~inside) * step
    hull = distance_transform_edt(from_brain <= CLOSING_MM) * step > CLOSING_MM
    from_hull = gaussian_filter(distance_transform_edt(~hull) * step, 1.5)
    white, grey = (np.pad(maps[key].values[::2, ::2, ::2] / 255.0, margin) for key in ("white", "grey"))
    fluid = move(coarse, np.argwhere(inside & (white + grey < 0.3)))
    ventricles = fluid[(np.abs(fluid - VENTRICLES[0]) < 1.3 * VENTRICLES[1]).all(axis=1)]
    places = move(coarse, np.argwhere(white > 0.8))
    odds = np.exp(-KDTree(ventricles).query(places)[0] / 7) + 0.005
    return Atlas(
        **maps,
        from_brain=Map(gaussian_filter(from_brain, 0.5), coarse),
        from_hull=Map(from_hull, coarse),
        lesion_places=places,
        lesion_odds=odds / odds.sum(),
    )


def move(affine: Array, points: Array) -> Array:
    """`points` (N, 3) under a 4 x 4 matrix."""
    return points @ affine[:3, :3].T + affine[:3, 3]


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field of C channels: M plane waves with vectors (M, 3) in rad/mm."""

    vectors: Array
    phases: Array
    amplitudes: Array

    @classmethod
    def draw(cls, random: Random, count: int, lengths_mm: tuple, strength: float, channels: int) -> "Waves":
        """Waves of random direction whose sum has about the root mean square `strength` in each channel."""
        direction = random.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        vectors = direction * (2 * np.pi / random.uniform(*lengths_mm, (count, 1)))
        amplitudes = random.standard_normal((count, channels)) * strength * np.sqrt(2 / count)
        return cls(vectors, random.uniform(0, 2 * np.pi, count), amplitudes)

    def __add__(self, other: "Waves") -> "Waves":
        parts = ("vectors", "phases", "amplitudes")
        return Waves(*(np.concatenate([getattr(self, part), getattr(other, part)]) for part in parts))

    def __call__(self, points: Array) -> Array:
        """(N, C) at `points` (N, 3)."""
        return np.sin(points @ self.vectors.T + self.phases) @ self.amplitudes

    def on_grid(self, affine: Array, shape: tuple[int, int, int]) -> Array:
        """(N, C) at all voxels of a grid, faster: there, a plane wave is a product over the axes."""
        steps, start = self.vectors @ affine[:3, :3], self.phases + self.vectors @ affine[:3, 3]
        x, y, z = (np.exp(1j * np.outer(np.arange(n), step)) for n, step in zip(shape, steps.T, strict=True))
        plane = (x[:, None] * y * np.exp(1j * start)).reshape(-1, len(start))
        return np.stack([((plane * weights) @ z.T).imag.ravel() for weights in self.amplitudes.T], axis=1)


@dataclass(frozen=True, eq=False)
class Lesions:
    """Ellipsoids of white matter that is bright in FLAIR and dark in T1.

    centres     (L, 3) atlas mm         shapes       (L, 3, 3), a distance from the centre -> unit ball
    brightness  (L,) signal in FLAIR    darkness     (L,) signal in T1    volumes_mm3  (L,)
    """

    centres: Array
    shapes: Array
    volumes_mm3: Array
    brightness: Array
    darkness: Array

    @classmethod
    def draw(cls, random: Random, count: int) -> "Lesions":
        """Mostly beside the ventricles, volumes log-normal, elongated in any direction."""
        median, spread = LESION_MM3
        chosen = random.choice(len(atlas().lesion_odds), count, p=atlas().lesion_odds)
        centres = atlas().lesion_places[chosen] + random.uniform(-1, 1, (count, 3))
        volumes_mm3 = median * np.exp(spread * random.standard_normal(count))
        lengths = np.exp(random.normal(0, 0.25, (count, 3)))
        radii = (volumes_mm3 * 3 / (4 * np.pi * lengths.prod(axis=1)))[:, None] ** (1 / 3) * lengths
        turned = np.linalg.qr(random.standard_normal((count, 3, 3)))[0]
        brightness, darkness = random.uniform(0.8, 1.05, count), random.uniform(0.55, 0.8, count)
        return cls(centres, turned / radii[:, :, None], volumes_mm3, brightness, darkness)

    def __call__(self, points: Array) -> tuple[Array, Array, Array]:
        """Fraction (N,) of lesion at atlas `points`, and the FLAIR and T1 signal of that lesion."""
        fraction, bright, dark = np.zeros((3, len(points)))
        for centre, shape, volume_mm3, flair, t1 in zip(
            self.centres, self.shapes, self.volumes_mm3, self.brightness, self.darkness, strict=True
        ):
            radius = np.cbrt(volume_mm3 * 3 / (4 * np.pi))
            near = np.flatnonzero((np.abs(points - centre) < 3 * radius + 3).all(axis=1))
            depth = (1 - np.linalg.norm((points[near] - centre) @ shape.T, axis=1)) * radius
            here = soft(depth)
            densest = here > fraction[near]
            fraction[near[densest]] = here[densest]
            bright[near[densest]], dark[near[densest]] = flair, t1
        return fraction, bright, dark


@dataclass(frozen=True, eq=False)
class Head:
    """One person. Lengths in mm; `size` (4, 4) takes head to atlas coordinates but for the deformation."""

    size: Array
    folds: Waves
    ventricles: float
    skull: float
    scalp: float
    lesions: Lesions

    @classmethod
    def draw(cls, random: Random, lesions: int) -> "Head":
        scale = random.uniform(0.96, 1.08) * random.uniform(0.97, 1.03, 3)
        size = np.diag([*scale, 1.0])
        size[:3, 3] = CENTRE - scale * CENTRE
        return cls(
            size,
            folds=Waves.draw(random, 12, (110, 220), 1.0, 3) + Waves.draw(random, 16, (35, 60), 0.45, 3),
            ventricles=random.uniform(-0.22, 0.28),
            skull=random.uniform(5, 8),
            scalp=random.uniform(5, 9),
            lesions=Lesions.draw(random, lesions),
        )

    def deform(self, points: Array) -> Array:
        """Where in the atlas lies what the affine `size` takes to `points` (N, 3)."""
        return points + self.folds(points) + self._widening(points)

    def on_grid(self, affine: Array, shape: tuple[int, int, int]) -> Array:
        """(N, 3) of `deform`, faster, at all voxels of a grid. `affine`: voxels -> `size` of the head."""
        points = move(affine, np.indices(shape).reshape(3, -1).T)
        return points + self.folds.on_grid(affine, shape) + self._widening(points)

    def _widening(self, points: Array) -> Array:
        """Larger ventricles: points of the head lie nearer to the centre of the atlas' ventricles."""
        centre, reach = VENTRICLES
        offset = points - centre
        x, y, z = (offset / reach).T
        return -self.ventricles * np.exp(-(x**2 + y**2 + z**2) / 2)[:, None] * offset


def soft(depth: Array) -> Array:
    """A step from 0 to 1 where `depth` (mm) is 0."""
    return 0.5 + 0.5 * np.tanh(depth / (2 * EDGE_MM))
