"""Drawings of lung tissue as CT sees it, in Hounsfield units: five of them side by side in a round slab.

healthy         dark, with vessels as bright dots
ground glass    hazy: brighter, without structure
reticulation    a thin net of thickened septa
honeycombing    cysts of air with thick walls
emphysema       darker than lung should be, without vessels

How much of which somebody has is drawn for each person. Air is outside the slab, so that all of it is seen
from every angle.
"""

import numpy as np
from numpy.typing import NDArray

TISSUES = ("healthy", "ground glass", "reticulation", "honeycombing", "emphysema")
SIZE = 140  # pixels of 1.5 mm
RADIUS = 68.0
AIR, CHEST = -1000.0, 40.0
LEVEL = {"healthy": -860, "ground glass": -660, "reticulation": -830, "honeycombing": -940, "emphysema": -955}
CONCENTRATION = (1.2, 0.6, 0.6, 0.6, 0.6)  # of the Dirichlet distribution of the shares
REGION, ROUGH = 14.0, 1.2  # width of regions in pixels; how far chance outweighs the shares

Array = NDArray[np.float64]
Random = np.random.Generator


def smooth(random: Random, width: float) -> Array:
    """Gaussian noise (SIZE, SIZE) of this width in pixels, mean 0 and standard deviation 1."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    field = np.fft.ifft2(
        np.fft.fft2(random.standard_normal((SIZE, SIZE))) * np.exp(-2 * (np.pi * width * frequency) ** 2)
    ).real
    return (field - field.mean()) / field.std()


def shares(random: Random) -> Array:
    """How much of each tissue somebody is likely to have, (5,), sum 1."""
    return random.dirichlet(CONCENTRATION)


def regions(random: Random, wanted: Array) -> NDArray[np.int64]:
    """Which tissue lies where, (SIZE, SIZE): about `wanted` (5,) of each, in patches of REGION."""
    fields = np.stack([smooth(random, REGION) for _ in TISSUES])
    return np.argmax(fields + np.log(wanted + 1e-3)[:, None, None] / ROUGH, axis=0)


def draw(random: Random, tissue: NDArray[np.int64]) -> Array:
    """A slice (SIZE, SIZE) in HU of these tissues, in a rim of chest wall in air."""
    vessels = 350 * np.clip(smooth(random, 1.4) - 1.6, 0, 1)
    septa = np.exp(-((smooth(random, 2.6) / 0.18) ** 2))
    cysts = np.exp(-((smooth(random, 2.2) / 0.5) ** 2))
    grain = smooth(random, 0.8)
    texture = np.stack(
        [
            vessels + 15 * grain,
            0.4 * vessels + 40 * grain,
            420 * septa + 15 * grain,
            700 * cysts + 15 * grain,
            8 * grain,
        ]
    )
    image = np.take_along_axis(texture, tissue[None], axis=0)[0]
    image = image + np.array([LEVEL[name] for name in TISSUES], dtype=float)[tissue]
    across = np.arange(SIZE) - (SIZE - 1) / 2
    distance = np.hypot(across[:, None], across)
    image = np.where(distance > RADIUS - 8, CHEST, image)
    return np.where(distance > RADIUS, AIR, image)
