"""Harmonisers of latents: what must be alike afterwards, and ComBat as neuroCombat has it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_latents import SETTINGS, SHAPE, WIDTH, Reader, paired

from latent_anatomy.evaluation.registry import capabilities
from latent_anatomy.methods import registry as methods
from latent_anatomy.methods.combat import combat, inverse_gamma, shrunk
from latent_anatomy.methods.histogram_matching import _piecewise
from latent_anatomy.training.harmonisers import moments
from latent_anatomy.training.loop import TrainingParams, train

LATENT = ("combat", "covbat", "coral", "location_scale")
ALL = (*LATENT, "histogram_matching", "partner_mean")


def build(name: str, **params):
    module = methods.load(name).Method
    return module(module.Params(**params), SHAPE, on=Reader())


def fitted(name: str, data, **params):
    method = build(name, **params)
    method.fit(data)
    return method


def by_setting(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return values[::2].double(), values[1::2].double()


def test_combat_is_neurocombats():
    with np.load(Path(__file__).parent / "oracle/neurocombat_0_2_12.npz") as reference:
        given = {name: torch.from_numpy(reference[name]) for name in reference.files}
    alpha, sigma, gamma, delta = combat(given["latents"], given["setting"])
    z = (given["latents"] - alpha) / sigma
    ours = (z - gamma[given["setting"]]) / delta[given["setting"]].sqrt() * sigma + alpha
    torch.testing.assert_close(ours, given["adjusted"], rtol=1e-10, atol=1e-10)


def test_with_combatlearns_beliefs_combat_is_combatlearns_also_of_new_rows():
    """Which are of a feature, learnt from settings; neuroCombat's, as above, of a setting, from features."""
    with np.load(Path(__file__).parent / "oracle/combatlearn_2_3_0.npz") as reference:
        given = {name: torch.from_numpy(reference[name]) for name in reference.files}
    latents, setting, fitted = given["latents"], given["setting"], int(given["fitted"])
    alpha, sigma, *_ = combat(latents[:fitted], setting[:fitted])
    z = (latents - alpha) / sigma
    _, means, variances = moments(z[:fitted], setting[:fitted], 3)
    beliefs = means.mean(0), means.var(0), *inverse_gamma(variances.mean(0), variances.var(0))
    ours = torch.empty_like(z)
    for index in range(3):
        own = setting == index
        gamma, delta = shrunk(z[:fitted][own[:fitted]], *beliefs)
        ours[own] = (z[own] - gamma) / delta.sqrt()
    torch.testing.assert_close(ours * sigma + alpha, given["adjusted"], rtol=0, atol=2e-3)
    own = (latents - given["adjusted"]).abs().max()
    assert own > 1, "which it has not left as they were"


@pytest.mark.parametrize(("name", "moment"), [(name, 0) for name in LATENT] + [("location_scale", 1)])
def test_settings_have_the_same_moments_in_training(name, moment):
    data = paired(people=60)
    one, other = by_setting(fitted(name, data).represent(data))
    before = by_setting(data.images.flatten(1))
    measure = (torch.mean, torch.std)[moment]
    apart = (measure(one, 0) - measure(other, 0)).abs().max() / one.std(0).mean()
    apart_before = (measure(before[0], 0) - measure(before[1], 0)).abs().max() / before[0].std(0).mean()
    assert apart < 0.02 and apart < apart_before


def correlated(people: int = 80):
    """Two settings of which one mixes the first two features."""
    data = paired(people=people, style=0)
    stored = data.stored.clone()
    stored[1::2, ..., 1] = 0.5 + 0.6 * (stored[1::2, ..., 0] - 0.5) + 0.4 * (stored[1::2, ..., 1] - 0.5)
    return replace(data, stored=stored)


@pytest.mark.parametrize("name", ["covbat", "coral"])
def test_covariances_are_brought_together_where_combat_leaves_them_apart(name):
    data, apart = correlated(), {}
    for each in (name, "combat"):
        method = fitted(each, data, **({"ridge": 1e-6} if each == "coral" else {}))
        one, other = by_setting(method.represent(data))
        apart[each] = float((torch.cov(one.T) - torch.cov(other.T)).norm())
    assert apart[name] < 0.95 * apart["combat"]  # CovBat: variances along components, no more
    assert name == "covbat" or apart[name] < 1e-3


