"""Phantoms that several tests read, drawn once for all processes of a session."""

import numpy as np
import pytest


def drawn(phantom, *others):
    """A fixture: the folder with the raw files of these phantoms. Not to be changed."""

    def make(folder):
        for each in (phantom, *others):
            each.generate(folder)

    @pytest.fixture(scope="session")
    def raw(made_once):
        return made_once(f"raw-{phantom.name}", make)

    return raw


def best_dice(mask: np.ndarray, image: np.ndarray, levels) -> float:
    """The best Dice with a mask that a threshold on the image reaches, from above or from below."""
    bright = [image >= level for level in levels]
    found = [each for level in bright for each in (level, ~level)]
    return max(2 * (mask & each).sum() / (mask.sum() + each.sum()) for each in found)
