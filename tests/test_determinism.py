"""Same seed, same bits, on a CPU for every run; and a meter that finds it when that does not hold."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from proofs import sliced

from latent_anatomy.data import slices, slices_file
from latent_anatomy.data.cohorts import dataset_of
from latent_anatomy.datasets import registry as datasets
from latent_anatomy.determinism import run as determinism
from latent_anatomy.determinism.run import Options
from latent_anatomy.determinism.text import same_seed_text, variance_text
from latent_anatomy.determinism.trace import Trace, compare, difference, parting
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import params
from latent_anatomy.statistics.variance_components import components

DATASET, BRAIN = "phantom-breastmnist", "phantom-brain"
HEARTS = "phantom-acdc"
STUDIED = {
    "unoranic": DATASET,
    "baur": BRAIN,
    "sdnet": f"{HEARTS}.fold.50",
    "ra": BRAIN,
}  # study -> what its methods can see
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
NARROW = {"width": 8, "critic_width": 4, "mapping_steps": 5, "widths": [8, 8, 8], "groups": 8}
NARROW |= {"decoder_width": 8, "heads": 2, "perceptual": "random", "teacher": "vgg16-random"}
CONDITIONS = {"epochs": 1, "epochs_in_params": 1, "whole": True, "threads": 1, "other_threads": None}
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
AE = {"method": "autoencoder", "width": 4, "latent": 8, "batch_size": 8}

# Two methods that do not repeat themselves. `noisy` puts the system's entropy into one weight at its third
# step; `unordered` adds the terms of its loss in the order of a set of strings.
NOISY = """
import os
from latent_anatomy.methods.autoencoder import Method as AutoEncoder, Params

class Method(AutoEncoder):
    steps = 0

    def training_step(self, batches, update):
        losses = super().training_step(batches, update)
        self.steps += 1
        if self.steps == 3:
            self.decoder.state_dict()["1.1.bias"].add_(int.from_bytes(os.urandom(4)) * 1e-9)
        return losses
"""
UNORDERED = """
from latent_anatomy.methods.autoencoder import Method as AutoEncoder, Params

class Method(AutoEncoder):
    def training_step(self, batches, update):
        weights = {f"term-{i}": 10.0 ** -i for i in range(20)}
        total = 0.0
        for name in set(weights):
            total = total / 3 + weights[name]

        def weighted(name, loss):
            update(name, loss * total)

        return super().training_step(batches, weighted)
