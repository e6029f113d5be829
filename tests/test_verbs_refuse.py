"""What a user gives a verb that it cannot use is one line: what was expected, what was found, what to do."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

from latent_anatomy.cli import main as cli
from latent_anatomy.versions import sync


@pytest.fixture
def told(capsys, monkeypatch):
    """Run a verb that refuses; what it says, without the name of the error."""

    def run(*words: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["latent-anatomy", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 1 and said[0].startswith("latent-anatomy: ")
        said[0] = said[0].split(": ", 2)[2]
        for line in said:
            assert "expected" in line and line.partition("found")[2].count(": "), line
        return said

    return run


@pytest.fixture
def ledger(told, tmp_path):
    """What the ledger says of a paper's file."""
    return lambda path: told(
        *("ledger", "--papers", path, "--out", tmp_path / "l.csv", "--phantom-out", tmp_path / "p.csv")
    )


@pytest.mark.parametrize("text", ["a: 1", "hello", "", "[1, 2]", "3"])
def test_a_file_that_is_no_paper(ledger, tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    [line] = ledger(tmp_path / "x.yaml")
    assert line.startswith(f"{tmp_path}/x.yaml: expected a paper, with the keys study, title, ")


def test_a_folder_and_other_bytes_in_place_of_a_paper(ledger, tmp_path):
    [line] = ledger(tmp_path)
    assert line.startswith(f"{tmp_path}: expected to read or write here, found: Is a directory: check the ")
    (tmp_path / "x.yaml").write_bytes(bytes(range(256)))
    [line] = ledger(tmp_path / "x.yaml")
    assert "expected YAML in UTF-8" in line


def test_a_paper_with_faults_has_a_line_of_each(ledger, tmp_path):
    content = yaml.safe_load((ROOT / "papers" / "baur.yaml").read_text(encoding="utf-8"))
    del content["title"]
    content |= {"authors": ["one"], "autors": "two", "tolerances": "none"}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    start = f"{tmp_path}/x.yaml: "
    assert ledger(tmp_path / "x.yaml") == [
        f"{start}title: expected this key, found none: add it",
        f"{start}authors: expected a valid string, found ['one']: correct it",
        f"{start}tolerances: expected a valid dictionary, found 'none': correct it",
        f"{start}autors: expected no such key, found one: check its spelling, see docs/ledger.md",
    ]


@pytest.mark.parametrize("words", [("nonsense", "HEAD"), ("HEAD", "nonsense"), ("HEAD^{tree}", "HEAD")])
def test_a_revision_that_git_does_not_know(told, monkeypatch, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    [line] = told("compare", *words, "--out", tmp_path / "c.html")
    [unknown] = set(words) - {"HEAD"}
    assert line == (
        f"expected a commit, a branch or a tag of {tmp_path}, or workspace, found {unknown!r}: "
        "name a revision of git (git log)"
    )


def test_two_versions_of_no_checkout(told, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    [line] = told("compare", "HEAD", "workspace", "--out", tmp_path / "c.html")
    assert "not a git repository" in line and line.endswith(": change to a sound checkout")


@pytest.mark.parametrize("verb", ["check", "record", "restore"])
def test_no_checkout_and_none_that_dvc_knows(told, monkeypatch, tmp_path, verb):
    monkeypatch.chdir(tmp_path)
    assert told("sync", verb) == [
        "Snakefile: expected it in this folder, found none: change to the root of a checkout"
    ]
    (tmp_path / "Snakefile").touch()
    [line] = told("sync", verb)
    assert line.startswith(".dvc: expected it in this folder, found none: ") and "dvc init" in line
    (tmp_path / ".dvc").mkdir()
    if verb != "record":  # which writes it
        [line] = told("sync", verb)
        assert line.startswith("dvc.yaml: expected it in this folder, found none: write it (latent-anatomy ")


def test_a_tool_that_fails_is_told_by_its_last_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(ChildProcessError) as caught:
        sync._run("git", "cat-file", "blob", "nonsense")
    assert str(caught.value) == (
        "expected `git cat-file blob nonsense` to succeed, found exit code 128 after "
        "'fatal: Not a valid object name nonsense': run it by itself, to see all that it says"
    )


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (("train", "--method", "nonsense"), "params.yaml: expected a run among unoranic, ae, "),
        (("methods", "nonsense"), "params.yaml: expected a run among unoranic, ae, "),
        (("savings", "--method", "nonsense"), "params.yaml: expected a run among unoranic, ae, "),
        (("train", "--method", "intensity"), "intensity: expected a run that is trained step by step, "),
        (("methods", "ae", "--like", "a"), "--like: expected <collection>/<study>/<data set>, found 'a'"),
        (("methods", "ae", "--like", "a/b/c"), "--like: expected a collection, study and data set of params"),
        (("train", "--method", "ae", "--device", "gpu"), "--device: expected auto, cpu, cuda or cuda:<n>, "),
        (("imaging", "retinamnist"), "retinamnist: expected a data set of volumes (ixi, "),
        (("imaging", "nonsense"), "data set: expected one of acdc, "),
        (("imaging", "phantom-brain", "--subject", "x"), "phantom-brain: expected one of its "),
    ],
)
def test_speed_of_what_is_not_there(told, monkeypatch, words, beginning):
    monkeypatch.chdir(ROOT)
    [line] = told("bench", *words)
    assert line.startswith(beginning)


@pytest.mark.parametrize("step", ["bias", "coregister", "register", "strip", "normalise"])
def test_steps_of_what_is_not_there(told, tmp_path, step):
    (tmp_path / "job.json").write_text("{}")
    options = ("--params", tmp_path / "job.json", "--raw", tmp_path, "--interim", tmp_path / "interim")
    [line] = told("image", step, "retinamnist", "x", *options)
    assert line.startswith("retinamnist: expected a data set of volumes (ixi, ")
    [line] = told("image", step, "nonsense", "x", *options)
    assert line.startswith("data set: expected one of ") and line.endswith(": check its spelling")
    [line] = told("image", step, "phantom-brain", "nobody", *options)
    assert line.startswith("phantom-brain: expected one of its ") and "found 'nobody': check" in line
    assert not (tmp_path / "interim").exists()


def test_a_subject_of_a_folder_that_is_not_here(told, tmp_path, monkeypatch):
    monkeypatch.delenv("LATENT_ANATOMY_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text("{}")
    options = ("--params", tmp_path / "job.json", "--raw", tmp_path, "--interim", tmp_path / "interim")
    [line] = told("image", "bias", "bids-nobody", "x", *options)
    assert line.startswith("bids-nobody: expected its files, found none: put ")


def test_the_slices_of_volumes_are_not_cut_by_slice(told, tmp_path):
    job = tmp_path / "job.json"
    job.write_text('{"job": "slice", "dataset": "phantom-brain"}')
    [line] = told("slice", "phantom-brain", "--raw", tmp_path, "--params", job, "--out", tmp_path / "s.h5")
    assert line == ("phantom-brain: expected a data set of images, found volumes: run the steps of `image`")


def test_a_phantom_is_not_fetched(told, tmp_path):
    assert told("fetch", "phantom-retinamnist", "--out", tmp_path) == [
        "phantom-retinamnist: expected published files, found a phantom: run `phantom phantom-retinamnist`"
    ]


@pytest.mark.parametrize("kind", ["train", "evaluate", "paired-tests", "gate", "slice", "raw", "report"])
def test_a_job_that_lacks_what_its_verb_needs(told, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text(json.dumps({"job": kind}))
    (tmp_path / "any").touch()
    params = ("--params", "job.json")
    made = {name: ("--" + name, tmp_path / name) for name in ("out", "metrics", "passport", "model")}
    trained = ("--slices", "any", *made["model"], "--history", tmp_path / "history")
    judged = ("--interim", "none", "--subject", "a", "--step", "bias", *made["out"], *made["passport"])
    values = [each for name in ("scores", "arrays", "tables") for each in (f"--{name}", tmp_path / name)]
    results = (*made["metrics"], *made["passport"])
    [line] = {
        "train": lambda: told("train", *params, *trained),
        "evaluate": lambda: told("evaluate", *params, "--slices", "any", "--model", "any", *results, *values),
        "paired-tests": lambda: told("paired-tests", *params, "--results", ".", *results),
        "gate": lambda: told("image", "gate", *params, *judged),
        "slice": lambda: told("slice", "phantom-breastmnist", "--raw", ".", *params, *made["out"]),
        "raw": lambda: told("fetch", "x", *params, *made["out"]),
        "report": lambda: told("report", *params, "--notebook", "any", "--parameters", "3", *made["out"]),
    }[kind]()
    assert line.startswith("--parameters: " if kind == "report" else "expected a job with the key ")


@pytest.mark.parametrize("text", ["", "text", "3", "[]", "{}", '{"cells": 3}'])
def test_a_notebook_that_is_none(told, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text('{"job": "report"}')
    (tmp_path / "x.ipynb").write_text(text)
    words = ("--params", "job.json", "--notebook", "x.ipynb", "--parameters", "{}", "--out", "r.html")
    [line] = told("report", *words)
    assert line.startswith("x.ipynb: expected a notebook (.ipynb), found ")


def test_a_model_that_is_no_file_of_ours_is_one_line(told, tmp_path):
    for name, content, said in (
        ("m.pt", b"x", "expected one of .h5, .safetensors"),
        ("m.safetensors", b"no weights", "expected a whole artefact with its passport, found a damaged one"),
    ):
        (tmp_path / name).write_bytes(content)
        [line] = told("predict", tmp_path / name, tmp_path, "--out", tmp_path / "out")
        assert said in line
    [line] = told("predict", tmp_path, tmp_path, "--out", tmp_path / "out")
    assert "expected an exported file, or models/<study>/<dataset>/<run>/<replicate>, found another" in line
