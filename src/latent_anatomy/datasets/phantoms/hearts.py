"""Whom the phantom hearts belong to: seven structures in closed form, which beat, in five groups.

Coordinates are those of the heart in mm: the apex of its surface is the origin and stays where it is, w runs
along the axis of the left ventricle to its base, u from the right to the left ventricle, v to the front wall:
a short-axis view has u to the right and v up. `BODY` leads from there to the chest.

The left ventricle (LV) in polar coordinates (rho, theta) about w, where x runs from the apex of its cavity
(0) to its base (1), and the wall's own apex is `wall` lower:

    cavity at ED   rho^2 = (a shape(theta))^2 (1 - (1 - x)^3)
    beating        a point of it moves to (1 - squeeze(theta) e) rho, (1 - shorten e) w, e = 0 (ED) .. 1 (ES)
    wall           keeps its volume at every theta and w: muscle is incompressible

shape and squeeze are trigonometric polynomials, so that the volume has a closed form: see `Heart.volume_ml`.
What lies around yields to the LV: right ventricle and atria, aorta and pulmonary artery are ellipsoids and
tubes, less whatever comes before them in `PRECEDENCE`.
"""

from dataclasses import dataclass

import numpy as np

from latent_anatomy.datasets.phantoms.solids import Array, ellipsoid, tube

Random = np.random.Generator

STRUCTURES = (
    "left-ventricle",
    "right-ventricle",
    "left-atrium",
    "right-atrium",
    "myocardium",
    "aorta",
    "pulmonary-artery",
)
PRECEDENCE = ("aorta", "pulmonary-artery", "right-ventricle", "left-atrium", "right-atrium")
WALL_MM = {
    "aorta": 1.5,
    "pulmonary-artery": 1.5,
    "right-ventricle": 3.0,
    "left-atrium": 2.0,
    "right-atrium": 2.0,
}
# u, v, w in the body's directions right, front, up: the apex points to the left, the front and down.
BODY = np.array([[-0.735, -0.678, 0.0], [-0.303, 0.328, 0.895], [0.607, -0.658, 0.446]])

# Ranges from which a person is drawn. LV at ED in ml; wall at ED in mm; shortening of radii and of the axis
# to ES, as fractions; how far the septum bulges and a scar reaches, as fractions; RV against a healthy one.
GROUPS = {
    "NOR": {"ml": (105, 155), "wall": (8, 10), "squeeze": (0.29, 0.34)},
    "DCM": {"ml": (220, 290), "wall": (7, 9), "squeeze": (0.07, 0.13), "shorten": (0.03, 0.06)},
    "HCM": {"ml": (95, 130), "wall": (14.5, 17), "squeeze": (0.36, 0.42), "bulge": (0.1, 0.35)},
    "MINF": {
        "ml": (150, 200),
        "wall": (8, 10),
        "squeeze": (0.24, 0.29),
        "shorten": (0.07, 0.1),
        "scar": (0.9, 1.0),
    },
    "RV": {"ml": (95, 140), "wall": (8, 10), "squeeze": (0.27, 0.33), "rv": (1.5, 1.8)},
}
USUAL = {
    "shorten": (0.12, 0.17),
    "bulge": (0.0, 0.05),
    "scar": (0.0, 0.0),
    "rv": (0.9, 1.1),
    "fat": (1.0, 5.0),
}
DILATED = 1.3  # from this size on
THINNED = 0.4  # of a scar's wall is gone
ANGLES = 2 * np.pi * np.arange(32) / 32  # enough for an exact mean of polynomials to the 31st degree


