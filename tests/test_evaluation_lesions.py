"""The protocol of lesions against slow words of the paper, and on a small phantom from training to Dice."""

import csv
import json

import numpy as np
import pytest
import torch
from proofs import sliced
from scipy import ndimage
from sklearn.metrics import average_precision_score
from torch import nn

from latent_anatomy.data import slices, slices_file
from latent_anatomy.evaluation.protocols import lesions
from latent_anatomy.jobs import evaluate as evaluate_job
from latent_anatomy.jobs import train as train_job
from latent_anatomy.methods import registry as methods
from latent_anatomy.metrics.lesions.postprocessing import PostProcessing
from latent_anatomy.provenance.files import canonical_json
from latent_anatomy.training.loop import TrainingParams, train
from latent_anatomy.training.method import Data, Shape, Stack

SIZE = 32
FIRST = 4  # position
SHAPE = Shape(channels=1, height=SIZE, width=SIZE, classes=0, positions=FIRST + 6)
KINDS = ("training", "validation", "oracle")


def phantom(patients: int, ill: int, seed: int, depth: int = 6, name: str = "p") -> dict[str, np.ndarray]:
    """Discs of mild texture, the last `ill` patients each with a bright ball: columns of a slices file."""
    random = np.random.default_rng(seed)
    z, y, x = np.mgrid[:depth, :SIZE, :SIZE]
    brain = np.broadcast_to((y - 15.5) ** 2 + (x - 15.5) ** 2 < 14**2, z.shape)
    columns = {"images": [], "masks": []}
    for patient in range(patients):
        centre = (depth / 2, *random.uniform(11, 20, 2))
        ball = sum((axis - middle) ** 2 for axis, middle in zip((z, y, x), centre, strict=True)) < 4**2
        lesion = ball & brain & (patient >= patients - ill)
        texture = 0.4 + 0.1 * np.cos(x / 4) + random.normal(0, 0.03, z.shape)
        columns["images"].append((np.clip(texture + 0.35 * lesion, 0, 1) * brain)[:, None])
        columns["masks"].append(np.stack([brain, lesion], axis=1))
    return {
        "images": np.concatenate(columns["images"]).astype(np.float32),
        "masks": np.concatenate(columns["masks"]).astype(np.uint8),
        "subject": np.repeat([f"{name}{patient}" for patient in range(patients)], depth),
        "slice": np.tile(np.arange(FIRST, FIRST + depth, dtype=np.int32), patients),
    }


PARTS = {"train": (6, 0, 1), "val": (3, 2, 2), "test": (5, 4, 3)}


def data(columns: dict[str, np.ndarray], names: tuple[str, ...] = ("brain", "lesion")) -> Data:
    images, masks, position = (torch.from_numpy(columns[key]) for key in ("images", "masks", "slice"))
    return Data(images, None, masks, names, tuple(columns["subject"].tolist()), position.long())


@pytest.fixture
def splits() -> dict[str, Data]:
    return {name: data(phantom(*part, name=name)) for name, part in PARTS.items()}


class Brightness(nn.Module):
    """The image is its own anomaly map; keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.shown: list[Stack] = []

    def anomaly_map(self, stack):
        self.shown.append(stack)
        return stack.images


class Rebuilt(Brightness):
    """Reconstructs everything as grey, at some cost."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def reconstruct(self, images):
        self.asked += len(images)
        return torch.full_like(images, 0.25)


class Residual(Rebuilt):
    """Its map is what it does not reconstruct."""

    def residual(self, images, reconstructions):
        return (images - reconstructions).abs()


def run(method: nn.Module, splits: dict[str, Data], **settings) -> tuple[dict, dict]:
    return lesions.evaluate(method, splits, lesions.Params(**settings), "lesions", 0)[:2]


