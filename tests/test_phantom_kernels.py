"""Drawn lungs that are reconstructed twice: exact pairs, and noise as the setting says."""

import numpy as np
import pytest

from latent_anatomy.data import slices_check
from latent_anatomy.datasets.phantoms import kernels, lungs
from latent_anatomy.datasets.phantoms.kernels import Kernels


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    small = Kernels(people=(3, 1, 2))
    small.generate(folder)
    return folder, small


def test_pairs_are_the_same_tissue_of_one_person_in_two_settings(made):
    folder, small = made
    slices = small.to_slices(folder)
    slices_check.check(slices, "here")
    assert len(slices) == 6 * 2 * len(kernels.corners())
    assert (slices.pair[slices.pair] == np.arange(len(slices))).all()
    assert (slices.labels == slices.labels[slices.pair]).all()
    assert (slices.modality != slices.modality[slices.pair]).all()
    assert set(slices.modality) <= set(kernels.SETTINGS) and len(kernels.SETTINGS) == 10
    one, other = slices.images[::2].astype(float), slices.images[1::2].astype(float)
    own, strange = np.abs(one - other).mean(), np.abs(one - np.roll(other, 5, axis=0)).mean()
    assert 0.2 < own < strange / 2


def test_the_same_bytes_again(made, tmp_path):
    folder, small = made
    small.generate(tmp_path)
    assert (tmp_path / "kernels.npz").read_bytes() == (folder / "kernels.npz").read_bytes()


def test_a_reconstruction_has_the_tissues_hu_and_sharper_filters_and_lower_doses_more_noise():
    random = np.random.default_rng(1)
    tissue = np.full((lungs.SIZE, lungs.SIZE), lungs.TISSUES.index("emphysema"))
    integrals = kernels.projected(lungs.draw(random, tissue))
    noise = {}
    for dose, photons in kernels.DOSES.items():
        received = kernels.noisy(integrals, photons, np.random.default_rng(2))
        for name in kernels.FILTERS:
            clean = kernels.reconstructed(integrals, name)[60:108, 60:108]
            assert clean.mean() == pytest.approx(lungs.LEVEL["emphysema"], abs=25)
            noise[name, dose] = (kernels.reconstructed(received, name)[60:108, 60:108] - clean).std()
    for dose in kernels.DOSES:
        assert noise["ramp", dose] > noise["cosine", dose] > noise["hann", dose]
    assert all(noise[name, "low"] > 2 * noise[name, "full"] for name in kernels.FILTERS)
