"""Drawings of heads: a brain from tissue maps, inside skull, scalp, face and neck, as a scanner would see it.

The brain comes from the atlas, bent for each person (`people`). What lies around it is drawn from the
distance to that brain and from ellipsoids, in the atlas' millimetres.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from latent_anatomy.datasets.phantoms.people import Array, Head, Random, Waves, atlas, soft
from latent_anatomy.datasets.phantoms.solids import ellipsoid
from latent_anatomy.imaging.volume import Volume

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
LIMBIC = ((38, 5, 0), (4, 10, 32), (25, -12, -20))  # insula, cingulum, medial temporal lobe; right side
LIMBIC_MM, LIMBIC_GAIN = 16.0, 0.25  # reach, and how much brighter FLAIR is there
NOISE = 0.022  # standard deviation in each channel of the receiver; white matter in T1 is 1


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
