"""The tables that `dvc plots` draws."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from latent_anatomy.evaluation import curves
from latent_anatomy.evaluation.protocols import revision


@pytest.mark.parametrize("classes", [2, 5])
def test_the_area_under_the_macro_curve_is_the_mean_auc(classes):
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 4000)
    scores = random.random((4000, classes)) + 0.5 * np.eye(classes)[labels]
    rows = curves.roc(labels, scores)["roc"].rows
    false_rate, true_rate = np.array(rows).T
    expected = np.mean([roc_auc_score(labels == label, scores[:, label]) for label in range(classes)])
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(expected, abs=0.01)
    assert (np.diff(true_rate) >= 0).all() and rows[0] == (0, 0) and rows[-1] == (1, 1)


def test_it_is_the_curve_of_scikit_learn_ties_included():
    random = np.random.default_rng(3)
    labels, positive = random.integers(0, 2, 300), random.integers(0, 12, 300) / 12
    rows = curves.roc(labels, np.stack([1 - positive, positive], axis=1))["roc"].rows
    expected = []
    for label, scores in ((0, 1 - positive), (1, positive)):
        false_rate, true_rate, _ = roc_curve(labels == label, scores, drop_intermediate=False)
        expected.append(np.interp(curves.GRID[1:], false_rate, true_rate))
    np.testing.assert_allclose([rate for _, rate in rows[1:]], np.mean(expected, axis=0), atol=1e-12)


def test_the_anatomy_is_the_answer_where_there_is_one():
    metrics = {
        "revision/clean/reconstruction_psnr": 30.0,
        "revision/Sharpen/input_psnr": 20.0,
        "revision/Sharpen/reconstruction_psnr": 21.0,
        "revision/Sharpen/reconstruction_vs_input_psnr": 22.0,
        "revision/Sharpen/anatomy_psnr": 25.0,
    }
    table = revision.by_corruption(metrics)
    assert table == (("corruption", "psnr"), [("clean", 30.0), ("Sharpen", 25.0)])


def test_without_two_classes_there_is_no_curve():
    assert curves.roc(np.array([1, 1]), np.eye(2)) == {}