@dataclass(frozen=True, eq=False)
class Heart:
    """One person's heart. Lengths in mm at ED, angles from u towards v.

    ml       volume of the cavity of the LV     length   of that cavity, apex to base
    wall     thickness at the base, plain       squeeze  shortening of healthy radii to ES, a fraction
    shorten  of the long axis to ES             oval     of the cavity, across u if negative
    bulge    how much thicker the septum is     scar, scar_at   1 where the wall does not move, and where
    rv       size of the right ventricle against a healthy one        fat   around the heart, plain
    """

    ml: float
    length: float
    wall: float
    squeeze: float
    shorten: float
    oval: float
    bulge: float
    scar: float
    scar_at: float
    rv: float
    fat: float

    @classmethod
    def draw(cls, random: Random, group: str) -> "Heart":
        """A person of one of GROUPS."""
        drawn = {name: random.uniform(*limits) for name, limits in (USUAL | GROUPS[group]).items()}
        length = 74 * (drawn["ml"] / 140) ** 0.2 * random.uniform(0.95, 1.05)  # large ones are rounder
        oval = random.uniform(-0.04, 0.04) - 0.08 * (group == "RV")
        return cls(length=length, oval=oval, scar_at=random.uniform(-np.pi, np.pi), **drawn)

    def volume_ml(self, e: float) -> float:
        """Of the LV's cavity, papillary muscles included, when contracted by `e`; exact.

        pi length (1 - shorten e) a^2 mean((shape (1 - squeeze e))^2) int_0^1 1 - (1 - x)^3 dx.
        """
        left = (self._shape(ANGLES) * (1 - self._squeeze(ANGLES) * e)) ** 2
        return self.ml * (1 - self.shorten * e) * left.mean() / (self._shape(ANGLES) ** 2).mean()

    @property
    def ejection(self) -> float:
        """The ejection fraction of the LV."""
        return 1 - self.volume_ml(1) / self.ml

    @property
    def radius(self) -> float:
        """a: of the cavity at its base at ED, if it were round."""
        area = 1000 * self.ml / (0.75 * self.length)
        return float(np.sqrt(area / (np.pi * (self._shape(ANGLES) ** 2).mean())))

    def base(self, e: float) -> float:
        """w of the LV's base."""
        return (1 - self.shorten * e) * (self.wall + self.length)

    def _shape(self, theta: Array) -> Array:
        return 1 + self.oval * np.cos(2 * theta)

    def _scarred(self, theta: Array) -> Array | float:
        return self.scar * _lobe(theta - self.scar_at) if self.scar else 0.0

    def _squeeze(self, theta: Array) -> Array | float:
        return self.squeeze * (1 - self._scarred(theta))

    def radii(self, theta: Array, w: Array, e: float) -> tuple[Array, Array]:
        """Of the cavity and of the wall around it, at the angles and levels given; 0 beyond their apex."""
        level = w / (1 - self.shorten * e)
        inner, outer = (
            np.clip(_rise(x), 0, 1)
            for x in ((level - self.wall) / self.length, level / (self.wall + self.length))
        )
        cavity = self.radius * self._shape(theta)
        wall = self.wall * (1 + self.bulge * _lobe(theta - np.pi)) * (1 - THINNED * self._scarred(theta))
        muscle = (cavity + wall) ** 2 * outer - cavity**2 * inner
        squared = (cavity * (1 - self._squeeze(theta) * e)) ** 2 * inner
        return np.sqrt(squared), np.sqrt(squared + muscle / (1 - self.shorten * e))

    def depths(self, points: Array, e: float) -> dict[str, Array]:
        """Name -> (N,) about how many mm `points` (3, N) lie below the surface of it; negative outside.

        STRUCTURES, which do not overlap; "papillary", two muscles inside of the left ventricle; "heart", of
        all with their walls.
        """
        u, v, w = points
        base, theta, rho = self.base(e), np.arctan2(v, u), np.hypot(u, v)
        endo, epi = self.radii(theta, w, e)
        cut = base - w
        inside, whole = np.minimum(endo - rho, cut), np.minimum(epi - rho, cut)
        depths = {"left-ventricle": inside, "myocardium": np.minimum(whole, -inside)}
        depths["papillary"] = np.minimum(self._papillary(points, e), inside - 1)
        taken = whole
        for name, depth in self._others(points, e).items():
            depths[name] = np.minimum(depth, -taken)
            taken = np.maximum(taken, depth + WALL_MM[name])
        return depths | {"heart": taken}

    def _papillary(self, points: Array, e: float) -> Array:
        middle, long = 0.5 * self.base(e), 0.22 * self.length
        both = []
        for theta in (np.radians(50.0), np.radians(-70.0)):
            reach = 0.68 * self.radii(theta, middle, e)[0]
            centre = (reach * np.cos(theta), reach * np.sin(theta), middle)
            both.append(ellipsoid(points, centre, (0.2 * self.radius, 0.2 * self.radius, long)))
        return np.maximum(*both)

    def _others(self, points: Array, e: float) -> dict[str, Array]:
        """What lies around the LV, in the order of PRECEDENCE and without regard to it."""
        _, v, w = points
        base, size = self.base(e), self.rv ** (1 / 2)
        septum = self.radii(np.pi, 0.9 * base, e)[1]
        roots = {
            "aorta": (-0.45 * septum, 0.3 * septum, base),
            "pulmonary-artery": (-0.9 * septum, 0.5 * septum + 8, base),
        }
        tubes = {
            name: tube(points, root + np.array(PATHS[name]) @ BODY.T, RADII[name])
            for name, root in roots.items()
        }
        atrium = 1 + 0.08 * e
        left = ellipsoid(points, (4, -10, base + 18), (27 * atrium, 23 * atrium, 21 * atrium))
        right = ellipsoid(points, (-septum - 14 * size, -12, base + 14), (22 * size, 24 * size, 22 * size))
        plane = base + 4 + 0.25 * v - w  # between the right ventricle and its atrium
        others = {
            **tubes,
            "right-ventricle": np.minimum(self._right(points, e), plane),
            "left-atrium": np.minimum(left, w - base - 2),
            "right-atrium": np.minimum(right, -plane - 2),
        }
        return {name: others[name] for name in PRECEDENCE}

    def _right(self, points: Array, e: float) -> Array:
        """The right ventricle, as if it went on inside of the LV: an ellipse at every level."""
        u, v, w = points
        level = (w / self.base(e) - 0.1) / 0.9
        tip, level = 0.9 * self.base(e) * (level - 0.05), np.clip(level, 0.05, 1)
        profile = np.sqrt(_rise(level))
        pump = e * (0.2 if self.rv < DILATED else 0.05)  # a dilated one pumps weakly
        septum = self.radii(np.pi, w, e)[1]
        wide = (septum + 27 * self.rv * (1 - pump) * profile) / 2
        high = 35 * self.rv**0.35 * (1 - 0.35 * pump) * profile
        return np.minimum((1 - np.hypot((u + wide) / wide, v / high)) * np.minimum(wide, high), tip)