"""


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """A small phantom as slices."""
    folder = tmp_path_factory.mktemp("phantom")
    source = replace(datasets.find(DATASET), train=24, val=8, test=8)
    source.generate(folder)
    path = folder / f"{DATASET}.h5"
    slices_file.write(path, source.to_slices(folder), sliced(DATASET))
    return path


@pytest.fixture
def project(phantom, tmp_path, monkeypatch) -> Path:
    """A folder with the slices; params.yaml is for the test to write."""
    (tmp_path / "data" / "slices").mkdir(parents=True)
    (tmp_path / "data" / "slices" / phantom.name).write_bytes(phantom.read_bytes())
    (tmp_path / "tmp").mkdir()
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")  # which the jobs of reports are made of
    monkeypatch.chdir(tmp_path)
    return tmp_path


def choose(project: Path, methods: dict[str, dict], changes: list[dict] | None = None) -> None:
    collection = {"datasets": [DATASET], "seeds": [1], "changes": changes or []}
    study = {"runs": list(methods), "evaluation": {"reconstruction": {}, "classification": {}}}
    content = {
        "training": PARAMS["training"],
        "methods": methods,
        "studies": {"unoranic": study},
        "collections": {"phantom": {"images": [DATASET], "studies": {"unoranic": collection}}},
        "data": "phantom",
    }
    (project / "params.yaml").write_text(yaml.safe_dump(content))


def started(project: Path, *words: str, source: Path = ROOT / "src") -> subprocess.Popen:
    """The verb as a process, with `project`/tmp for temporary files."""
    command = [sys.executable, "-m", "latent_anatomy", "determinism", f"--dataset={DATASET}", "--device=cpu"]
    environment = os.environ | {"PYTHONPATH": str(source), "TMPDIR": str(project / "tmp")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *words], cwd=project, env=environment, **pipes)


def is_fitted(method: str) -> bool:
    return hasattr(methods.load(method).Method, "fit")


def shortened(run: str, batch_size: int) -> dict:
    """A change of params.yaml: an epoch, or one for each round of self-training, of narrow networks."""
    fields = methods.load(PARAMS["methods"][run]["method"]).Params.model_fields
    narrow = {name: value for name, value in NARROW.items() if name in fields}
    if fields.get("latent") and fields["latent"].annotation is int:
        narrow["latent"] = 8
    epochs = 3 if "rounds" in fields else 1
    return {"runs": [run], "params": {"batch_size": batch_size, "epochs": epochs} | narrow}


def write_heads(path: Path) -> None:
    """Slices of discs for heads, 32 x 32, with planes of brain and lesion as those of volumes have them."""
    subjects, positions = [f"patient{i:02}" for i in range(12)], 2
    brain, lesion = disc(15.5, 12), disc(12, 3)
    planes = np.tile(np.stack([brain, lesion]).astype(np.uint8), (len(subjects) * positions, 1, 1, 1))
    planes[: 8 * positions, 1] = slices.NOT_DELINEATED
    split = np.repeat(["train"] * 8 + ["val"] * 2 + ["test"] * 2, positions)
    names = {"mask_names": ("brain", "lesion"), "dataset": BRAIN, "task": "lesions"}
    write_slices(path, subjects, positions, "MR FLAIR", lesion, brain, masks=planes, split=split, **names)


def write_hearts(path: Path) -> None:
    """Slices of discs for left ventricles, 32 x 32, one of each person of the phantom."""
    people, ventricle = datasets.find(HEARTS).patients, disc(15.5, 6)
    planes = np.tile(ventricle.astype(np.uint8), (len(people), 1, 1, 1))
    names = {"mask_names": ("left-ventricle",), "dataset": HEARTS, "task": "segmentation"}
    split = np.full(len(people), "train")
    write_slices(path, people, 1, "MR cine", ventricle, masks=planes, split=split, **names)


def disc(centre: float, radius: float) -> np.ndarray:
    return np.hypot(*(np.indices((32, 32)) - centre)) < radius


def write_slices(path, subjects, positions: int, modality: str, bright, inside=1, **others) -> None:
    """Random images that are 0.3 brighter where `bright` is and 0 where `inside` is not."""
    count = len(subjects) * positions
    images = (np.random.default_rng(0).uniform(0.2, 0.6, (count, 1, 32, 32)) + 0.3 * bright) * inside
    content = slices.Slices(
        images=images.astype(np.float32),
        subject=np.repeat(subjects, positions),
        slice=np.tile(np.arange(positions, dtype=np.int32), len(subjects)),
        modality=np.full(count, modality),
        classes=0,
        **others,
    )
    slices_file.write(path, content, sliced(content.dataset))


# What `latent_anatomy.determinism.record` does, for all requests in one process: torch is loaded once.
RECORD = """
import json, sys
from latent_anatomy.determinism.record import record
for name, request in json.load(sys.stdin).items():
    record(request).save(f"{sys.argv[1]}/{name}.pt")
