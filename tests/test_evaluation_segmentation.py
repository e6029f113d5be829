"""Dice by slices and by volumes, against slow words of the paper and torchmetrics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from torch import nn
from torchmetrics.segmentation import DiceScore

from latent_anatomy.evaluation.protocols import segmentation
from latent_anatomy.metrics import dice as overlap
from latent_anatomy.training.method import Data

STRUCTURES = ("myocardium", "left-ventricle", "right-ventricle")
SIZE = 12
UNDRAWN = 255


class Fixed(nn.Module):
    """Probabilities of structures by a random convolution."""

    def __init__(self, structures: int = 3):
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Conv2d(1, structures + 1, 3, padding=1)
        nn.init.normal_(self.layer.weight, std=3)

    def segment(self, images):
        return self.layer(images).softmax(1)[:, :-1]


class Answers(nn.Module):
    """The same probabilities (L, H, W) for whatever it sees."""

    def __init__(self, planes: torch.Tensor):
        super().__init__()
        self.planes = planes

    def segment(self, images):
        return self.planes.expand(len(images), *self.planes.shape)


def data(depths: dict[str, int], seed: int = 0, modalities: dict[str, str] | None = None) -> Data:
    """Noise with random labels, subjects of so many slices at ED and at ES; structure 2 misses on some."""
    random = np.random.default_rng(seed)
    rows = [(name, p, z) for name, depth in depths.items() for p in ("ED", "ES") for z in range(depth)]
    labels = random.integers(0, 4, (len(rows), SIZE, SIZE))
    labels[1::3][labels[1::3] == 3] = 0
    masks = np.stack([labels == index + 1 for index in range(3)], axis=1).astype(np.uint8)
    return Data(
        torch.from_numpy(random.random((len(rows), 1, SIZE, SIZE), np.float32)),
        masks=torch.from_numpy(masks),
        mask_names=STRUCTURES,
        subject=tuple(name for name, _, _ in rows),
        phase=tuple(phase for _, phase, _ in rows),
        position=torch.tensor([z for _, _, z in rows]),
        modality=tuple((modalities or {}).get(name, "MR cine") for name, _, _ in rows),
    )


def run(method: nn.Module, test: Data) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    return segmentation.evaluate(method, {"train": test, "test": test}, segmentation.Params(), "", 0)[:2]


def rows_of(test: Data, rows: list[int]) -> Data:
    """Some of the rows, in that order."""
    texts = {
        name: tuple(getattr(test, name)[row] for row in rows) for name in ("subject", "phase", "modality")
    }
    tensors = {name: getattr(test, name)[rows] for name in ("stored", "masks", "position")}
    return replace(test, **texts, **tensors)


DEPTHS = {"b": 2, "a": 5, "c": 3}


@pytest.fixture
def test_split() -> Data:
    return data(DEPTHS)


# Against slow words of the paper


def code_of_the_paper(test: Data, probabilities: np.ndarray) -> dict[str, dict[str, float]]:
    """Dice of each subject: soft and pooled for "average", rounded for structures, a slice at a time."""

    def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
        return (2 * (predicted * truth).sum() + 0.1) / (predicted.sum() + truth.sum() + 0.1)

    truth, found = test.masks.numpy().astype(float), {}
    for subject in sorted(set(test.subject)):
        rows = [row for row, name in enumerate(test.subject) if name == subject]
        values = {"average": np.mean([dice(probabilities[row], truth[row]) for row in rows])}
        for index, name in enumerate(STRUCTURES):
            rounded = np.round(probabilities[:, index])
            values[name] = np.mean([dice(rounded[row], truth[row, index]) for row in rows])
        found[subject] = values
    return found


def test_slice_dice_is_that_of_the_paper_s_code(test_split):
    method = Fixed()
    expected = code_of_the_paper(test_split, method.segment(test_split.images).detach().double().numpy())
    found, arrays = run(method, test_split)
    assert arrays["segmentation/subject"].tolist() == ["a", "b", "c"]
    for name in ("average", *STRUCTURES):
        of_subjects = [expected[subject][name] for subject in ("a", "b", "c")]
        key = f"segmentation/slice-dice/{name}"
        assert arrays[key] == pytest.approx(of_subjects, abs=1e-6)
        assert found[key] == pytest.approx(np.mean(of_subjects), abs=1e-6)
        assert found[f"{key}_sd"] == pytest.approx(np.std(of_subjects, ddof=1), abs=1e-6)
    assert found["segmentation/slice-dice/average"] != pytest.approx(
        np.mean([found[f"segmentation/slice-dice/{name}"] for name in STRUCTURES]), abs=0.01
    )


def test_volume_dice_is_torchmetrics(test_split):
    method = Fixed()
    probabilities = method.segment(test_split.images).detach()
    whole = torch.cat([probabilities, 1 - probabilities.sum(1, keepdim=True)], 1)
    hard = nn.functional.one_hot(whole.argmax(1), 4).movedim(-1, 1)[:, :3]
    expected = {}
    for subject in DEPTHS:
        for phase in ("ED", "ES"):
            keys = zip(test_split.subject, test_split.phase, strict=True)
            rows = [row for row, key in enumerate(keys) if key == (subject, phase)]
            volume = (each[rows].transpose(0, 1)[None] for each in (hard, test_split.masks))
            expected[subject, phase] = DiceScore(3, average="none", input_format="one-hot")(*volume).numpy()
    found, arrays = run(method, test_split)
    for index, name in enumerate(STRUCTURES):
        of_subjects = [(expected[each, "ED"][index] + expected[each, "ES"][index]) / 2 for each in "abc"]
        assert arrays[f"segmentation/volume-dice/{name}"] == pytest.approx(of_subjects, abs=1e-6)
        assert found[f"segmentation/volume-dice/{name}_sd"] == pytest.approx(
            np.std(of_subjects, ddof=1), abs=1e-6
        )
        at_end = np.mean([expected[each, "ES"][index] for each in "abc"])
        assert found[f"segmentation/volume-dice/ES/{name}"] == pytest.approx(at_end, abs=1e-6)
    average = np.mean([found[f"segmentation/volume-dice/{name}"] for name in STRUCTURES])
    assert found["segmentation/volume-dice/average"] == pytest.approx(average)


@given(numpy_arrays(np.uint8, (2, 2, 3, 4, 4), elements=st.integers(0, 1)))
def test_dice_of_volumes_is_what_sets_say_and_1_for_nothing_in_nothing(planes):
    predicted, truth = planes
    counted = overlap.counts(torch.from_numpy(predicted).float(), torch.from_numpy(truth))
    for index in range(3):
        one, other = (set(zip(*np.nonzero(each[:, index]), strict=True)) for each in (predicted, truth))
        expected = 2 * len(one & other) / (len(one) + len(other)) if one | other else 1
        assert float(overlap.dice(counted.sum(0)[index])) == pytest.approx(expected)


def test_nothing_found_where_nothing_is_counts_1_and_a_speck_next_to_nothing(test_split):
    empty = replace(test_split, masks=torch.zeros_like(test_split.masks))
    found, _ = run(Answers(torch.zeros(3, SIZE, SIZE)), empty)
    assert {value for name, value in found.items() if not name.endswith("_sd")} == {1.0}
    speck = torch.zeros(3, SIZE, SIZE)
    speck[1, 0, 0] = 1
    found, _ = run(Answers(speck), empty)
    assert found["segmentation/slice-dice/left-ventricle"] == pytest.approx(0.1 / 1.1)
    assert found["segmentation/volume-dice/left-ventricle"] == 0
    assert found["segmentation/volume-dice/myocardium"] == 1


def test_the_truth_scores_1(test_split):
    class Oracle(nn.Module):
        def segment(self, images):
            return test_split.masks[[places[float(image.sum())] for image in images]].float()

    places = {float(image.sum()): row for row, image in enumerate(test_split.images)}
    found, _ = run(Oracle(), test_split)
    assert len(places) == len(test_split)
    assert {value for name, value in found.items() if not name.endswith("_sd")} == {1.0}


def test_structures_are_rounded_in_slices_and_the_likeliest_in_volumes(test_split):
    """At 0.45, 0.3, 0, background 0.25: nothing reaches 0.5, but the first is the likeliest."""
    truth = torch.zeros_like(test_split.masks)
    truth[:, 0] = 1
    planes = torch.tensor([0.45, 0.3, 0.0])[:, None, None].expand(3, SIZE, SIZE)
    found, _ = run(Answers(planes), replace(test_split, masks=truth))
    pixels = SIZE * SIZE
    assert found["segmentation/slice-dice/myocardium"] == pytest.approx(0.1 / (pixels + 0.1))
    assert found["segmentation/volume-dice/myocardium"] == 1
    soft = (0.9 * pixels + 0.1) / (1.75 * pixels + 0.1)
    assert found["segmentation/slice-dice/average"] == pytest.approx(soft, rel=1e-6)


def test_half_is_rounded_to_nothing(test_split):
    truth = torch.zeros_like(test_split.masks)
    found, _ = run(Answers(torch.full((3, SIZE, SIZE), 0.5)), replace(test_split, masks=truth))
    assert found["segmentation/slice-dice/myocardium"] == 1


# What must not matter


def test_the_order_of_the_slices_does_not_matter(test_split):
    found, arrays = run(Fixed(), test_split)
    order = np.random.default_rng(1).permutation(len(test_split)).tolist()
    shuffled, other = run(Fixed(), rows_of(test_split, order))
    assert shuffled == pytest.approx(found)
    for name, values in arrays.items():
        close = (
            np.allclose(values, other[name]) if values.dtype.kind == "f" else (values == other[name]).all()
        )
        assert close, name


def test_what_nobody_has_drawn_does_not_count(test_split):
    """Slices of 255 are as if they were not there, and a plane of 255 leaves the others as they are."""
    undrawn = test_split.masks.clone()
    gone = [0, 7, 11]
    undrawn[gone] = UNDRAWN
    without = rows_of(test_split, [row for row in range(len(test_split)) if row not in gone])
    found, arrays = run(Fixed(), replace(test_split, masks=undrawn))
    expected, others = run(Fixed(), without)
    assert found == pytest.approx(expected)
    assert all((values == others[name]).all() for name, values in arrays.items() if "figure" in name)

    planes = test_split.masks.clone()
    planes[:, 1] = UNDRAWN
    found, arrays = run(Fixed(), replace(test_split, masks=planes))
    assert not [name for name in found if "left-ventricle" in name]
    assert np.isnan(arrays["segmentation/volume-dice/left-ventricle"]).all()
    reference, _ = run(Fixed(), test_split)
    for kind in ("slice-dice", "volume-dice"):
        names = [f"segmentation/{kind}/{name}" for name in (STRUCTURES[0], STRUCTURES[2])]
        assert [found[name] for name in names] == pytest.approx([reference[name] for name in names])
    assert found["segmentation/volume-dice/average"] == pytest.approx(
        np.mean([found[each] for each in names])
    )
    two = replace(test_split, masks=test_split.masks[:, [0, 2]], mask_names=(STRUCTURES[0], STRUCTURES[2]))

    class Without(Fixed):
        def segment(self, images):
            return super().segment(images)[:, [0, 2]]

    pooled = "segmentation/slice-dice/average"
    assert found[pooled] == pytest.approx(run(Without(), two)[0][pooled])


def test_every_subject_weighs_the_same(test_split):
    """A subject whose slices come twice, as another phase, has the same say."""
    longer = [row for row, name in enumerate(test_split.subject) if name == "a"]
    doubled = rows_of(test_split, [*range(len(test_split)), *longer])
    phases = (*test_split.phase, *(f"another-{phase}" for phase in doubled.phase[len(test_split) :]))
    found, arrays = run(Fixed(), replace(doubled, phase=phases))
    expected, _ = run(Fixed(), test_split)
    assert found == pytest.approx(expected)
    assert len(arrays["segmentation/subject"]) == 3


def test_modalities_stand_beside_each_other():
    mixed = data(DEPTHS, modalities={"a": "CT", "b": "MR", "c": "MR"})
    found, arrays = run(Fixed(), mixed)
    for kind in ("slice-dice", "volume-dice"):
        values = arrays[f"segmentation/{kind}/average"]
        assert found[f"segmentation/ct/{kind}/average"] == pytest.approx(values[0])
        assert found[f"segmentation/mr/{kind}/average"] == pytest.approx(values[1:].mean())
        assert found[f"segmentation/mr/{kind}/average_sd"] == pytest.approx(values[1:].std(ddof=1))
        assert f"segmentation/ct/{kind}/average_sd" not in found  # of one subject
    alone = [row for row, modality in enumerate(mixed.modality) if modality == "CT"]
    only, _ = run(Fixed(), rows_of(mixed, alone))
    assert not [name for name in only if "/ct/" in name or name.endswith("_sd")]


# Pictures, and what is refused


def test_pictures_are_of_slices_on_which_something_is_drawn(test_split):
    masks = torch.zeros_like(test_split.masks)
    masks[5:17] = test_split.masks[5:17]
    _, arrays = run(Fixed(), replace(test_split, masks=masks))
    image, truth, prediction = (
        arrays[f"figure/segmentation/{each}"] for each in ("image", "truth", "prediction")
    )
    assert image.shape == (8, 1, SIZE, SIZE) and truth.shape == prediction.shape == (8, 3, SIZE, SIZE)
    assert {each.dtype for each in (image, truth, prediction)} == {np.dtype(np.uint8)}
    assert truth.any(axis=(1, 2, 3)).all() and set(np.unique(truth)) == set(np.unique(prediction)) == {0, 255}
    assert (prediction > 0).sum(axis=1).max() == 1  # structures do not overlap
    assert arrays["segmentation/structures"].tolist() == list(STRUCTURES)


def test_another_set_of_structures_is_refused(test_split):
    renamed = replace(test_split, mask_names=("lung", "heart", "liver"))
    with pytest.raises(ValueError, match=r"expected masks of myocardium.*, found lung"):
        segmentation.evaluate(Fixed(), {"train": test_split, "test": renamed}, segmentation.Params(), "", 0)
    with pytest.raises(ValueError, match="expected a plane for each structure"):
        run(Fixed(2), test_split)


def test_a_test_split_without_masks_is_refused(test_split):
    for masks in (None, torch.full_like(test_split.masks, UNDRAWN)):
        with pytest.raises(ValueError, match="structures are drawn, found none"):
            run(Fixed(), replace(test_split, masks=masks))


@pytest.mark.parametrize("wrong", [float("nan"), 1.5, -0.1])
def test_what_is_no_probability_is_refused(test_split, wrong):
    with pytest.raises(ValueError, match="probabilities from 0 to 1"):
        run(Answers(torch.full((3, SIZE, SIZE), wrong)), test_split)
