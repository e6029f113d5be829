"""Volumes of the left ventricle in millilitres, on discs of which a method draws exactly what it should."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import synthetic_hearts
import torch
from scipy import stats
from torch import nn

from latent_anatomy.evaluation import area_regressor
from latent_anatomy.evaluation.protocols import segmentation, volume
from latent_anatomy.statistics.inference import sign_flip
from latent_anatomy.training.method import Data, MethodParams, Schedules, Stream

STRUCTURES = ("myocardium", "left-ventricle")
SIZE, DEPTH = 16, 4
SPACING = (1.5, 1.25, 8.0)
METHODS = ("frozen", "fine-tuned")


class Round(torch.autograd.Function):
    """0 or 1, with the gradient of what was rounded."""

    @staticmethod
    def forward(context, values):
        return values.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


class Levels(nn.Module):
    """s by two levels of brightness, the second of which is that of blood: the truth at 0.3 and 0.7."""

    def __init__(self, blood: float = 0.7):
        super().__init__()
        self.params = MethodParams(epochs=1, batch_size=4)
        self.levels = nn.Parameter(torch.tensor([0.3, blood]))
        self.seen: list[dict] = []

    def anatomy(self, images):
        tissue, blood = (torch.sigmoid(20 * (images - level)) for level in self.levels)
        return Round.apply(torch.cat([tissue * (1 - blood), blood], dim=1))

    def segment(self, images):
        return self.anatomy(images)

    def streams(self, train):
        return {"labelled": Stream(torch.tensor([0, 1, 2]), 2), "unlabelled": Stream(torch.arange(10), 2)}

    def optimisers(self):
        return {"all": torch.optim.SGD(self.parameters(), lr=0.1)}

    def schedules(self, optimisers, steps_per_epoch):
        return Schedules()

    def training_step(self, batches, update):
        self.seen.append({name: len(batch.images) for name, batch in batches.items()})
        update("all", 0 * self.levels.sum())
        return {}


def data(subjects: int, seed: int) -> Data:
    """Rings of muscle around discs of blood that shrink towards the apex, at ED and, smaller, at ES."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    columns = {"images": [], "masks": [], "subject": [], "phase": [], "position": [], "spacing": []}
    for subject in range(subjects):
        radius, centre = random.uniform(2, 5), random.uniform(6.5, 8.5, 2)
        for phase, shrunk in (("ED", 1.0), ("ES", 0.7)):
            for position in range(DEPTH):
                distance = np.hypot(y - centre[0], x - centre[1])
                inner = radius * shrunk * (1 - 0.2 * position)
                blood, muscle = distance < inner, (distance >= inner) & (distance < inner + 2)
                columns["images"].append((0.1 + 0.4 * muscle + 0.8 * blood)[None])
                columns["masks"].append(np.stack([muscle, blood]))
                columns["subject"].append(f"s{seed}-{subject}")
                columns["phase"].append(phase)
                columns["position"].append(position)
                columns["spacing"].append(np.multiply(SPACING, 1 + 0.01 * subject))
    return Data(
        torch.from_numpy(np.array(columns["images"], np.float32)),
        masks=torch.from_numpy(np.array(columns["masks"], np.uint8)),
        mask_names=STRUCTURES,
        subject=tuple(columns["subject"]),
        position=torch.tensor(columns["position"]),
        phase=tuple(columns["phase"]),
        spacing_mm=torch.from_numpy(np.array(columns["spacing"], np.float32)),
    )


@pytest.fixture(scope="module")
def splits() -> dict[str, Data]:
    found = {"train": data(30, 1), "val": data(6, 2), "test": data(7, 3)}
    labelled = torch.tensor([name in ("s1-0", "s1-1") for name in found["train"].subject])
    return found | {"train": replace(found["train"], labelled=labelled)}


QUICK = {"epochs": 2, "steps": 6, "fine_tuning_rate": 0.01}


def run(method: nn.Module, splits: dict[str, Data], **settings):
    return volume.evaluate(method, splits, volume.Params(**(QUICK | settings)), "segmentation", 5)[:2]


def true_ml(test: Data) -> dict[str, float]:
    """By the definition, a slice at a time."""
    found: dict[str, float] = {}
    for row, subject in enumerate(test.subject):
        if test.phase[row] == "ED":
            size = np.prod(test.spacing_mm[row].double().numpy()) / 1000
            found[subject] = found.get(subject, 0) + int(test.masks[row, 1].sum()) * size
    return found


# Learning


@pytest.fixture(scope="module")
def learnt(splits):
    settings = {"epochs": 40, "patience": 20, "steps": 30, "fine_tuning_rate": 1e-4, "learning_rate": 1e-3}
    return run(Levels(), splits, **settings)


