"""Twins of MedMNIST's images: the same anatomy and class, a setting that says nothing of it, same bytes."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from latent_anatomy.data import slices_check
from latent_anatomy.datasets import medmnist_pairs
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.datasets.medmnist_pairs import AS_IT_IS, SETTINGS, with_twins


@pytest.fixture(scope="module", params=["phantom-breastmnist", "phantom-retinamnist"])
def whole(request, tmp_path_factory):
    """The slices of a phantom, and those of its pairs."""
    folder = tmp_path_factory.mktemp("raw")
    base = replace(datasets.find(request.param), train=120, val=20, test=40)
    pairs = replace(datasets.find(f"{request.param}-pairs"), base=base)
    pairs.generate(folder)
    return base.to_slices(folder), pairs.to_slices(folder)


def test_each_image_stays_and_its_twin_has_its_class_subject_and_split(whole):
    plain, made = whole
    slices_check.check(made, "here")
    assert made.dataset == f"{plain.dataset}-pairs" and len(made) == 2 * len(plain)
    assert np.array_equal(made.images[::2], plain.images)
    for column in ("labels", "subject", "split"):
        values = getattr(made, column)
        assert np.array_equal(values[::2], getattr(plain, column))
        assert np.array_equal(values[made.pair], values)
    assert (made.pair[made.pair] == np.arange(len(made))).all()
    assert (made.modality != made.modality[made.pair]).all()
    own, strange = (
        np.abs(made.images[1::2].astype(float) - np.roll(plain.images, turn, axis=0)).mean()
        for turn in (0, 7)
    )
    assert 0 < own < 0.7 * strange


def test_settings_are_equally_often_in_all_splits_and_classes_as_chance_has_it(whole):
    _, made = whole
    counts = Counter(name.split(", ")[-1] for name in made.modality.tolist())
    assert counts == {AS_IT_IS: len(made) // 2} | {name: len(made) // 8 for name in SETTINGS}
    for split in ("train", "test"):
        assert len(set(made.modality[made.split == split].tolist())) == 1 + len(SETTINGS)
    with_other_classes = with_twins(replace(whole[0], labels=whole[0].labels[::-1].copy()), "other")
    assert np.array_equal(with_other_classes.modality, made.modality)


def test_the_same_again(whole):
    plain, made = whole
    again = with_twins(plain, made.dataset)
    assert all(np.array_equal(values, again.columns()[name]) for name, values in made.columns().items())


def test_each_setting_does_what_its_name_says():
    image = np.random.default_rng(1).uniform(0.2, 0.8, (1, 28, 28))
    made = {name: change(image, np.random.default_rng(2)) for name, change in SETTINGS.items()}
    steps = {name: np.abs(np.diff(each, axis=-1)).mean() for name, each in made.items()}
    before = np.abs(np.diff(image, axis=-1)).mean()
    assert steps["soft"] < 0.6 * before < 1.5 * before < steps["sharp"]
    assert made["bright"].min() > image.min() and (made["bright"] > image).all()
    assert (made["noisy"] - image).std() == pytest.approx(medmnist_pairs.NOISE, rel=0.1)
    assert made["soft"].mean() == pytest.approx(image.mean(), abs=0.01)


def test_real_sets_have_their_own_files_and_stand_for_no_paper():
    for name in ("breastmnist-resaved", "retinamnist", "pneumoniamnist-reassembled"):
        pairs, base = datasets.find(f"{name}-pairs"), datasets.find(name)
        assert pairs.files == base.files and pairs.family == "medmnist" and pairs.stands_for is None
        assert (pairs.channels, pairs.classes, pairs.task) == (base.channels, base.classes, base.task)
        assert not pairs.phantom and pairs.licence == base.licence