def paper(data: Data) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Filtered residuals, eroded brains and lesions of each patient, by scipy and one patient at a time."""
    found = ([], [], [])
    for subject in sorted(set(data.subject)):
        rows = [row for row, name in enumerate(data.subject) if name == subject]
        brain, lesion = (data.masks[rows, plane].numpy().astype(bool) for plane in (0, 1))
        inner = np.stack([ndimage.binary_erosion(plane, iterations=2) for plane in brain])
        filtered = ndimage.median_filter(data.stored[rows, 0].numpy(), size=5)
        for values, value in zip(found, (filtered * inner, inner, lesion), strict=True):
            values.append(value)
    return found


def dice_of_paper(filtered: np.ndarray, lesion: np.ndarray, threshold: float) -> float:
    components, number = ndimage.label(filtered > threshold, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(np.ones_like(components), components, range(1, number + 1))
    kept = np.isin(components, 1 + np.flatnonzero(sizes >= 6))
    return 2 * (kept & lesion).sum() / (kept.sum() + lesion.sum()) if lesion.any() else np.nan


# Against the words of the paper


def test_the_paper_s_numbers_by_scipy(splits):
    found, arrays = run(Brightness(), splits)
    residuals, inner, _ = paper(splits["train"])
    threshold = np.percentile(np.concatenate([r[i] for r, i in zip(residuals, inner, strict=True)]), 98)
    assert found["lesions/training/threshold"] == pytest.approx(threshold, rel=1e-6)
    filtered, _, reference = paper(splits["test"])
    dice = [
        dice_of_paper(*pair, np.float32(found["lesions/training/threshold"]))
        for pair in zip(filtered, reference, strict=True)
    ]
    patients = sorted(set(splits["test"].subject))
    with_lesions = ~np.isnan(dice)
    np.testing.assert_allclose(arrays["lesions/training/dice"], np.array(dice)[with_lesions])
    assert arrays["lesions/subject"].tolist() == np.array(patients)[with_lesions].tolist()
    assert np.isnan(dice).sum() == 1 == found["lesions/patients_without_lesions"]
    assert found["lesions/patients"] == 5
    assert found["lesions/training/dice"] == pytest.approx(np.nanmean(dice))
    assert found["lesions/training/dice_sd"] == pytest.approx(np.nanstd(dice, ddof=1))
    assert np.nanmin(dice) > 0.1 and np.nanmax(dice) < 1


def test_auprc_is_scikit_learns_over_brain_and_lesions(splits):
    found, _ = run(Brightness(), splits)
    scores, _, reference = (np.concatenate(each) for each in paper(splits["test"]))
    brain = splits["test"].masks[:, 0].numpy().astype(bool)
    assert found["lesions/auprc"] == pytest.approx(average_precision_score(reference[brain], scores[brain]))
    assert found["lesions/prevalence"] == pytest.approx(reference[brain].mean())


def test_the_oracle_is_the_best_and_the_gaps_are_the_way_to_it(splits):
    found, _ = run(Brightness(), splits, post={"minimum_voxels": 1})
    filtered, _, reference = paper(splits["test"])
    pairs = [pair for pair in zip(filtered, reference, strict=True) if pair[1].any()]
    thresholds = np.unique(np.concatenate([scores[lesion] for scores, lesion in pairs]))
    mean = [
        np.mean([2 * lesion[s > t].sum() / ((s > t).sum() + lesion.sum()) for s, lesion in pairs])
        for t in np.nextafter(thresholds, np.float32(0))[::20]
    ]
    assert found["lesions/oracle/dice"] >= max(mean) > 0.5
    for kind in ("training", "validation"):
        gap = found["lesions/oracle/dice"] - found[f"lesions/{kind}/dice"]
        assert found[f"lesions/gap/{kind}"] == gap >= 0


def test_the_validation_threshold_is_the_oracle_of_the_validation_patients(splits):
    found, _ = run(Brightness(), splits)
    swapped, _ = run(Brightness(), splits | {"test": splits["val"]})
    assert found["lesions/validation/threshold"] == swapped["lesions/oracle/threshold"]


def test_without_lesions_in_validation_there_is_no_threshold_from_it(splits):
    healthy = data(phantom(3, 0, 2, name="val"))
    found, arrays = run(Brightness(), splits | {"val": healthy})
    assert not any("validation" in key for key in (*found, *arrays))
    assert "lesions/gap/training" in found


def test_every_number_is_finite_and_has_its_name(splits):
    found, arrays = run(Residual(), splits)
    measures = {
        "threshold",
        "dice",
        "dice_sd",
        "dice_voxelwise",
        "sensitivity_touched",
        "sensitivity_covered",
    }
    measures |= {"false_positives_per_volume", "volume_difference", "volume_difference_absolute"}
    general = {
        "auprc",
        "prevalence",
        "patients",
        "patients_without_lesions",
        "gap/training",
        "gap/validation",
    }
    names = general | {f"{kind}/{name}" for kind in KINDS for name in measures}
    expected = {f"lesions/{way}{name}" for way in ("", "positive/") for name in names}
    assert set(found) == expected | {f"lesions/l1/{name}" for name in ("training", "validation", "test")}
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())
    pictured = ("original", "reconstruction", "residual", "segmentation", "reference")
    ways = ("", "positive/")
    stored = {"lesions/subject"} | {f"lesions/{way}{kind}/dice" for way in ways for kind in KINDS}
    stored |= {
        f"lesions/histogram/{name}" for name in ("edges", "healthy_training", "healthy_test", "lesion")
    }
    assert set(arrays) == stored | {f"figure/lesions/{name}" for name in pictured}


# What the method sees


def test_a_method_sees_each_patient_once_and_whole_and_no_lesion(splits):
    method = Brightness()
    run(method, splits)
    shown = [len(stack.images) for stack in method.shown]
    assert shown == [6] * (6 + 5 + 2)  # training, test, and the validation patients with lesions
    for stack in method.shown:
        assert stack.position.tolist() == list(range(FIRST, FIRST + 6))
        assert stack.images.shape == (6, 1, SIZE, SIZE) and stack.images.dtype == torch.float32
        assert torch.equal(stack.region[0], splits["test"].masks[0, 0].bool())
        assert not hasattr(stack, "masks")


def test_a_slow_reconstruction_is_made_once_for_each_slice(splits):
    for method, asked in ((Residual(), sum(len(split) for split in splits.values())), (Rebuilt(), 8)):
        _, arrays = run(method, splits)
        assert method.asked == asked
        assert (arrays["figure/lesions/reconstruction"] == 64).all()


@pytest.mark.parametrize("name", ["baur_autoencoder", "baur_vaegan", "anogan"])
def test_the_residual_of_the_reconstruction_is_the_anomaly_map(name):
    module, extra = methods.load(name), {"mapping_steps": 2} if name == "anogan" else {}
    torch.manual_seed(0)
    chosen = module.Method.Params(width=2, blocks=2, latent=2, batch_size=4, **extra)
    method = module.Method(chosen, SHAPE).eval()
    images = torch.rand(7, 1, SIZE, SIZE)
    stack = Stack(images, torch.ones(7, SIZE, SIZE, dtype=torch.bool), torch.arange(7))
    with torch.no_grad():
        expected = method.residual(images, method.reconstruct(images))
        torch.testing.assert_close(method.anomaly_map(stack), expected)


def test_the_order_of_the_slices_does_not_matter(splits):
    def shuffled(split: Data) -> Data:
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(5))
        subject = tuple(split.subject[row] for row in order)
        masks, position = split.masks[order], split.position[order]
        return Data(split.stored[order], None, masks, split.mask_names, subject, position)

    found, arrays = run(Brightness(), splits)
    again, others = run(Brightness(), {name: shuffled(split) for name, split in splits.items()})
    assert again == found
    for key in arrays:
        assert key.startswith("figure/") or np.array_equal(
            arrays[key], others[key], equal_nan=key.endswith("dice")
        )


def test_a_patient_with_a_gap_is_two_stacks_of_one_patient(splits):
    """Either side of the gap is filtered and connected alone, and the patient has one Dice."""
    test = splits["test"]
    rows = torch.tensor([row for row in range(len(test)) if test.position[row] != FIRST + 3])
    subject = tuple(test.subject[row] for row in rows)
    gap = Data(test.stored[rows], None, test.masks[rows], test.mask_names, subject, test.position[rows])
    found, arrays = run(Brightness(), splits | {"test": gap})
    assert found["lesions/patients"] == 5 and len(arrays["lesions/training/dice"]) == 4  # with lesions
    parts = {
        side: data_of(gap, [row for row in range(len(gap)) if (gap.position[row] > FIRST + 3) == side])
        for side in (False, True)
    }
    threshold = np.float32(found["lesions/training/threshold"])
    chain, hits, sizes = PostProcessing(), np.zeros(5), np.zeros(5)
    for part in parts.values():
        for patient, (scores, _, reference) in enumerate(zip(*paper(part), strict=True)):
            predicted = chain.segment(scores, threshold)
            hits[patient] += 2 * (predicted & reference).sum()
            sizes[patient] += predicted.sum() + reference.sum()
    np.testing.assert_allclose(arrays["lesions/training/dice"], (hits / sizes)[1:])


def data_of(split: Data, rows: list[int]) -> Data:
    subject = tuple(split.subject[row] for row in rows)
    return Data(split.stored[rows], None, split.masks[rows], split.mask_names, subject, split.position[rows])


def test_a_threshold_of_few_training_patients_asks_about_them_alone(splits):
    method = Brightness()
    found, _ = run(method, splits, threshold_subjects=2)
    assert len(method.shown) == 2 + 5 + 2
    ends = data_of(splits["train"], [*range(6), *range(30, 36)])
    assert found == run(Brightness(), splits | {"train": ends})[0]
    assert run(Brightness(), splits, threshold_subjects=99)[0] == run(Brightness(), splits)[0]


# Figures


def test_the_histogram_counts_every_voxel_once(splits):
    _, arrays = run(Brightness(), splits)
    for key, split, plane in (("healthy_training", "train", False), ("healthy_test", "test", False),
                              ("lesion", "test", True)):  # fmt: skip
        scores, inner, reference = (np.concatenate(each) for each in paper(splits[split]))
        values = scores[inner & (reference == plane)]
        counts = arrays[f"lesions/histogram/{key}"]
        assert counts.sum() == len(values)
        edges = arrays["lesions/histogram/edges"]
        np.testing.assert_array_equal(counts[:-1], np.histogram(values, edges)[0][:-1])


def test_pictures_are_of_slices_with_lesions(splits):
    _, arrays = run(Brightness(), splits)
    pictures = {key.split("/")[-1]: values for key, values in arrays.items() if key.startswith("figure/")}
    assert "reconstruction" not in pictures
    assert all(
        values.shape == (8, 1, SIZE, SIZE) and values.dtype == np.uint8 for values in pictures.values()
    )
    assert (pictures["reference"].reshape(8, -1).max(axis=1) == 255).all()
    assert set(np.unique(pictures["segmentation"])) == {0, 255}
    assert ((pictures["segmentation"] == 255) & (pictures["reference"] == 255)).any()
    white = arrays["lesions/histogram/edges"][-1]
    scores, _, reference = (np.concatenate(each) for each in paper(splits["test"]))
    ill = np.flatnonzero(reference.any(axis=(1, 2)))
    expected = (np.clip(scores[ill[0]] / white, 0, 1) * 255).round()
    np.testing.assert_allclose(pictures["residual"][0, 0], expected, atol=1)


# Refusals


@pytest.mark.parametrize("names", [("brain", "vessel"), ("skull", "lesion")])
def test_data_without_the_masks_are_refused(splits, names):
    wrong = {name: data(phantom(*PARTS[name], name=name), names) for name in splits}
    with pytest.raises(
        ValueError, match=f"masks lesion, and brain, interior or head, found {', '.join(names)}"
    ):
        run(Brightness(), wrong)


def test_data_without_any_mask_are_refused(splits):
    bare = {
        name: Data(split.stored, subject=split.subject, position=split.position)
        for name, split in splits.items()
    }
    with pytest.raises(ValueError, match="found none: use a data set in which lesions are delineated"):
        run(Brightness(), bare)


def test_a_head_stands_in_for_a_brain(splits):
    heads = {name: data(phantom(*PARTS[name], name=name), ("head", "lesion")) for name in splits}
    assert run(Brightness(), heads)[0] == run(Brightness(), splits)[0]


@pytest.mark.parametrize(("split", "plane", "name"), [("test", 1, "lesion"), ("train", 0, "brain")])
def test_slices_that_nobody_has_delineated_are_refused(splits, split, plane, name):
    splits[split].masks[3:5, plane] = slices.NOT_DELINEATED
    with pytest.raises(ValueError, match=f"split {split}: .*'{name}', found 2 of"):
        run(Brightness(), splits)


def test_nothing_to_find_is_refused(splits):
    with pytest.raises(ValueError, match="nothing to find"):
        run(Brightness(), splits | {"test": data(phantom(3, 0, 2))})


@pytest.mark.parametrize("wrong", [lambda maps: maps[:, 0], lambda maps: -maps, lambda maps: maps.double()])
def test_what_is_no_anomaly_map_is_refused(splits, wrong):
    method = Brightness()
    method.anomaly_map = lambda stack: wrong(stack.images)
    with pytest.raises(ValueError, match=r"anomaly (maps|scores)"):
        run(method, splits)


@pytest.mark.parametrize(
    "wrong", [{"percent": 0}, {"post": {"median": 4}}, {"threshold_subjects": 0}, {"cut": 1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError):
        lesions.Params(**wrong)


# From training to Dice


def fitted(name: str, splits: dict[str, Data], tmp_path, **params) -> nn.Module:
    module = methods.load(name)
    torch.manual_seed(0)
    method = module.Method(module.Method.Params(**params), SHAPE)
    train(method, splits["train"], splits["val"], seed=1, settings=TrainingParams(), scratch=tmp_path / name)
    return method


def test_the_mean_healthy_brain_beats_chance_and_chance_is_the_prevalence(splits, tmp_path):
    mean, chance = (run(fitted(name, splits, tmp_path), splits)[0] for name in ("healthy_mean", "chance"))
    assert mean["lesions/auprc"] > 0.8 and mean["lesions/oracle/dice"] > 0.7
    assert mean["lesions/training/dice"] > chance["lesions/oracle/dice"]
    assert chance["lesions/auprc"] == pytest.approx(chance["lesions/prevalence"], abs=0.03)
    assert chance["lesions/training/dice"] < 0.2


def write_slices(path) -> None:
    parts = {name: phantom(*part, name=name) for name, part in PARTS.items()}
    joined = {key: np.concatenate([part[key] for part in parts.values()]) for key in parts["train"]}
    split = np.repeat(list(parts), [len(part["subject"]) for part in parts.values()])
    slices_file.write(
        path,
        slices.Slices(
            **joined,
            split=split,
            modality=np.array(["MR FLAIR"] * len(split)),
            dataset="phantom-test",
            task="lesions",
            classes=0,
            mask_names=("brain", "lesion"),
        ),
        passport=sliced("phantom-test"),
    )


TINY = {
    "epochs": 2,
    "width": 4,
    "blocks": 3,
    "latent": 2,
    "batch_size": 4,
    "momentum": 0.5,
    "learning_rate": 0.01,
}


@pytest.mark.parametrize(
    ("name", "params"), [("baur_autoencoder", TINY), ("healthy_mean", {}), ("intensity", {}), ("chance", {})]
)
def test_from_a_slices_file_to_metrics(tmp_path, name, params):
    chosen = methods.load(name).Method.Params(**params).model_dump(mode="json")
    job = {"study": "baur", "run": name, "dataset": "phantom-test", "seed": 1, "source": "0" * 64}
    job |= {"method": name, "params": chosen, "training": {"precision": "fp32", "compile": False}}
    jobs = {kind: tmp_path / f"{kind}.json" for kind in ("train", "evaluate")}
    protocols = {"lesions": lesions.Params().model_dump(mode="json"), "reconstruction": {}}
    for kind, path in jobs.items():
        path.write_text(canonical_json(job | {"job": kind, "evaluation": protocols}), encoding="utf-8")
    data, model, history = (tmp_path / each for each in ("test.h5", "model.safetensors", "history.csv"))
    write_slices(data)
    names = ("metrics.json", "scores.npz", "arrays.npz", "tables", "passport.json")
    train_job.run(jobs["train"], data, model, history, tmp_path / "scratch", "cpu")
    evaluate_job.run(jobs["evaluate"], data, model, *(tmp_path / each for each in names), "cpu")

    rows = list(csv.DictReader(history.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == params.get("epochs", 1) and rows[-1]["epoch"] == str(len(rows))
    assert not any((tmp_path / "scratch").iterdir())
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert all(np.isfinite(value) for value in found.values())
    assert found["lesions/patients"] == 5 and found["data/test/images"] == 30
    assert found["lesions/auprc"] > (0.3 if name != "chance" else 0)
    assert ("reconstruction/psnr" in found) == (name == "baur_autoencoder")
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        assert arrays["lesions/subject"].tolist() == [f"test{patient}" for patient in range(1, 5)]