def test_volumes_of_an_exact_anatomy_are_nearly_exact(splits, learnt):
    found, arrays = learnt
    expected = true_ml(splits["test"])
    assert arrays["volume/subject"].tolist() == sorted(expected)
    assert arrays["volume/true_ml"] == pytest.approx([expected[name] for name in sorted(expected)])
    for name in METHODS:
        assert found[f"volume/{name}/mae_ml"] < 0.06 * found[f"volume/{name}/true_mean_ml"]
        assert found[f"volume/{name}/r"] > 0.99
        assert arrays[f"volume/{name}/ml"] == pytest.approx(arrays["volume/true_ml"], rel=0.25)


def test_the_copy_s_dice_is_the_one_of_segmentation(splits, learnt):
    found, _ = learnt
    expected, *_ = segmentation.evaluate(Levels(), splits, segmentation.Params(), "", 0)
    for name in ("average", *STRUCTURES):
        assert found[f"volume/fine-tuned/slice-dice/{name}"] == pytest.approx(
            expected[f"segmentation/slice-dice/{name}"], abs=0.02
        )


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_fine_tuning_reaches_the_encoder_through_the_rounding(splits, loss):
    """An encoder that takes the ventricle's blood for something else learns from areas alone."""
    method = Levels(blood=0.95).train()
    train = splits["train"]
    areas = train.masks[:, 1].sum((1, 2)).float()

    class Count(nn.Module):
        def forward(self, anatomy):
            return anatomy[:, 1].sum((1, 2)) / areas.mean()

    settings = area_regressor.Training(steps=40, fine_tuning_rate=0.01, loss=loss)
    rows = torch.arange(len(train))
    copy, _ = area_regressor.fine_tune(method, Count(), train, rows, areas / areas.mean(), settings, 0)
    assert method.levels[1].item() == pytest.approx(0.95) and copy.levels[1].item() < 0.9
    assert method.anatomy(train.images)[:, 1].sum() < areas.sum()
    assert copy.anatomy(train.images)[:, 1].sum() == areas.sum()


# What must hold


def test_the_method_is_left_as_it_was_and_the_same_seed_gives_the_same_bits(splits):
    method = Levels()
    before, state = method.levels.detach().clone(), torch.get_rng_state()
    found, arrays = run(method, splits)
    assert torch.equal(method.levels, before) and method.levels.grad is None and not method.seen
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again, others = run(method, splits)
    assert again == found and all((values == others[name]).all() for name, values in arrays.items())
    another, *_ = volume.evaluate(method, splits, volume.Params(**QUICK), "segmentation", 6)
    assert another["volume/frozen/mean_ml"] != found["volume/frozen/mean_ml"]


def test_fine_tuning_takes_the_method_s_own_steps_in_turn(splits):
    train = splits["train"]
    settings = area_regressor.Training(steps=7)
    regressor = area_regressor.Regressor(2, SIZE, SIZE)
    rows = torch.arange(len(train))
    copy, _ = area_regressor.fine_tune(Levels(), regressor, train, rows, torch.ones(len(rows)), settings, 0)
    assert not copy.training and len(copy.seen) == 7
    assert all(step["unlabelled"] == 2 for step in copy.seen)
    assert {step["labelled"] for step in copy.seen} == {1, 2}


@pytest.mark.parametrize(("restart", "rate"), [(False, 0.25), (True, 1.0)])
def test_the_method_s_rates_go_on_where_training_ended_unless_they_restart(restart, rate):
    data = synthetic_hearts.hearts(8)
    method = synthetic_hearts.build("sdnet", annealed_to=0.25, decay=0, epochs=3, learning_rate=1e-3)
    rates, angles, step = [], [], method.training_step

    def seen(self, batches, update):
        def noted(name, loss):
            update(name, loss)
            rates.append(optimisers[name].param_groups[0]["lr"])

        angles.append(self.params.rotation)
        return step(batches, noted)

    optimisers = method.optimisers()
    method.optimisers, method.training_step = (lambda: optimisers), partial(seen, method)
    # A copy keeps these bound to the original, which is what is looked at here.
    settings = area_regressor.Training(steps=2, restart=restart)
    regressor = area_regressor.Regressor(3, 32, 32)
    area_regressor.fine_tune(method, regressor, data, torch.arange(8), torch.ones(8), settings, 0)
    assert rates[0] == pytest.approx(1e-3 * rate)
    assert max(rates) <= 1e-3 * rate * (1 + 1e-6)


def test_fine_tuning_does_not_rotate_unless_it_is_asked_to():
    data, method = synthetic_hearts.hearts(8), synthetic_hearts.build("sdnet")
    assert method.params.rotation == 90
    for degrees in (0.0, 30.0):
        settings = area_regressor.Training(steps=1, rotation=degrees)
        regressor = area_regressor.Regressor(3, 32, 32)
        copy, _ = area_regressor.fine_tune(
            method, regressor, data, torch.arange(8), torch.ones(8), settings, 0
        )
        assert copy.params.rotation == degrees and method.params.rotation == 90


