"""What is measured, and in which turns; that the verbs run and write finite numbers, but never how fast."""

import json
import math
import sys

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from latent_anatomy.benchmarks import anomalies, imaging, loop, methods, rotations, savings
from latent_anatomy.benchmarks.run_on_noise import build, build_like, noise
from latent_anatomy.benchmarks.timing import in_turns, speed_ratio, spread
from latent_anatomy.cli.main import app
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.jobs.imaging import bias, coregister, normalise, register, strip
from latent_anatomy.networks.rotation import rotate
from latent_anatomy.training.method import Batch, MethodParams, Schedules, Shape

CPU = torch.device("cpu")
IMAGING_STEPS = {
    "bias": bias,
    "coregister": coregister,
    "register": register,
    "strip": strip,
    "normalise": normalise,
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, its runs made small, and the papers."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["data"] = "phantom"
    for run in ("sae1", "anovaegan", "anogan", "ae"):
        content["methods"][run] |= {"width": 2}
    content["methods"]["anogan"] |= {"mapping_steps": 2, "latent": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "papers").symlink_to(ROOT / "papers")
    (tmp_path / "data/raw/phantom-brain").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bench(*words: str) -> dict:
    """What `bench` writes with these words, all numbers found finite."""
    result = CliRunner().invoke(app, ["bench", *words, "--out", "found.json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with open("found.json") as stream:
        found = json.load(stream)
    assert all(map(math.isfinite, numbers(found)))
    return found


def numbers(value: object) -> list[float]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for each in inner for number in numbers(each)]
    return [value] if isinstance(value, int | float) else []


# --- times


@given(
    names=st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True),
    repeats=st.integers(1, 4),
    warm_up=st.integers(0, 2),
)
@settings(deadline=None)
def test_works_take_turns_and_warm_up_rounds_do_not_count(names, repeats, warm_up):
    called = []
    times = in_turns({name: lambda name=name: called.append(name) for name in names}, repeats, warm_up, CPU)
    assert called == names * (warm_up + repeats)
    assert {name: len(seconds) for name, seconds in times.items()} == dict.fromkeys(names, repeats)


def test_a_spread_is_median_and_quartiles():
    assert spread([5, 1, 3, 2, 4]) == {"median": 3, "lower_quartile": 2, "upper_quartile": 4}


@given(
    st.lists(st.floats(0.1, 10), min_size=2, max_size=30),
    st.floats(0.2, 5),
)
@settings(deadline=None, max_examples=25)
def test_a_drift_that_slows_both_alike_leaves_the_ratio_exact(drift, slower):
    found = speed_ratio([slower * each for each in drift], drift)
    assert list(found.values()) == pytest.approx([1 / slower] * 3)


def test_the_interval_of_a_ratio_covers_it_and_shrinks_with_the_rounds():
    random = np.random.default_rng(1)
    widths = []
    for rounds in (10, 1000):
        times, reference = random.normal(2, 0.1, rounds), random.normal(1, 0.1, rounds)
        found = speed_ratio(times, reference)
        assert found["low"] < found["ratio"] < found["high"] and found["low"] < 0.5 < found["high"]
        widths.append(found["high"] - found["low"])
    assert widths[1] < widths[0] / 3


# --- the loop and the bare step


class Recorder(nn.Module):
    """Keeps whose update each of its training steps was given: that of the loop, or the bare one."""

    class Params(MethodParams):
        epochs: int = 3
        batch_size: int = 2

    def __init__(self):
        super().__init__()
        self.params = self.Params()
        self.weight = nn.Parameter(torch.zeros(()))
        self.steps = []

    def optimisers(self):
        return {"all": torch.optim.SGD([self.weight], lr=0.1)}

    def schedules(self, optimisers, steps_per_epoch):
        return Schedules()

    def training_step(self, batches, update):
        self.steps.append({"latent_anatomy.training.loop": "loop"}.get(update.__module__, "bare"))
        loss = (batches["train"].images.mean() - self.weight).square()
        update("all", loss)
        return {"loss": loss}

    def validate(self, data):
        raise AssertionError("validation is no part of what is measured")


@pytest.mark.parametrize("block", [1, 4])
def test_the_loop_and_the_bare_step_take_turns_within_one_training(block, tmp_path):
    method = Recorder()
    data = noise(block * 2, Shape(1, 4, 4, 2), CPU)
    times = loop.alternate(method, data, block, tmp_path)
    assert method.steps == (["loop"] * block + ["bare"] * block) * 3
    assert {what: len(seconds) for what, seconds in times.items()} == dict.fromkeys(
        ("whole loop", "loading", "bare step"), 3
    )
    assert method.weight > 0  # both kinds of step descend


def test_bench_train_writes_loop_parts_and_their_ratio(project):
    words = ("--batch", "2", "--block", "2", "--repeats", "2", "--channels", "1", "--device", "cpu")
    found = bench("train", "--method", "ae", *words)
    assert list(found["seconds_per_step"]) == sorted(["whole loop", "loading", "augmentation", "bare step"])
    assert all(each["median"] > 0 for each in found["seconds_per_step"].values())
    assert set(found["loop_of_bare_step"]) == {"ratio", "low", "high"}
    assert (found["run"], found["image"], found["batch"], found["block"]) == ("ae", [1, 28, 28], 2, 2)


def test_augmentation_is_measured_where_there_is_one(project):
    words = ("--size", "32", "--batch", "2", "--block", "1", "--repeats", "2", "--device", "cpu")
    assert "augmentation" not in bench("train", "--method", "sae1", *words)["seconds_per_step"]


# --- methods


def test_bench_methods_writes_both_phases_of_each_run_beside_the_papers_time(project):
    found = bench("methods", "sae1", "anovaegan", "anogan", "--size", "32", "--batch", "2", "--repeats", "2",
                  "--device", "cpu")  # fmt: skip
    assert set(found["runs"]) == {"sae1", "anovaegan", "anogan"}
    for each in found["runs"].values():
        for phase in (each["training"], each["inference"]):
            assert phase["samples_per_second"] * phase["seconds_per_sample"]["median"] == pytest.approx(1)
            assert phase["operations_per_sample"] > 0
    printed = {name: each["printed_seconds"] for name, each in found["runs"].items()}
    assert printed == {"sae1": None, "anovaegan": 0.01541, "anogan": 19}


def test_a_run_without_reconstruction_classifies(project):
    words = ("--size", "28", "--batch", "2", "--repeats", "2", "--warm-up", "0", "--device", "cpu")
    found = bench("methods", "resnet18", *words)
    assert found["runs"]["resnet18"]["inference_by"] == "classify"


def test_runs_may_have_the_parameters_of_a_collection_and_stand_on_others(project):
    """Maps in place of reconstructions, and a warm-up that is over."""
    words = ("--like", "phantom/ra/phantom-fastmri", "--size", "64", "--batch", "2", "--repeats", "2")
    words += ("--warm-up", "0", "--processor", "--device", "cpu")
    found = bench("methods", "si-vae", "mkd", "ltm", "--maps", *words)
    assert {each["inference_by"] for each in found["runs"].values()} == {"anomaly_map"}
    assert found["clock"] == "processor" and found["like"] == "phantom/ra/phantom-fastmri"
    built = build_like("phantom/ra/phantom-fastmri", "si-vae", Shape(1, 64, 64, 2), CPU)
    assert built.params.widths == (8, 16, 32, 32) and built.params.warmup_steps == 0
    ltm = build_like("phantom/ra/phantom-fastmri", "ltm", Shape(1, 64, 64, 2), CPU)
    assert ltm.on.params.width == 16
    trained = bench("methods", "mkd", "--no-inference", "--maps", *words)
    assert trained["runs"]["mkd"].keys() == {"inference_by", "printed_seconds", "training"}
    assert trained["runs"]["mkd"]["training"]["operations_per_sample"] > 0


@pytest.mark.parametrize("place", ["ra", "phantom/ra/lgg-t1", "nowhere/ra/lgg-t1", "phantom/nobody/lgg-t1"])
def test_a_place_that_is_not_in_params_yaml_is_refused(place, project):
    with pytest.raises(ValueError, match=f"--like: expected .* found '{place}'"):
        build_like(place, "vae", Shape(1, 64, 64, 2), CPU)


def test_the_evaluation_of_maps_gives_the_numbers_of_the_released_way(project):
    found = bench("anomalies", "--images", "12", "--size", "16", "--repeats", "2", "--warm-up", "0")
    assert found["same"] is True and set(found["seconds"]) == {"here", "as released"}
    scenes = anomalies.scenes(9, 20)
    assert anomalies.ours(**scenes)[0] is not None
    for one, other in zip(anomalies.ours(**scenes), anomalies.as_released(**scenes), strict=True):
        np.testing.assert_array_equal(one, other)
    bright = scenes | {"healthy": scenes["healthy"] + 2}
    assert anomalies.ours(**bright)[0] is anomalies.as_released(**bright)[0] is None


def test_operations_are_those_that_torch_counts():
    network = nn.Sequential(nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.ConvTranspose2d(8, 1, 5, 2, 2, 1),
                            nn.Flatten(), nn.Linear(256, 7))  # fmt: skip
    images = torch.rand(3, 1, 16, 16)
    totals = []
    with FlopCounterMode(display=False) as expected:
        network(images).sum().backward()
    for repeats in (1, 2):
        with methods.Operations() as found:
            for _ in range(repeats):
                network(images).sum().backward()
        totals.append(found.total)
    assert totals == [expected.get_total_flops(), 2 * expected.get_total_flops()]


@pytest.mark.parametrize(("run", "message"), [("nobody", "among"), ("intensity", "fitted")])
def test_what_has_no_steps_is_refused(run, message, project):
    with pytest.raises(ValueError, match=message):
        build(run, Shape(1, 32, 32, 2), CPU)


# --- savings


def test_bench_savings_writes_every_way_beside_the_released_one(project, monkeypatch):
    monkeypatch.setattr(savings, "MATRIX", {"cpu": 64})  # large ones take minutes in bf16
    found = bench("savings", "--size", "32", "--width", "2", "--repeats", "2", "--device", "cpu")
    assert list(found["ways"]) == sorted(savings.WAYS)
    released, shared = found["ways"]["as released"], found["ways"]["+ shared passes"]
    assert released["of_released"] == {"ratio": 1, "low": 1, "high": 1}
    assert shared["operations"] < released["operations"]
    for each in found["ways"].values():
        assert each["seconds"]["median"] > 0 and each["of_peak"] > 0


def test_images_rotated_one_by_one_are_those_of_the_batch():
    random = torch.Generator().manual_seed(1)
    images = torch.nn.functional.avg_pool2d(torch.rand(3, 1, 24, 24, generator=random), 3, 1, 1)
    masks = (torch.rand(3, 2, 24, 24, generator=random) > 0.5).float()
    angles = np.array([0.0, 90.0, -37.0])
    each = savings.rotated_each(Batch(images, masks=masks), angles)
    whole = rotate(torch.cat([images, masks], 1), torch.from_numpy(np.radians(angles)).float())
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(
        torch.cat([each.images, each.masks], 1)[inner], whole[inner], atol=1e-4, rtol=0
    )


def test_a_run_without_repeated_passes_has_no_savings(project):
    with pytest.raises(ValueError, match="repeated_passes"):
        savings.run("unet", 32, 2, 2, 0, "cpu")


# --- imaging


def test_chains_run_at_the_same_time_each_command_after_the_other(tmp_path):
    """Each first command waits until the other chain's has begun: one after the other, they would not end."""
    meet = """
import sys, time
from pathlib import Path
own, other = map(Path, sys.argv[1:])
own.touch()
until = time.monotonic() + 60
while not other.exists():
    assert time.monotonic() < until, "alone"
    time.sleep(0.01)
"""
    check = "import sys; from pathlib import Path; assert Path(sys.argv[1]).exists()"
    paths = [str(tmp_path / name) for name in "ab"]
    chains = [
        {"meet": [sys.executable, "-c", meet, own, other], "check": [sys.executable, "-c", check, own]}
        for own, other in (paths, paths[::-1])
    ]
    found = imaging.side_by_side(chains)
    assert [list(each) for each in found] == [["meet", "check"]] * 2
    assert all(usage.wall > 0 and usage.processor > 0 for each in found for usage in each.values())


def test_every_process_has_one_thread():
    imaging.took([sys.executable, "-c", "import os; assert os.environ['OMP_NUM_THREADS'] == '1'"])


def test_a_step_that_fails_is_named_with_its_last_words():
    with pytest.raises(ValueError, match=r"found 1(.|\n)*no head here"):
        imaging.took([sys.executable, "-c", "raise SystemExit('no head here')"])


def test_the_commands_of_a_chain_are_the_verbs_of_its_steps(project, monkeypatch):
    ran = []
    for step, module in IMAGING_STEPS.items():
        monkeypatch.setattr(module, "run", lambda params, place, step=step: ran.append((step, params, place)))
        (project / f"{step}.json").touch()
    raw = project / "data/raw/phantom-brain"
    commands = imaging.chain("phantom-brain", "patient02", tuple(IMAGING_STEPS), raw, project, "chain-0")
    (project / "chain-0").mkdir()
    for words in commands.values():
        assert words[:4] == [sys.executable, "-P", "-m", "latent_anatomy"]
        assert CliRunner().invoke(app, words[4:], catch_exceptions=False).exit_code == 0
    assert [(step, params.name) for step, params, _ in ran] == [(step, f"{step}.json") for step in commands]
    assert {(place.subject.name, place.raw, place.interim) for *_, place in ran} == {
        ("patient02", raw, project / "chain-0")
    }


def test_bench_imaging_writes_steps_and_scaling(project, monkeypatch):
    ran = project / "ran"
    monkeypatch.setattr(imaging, "cores", lambda: 1)
    for file in datasets.find("phantom-brain").subjects[0].files:
        path = project / "data/raw/phantom-brain" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def quick(dataset, subject, steps, raw, folder, name):
        note = "import os, sys; assert os.path.isfile(sys.argv[1]); open(sys.argv[2], 'a').write('.')"
        return {step: [sys.executable, "-c", note, str(folder / f"{step}.json"), str(ran)] for step in steps}

    monkeypatch.setattr(imaging, "chain", quick)
    found = bench("imaging", "phantom-brain", "--processes", "1", "--processes", "2", "--repeats", "2")
    assert set(found["steps"]) == set(IMAGING_STEPS)
    assert all(set(by_chains) == {"1", "2"} for by_chains in found["steps"].values())
    assert len(ran.read_text()) == len(IMAGING_STEPS) * (1 + 2) * 2
    for chains, each in found["scaling"].items():
        rate = each["volumes_per_hour"]
        assert rate * each["seconds"]["median"] == pytest.approx(3600 * int(chains) * 2)  # FLAIR and T1
        assert each["volumes_per_hour_and_core"] == rate  # of the one core that there is
    assert found["subject"] == "patient01"


def test_up_to_the_cores_there_are(monkeypatch):
    for cores, expected in ((1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])):
        monkeypatch.setattr(imaging, "cores", lambda cores=cores: cores)
        assert imaging.up_to_cores() == expected


