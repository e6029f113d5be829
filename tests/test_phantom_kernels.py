"""Drawn lungs that are reconstructed twice: exact pairs, and noise as the setting says."""

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from latent_anatomy.data import slices_check
from latent_anatomy.datasets.phantoms import kernels, lungs
from latent_anatomy.datasets.phantoms.kernels import Kernels
from latent_anatomy.evaluation.protocols import consistency
from latent_anatomy.jobs.inputs import shape_of, splits_on
from latent_anatomy.methods import autoencoder, pooled_features, random_directions, rotation
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import frozen


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
    assert set(slices.modality) == set(kernels.SETTINGS) and len(kernels.SETTINGS) == 4
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
        assert noise["ramp", dose] > 1.5 * noise["hann", dose]
    assert all(noise[name, "low"] > 2 * noise[name, "full"] for name in kernels.FILTERS)


@pytest.mark.slow
def test_as_params_yaml_has_it_a_rotation_beats_none_and_keeps_the_tissue(tmp_path):
    whole = Kernels()
    whole.generate(tmp_path)
    slices = whole.to_slices(tmp_path)
    shape, splits = shape_of(slices), splits_on(torch.device("cpu"), slices)
    people = {setting: set(slices.subject[slices.modality == setting]) for setting in kernels.SETTINGS}
    chosen = yaml.safe_load((ROOT / "params.yaml").read_text())["collections"]["phantom"]["studies"][
        "rotation"
    ]
    [change] = chosen["changes"]
    torch.manual_seed(1)
    base = autoencoder.Method(autoencoder.Params(corruption_probability=0, **change["params"]), shape)
    train(base, splits["train"], splits["val"], seed=1, settings=TrainingParams(), scratch=tmp_path)
    pooled = pooled_features.Method(pooled_features.Params(), shape, on=frozen(base))
    training = set(splits["train"].subject)
    width = pooled.encode(splits["val"].images)["latent"].shape[1]
    assert min(len(each & training) for each in people.values()) >= 1.5 * width, "fair to harmonisers"
    found = []
    for method, params in ((random_directions, {"rank": 0}), (rotation, {})):
        fitted = method.Method(method.Method.Params(**params), shape, on=pooled)
        fitted.fit(splits["train"])
        settings = consistency.Params(clusters=(5, 8), codebooks=3, subcohorts=1)
        metrics = consistency.evaluate(fitted, splits, settings, "multi-class", 1).metrics
        found.append({key.removeprefix("consistency/"): value for key, value in metrics.items()})
    none, turned = found
    assert turned["ari"] > none["ari"] + 0.05 and turned["dice_weighted"] > none["dice_weighted"] + 0.05
    assert turned["retrieval"] > none["retrieval"] + 0.03
    assert turned["technical/linear"] < none["technical/linear"] - 0.1
    assert turned["technical/mlp"] < none["technical/mlp"] - 0.05
    for probe in ("linear", "mlp"):
        assert turned[f"biology/{probe}"] > 0.9 * none[f"biology/{probe}"] > 0.5