def test_baselines_are_the_mean_of_the_training_subjects_and_the_segmented_pixels(splits):
    found, arrays = run(Levels(), splits)
    unlabelled = {name: ml for name, ml in true_ml(splits["train"]).items() if name not in ("s1-0", "s1-1")}
    assert arrays["volume/mean/ml"] == pytest.approx([np.mean(list(unlabelled.values()))] * 7)
    errors = np.abs(arrays["volume/mean/ml"] - arrays["volume/true_ml"])
    assert found["volume/mean/mae_ml"] == pytest.approx(errors.mean()) and "volume/mean/r" not in found
    assert arrays["volume/counted/ml"] == pytest.approx(arrays["volume/true_ml"])  # Levels sees them exactly
    everybody, _ = run(Levels(), splits, areas="all")
    whole = np.mean(list(true_ml(splits["train"]).values()))
    assert everybody["volume/mean/mean_ml"] == pytest.approx(whole)


def test_the_order_of_test_slices_does_not_matter_and_other_phases_do_not_count(splits):
    test = splits["test"]
    order = np.random.default_rng(0).permutation([row for row, p in enumerate(test.phase) if p == "ED"])
    names = ("stored", "masks", "position", "spacing_mm")
    tensors = {name: getattr(test, name)[order.tolist()] for name in names}
    texts = {name: tuple(getattr(test, name)[row] for row in order) for name in ("subject", "phase")}
    found, _ = run(Levels(), splits)
    shuffled, _ = run(Levels(), splits | {"test": replace(test, **tensors, **texts)})
    same = [name for name in found if "slice-dice" not in name]  # which is of all phases
    assert [shuffled[name] for name in same] == pytest.approx([found[name] for name in same])


def test_slices_that_are_not_drawn_count_neither_as_true_nor_as_predicted(splits):
    test = splits["test"]
    masks = test.masks.clone()
    masks[0] = 255
    kept = list(range(1, len(test)))
    texts = {name: tuple(getattr(test, name)[row] for row in kept) for name in ("subject", "phase")}
    tensors = {name: getattr(test, name)[kept] for name in ("stored", "masks", "position", "spacing_mm")}
    found, arrays = run(Levels(), splits | {"test": replace(test, masks=masks)})
    expected, others = run(Levels(), splits | {"test": replace(test, **tensors, **texts)})
    assert found == pytest.approx(expected)
    assert arrays["volume/true_ml"] == pytest.approx(others["volume/true_ml"])


def test_areas_of_the_labelled_are_known_only_where_that_is_asked_for(splits):
    train = splits["train"]
    masks = train.masks.clone()
    masks[train.labelled] = 0
    changed = splits | {"train": replace(train, masks=masks)}
    assert run(Levels(), splits)[0] == run(Levels(), changed)[0]
    assert run(Levels(), splits, areas="all")[0] != run(Levels(), changed, areas="all")[0]
    for labelled in (None, torch.ones(len(train), dtype=torch.bool)):
        everybody = splits | {"train": replace(train, labelled=labelled)}
        with pytest.raises(ValueError, match="`areas: all`"):
            run(Levels(), everybody)
        assert run(Levels(), everybody, areas="all")


def test_no_other_mask_is_looked_at(splits):
    changed = dict(splits)
    for name in ("train", "val"):
        masks = splits[name].masks.clone()
        masks[:, 0] = 255
        changed[name] = replace(splits[name], masks=masks)
    assert run(Levels(), changed)[0] == run(Levels(), splits)[0]


def test_the_paper_s_network_has_its_parameters():
    network = area_regressor.Regressor(8, 224, 224)
    convolutions = (8 * 9 + 1) * 16 + (16 * 9 + 1) * 16
    assert sum(each.numel() for each in network.parameters()) == (
        convolutions + (224 * 224 * 16 + 1) * 16 + 17
    )
    small = area_regressor.Regressor(3, 8, 8)
    assert (small(torch.zeros(5, 3, 8, 8)) == 1).all()  # the mean area, before it has learnt
    assert (small(100 * torch.randn(5, 3, 8, 8)) >= 0).all()