def test_missing_files_are_named_with_the_way_to_get_them(project):
    with pytest.raises(ValueError, match=r"patient01/FLAIR.nii.gz: .*run `phantom phantom-brain`"):
        imaging.run("phantom-brain", None, project / "data/raw/phantom-brain", [1], 1)


def test_images_have_no_imaging_steps(project):
    with pytest.raises(ValueError, match="volumes"):
        imaging.run("breastmnist", None, project, [1], 1)


def test_bench_rotations_measures_each_at_halves_of_the_rows_and_how_it_grows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--rows", "1600", "--features", "16", "--clusters", "3", "--repeats", "2")
    found = bench("rotations", *words)
    assert set(found["seconds"]) == {*rotations.ROTATIONS, "k-means, K = 3"}
    assert all(set(each) == {"200", "400", "800", "1600"} for each in found["seconds"].values())
    square = {str(rows): {"median": 3e-6 * rows**2} for rows in (10, 20, 40)}
    assert rotations.growth(square) == pytest.approx(2)


def test_drawn_latents_have_a_style_that_a_rotation_finds():
    latents, pairs = rotations.drawn(400, 12)
    assert (pairs.settings[:, 0] != pairs.settings[:, 1]).all() and len(pairs.rows) == 200
    before = (latents[pairs.rows[:, 1]] - latents[pairs.rows[:, 0]]).norm(dim=1).mean()
    rows = rotations.works(latents, pairs, [])["difference_svd"]()[:3]
    left = latents - latents @ rows.T @ rows
    assert (left[pairs.rows[:, 1]] - left[pairs.rows[:, 0]]).norm(dim=1).mean() < 0.3 * before
