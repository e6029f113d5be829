"""Ejection fractions, volumes and mass, of discs of which a method finds a known part."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from latent_anatomy.evaluation.protocols import ventricles
from latent_anatomy.metrics.agreement import agreement
from latent_anatomy.training.method import Data

SPACING = (1.5, 2.0, 8.0)
NAMES = ("myocardium", "left-ventricle", "right-ventricle")
ED, ES = (20, 30, 24), (8, 15, 18)  # rows of 10 pixels of left ventricle, of each subject


class Drawn(nn.Module):
    """Says what the image shows: 0.2 is wall, 0.5 left and 0.8 right ventricle, less `rows` of the left."""

    def __init__(self, rows: int = 0):
        super().__init__()
        self.rows = rows

    def segment(self, images):
        planes = [(images - level).abs() < 0.05 for level in (0.2, 0.5, 0.8)]
        planes[1][:, :, : self.rows] = False
        return torch.cat(planes, dim=1).float()


def discs(spacing: tuple[float, ...] | None = SPACING) -> Data:
    """Three subjects, two slices at ED and at ES; from the top: left ventricle, 5 rows of wall, right one."""
    masks = torch.zeros(12, 3, 64, 16, dtype=torch.uint8)
    subject, phase = [], []
    for row in range(12):
        who, at_es = row // 4, row % 4 > 1
        height = (ES if at_es else ED)[who]
        masks[row, 1, :height, :10] = 1
        masks[row, 0, height : height + 5, :10] = 1
        masks[row, 2, 40 : 50 - 5 * at_es, :10] = 1
        subject.append(f"s{who}")
        phase.append("ES" if at_es else "ED")
    images = (masks * torch.tensor([0.2, 0.5, 0.8])[:, None, None]).sum(1, keepdim=True)
    spacings = None if spacing is None else torch.tensor(spacing).expand(12, 3)
    columns = {"subject": tuple(subject), "phase": tuple(phase), "spacing_mm": spacings}
    return Data(images, masks=masks, mask_names=NAMES, position=torch.arange(12) % 2, **columns)


def run(method: nn.Module, test: Data):
    return ventricles.evaluate(method, {"test": test}, ventricles.Params(), "", 0)[:2]


def test_what_is_drawn_is_found_in_millilitres_grams_and_fractions():
    metrics, arrays = run(Drawn(), discs())
    ml = 1.5 * 2 * 8 / 1000
    assert metrics["ventricles/left/ED/true_mean_ml"] == pytest.approx(np.mean(ED) * 10 * 2 * ml)
    assert metrics["ventricles/mass/true_mean_g"] == pytest.approx(1.05 * 50 * 2 * ml)
    fractions = [(ed - es) / ed for ed, es in zip(ED, ES, strict=True)]
    assert arrays["ventricles/left/ejection-fraction/true"] == pytest.approx(fractions)
    assert metrics["ventricles/right/ejection-fraction/true_mean"] == pytest.approx(0.5)
    assert {value for name, value in metrics.items() if name.endswith(("mae", "mae_ml", "mae_g"))} == {0.0}
    assert metrics["ventricles/left/ejection-fraction/r"] == pytest.approx(1)


def test_a_method_that_misses_the_upper_rows_finds_less_and_a_larger_ratio():
    metrics, _ = run(Drawn(4), discs())
    assert metrics["ventricles/left/ED/bias_ml"] == pytest.approx(-4 * 10 * 2 * 0.024)
    expected = [(ed - es) / (ed - 4) - (ed - es) / ed for ed, es in zip(ED, ES, strict=True)]
    assert metrics["ventricles/left/ejection-fraction/bias"] == pytest.approx(np.mean(expected))


def test_without_spacing_there_are_ratios_alone_and_they_are_the_same():
    with_mm, without = run(Drawn(4), discs())[0], run(Drawn(4), discs(None))[0]
    assert without == pytest.approx({name: with_mm[name] for name in with_mm if "ejection-fraction" in name})
    assert without


def test_nothing_found_at_ed_is_no_ratio_and_counted():
    metrics, arrays = run(Drawn(22), discs())
    assert metrics["ventricles/left/ejection-fraction/undefined"] == pytest.approx(1 / 3)
    assert np.isnan(arrays["ventricles/left/ejection-fraction/predicted"]).tolist() == [True, False, False]
    assert ventricles.paired(arrays) == {}


def test_who_is_drawn_in_one_phase_has_no_ratio():
    test = discs()
    test.masks[2:4, 1] = 255  # ES of s0
    _, arrays = run(Drawn(), test)
    assert np.isnan(arrays["ventricles/left/ejection-fraction/true"]).tolist() == [True, False, False]
    assert np.isnan(arrays["ventricles/left/ED/true"]).tolist() == [False] * 3
    nobody = replace(test, phase=("ED",) * 12)
    assert not ventricles.possible({"test": nobody})
    with pytest.raises(ValueError, match="a ventricle drawn at ED and ES: none"):
        run(Drawn(), nobody)


def test_agreement_is_that_of_bland_and_altman():
    predicted, true = np.array([12.0, 19.0, 33.0]), np.array([10.0, 20.0, 30.0])
    found = agreement(predicted, true, "_ml")
    half = 1.96 * np.std([2, -1, 3], ddof=1)
    assert found["bias_ml"] == pytest.approx(4 / 3) and found["mae_ml"] == pytest.approx(2)
    assert (found["loa_low_ml"], found["loa_high_ml"]) == pytest.approx((4 / 3 - half, 4 / 3 + half))
    assert found["r"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    with pytest.raises(FloatingPointError, match="finite values"):
        agreement(np.array([np.nan]), np.array([1.0]))