@pytest.fixture(scope="module")
def large():
    """Anatomies (n, 2, 96, 96) of discs and what is around them, and areas (n,) in units of their mean."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[:96, :96]
    discs = [
        np.hypot(y - random.uniform(30, 60), x - random.uniform(30, 60)) < random.uniform(5, 25)
        for _ in range(60)
    ]
    anatomy = torch.from_numpy(np.stack([np.stack([disc, ~disc]) for disc in discs])).half()
    areas = anatomy[:, 0].float().sum((1, 2))
    rows = {"train": slice(0, 40), "val": slice(40, 60)}
    return tuple({name: each[row] for name, row in rows.items()} for each in (anatomy, areas / areas.mean()))


def test_areas_on_a_large_grid_are_learnt(large):
    torch.manual_seed(0)
    regressor, (anatomy, areas) = area_regressor.Regressor(2, 96, 96), large
    area_regressor.fit(regressor, anatomy, areas, area_regressor.Training(epochs=12), 0)
    errors = (area_regressor.read(regressor, anatomy["val"]) - areas["val"]).abs()
    assert errors.mean() < 0.3 * (areas["train"].median() - areas["val"]).abs().mean()


def test_a_regressor_that_a_step_silenced_is_an_error(large):
    torch.manual_seed(0)
    with pytest.raises(FloatingPointError, match=r"on every training slice.*lower `learning_rate`"):
        settings = area_regressor.Training(learning_rate=1e-3)
        area_regressor.fit(area_regressor.Regressor(2, 96, 96), *large, settings, 0)


def test_of_anatomies_that_are_all_alike_the_same_is_said(large):
    torch.manual_seed(0)
    regressor, (anatomy, areas) = area_regressor.Regressor(2, 96, 96), large
    blank = {name: torch.zeros_like(each) for name, each in anatomy.items()}
    area_regressor.fit(regressor, blank, areas, area_regressor.Training(epochs=1), 0)
    assert len(area_regressor.read(regressor, blank["train"]).unique()) == 1


# Numbers


def test_agreement_is_that_of_numpy_and_scipy():
    random = np.random.default_rng(2)
    true = random.normal(140, 20, 10)
    predicted = true + random.normal(3, 8, 10)
    found = volume.tested(predicted, true, [f"s{index}" for index in range(10)], 0)
    difference = predicted - true
    expected = {
        "mean_ml": np.mean(predicted),
        "sd_ml": np.std(predicted, ddof=1),
        "true_mean_ml": np.mean(true),
        "true_sd_ml": np.std(true, ddof=1),
        "bias_ml": np.mean(difference),
        "loa_low_ml": np.mean(difference) - 1.96 * np.std(difference, ddof=1),
        "loa_high_ml": np.mean(difference) + 1.96 * np.std(difference, ddof=1),
        "mae_ml": np.mean(np.abs(difference)),
        "r": np.corrcoef(predicted, true)[0, 1],
        "p_value": stats.ttest_rel(predicted, true).pvalue,
        "p_permutation": sign_flip(difference, np.arange(10), seed=1),
    }
    assert found == pytest.approx(expected)


def test_agreement_of_what_does_not_vary():
    true, subjects = np.array([1.0, 2.0, 3.0]), ["a", "b", "c"]
    same = volume.tested(true, true, subjects, 0)
    assert same["p_value"] == same["p_permutation"] == 1
    assert same["r"] == pytest.approx(1)
    assert "r" not in volume.tested(np.full(3, 2.0), true, subjects, 0)
    alone = volume.tested(true[:1] + 2, true[:1], subjects[:1], 0)
    assert alone == {"mean_ml": 3, "true_mean_ml": 1, "bias_ml": 2, "mae_ml": 2}
    with pytest.raises(FloatingPointError, match="finite values, predicted and true"):
        volume.tested(np.array([1, 2, np.nan]), true, subjects, 0)


# What is refused


def test_possible_where_pixels_have_sizes_and_ventricles_are_drawn(splits):
    assert volume.possible(splits)
    test = splits["test"]
    undrawn = torch.full_like(test.masks, 255)
    wrong = {
        "spacing": {"test": replace(test, spacing_mm=None)},
        "masks of the left-ventricle": {"val": replace(splits["val"], mask_names=("myocardium", "lung"))},
        "masks": {"val": replace(splits["val"], masks=None, mask_names=())},
        "slices at ED": {"test": replace(test, phase=("ES",) * len(test))},
        "is drawn": {"train": replace(splits["train"], masks=torch.full_like(splits["train"].masks, 255))},
        "drawn, found none": {"test": replace(test, masks=undrawn)},
    }
    for reason, changed in wrong.items():
        assert not volume.possible(splits | changed), reason
        with pytest.raises(ValueError, match=reason):
            run(Levels(), splits | changed)
    assert volume.possible(splits | {"test": replace(test, phase=())})  # where there is one phase


def test_an_anatomy_without_gradients_is_refused(splits):
    class Detached(Levels):
        def anatomy(self, images):
            return super().anatomy(images).detach()

    with pytest.raises(ValueError, match="gradients flow"):
        run(Detached(), splits)


def test_a_loss_that_is_not_finite_is_an_error(splits):
    with pytest.raises(FloatingPointError, match="`learning_rate`"):
        run(Levels(), splits, learning_rate=1e30, loss="mse")
