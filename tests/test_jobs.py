"""Training and evaluation as jobs: same bytes, refusals, kills, a full disk, few imports."""

import json
import os
import resource
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from proofs import sliced
from safetensors import safe_open

from latent_anatomy.data import slices, slices_file
from latent_anatomy.evaluation.protocols import reconstruction, revision
from latent_anatomy.jobs import evaluate, paired_tests, train
from latent_anatomy.jobs.checkpoint import load_checkpoint
from latent_anatomy.jobs.inputs import build
from latent_anatomy.provenance.files import canonical_json, sha256_file
from latent_anatomy.training.method import Shape

SMALL = {
    "unoranic": {"epochs": 2, "width": 4, "latent": 8},
    "autoencoder": {"epochs": 2, "width": 4, "latent": 8},
}
# A verb that waits, after this function of this module has been called once, for whoever kills it.
HELD = """
import signal
from latent_anatomy.cli.main import main
import {0} as module
def held(*given, real=module.{1}):
    real(*given)
    print("held", flush=True)
    signal.pause()
module.{1} = held
main()
"""
HELD_AFTER = {
    "train": ("latent_anatomy.training.loop", "_step"),
    "evaluate": ("latent_anatomy.evaluation.protocols.reconstruction", "evaluate"),
}
EVALUATION = {"reconstruction": {}, "revision": {}, "classification": {}}


def write_slices(path: Path, dataset: str = "phantom-test") -> Path:
    random = np.random.default_rng(0)
    count = 96
    slices_file.write(
        path,
        slices.Slices(
            images=random.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8),
            labels=np.arange(count, dtype=np.int64) % 2,
            subject=np.array([f"subject-{i}" for i in range(count)]),
            slice=np.zeros(count, dtype=np.int32),
            split=np.array(["train"] * 32 + ["val"] * 32 + ["test"] * 32),
            modality=np.array(["noise"] * count),
            dataset=dataset,
            task="binary-class",
            classes=2,
        ),
        passport=sliced(dataset),
    )
    return path


