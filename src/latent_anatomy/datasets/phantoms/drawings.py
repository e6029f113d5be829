"""Drawings of what the five MedMNIST sets show, one function for each: `draw(label, random, square)`.

A drawing is (size, size, C) float64, about [0, 1], C = 1 or 3, on a square from -1 to 1 with y downwards.
What tells the classes apart is drawn (nuclei and granules, outline and shadow of a lesion, its colours and
parts, opacities in a lung, number and kind of retinal dots). What does not is drawn at random for every
class alike: position, size, rotation and surroundings. Edges are soft, so that a corruption can be seen
and undone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EDGE = 0.06  # width of a soft edge; an image spans -1 to 1, so one of 28 pixels is 0.07 wide
COARSE = 28  # pixels a side at which the width of a `cloud` is counted in pixels

Random = np.random.Generator


@dataclass(frozen=True)
class Square:
    """What is drawn on: `size` x `size` pixels from -1 to 1."""

    size: int

    @cached_property
    def _axes(self) -> list[np.ndarray]:
        return np.meshgrid(*(2 * [(np.arange(self.size) + 0.5) / self.size * 2 - 1]), indexing="ij")

    @property
    def y(self) -> np.ndarray:
        return self._axes[0]

    @property
    def x(self) -> np.ndarray:
        return self._axes[1]

    def blank(self, *colour: float) -> np.ndarray:
        """A canvas (size, size, C) of one colour."""
        return np.full((self.size, self.size, len(colour)), colour)

    def ellipse(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        angle: float = 0.0,
        wave: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """Soft mask (size, size) in [0, 1] of an ellipse with these half axes; `wave` shifts its outline."""
        along = (self.x - x) * np.cos(angle) + (self.y - y) * np.sin(angle)
        across = (self.y - y) * np.cos(angle) - (self.x - x) * np.sin(angle)
        distance = np.hypot(along / width, across / height) - 1 + wave
        return 1 / (1 + np.exp(np.clip(distance * min(width, height) / EDGE * 2, -50, 50)))

    def ripple(self, random: Random, x: float, y: float, lobes: int, depth: float) -> np.ndarray:
        """A wavy outline around (x, y), for `ellipse`."""
        return depth * np.sin(lobes * np.arctan2(self.y - y, self.x - x) + random.uniform(0, 2 * np.pi))

    def scatter(
        self,
        random: Random,
        canvas: np.ndarray,
        colour: tuple | float,
        count: int,
        radius: float,
        spread: float,
        x: float,
        y: float,
    ) -> None:
        """Paint `count` dots at random places within `spread` of (x, y)."""
        for _ in range(count):
            angle, reach = random.uniform(0, 2 * np.pi), spread * np.sqrt(random.uniform())
            dot = self.ellipse(x + reach * np.cos(angle), y + reach * np.sin(angle), radius, radius)
            paint(canvas, colour, dot)

    def cloud(self, random: Random, width: float) -> np.ndarray:
        """Smooth random texture (size, size), mean 0, standard deviation 1; `width` in pixels of `COARSE`."""
        frequency = np.hypot(*np.meshgrid(*(2 * [np.fft.fftfreq(self.size)])))
        gaussian = np.exp(-2 * (np.pi * width * self.size / COARSE * frequency) ** 2)
        noise = random.standard_normal((self.size, self.size))
        texture = np.fft.ifft2(np.fft.fft2(noise) * gaussian).real
        return (texture - texture.mean()) / texture.std()


def paint(canvas: np.ndarray, colour: tuple | float, mask: np.ndarray) -> None:
    """Lay `colour` over `canvas` (size, size, C), in place, as densely as `mask` says."""
    canvas += (np.asarray(colour) - canvas) * mask[..., None]


def blood(label: int, random: Random, on: Square) -> np.ndarray:
    """A stained white cell among red ones; classes in the order of BloodMNIST."""
    canvas = on.blank(0.93, 0.86, 0.84)
    for _ in range(random.integers(2, 5)):
        angle = random.uniform(0, 2 * np.pi)
        red, pale = (
            on.ellipse(np.cos(angle), np.sin(angle), 0.32, 0.32),
            on.ellipse(np.cos(angle), np.sin(angle), 0.12, 0.12),
        )
        paint(canvas, (0.88, 0.62, 0.62), red - 0.5 * pale)
    x, y = random.uniform(-0.12, 0.12, 2)
    turn, scale = random.uniform(0, 2 * np.pi), random.uniform(0.9, 1.1)
    radius = scale * (0.55, 0.58, 0.42, 0.68, 0.42, 0.7, 0.58, 0.2)[label]
    plasma = ((0.72, 0.64, 0.82), (0.93, 0.66, 0.5), (0.66, 0.62, 0.76), (0.72, 0.68, 0.82))[label % 4]
    if label >= 4:
        plasma = ((0.62, 0.7, 0.9), (0.68, 0.7, 0.78), (0.92, 0.76, 0.8), (0.62, 0.42, 0.68))[label - 4]
    paint(canvas, plasma, on.ellipse(x, y, radius, radius * random.uniform(0.9, 1.0), turn))
    purple = (0.38, 0.2, 0.52)
    if label in (2, 3, 4):  # one round nucleus: small and dense, large and pale, or filling the cell
        share = {2: 0.55, 3: 0.68, 4: 0.85}[label] * radius
        paint(canvas, (0.5, 0.3, 0.62) if label == 3 else purple, on.ellipse(x, y, share, share))
    elif label == 5:  # kidney
        bean = on.ellipse(x, y, 0.42 * scale, 0.42 * scale)
        bite = on.ellipse(x + 0.32 * np.cos(turn), y + 0.32 * np.sin(turn), 0.25, 0.25)
        paint(canvas, (0.46, 0.28, 0.58), bean * (1 - bite))
    elif label != 7:  # two lobes, or four in a row on an arc; a platelet has none
        lobes = 4 if label == 6 else 2
        for lobe in turn + np.linspace(0, np.pi * (1.3 if lobes == 4 else 1.0), lobes):
            size = 0.17 if lobes == 4 else 0.23
            paint(canvas, purple, on.ellipse(x + 0.27 * np.cos(lobe), y + 0.27 * np.sin(lobe), size, size))
    if label == 0:
        on.scatter(random, canvas, (0.25, 0.15, 0.45), 14, 0.07, 0.45, x, y)
    if label == 1:
        on.scatter(random, canvas, (0.9, 0.42, 0.3), 14, 0.06, 0.5, x, y)
    return canvas


def breast(label: int, random: Random, on: Square) -> np.ndarray:
    """Ultrasound layers and a lesion: 0 malignant (spiky, upright, shadow), 1 benign (smooth, lying)."""
    canvas = on.blank(0.45)
    depth = random.uniform(-0.75, -0.55)
    paint(
        canvas, 0.7, 1 / (1 + np.exp((on.y - depth - 0.06 * np.sin(2 * on.x + random.uniform(0, 6))) / EDGE))
    )
    paint(canvas, random.uniform(0.25, 0.4), on.ellipse(0, 1.2, 2.0, random.uniform(0.3, 0.5)))
    x, y = random.uniform(-0.25, 0.25), random.uniform(-0.15, 0.15)
    size, turn = random.uniform(0.32, 0.48), random.uniform(-0.4, 0.4)
    if label == 0:
        paint(canvas, 0.2, random.uniform(0, 0.7) * on.ellipse(x, y + 0.8, 0.9 * size, 0.8))
        outline = on.ripple(random, x, y, random.integers(5, 9), random.uniform(0.08, 0.24))
        paint(canvas, 0.14, on.ellipse(x, y, size, size * random.uniform(0.9, 1.3), turn, outline))
    else:
        paint(
            canvas, 0.62, random.uniform(0, 0.6) * on.ellipse(x, y + 0.7, 0.9 * size, 0.6)
        )  # less absorption
        paint(canvas, 0.14, on.ellipse(x, y, size * random.uniform(0.9, 1.4), 0.9 * size, turn))
    return canvas + 0.035 * on.cloud(random, 0.9)[..., None]


def derma(label: int, random: Random, on: Square) -> np.ndarray:
    """A skin lesion; classes in the order of DermaMNIST."""
    skin = np.array([0.86, 0.68, 0.6]) + random.uniform(-0.06, 0.06)
    canvas = on.blank(*skin) + 0.012 * on.cloud(random, 3)[..., None]
    x, y = random.uniform(-0.2, 0.2, 2)
    turn, size = random.uniform(0, np.pi), random.uniform(0.42, 0.6)
    body = ((0.85, 0.45, 0.42), (0.9, 0.62, 0.62), (0.66, 0.48, 0.32), (0.62, 0.4, 0.34))[label % 4]
    if label >= 4:
        body = ((0.28, 0.18, 0.16), (0.5, 0.32, 0.22), (0.6, 0.1, 0.25))[label - 4]
    body = np.array(body) + random.uniform(-0.12, 0.12, 3)
    lobes, depth = ((7, 0.12), (2, 0.05), (4, 0.06), (2, 0.05), (3, 0.2), (2, 0.05), (4, 0.14))[label]
    outline = on.ripple(random, x, y, lobes, depth)
    paint(canvas, body, on.ellipse(x, y, size, size * random.uniform(0.75, 0.95), turn, outline))
    if label == 0:  # scales
        on.scatter(random, canvas, (0.96, 0.85, 0.75), 6, 0.09, 0.8 * size, x, y)
    elif label == 1:  # an ulcer and blue-grey nests
        paint(canvas, (0.5, 0.15, 0.15), on.ellipse(x, y, 0.16, 0.16))
        on.scatter(random, canvas, (0.45, 0.45, 0.6), 4, 0.09, 0.8 * size, x, y)
    elif label == 2:  # milia
        on.scatter(random, canvas, (0.92, 0.82, 0.6), 7, 0.06, 0.8 * size, x, y)
    elif label == 3:  # a white centre
        paint(canvas, (0.93, 0.86, 0.82), on.ellipse(x, y, 0.5 * size, 0.45 * size))
    elif label == 4:  # a blue-white veil and a brown part to one side
        paint(canvas, (0.5, 0.52, 0.62), on.ellipse(x + 0.3 * np.cos(turn), y + 0.3 * np.sin(turn), 0.2, 0.2))
        paint(
            canvas, (0.55, 0.34, 0.2), on.ellipse(x - 0.3 * np.cos(turn), y - 0.3 * np.sin(turn), 0.22, 0.22)
        )
    for _ in range(random.integers(0, 3)):  # hairs
        lean, shift = random.uniform(0, np.pi), random.uniform(-0.8, 0.8)
        paint(canvas, (0.3, 0.22, 0.18), 0.6 * on.ellipse(shift, shift, 2.0, 0.035, lean))
    return canvas


def pneumonia(label: int, random: Random, on: Square) -> np.ndarray:
    """A child's chest: 0 normal, 1 with opacities in the lungs."""
    canvas = on.blank(0.12)
    paint(canvas, 0.7, on.ellipse(0, 0.15, random.uniform(0.85, 1.0), 1.2))
    lean, high = random.uniform(-0.08, 0.08), random.uniform(0.6, 0.72)
    lungs = [
        on.ellipse(side * 0.42 + lean, -0.05, random.uniform(0.26, 0.32), high, side * 0.12)
        for side in (-1, 1)
    ]
    field = np.clip(sum(lungs), 0, 1)
    paint(canvas, random.uniform(0.18, 0.28), field)
    paint(
        canvas,
        0.5,
        0.25 * field * (0.5 + 0.5 * np.sin(9 * (on.y + 0.3 * np.abs(on.x)) + random.uniform(0, 6))),
    )
    paint(canvas, 0.82, on.ellipse(0.14 + lean, 0.3, random.uniform(0.22, 0.32), 0.34, 0.5))
    paint(canvas, 0.78, on.ellipse(lean, -0.2, 0.08, 1.1))
    if label == 1:
        for _ in range(random.integers(1, 4)):
            side = random.choice((-1, 1))
            x, y = side * 0.42 + lean + random.uniform(-0.12, 0.12), random.uniform(-0.4, 0.45)
            paint(
                canvas,
                0.7,
                random.uniform(0.3, 0.7) * on.ellipse(x, y, *random.uniform(0.12, 0.26, 2)) * field,
            )
    return canvas


