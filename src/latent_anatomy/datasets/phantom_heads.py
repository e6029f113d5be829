"""Drawings of heads: a brain from tissue maps, inside skull, scalp, face and neck, as a scanner would see it.

The brain is the average of 152 people (ICBM152 2009a symmetric: Fonov et al., NeuroImage 54:313-327, 2011)
as nilearn ships it: grey and white matter as fractions at 1 mm, and a T1 average of the brain alone. What
lies around it is drawn from the distance to that brain and from ellipsoids, in the atlas' millimetres.
A `Head` says where each of its points lies in the atlas, in closed form, so that everything about it is
known exactly. All is computed in float64, so that after rounding the processor does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latent_anatomy.imaging import volume
from latent_anatomy.imaging.volume import Volume

Array = NDArray[np.float64]
Random = np.random.Generator

CONTRASTS = ("t1", "flair")
SIGNAL = {  # in T1 and in FLAIR; white matter in T1 is 1
    "white": (1.0, 0.56),
    "grey": (0.7, 0.74),
    "fluid": (0.28, 0.12),
    "bone": (0.1, 0.08),
    "marrow": (0.6, 0.35),
    "muscle": (0.48, 0.36),
    "fat": (1.2, 0.9),
    "eye": (0.25, 0.1),
    "air": (0.0, 0.0),
}
SPACE_MM = 2.5  # of fluid between brain and skull
CLOSING_MM = 20.0  # grooves of the brain narrower than twice this are bridged by the skull
CENTRE = np.array([0.0, -18.0, 0.0])  # of the brain, atlas mm: what sizes and rotations leave in place
VENTRICLES = np.array([0.0, -15.0, 12.0]), np.array([24.0, 32.0, 20.0])  # centre and reach, atlas mm
LIMBIC = ((38, 5, 0), (4, 10, 32), (25, -12, -20))  # insula, cingulum, medial temporal lobe; right side
LIMBIC_MM, LIMBIC_GAIN = 16.0, 0.25  # reach, and how much brighter FLAIR is there
LESION_MM3 = 150.0, 1.2  # volume: median, and standard deviation of its logarithm
NOISE = 0.022  # standard deviation in each channel of the receiver; white matter in T1 is 1
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

    centres  (L, 3) atlas mm            shapes      (L, 3, 3), a distance from the centre -> unit ball
    volumes  (L,) mm3 of the ellipsoid  brightness  (L,) signal in FLAIR     darkness  (L,) signal in T1
    """

    centres: Array
    shapes: Array
    volumes: Array
    brightness: Array
    darkness: Array

    @classmethod
    def draw(cls, random: Random, count: int) -> "Lesions":
        """Mostly beside the ventricles, volumes log-normal, elongated in any direction."""
        median, spread = LESION_MM3
        chosen = random.choice(len(atlas().lesion_odds), count, p=atlas().lesion_odds)
        centres = atlas().lesion_places[chosen] + random.uniform(-1, 1, (count, 3))
        volumes = median * np.exp(spread * random.standard_normal(count))
        lengths = np.exp(random.normal(0, 0.25, (count, 3)))
        radii = (volumes * 3 / (4 * np.pi * lengths.prod(axis=1)))[:, None] ** (1 / 3) * lengths
        turned = np.linalg.qr(random.standard_normal((count, 3, 3)))[0]
        brightness = random.uniform(0.8, 1.05, count)
        return cls(centres, turned / radii[:, :, None], volumes, brightness, random.uniform(0.55, 0.8, count))

    def __call__(self, points: Array) -> tuple[Array, Array, Array]:
        """Fraction (N,) of lesion at atlas `points`, and the FLAIR and T1 signal of that lesion."""
        fraction, bright, dark = np.zeros((3, len(points)))
        for centre, shape, volume_mm3, flair, t1 in zip(
            self.centres, self.shapes, self.volumes, self.brightness, self.darkness, strict=True
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


def ellipsoid(points: Array, centre: tuple, half_axes: tuple) -> Array:
    """About the depth (N,) in mm of `points` (D, N) below the surface of an ellipsoid; negative outside."""
    squares = [((p - c) / r) ** 2 for p, c, r in zip(points, centre, half_axes, strict=True)]
    return (1 - np.sqrt(sum(squares))) * min(half_axes)


def signal(head: Head, contrast: str, points: Array) -> tuple[Array, Array, Array]:
    """Signal, fraction of lesion and fraction of brain, (N,) each, at `points` (N, 3) of the atlas."""
    shade = {tissue: values[CONTRASTS.index(contrast)] for tissue, values in SIGNAL.items()}
    canvas = np.zeros(len(points))

    def paint(tissue: str, mask: Array) -> None:
        canvas[:] += (shade[tissue] - canvas) * mask

    _surroundings(head, points, paint)
    brain = atlas().brain(points)
    inner = np.flatnonzero(brain > 0)
    white, grey = (tissue(points[inner]) / 255 for tissue in (atlas().white, atlas().grey))
    lesion, bright, dark = head.lesions(points[inner])
    lesion *= soft((white - 0.6) * 10)  # an edge of some 2 mm: lesions end where white matter does
    fluid = 1 - white - grey
    if contrast == "flair":  # limbic cortex is brighter than other (Hirai et al., Radiology 215:470, 2000)
        grey *= 1 + LIMBIC_GAIN * _limbic(points[inner])
    tissue = white * shade["white"] + grey * shade["grey"] + fluid * shade["fluid"]
    tissue += lesion * ((bright if contrast == "flair" else dark) - tissue)
    canvas[inner] += (tissue - canvas[inner]) * brain[inner]
    fraction = np.zeros(len(points))
    fraction[inner] = lesion
    return canvas, fraction, brain


def _limbic(points: Array) -> Array:
    """How much (N,), 0 to 1, `points` of the atlas belong to the limbic lobe."""
    sides = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    squares = [(((sides - centre) / LIMBIC_MM) ** 2).sum(axis=1) for centre in np.array(LIMBIC)]
    return np.exp(-np.minimum.reduce(squares) / 2)


def _surroundings(head: Head, points: Array, paint: Callable[[str, Array], None]) -> None:
    """Paint everything but the brain, from the outside inwards."""
    x, y, z = place = np.ascontiguousarray(points.T)
    sides = np.stack([np.abs(x), y, z])  # one eye stands for both
    hull = atlas().from_hull(points)
    skull = SPACE_MM + head.skull - hull
    spine = np.hypot(x, y + 45 - 0.25 * (z + 70))  # distance to its axis: the neck leans forward, going up
    neck = np.minimum(ellipsoid((x, y - 0.25 * (z + 70)), (0, -38), (58, 62)), -40 - z)
    face = ellipsoid(place, (0, 38, -62), (62, 54, 66))
    nose = ellipsoid(place, (0, 90, -58), (12, 20, 20))
    outline = 5 * np.logaddexp.reduce([part / 5 for part in (skull + head.scalp, neck, face, nose)])
    paint("muscle", soft(outline))
    paint("fat", soft(outline) * soft(head.scalp - 1 - outline))
    paint("air", soft(ellipsoid(place, (0, 62, -58), (8, 30, 18))))  # nose
    paint("air", soft(ellipsoid(sides, (26, 56, -62), (13, 15, 14))))  # sinuses
    paint("air", soft(ellipsoid(place, (0, 14, -100), (10, 9, 45))))  # throat
    paint("fat", soft(ellipsoid(sides, (30, 52, -38), (18, 28, 17))))  # orbits
    paint("bone", soft(np.minimum(-64 - z, 18 - spine)))
    paint("marrow", soft(np.minimum(-68 - z, 14 - spine)))
    paint("bone", soft(skull))
    paint("marrow", soft(np.minimum(skull - 1.8, hull - SPACE_MM - 1.8)))
    paint("eye", soft(ellipsoid(sides, (32, 64, -38), (12, 12, 12))))
    paint("fluid", soft(SPACE_MM - atlas().from_brain(points)))
    paint("fluid", soft(np.minimum(-68 - z, 9 - spine)))
    paint("white", soft(np.minimum(-68 - z, 5.5 - spine)))  # the spinal cord


@dataclass(frozen=True)
class Scan:
    """What `scan` makes: the image (whole numbers 0 to 255), and exact masks on its grid."""

    image: Volume
    lesion: Volume
    brain: Volume


def scan(
    head: Head, contrast: str, to_head: Array, grid: Array, shape: tuple[int, int, int], random: Random
) -> Scan:
    """Put `head` into a scanner. `grid`: voxels -> scanner world, `to_head`: scanner world -> head, mm.

    Texture, a bias field of up to 30 %, a gain and Rician noise (Gudbjartsson & Patz, MRM 34:910, 1995).
    A voxel is lesion or brain where at least half of it is.
    """
    from scipy.ndimage import gaussian_filter

    points = head.on_grid(head.size @ to_head @ grid, shape)
    clean, lesion, brain = signal(head, contrast, points)
    texture = gaussian_filter(random.standard_normal(shape), 1.2)
    bias = Waves.draw(random, 5, (180, 400), 1.0, 1).on_grid(grid, shape)[:, 0]
    bias *= random.uniform(0.15, 0.3) / np.abs(bias[brain > 0]).max()
    clean *= (1 + 0.03 * texture.ravel() / texture.std()) * np.clip(1 + bias, 0.6, 1.4)
    noise = NOISE * random.standard_normal((2, len(clean)))
    magnitude = np.hypot(clean + noise[0], noise[1])
    gain = random.uniform(90, 140)
    image = np.clip(np.round(gain * magnitude), 0, 255)
    volumes = (
        Volume(v.reshape(shape).astype(np.float32), grid) for v in (image, lesion >= 0.5, brain >= 0.5)
    )
    return Scan(*volumes)