"""


@pytest.mark.slow
def test_every_run_is_bit_identical_on_a_cpu(project):
    """As params.yaml has it, on data as its study needs it, but for one epoch, small batches, narrow nets.

    Runs that stand on others need checkpoints; their methods have tests of their own for this.
    """
    write_heads(project / "data" / "slices" / f"{BRAIN}.h5")
    write_hearts(project / "data" / "slices" / f"{HEARTS}.h5")
    given = params.on_as_a_word(PARAMS["methods"])
    blocks = {run: block for run, block in given.items() if "on" not in block}
    trained = [run for run, block in blocks.items() if not is_fitted(block["method"])]
    asked = {study: [run for run in PARAMS["studies"][study]["runs"] if run in blocks] for study in STUDIED}
    chosen = {}
    for study in ("unoranic", "baur", "ra"):
        changes = [shortened(run, 8) for run in asked[study] if run in trained]
        chosen[study] = {"datasets": [STUDIED[study]], "seeds": [1], "changes": changes}
    sweep = {"datasets": [HEARTS], "splits": ["fold"], "folds": [0], "labelled": [50]}
    sweeps = {"all": sweep | {"runs": asked["sdnet"]}}
    changes = [shortened(run, 4) for run in asked["sdnet"]]
    chosen["sdnet"] = {"sweeps": sweeps, "seeds": [1], "changes": changes}
    collection = {"images": [DATASET, HEARTS], "volumes": [BRAIN], "studies": chosen}
    content = PARAMS | {"imaging": {}, "collections": {"phantom": collection}, "data": "phantom"}
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    chosen, requests = params.load(project / "params.yaml"), {}
    for study, dataset in STUDIED.items():
        for run in asked[study]:
            path = f"data/slices/{dataset_of(dataset)}.h5"
            job = determinism.find_job(chosen, run, dataset)
            requests[run] = {"job": job, "slices": path, "device": "cpu",
                             "steps": None, "threads": None, "label": run}  # fmt: skip
    used = {block["method"] for block in blocks.values()}
    assert {PARAMS["methods"][run]["method"] for run in requests} == used
    for process in ("1", "2"):
        (project / process).mkdir()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": process}
        command = [sys.executable, "-c", RECORD, process]
        subprocess.run(command, input=json.dumps(requests), env=environment, text=True, check=True)
    for run in requests:
        found = compare(*(Trace.load(project / process / f"{run}.pt") for process in ("1", "2")))
        assert found.identical, f"{run}:\n{same_seed_text(found, None, CONDITIONS)}"
        if run in trained:
            assert found.steps[0] > 1 and found.losses and found.tensors, "something was compared"
        else:  # once, without losses; of what has nothing to fit, nothing
            assert found.steps[0] == (1 if found.tensors else 0) and not found.losses


@pytest.fixture
def broken(tmp_path) -> Path:
    """The sources with the two methods that do not repeat themselves."""
    source = tmp_path / "src"
    package = source / "latent_anatomy"
    package.mkdir(parents=True)
    for entry in (ROOT / "src" / "latent_anatomy").iterdir():
        if entry.name != "methods":
            (package / entry.name).symlink_to(entry)
    (package / "methods").mkdir()
    for entry in (ROOT / "src" / "latent_anatomy" / "methods").glob("*.py"):
        (package / "methods" / entry.name).symlink_to(entry)
    (package / "methods" / "noisy.py").write_text(textwrap.dedent(NOISY))
    (package / "methods" / "unordered.py").write_text(textwrap.dedent(UNORDERED))
    return source


@pytest.mark.slow
@pytest.mark.parametrize("method, first", [("noisy", 3), ("unordered", 1)])
def test_a_method_that_does_not_repeat_itself_is_found_with_its_layer_and_step(
    project, broken, method, first
):
    choose(project, {method: AE | {"method": method, "epochs": 2}})
    words = (f"--method={method}", "--steps=4", "--no-variance", "--out=out.json")
    process = started(project, *words, source=broken)
    text, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert f"DIFFERENT, from step {first} on" in text and "stopped after 4 steps" in text
    found = json.loads((project / "out.json").read_text())["same_seed_twice"]
    parted = {name: each["first"] for name, each in found["tensors"].items() if each["first"] is not None}
    assert not found["identical"] and min(parted.values()) == first
    if method == "noisy":
        assert [name for name, step in parted.items() if step == 3] == ["decoder.1.1.bias"]
        assert re.search(r"first step .*\ndecoder.1.1.bias +3 ", text), "the first line of the table"
        assert found["losses"]["loss"]["first"] == 4
        assert found["tensors"]["decoder.1.1.bias"]["absolute"] > 0


@pytest.mark.slow
def test_both_answers_are_the_same_bytes_again_and_leave_nothing_else(project, monkeypatch, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(project / "tmp"))
    choose(project, {"ae": AE | {"epochs": 7}, "resnet18": {"method": "resnet18", "task": "disease"}})
    options = Options("cpu", steps=2, epochs=1, seeds=2, splits=3)
    texts = []
    for name in ("one.json", "two.json"):
        assert determinism.run("ae", DATASET, options, project / name)
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "shortened to 1 of 7 epochs, stopped after 2 steps" in texts[0]
    assert (project / "one.json").read_bytes() == (project / "two.json").read_bytes()
    assert not list((project / "tmp").glob(f"{determinism.PREFIX}*"))

    found = json.loads((project / "one.json").read_text())
    assert found["variance"]["metric"] == "reconstruction/psnr"
    values = np.array(found["variance"]["values"])
    assert values.shape == (2, 3) and len(np.unique(values)) == 6, "six trainings, each its own"
    assert found["passport"]["job"]["params"]["epochs"] == 1
    assert set(found["passport"]["inputs"]) == {"slices"}
    assert str(project) not in (project / "one.json").read_text()


@pytest.mark.slow
def test_cancelled_it_leaves_no_file_and_no_process(project):
    choose(project, {"ae": AE | {"epochs": 100_000}})
    process = started(project, "--method=ae", "--out=out.json")
    folder = project / "tmp"
    while not list(folder.glob("*/*/state.pt")) and not list(folder.glob("*/*/lock")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)  # until the first training has begun
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not list(folder.glob(f"{determinism.PREFIX}*")) and not (project / "out.json").exists()


@pytest.mark.slow
def test_a_training_that_fails_ends_with_its_own_message(project, capfd):
    choose(project, {"ae": AE | {"epochs": 1, "cycle": {"base": 1e30, "peak": 1e31}}})
    with pytest.raises(
        ValueError, match=r"expected a training that ends, found exit code 1 \(first of two\)"
    ):
        determinism.run("ae", DATASET, Options("cpu"), project / "out.json")
    errors = capfd.readouterr().err
    assert "FloatingPointError: expected finite" in errors and "Traceback" not in errors
    assert not (project / "out.json").exists()


def test_a_run_or_data_set_that_is_not_there_is_named(project):
    choose(project, {"ae": AE})
    chosen = params.load(project / "params.yaml")
    for run, dataset in (("aee", DATASET), ("ae", "retinamnist")):
        with pytest.raises(ValueError, match=rf"expected a run \(ae\) .*found '{run}' on '{dataset}'"):
            determinism.find_job(chosen, run, dataset)


def test_the_number_is_chosen_by_what_a_method_can_do():
    class Reconstructs:
        reconstruct = None

    class Classifies:
        classify, task = None, "corruption"

    class Encodes:
        encode = None

    job = {"study": "any", "run": "any", "evaluation": {"reconstruction": {}, "classification": {}}}
    assert determinism.held_out_protocol(job, Reconstructs()) == "reconstruction"
    assert determinism.held_out_protocol(job, Classifies()) == "classification"
    with pytest.raises(ValueError, match="reconstruction or classification among the protocols"):
        determinism.held_out_protocol(job, Encodes())
    with pytest.raises(ValueError, match="--no-variance"):
        determinism.held_out_protocol(job | {"evaluation": {"revision": {}}}, Reconstructs())


def test_a_run_without_a_number_is_refused_before_anything_is_trained(project, monkeypatch):
    choose(project, {"ae": AE})
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["studies"]["unoranic"]["evaluation"] = {"revision": {}}
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(determinism, "record", lambda *_: pytest.fail("it trains"))
    with pytest.raises(ValueError, match="--no-variance"):
        determinism.run("ae", DATASET, Options("cpu"), None)


def trace(**changed) -> Trace:
    whole = {
        "losses": {"loss": [1.0, 0.5, 0.25]},
        "validation": {"auc": [0.5]},
        "digests": {"a.weight": ["0", "1", "2"], "b.count": ["0", "1", "2"]},
        "state": {"a.weight": torch.tensor([1.0, -2.0]), "b.count": torch.tensor(3)},
    }
    return Trace(**(whole | changed))


def test_equal_traces_are_identical_and_survive_being_saved(tmp_path):
    trace().save(tmp_path / "trace.pt")
    assert compare(trace(), Trace.load(tmp_path / "trace.pt")).identical


@pytest.mark.parametrize(
    "changed",
    [
        {"losses": {"loss": [1.0, 0.5, np.nextafter(0.25, 1)]}},
        {"validation": {"auc": [0.6]}},
        {"validation": {"auc": [0.5, 0.5]}},
        {"digests": {"a.weight": ["0", "x", "2"], "b.count": ["0", "1", "2"]}},  # parted and met again
        {"state": {"a.weight": torch.tensor([1.0, -2.0]), "b.count": torch.tensor(4)}},
    ],
)
def test_one_thing_that_differs_anywhere_is_found(changed):
    found = compare(trace(), trace(**changed))
    assert not found.identical
    parts = found.losses | found.validation | found.tensors
    assert sum(not part.same for part in parts.values()) == 1


def test_the_text_lists_what_differs_in_the_order_in_which_it_parts():
    digests = {"a.weight": ["0", "1", "x"], "b.count": ["0", "y", "z"]}
    state = {"a.weight": torch.tensor([1.0, np.nextafter(np.float32(-2), 0)]), "b.count": torch.tensor(4)}
    found = compare(trace(), trace(digests=digests, state=state, validation={"auc": [0.25]}))
    text = same_seed_text(found, None, CONDITIONS | {"epochs_in_params": 9, "whole": False})
    assert "shortened to 1 of 9 epochs, stopped after 3 steps" in text
    assert "DIFFERENT, from step 2 on\n2 of 2 tensors, 0 of 1 losses, 1 of 1 validation values" in text
    rows = [line.split() for line in text.splitlines()[-3:]]
    assert rows[0] == ["b.count", "2", "1", "0.25", "-"]
    assert rows[1][:2] == ["a.weight", "3"] and rows[1][-1] == "1"
    assert rows[2] == ["validation", "auc", "(by", "epoch)", "1", "0.25", "0.5", "-"]


def test_the_text_shows_negative_components_as_zero_and_says_so():
    values = np.array([[1.0, -1.0], [-1.0, 1.0]])
    text = variance_text("any/psnr", [4, 5], values, components(values), True)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["data split"].split()[2] == "0" and lines["data split"].endswith("0%")
    assert lines["residual"].endswith("100%")
    assert "The estimate for seed is -2, shown as 0." in text
    assert lines["seed 4"].split() == ["seed", "4", "1.0000", "-1.0000"]


def test_results_that_do_not_vary_have_no_shares():
    values = np.ones((2, 2))
    assert "-" in variance_text("any/auc", [1, 2], values, components(values), True).splitlines()[-2]


def test_where_sequences_part():
    assert parting("abc", "abc") is None
    assert parting("abc", "abd") == 3
    assert parting("abc", "ab") == 3
    assert parting("", "a") == 1


def steps_between(one: float, other: float) -> int:
    """Float32 numbers from one to the other, counted one by one."""
    low, high = sorted((np.float32(one), np.float32(other)))
    count = 0
    while low < high:
        low, count = np.nextafter(low, np.float32(np.inf)), count + 1
    return count


@given(FLOATS, st.integers(0, 50))
def test_ulp_counts_the_numbers_between(start, steps):
    end = np.float32(start)
    for _ in range(steps):
        end = np.nextafter(end, np.float32(np.inf))
    if np.isfinite(end):
        found = difference(torch.tensor([start, 0.0]), torch.tensor([float(end), 0.0]), None)
        assert found.ulp == steps_between(start, float(end))


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_a_difference_is_symmetric_and_nothing_only_between_equals(pairs):
    one, other = (torch.tensor(column, dtype=torch.float32) for column in zip(*pairs, strict=True))
    found = difference(one, other, None)
    assert found == difference(other, one, None)
    assert found.identical == (one.numpy().tobytes() == other.numpy().tobytes())
    apart = np.abs(one.double().numpy() - other.double().numpy())
    assert found.absolute == apart.max()
    assert (found.ulp == 0) == (apart.max() == 0) == (found.relative == 0)
    assert found.relative <= 2