def write_job(folder: Path, kind: str, method: str = "unoranic", seed: int = 1, **changed) -> Path:
    from latent_anatomy.methods import registry as methods

    params = methods.load(method).Params(**{**SMALL[method], **changed}).model_dump(mode="json")
    job = {"job": kind, "study": "unoranic", "run": method, "dataset": "phantom-test", "seed": seed,
           "method": method, "params": params, "training": {"precision": "fp32", "compile": False},
           "source": "0" * 64}  # fmt: skip
    if kind == "evaluate":
        job["evaluation"] = EVALUATION
    path = folder / f"{kind}-{method}-{seed}.json"
    path.write_text(canonical_json(job), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    """Slices and job files, and where the outputs go."""
    return {
        "slices": write_slices(tmp_path / "test.h5"),
        "train": write_job(tmp_path, "train"),
        "evaluate": write_job(tmp_path, "evaluate"),
        "model": tmp_path / "model.safetensors",
        "history": tmp_path / "history.csv",
        "metrics": tmp_path / "metrics.json",
        "arrays": tmp_path / "arrays.npz",
        "scores": tmp_path / "scores.npz",
        "tables": tmp_path / "tables",
        "passport": tmp_path / "passport.json",
        "scratch": tmp_path / "scratch",
    }


def run_train(files, **changed):
    chosen = {**files, **changed}
    train.run(chosen["train"], chosen["slices"], chosen["model"], chosen["history"], chosen["scratch"], "cpu")


def run_evaluate(files, raw=Path("nowhere"), **changed):
    chosen = {**files, **changed}
    names = ("evaluate", "slices", "model", "metrics", "scores", "arrays", "tables", "passport")
    evaluate.run(*(chosen[name] for name in names), "cpu", raw=raw)


def command(files, verb: str) -> list[str]:
    """The same as a process of its own."""
    start = [sys.executable, "-m", "latent_anatomy", verb, "--device", "cpu"]
    names = {
        "train": ("model", "history", "scratch"),
        "evaluate": ("model", "metrics", "scores", "arrays", "tables", "passport"),
    }[verb]
    options = [f"--params={files[verb]}", f"--slices={files['slices']}"]
    return [*start, *options, *(f"--{name}={files[name]}" for name in names)]


def test_the_same_job_twice_gives_the_same_bytes(files, tmp_path):
    run_train(files)
    run_evaluate(files)
    first = {name: sha256_file(files[name]) for name in ("model", "history", "metrics", "scores", "passport")}
    run_train(files)
    run_evaluate(files)
    assert {name: sha256_file(files[name]) for name in first} == first
    assert not any(files["scratch"].iterdir()), "a finished run leaves nothing to resume"


def test_artefacts_carry_the_hashes_of_their_inputs_and_the_resolved_parameters(files):
    run_train(files)
    run_evaluate(files)
    with safe_open(files["model"], framework="np") as stream:
        passport = json.loads(stream.metadata()["passport"])
    assert passport["inputs"] == {"slices": sha256_file(files["slices"])}
    assert passport["job"] == json.loads(files["train"].read_text())
    assert json.loads(files["metrics"].read_text())["data/test/images"] == 32
    found = json.loads(files["passport"].read_text())
    assert found["inputs"]["model"] == sha256_file(files["model"])
    outputs = {name: files[name] for name in ("metrics", "scores", "arrays")}
    outputs["tables/revision.psnr.csv"] = files["tables"] / "revision.psnr.csv"
    assert found["outputs"] == {name: sha256_file(path) for name, path in outputs.items()}
    assert [path.name for path in files["tables"].iterdir()] == ["revision.psnr.csv"]
    assert found["job"]["params"]["width"] == 4
    text = files["passport"].read_text() + json.dumps(passport)
    assert str(files["model"].parent) not in text and os.uname().nodename not in text


def test_a_method_is_evaluated_by_what_it_can_do(files):
    run_train(files)
    run_evaluate(files)
    protocols = {key.split("/")[0] for key in json.loads(files["metrics"].read_text())}
    assert protocols == {"data", "reconstruction", "revision"}  # it has no `classify`


def test_a_protocol_that_the_data_cannot_answer_is_left_out_and_that_is_said(files, capsys, monkeypatch):
    monkeypatch.setattr(revision, "possible", lambda splits: False)
    run_train(files)
    run_evaluate(files)
    assert "revision: left out: phantom-test cannot answer it" in capsys.readouterr().err
    assert not any(key.startswith("revision/") for key in json.loads(files["metrics"].read_text()))
    assert not list(files["tables"].iterdir())


def test_an_evaluation_on_some_test_subjects_has_every_number_of_them_alone(files):
    run_train(files)
    job = json.loads(files["evaluate"].read_text(encoding="utf-8"))
    files["evaluate"].write_text(canonical_json(job | {"test_subjects": 5}), encoding="utf-8")
    run_evaluate(files)
    metrics = json.loads(files["metrics"].read_text(encoding="utf-8"))
    assert [metrics[f"data/{name}/images"] for name in ("train", "val", "test")] == [32, 32, 5]
    with np.load(files["arrays"]) as arrays:
        assert arrays["subject"].tolist() == [f"subject-{i}" for i in (64, 71, 79, 87, 95)]
        assert len(arrays["reconstruction/psnr"]) == 5
    passport = json.loads(files["passport"].read_text(encoding="utf-8"))
    assert passport["job"]["test_subjects"] == 5


def test_a_protocol_is_given_the_weights_that_its_job_names_or_nothing_runs(files, tmp_path, monkeypatch):
    """Registered bytes, in the passport; a file that is not there, or another, is one line."""
    run_train(files)
    teacher, given = tmp_path / "raw/teacher/teacher.txt", []
    real = reconstruction.evaluate

    def asked(*arguments, files):
        given.append(files)
        return real(*arguments)

    monkeypatch.setattr(reconstruction, "evaluate", asked)
    monkeypatch.setattr(evaluate.evaluation, "takes_weights", lambda name: name == "reconstruction")
    job = json.loads(files["evaluate"].read_text(encoding="utf-8"))
    checksums = {"teacher/teacher.txt": f"sha256:{sha256(b'0.25').hexdigest()}"}
    named = canonical_json(job | {"evaluation_weights": checksums})
    files["evaluate"].write_text(named, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"teacher\.txt: expected weights .* found none"):
        run_evaluate(files, raw=tmp_path / "raw")
    teacher.parent.mkdir(parents=True)
    teacher.write_text("0.5")
    with pytest.raises(ValueError, match=r"teacher\.txt: expected sha256 "):
        run_evaluate(files, raw=tmp_path / "raw")
    assert not given and not files["metrics"].exists()
    teacher.write_text("0.25")
    run_evaluate(files, raw=tmp_path / "raw")
    assert given == [{"teacher/teacher.txt": teacher}]
    passport = json.loads(files["passport"].read_text(encoding="utf-8"))
    assert passport["inputs"]["weights/teacher/teacher.txt"] == sha256_file(teacher)


def test_a_checkpoint_of_another_training_is_refused(files, tmp_path):
    run_train(files)
    wider = write_job(tmp_path, "evaluate", width=8)
    with pytest.raises(ValueError, match=r"expected params.width 8, found that it was made with 4"):
        run_evaluate(files, evaluate=wider)
    assert not files["metrics"].exists()


def test_a_checkpoint_of_another_architecture_is_refused(files):
    run_train(files)
    job = json.loads(files["evaluate"].read_text())
    wider = build(job | {"params": job["params"] | {"width": 8}}, Shape(1, 28, 28, 2), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"expected the weights of this architecture.*train again"):
        load_checkpoint(wider, files["model"])


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_truncated_checkpoint_is_refused(files, keep):
    run_train(files)
    files["model"].write_bytes(files["model"].read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        run_evaluate(files)


def test_slices_of_another_data_set_are_refused(files, tmp_path):
    with pytest.raises(ValueError, match="expected slices of phantom-test, found phantom-other"):
        run_train(files, slices=write_slices(tmp_path / "other.h5", "phantom-other"))


def test_the_file_of_another_kind_of_job_is_refused(files):
    with pytest.raises(ValueError, match="expected a job of kind 'train', found 'evaluate'"):
        run_train(files, train=files["evaluate"])


def test_a_gpu_that_is_not_there_is_an_error_and_not_a_cpu(files, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="found none: use --device cpu"):
        train.run(files["train"], files["slices"], files["model"], files["history"], files["scratch"], "cuda")


def test_a_full_disk_ends_training_with_an_error_and_without_a_checkpoint(files):
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        command(files, "train"), preexec_fn=small_files, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "latent-anatomy: " in done.stderr and "Traceback" not in done.stderr
    assert not files["model"].exists()
    assert not list(files["model"].parent.glob(".model*"))


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_kill_minus_nine_leaves_nothing_half_written_and_a_restart_ends_well(files, verb):
    if verb == "evaluate":
        run_train(files)
    outputs = {"train": ("model", "history"), "evaluate": ("metrics", "scores", "arrays", "tables")}[verb]
    held = [sys.executable, "-c", HELD.format(*HELD_AFTER[verb]), *command(files, verb)[3:]]
    with subprocess.Popen(held, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
    assert not any(files[name].exists() for name in outputs)
    subprocess.run(command(files, verb), check=True, capture_output=True)
    (run_train if verb == "train" else run_evaluate)(
        {**files, **{name: files[name].with_name(f"whole-{files[name].name}") for name in outputs}}
    )
    name = outputs[0]
    assert files[name].read_bytes() == files[name].with_name(f"whole-{files[name].name}").read_bytes()


def test_training_and_evaluation_load_only_the_libraries_of_a_gpu_node(files):
    """Nothing of the pipeline around them, nor of the tests' oracles."""
    absent = ["snakemake", "medmnist", "pandas", "matplotlib", "papermill", "requests", "torchvision"]
    absent += ["torch._dynamo", "torch._inductor", "sklearn"]
    program = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n"
        "    runpy.run_module('latent_anatomy', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print([name for name in {absent} if name in sys.modules])\n"
    )
    for verb in ("train", "evaluate"):
        arguments = [sys.executable, "-c", program, *command(files, verb)[2:]]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        assert done.stdout.strip() == "[]"
    assert files["metrics"].exists()


def test_determinism_is_asked_for_without_importing_the_compiler():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, torch\n"
            "from latent_anatomy.jobs.inputs import choose_device\n"
            "choose_device('cpu')\n"
            "print(torch.are_deterministic_algorithms_enabled(), torch.get_deterministic_debug_mode())\n"
            "print(any(name.startswith('torch._inductor') for name in sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == ["True", "2", "False"]


def test_runs_are_compared_on_the_same_images(files, tmp_path):
    for method in ("unoranic", "autoencoder"):
        folder = tmp_path / "results" / "phantom-test" / method / "seed-1"
        own = {
            "train": write_job(tmp_path, "train", method),
            "evaluate": write_job(tmp_path, "evaluate", method),
            "scores": folder / "scores.npz",
            "metrics": folder / "metrics.json",
            "passport": folder / "passport.json",
        }
        run_train(files, **own)
        run_evaluate(files, **own)
    job = {"job": "paired-tests", "study": "unoranic", "dataset": "phantom-test",
           "runs": ["unoranic", "autoencoder"], "seeds": [1], "without_randomness": [],
           "source": "0"}  # fmt: skip
    (tmp_path / "compare.json").write_text(json.dumps(job))
    folder, out = tmp_path / "results" / "phantom-test", (tmp_path / "out.json", tmp_path / "passport.json")
    (tmp_path / "arrays.npz").unlink()  # of the scores alone
    scores = folder / "autoencoder" / "seed-1" / "scores.npz"
    kept = scores.rename(tmp_path / "scores.npz")
    with pytest.raises(ValueError, match=r"of every run, found no autoencoder/seed-1/scores\.npz: evaluate"):
        paired_tests.run(tmp_path / "compare.json", folder, *out)
    kept.rename(scores)
    paired_tests.run(tmp_path / "compare.json", folder, *out)
    found = json.loads(out[0].read_text())
    assert json.loads(out[1].read_text())["outputs"] == {"metrics": sha256_file(out[0])}
    values = [
        json.loads((tmp_path / f"results/phantom-test/{name}/seed-1/metrics.json").read_text())
        for name in ("unoranic", "autoencoder")
    ]
    difference = values[0]["reconstruction/psnr"] - values[1]["reconstruction/psnr"]
    assert found["reconstruction/psnr/unoranic-minus-autoencoder/difference"] == pytest.approx(difference)

    again = {
        "train": write_job(tmp_path, "train", seed=2),
        "evaluate": write_job(tmp_path, "evaluate", seed=2),
    }
    again |= {
        name: folder / f"unoranic/seed-2/{files[name].name}" for name in ("scores", "metrics", "passport")
    }
    run_train(files, **again)
    run_evaluate(files, **again)
    (tmp_path / "compare.json").write_text(json.dumps(job | {"seeds_of": {"unoranic": [1, 2]}}))
    paired_tests.run(tmp_path / "compare.json", folder, *out)
    inputs = json.loads(out[1].read_text())["inputs"]
    assert {name.rsplit("/", 1)[0] for name in inputs} == {
        "unoranic/seed-1",
        "unoranic/seed-2",
        "autoencoder/seed-1",
    }
