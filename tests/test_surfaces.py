"""Distances of surfaces, against MONAI's; and the protocol that measures outlines by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from latent_anatomy.evaluation.protocols import surfaces
from latent_anatomy.metrics.surfaces import average, distances, hausdorff_95
from latent_anatomy.training.method import Data

ORACLE = Path(__file__).parent / "oracle" / "monai_1_6_1.npz"
SPACING = (1.5, 2.0, 8.0)


def test_distances_are_those_of_monai():
    with np.load(ORACLE) as oracle:
        for name, spacing in (("volume", tuple(oracle["spacing"])), ("slice", (1.0, 1.0))):
            for place, pair in enumerate(zip(oracle["one"], oracle["other"], strict=True)):
                found = distances(*(mask if name == "volume" else mask[0] for mask in pair), spacing)
                assert hausdorff_95(*found) == pytest.approx(oracle[f"{name}/hd95"][place], rel=1e-5)
                assert average(*found) == pytest.approx(oracle[f"{name}/asd"][place], rel=1e-5)


def test_distances_are_alike_in_both_orders_and_nothing_between_equals():
    random = np.random.default_rng(1)
    one, other = random.random((2, 9, 9)) > 0.7
    there, back = distances(one, other, (1, 1)), distances(other, one, (1, 1))
    assert hausdorff_95(*there) == hausdorff_95(*back) and average(*there) == average(*back)
    assert hausdorff_95(*distances(one, one, (1, 1))) == 0
    with pytest.raises(ValueError, match="an empty one"):
        distances(one, np.zeros((9, 9)), (1, 1))


class Shifted(nn.Module):
    """Says what was drawn, moved by so many columns; nothing of what is bright."""

    def __init__(self, by: int, structures: int = 2):
        super().__init__()
        self.by, self.structures = by, structures

    def segment(self, images):
        moved = images.roll(self.by, dims=3)
        planes = [(moved > 0.25) & (moved < 0.75), moved > 2]
        return torch.cat(planes[: self.structures], dim=1).float()


def squares(spacing: tuple[float, ...] | None = SPACING) -> Data:
    """Two subjects, ED and ES, three slices each: a square of 6 x 6 in grey, for the method in images."""
    masks = torch.zeros(12, 2, 20, 24, dtype=torch.uint8)
    masks[:, 0, 6:12, 8:14] = 1
    masks[::3, 1, 2:4, 2:4] = 1
    subject = tuple(f"s{row // 6}" for row in range(12))
    return Data(
        0.5 * masks[:, :1].float(),
        masks=masks,
        mask_names=("left-ventricle", "right-ventricle"),
        subject=subject,
        phase=tuple("ED" if row % 6 < 3 else "ES" for row in range(12)),
        position=torch.arange(12) % 3,
        spacing_mm=None if spacing is None else torch.tensor(spacing).expand(12, 3),
    )


def run(method: nn.Module, test: Data):
    return surfaces.evaluate(method, {"test": test}, surfaces.Params(), "", 0)[:2]


@pytest.mark.parametrize(("spacing", "unit", "column"), [(SPACING, "mm", 2.0), (None, "px", 1.0)])
def test_a_square_that_is_two_columns_away_is_as_far(spacing, unit, column):
    metrics, arrays = run(Shifted(2), squares(spacing))
    assert metrics[f"surfaces/hd95_{unit}/left-ventricle"] == pytest.approx(2 * column)
    assert 0 < metrics[f"surfaces/asd_{unit}/left-ventricle"] < 2 * column
    assert metrics[f"surfaces/hd95_{unit}/average"] == metrics[f"surfaces/hd95_{unit}/left-ventricle"]
    assert (
        metrics["surfaces/missing/left-ventricle"] == 0 and metrics["surfaces/missing/right-ventricle"] == 1
    )
    assert f"surfaces/hd95_{unit}/right-ventricle" not in metrics
    assert np.isnan(arrays[f"surfaces/hd95_{unit}/right-ventricle"]).all()
    assert arrays["surfaces/subject"].tolist() == ["s0", "s1"]
    other = "px" if unit == "mm" else "mm"
    assert not any(f"_{other}" in name for name in metrics | arrays)
    paired = surfaces.paired(arrays)
    assert set(paired) == set(arrays) - {"surfaces/subject"}


def test_slices_lie_at_their_positions_whatever_the_order_of_the_rows():
    test = squares()
    test.masks[1, 0] = 0  # a gap: seen in 3-D from above and below alone
    test.stored[1] = 0.5 * test.masks[1, :1]
    whole = run(Shifted(1), test)[0]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    columns = {name: getattr(test, name)[order] for name in ("stored", "masks", "position", "spacing_mm")}
    texts = {name: tuple(getattr(test, name)[row] for row in order) for name in ("subject", "phase")}
    assert run(Shifted(1), replace(test, **columns, **texts))[0] == pytest.approx(whole)


def test_planes_that_nobody_has_drawn_do_not_count():
    test, less = squares(), squares()
    less.masks[4:, 1] = 255
    for name, value in run(Shifted(2), less)[0].items():
        assert value == pytest.approx(run(Shifted(2), test)[0][name])
    with pytest.raises(ValueError, match="expected test slices on which a structure is drawn"):
        run(Shifted(2), replace(test, masks=torch.zeros_like(test.masks)))