def test_scores_on_components_have_the_same_moments_after_covbat():
    data = correlated()
    method = fitted("covbat", data, share=1.0)
    adjusted = (method.represent(data).double() - method.alpha) / method.sigma @ method.components
    setting = method.settings.of(data)
    _, mean, variance = moments(adjusted, setting, 2)
    torch.testing.assert_close(mean[0], mean[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(variance[0], variance[1], atol=1e-4, rtol=1e-4)


def test_matched_images_have_the_same_quantiles():
    data = paired()
    stored = data.stored.clone()
    stored[1::2] = stored[1::2] ** 2
    data = replace(data, stored=stored)
    method = fitted("histogram_matching", data)
    one, other = by_setting(method.matched(data.images, method.settings.of(data)).flatten(1))
    steps = torch.linspace(0, 1, 21, dtype=torch.float64)
    quantiles = [each.flatten().quantile(steps) for each in (one, other)]
    torch.testing.assert_close(*quantiles, atol=2e-3, rtol=0)
    represented = method.represent(data)
    torch.testing.assert_close(represented.mean(0), torch.zeros(represented.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(represented.std(0), torch.ones(represented.shape[1]), atol=1e-4, rtol=0)


def test_a_map_of_quantiles_keeps_the_order_and_the_landmarks():
    landmarks, standard = torch.tensor([0.2, 0.2, 0.5, 0.8]), torch.tensor([0.1, 0.1, 0.6, 0.7])
    values = torch.linspace(0, 1, 101)
    mapped = _piecewise(values, landmarks, standard)
    assert (mapped.diff() >= 0).all() and mapped.min() >= 0 and mapped.max() <= 1
    torch.testing.assert_close(_piecewise(landmarks[1:], landmarks, standard), standard[1:])


def test_the_oracle_gives_partners_the_same_and_others_their_own():
    data = paired(people=3)
    pair = data.pair.clone()
    pair[:2] = -1
    data = replace(data, pair=pair)
    method = fitted("partner_mean", data)
    represented = method.represent(data)
    one, other = by_setting(represented)
    torch.testing.assert_close(one[1:], other[1:])
    torch.testing.assert_close(represented[:2].double(), method.standard(data.images[:2].flatten(1).double()),
                               atol=1e-5, rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_training_rows_alone_decide_and_a_checkpoint_is_whole(name, tmp_path):
    data, test = paired(people=6, noise=0.05), paired(people=3, split="test", noise=0.05)
    method = build(name)
    assert capabilities(method) == {"represent"}
    train(method, data, test, seed=3, settings=TrainingParams(), scratch=tmp_path)
    first = method.represent(test)
    half = replace(
        test, **{key: getattr(test, key)[:60] for key in ("stored", "subject", "modality", "pair")}
    )
    torch.testing.assert_close(method.represent(half), first[:60])
    other = build(name)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.represent(test), first)


@pytest.mark.parametrize("name", (*LATENT, "histogram_matching"))
def test_settings_that_cannot_be_harmonised_are_refused_in_one_line(name):
    data = paired(people=4)
    with pytest.raises(ValueError, match="settings: expected two or more, as modality or site, found CT"):
        fitted(name, replace(data, modality=("CT",) * len(data)))
    method = fitted(name, data)
    with pytest.raises(ValueError, match=f"setting CT new: expected one of {', '.join(SETTINGS)}"):
        method.represent(replace(data, modality=("CT new",) * len(data), site=("CT new",) * len(data)))
    if name in LATENT:
        few = ("CT rare", *data.modality[1:])
        with pytest.raises(ValueError, match="setting CT rare: expected 3 rows or more, found 1"):
            fitted(name, replace(data, modality=few))


def test_hospitals_are_settings_where_there_is_one_modality():
    data = paired(people=4)
    of_sites = replace(data, modality=("MR",) * len(data), site=data.modality)
    one, other = fitted("combat", data), fitted("combat", of_sites)
    assert torch.equal(one.represent(data), other.represent(of_sites))


@pytest.mark.parametrize("name", (*LATENT, "histogram_matching"))
def test_hospitals_are_harmonised_where_these_are_asked_for(name):
    data = paired(people=8)
    where = tuple("AB"[int(person[-3:]) % 2] for person in data.subject)
    method = fitted(name, replace(data, site=where), setting="site")
    assert method.settings.names == ("A", "B")
    alone = replace(data, site=where, modality=("CT other",) * len(data))
    assert torch.equal(method.represent(alone), method.represent(replace(data, site=where)))


def test_a_full_covariance_of_fewer_rows_than_features_is_refused_and_of_fewer_subjects_said(capsys):
    data = paired(people=4, noise=0.05)
    few = replace(data, modality=("CT rare",) * WIDTH + data.modality[WIDTH:])
    expected = f"setting CT rare: expected more rows than the {WIDTH} features, .* found {WIDTH}: pool"
    with pytest.raises(ValueError, match=expected):
        fitted("coral", few)
    for name in ("combat", "location_scale"):
        assert torch.isfinite(fitted(name, few).represent(few)).all()
    assert not capsys.readouterr().err
    fitted("coral", data)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"setting {name}: 4 subjects for {WIDTH} features: an unsure covariance" for name in SETTINGS
    ]
    fitted("coral", paired(people=WIDTH + 1, noise=0.05))
    assert not capsys.readouterr().err