def retina(label: int, random: Random, on: Square) -> np.ndarray:
    """A fundus with retinopathy of grade 0 to 4: more dots, then exudates, then new vessels."""
    canvas = on.blank(0.0, 0.0, 0.0)
    rim = random.uniform(0.92, 1.0)
    paint(canvas, np.array([0.8, 0.42, 0.22]) * random.uniform(0.92, 1.08), on.ellipse(0, 0, rim, rim))
    side = random.choice((-1, 1))
    x, y = side * random.uniform(0.45, 0.55), random.uniform(-0.1, 0.1)
    for bend in (-1, 1):
        arcade = on.ellipse(x - side * 0.6, y, 0.75, 0.6) - on.ellipse(x - side * 0.6, y, 0.68, 0.53)
        paint(canvas, (0.5, 0.12, 0.1), np.clip(1.5 * arcade, 0, 0.8) * (bend * (on.y - y) > 0))
    paint(canvas, (0.55, 0.25, 0.15), 0.7 * on.ellipse(-0.3 * side, 0, 0.18, 0.18))
    paint(canvas, (0.98, 0.85, 0.55), on.ellipse(x, y, 0.17, 0.19))
    on.scatter(random, canvas, (0.35, 0.05, 0.05), (0, 4, 8, 13, 13)[label], 0.06, 0.75, 0, 0)
    on.scatter(random, canvas, (0.98, 0.9, 0.45), (0, 0, 5, 10, 8)[label], 0.065, 0.6, 0, 0)
    if label == 4:  # a bleeding before the retina, and scars of laser treatment
        paint(
            canvas,
            (0.3, 0.02, 0.04),
            on.ellipse(*random.uniform(-0.3, 0.3, 2), 0.32, 0.2, random.uniform(0, np.pi)),
        )
        on.scatter(random, canvas, (0.75, 0.7, 0.6), 8, 0.06, 0.85, 0, 0)
    return canvas
