"""Phantoms that several tests read, drawn once for all processes of a session."""

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