# Of the tubes: offsets from their roots in the body's directions right, front, up, and radii.
PATHS = {
    "aorta": ((0, 0, -4), (10, 6, 34), (4, -8, 62)),
    "pulmonary-artery": ((2, 3, 10), (-14, -10, 26), (-24, -44, 36)),
}
RADII = {"aorta": 13.5, "pulmonary-artery": 13.0}


def contraction(frames: int) -> Array:
    """e (frames,) over one beat: 0 in the first frame (ED), 1 in that of `end_systole`."""
    end = end_systole(frames)
    frame = np.arange(frames)
    falling, rising = frame / end, (frame - end) / (frames - end)
    return 0.5 - 0.5 * np.cos(np.pi * np.where(frame <= end, falling, 1 + rising))


def end_systole(frames: int) -> int:
    """Place of the ES frame, from 0; ValueError for fewer than two frames."""
    if frames < 2:
        raise ValueError(f"frames: expected at least 2, ED and ES, found {frames}: draw more")
    return max(1, round(0.36 * frames))


def _rise(x: Array) -> Array:
    """1 - (1 - x)^3: from the apex, 0, to the base, 1, of area over the length 3/4."""
    rest = 1 - x
    return 1 - rest * rest * rest


def _lobe(theta: Array) -> Array:
    """1 at 0, 0 opposite, smooth: a trigonometric polynomial of degree 2, near a sector of 150 degrees."""
    return (0.5 + 0.5 * np.cos(theta)) ** 2
