"""Hashes, atomic writes, source digests and passports."""

import hashlib
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_anatomy.provenance import files, passport, sources

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def shuffled(value: object) -> object:
    """The same value with the keys of every mapping the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_canonical_json_depends_on_the_value_alone(value):
    assert files.canonical_json(shuffled(value)) == files.canonical_json(value)
    assert json.loads(files.canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_cannot_carry(value):
    with pytest.raises(ValueError):
        files.canonical_json({"loss": value})


@given(st.binary(max_size=10_000))
def test_sha256_of_a_file(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("sha") / "file"
    path.write_bytes(content)
    assert files.sha256_file(path) == hashlib.sha256(content).hexdigest()


def test_an_error_inside_a_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "metrics.json"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def child(code: str, path: Path, **options) -> subprocess.CompletedProcess:
    imports = "import os, signal, sys\nfrom latent_anatomy.provenance.files import atomic_write\n"
    program = imports + "path = sys.argv[1]\n" + code
    return subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, **options
    )


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("old")
    killed = child(
        "with atomic_write(path) as temporary:\n"
        "    temporary.write_text('half of the n')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        path,
    )
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    path = tmp_path / "arrays.npz"
    path.write_text("old")
    failed = child(
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with atomic_write(path) as temporary:\n"
        "    temporary.write_bytes(bytes(100_000))\n",
        path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert failed.returncode == 1 and "OSError" in failed.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_equal_text_leaves_the_file_alone(tmp_path):
    path = tmp_path / "job.json"
    files.write_text(path, "same")
    before = path.stat().st_mtime_ns
    files.write_text_if_changed(path, "same")
    assert path.stat().st_mtime_ns == before
    files.write_text_if_changed(path, "other")
    assert path.read_text() == "other"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in the place of this one: method -> networks -> layers; unrelated stands alone."""
    files_of_the_package = {
        "__init__.py": "",
        "method.py": "from latent_anatomy.networks import layers\nimport torch\n",
        "networks/__init__.py": "",
        "networks/layers.py": "import latent_anatomy.method\n",
        "unrelated.py": "",
    }
    for name, text in files_of_the_package.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sources, "PACKAGE_ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    sources.source_digest.cache_clear()
    sources.running_sources.cache_clear()


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("method.py", True),
        ("networks/layers.py", True),
        ("networks/__init__.py", True),
        ("unrelated.py", False),
    ],
)
def test_a_source_digest_covers_what_is_imported_and_nothing_else(package, changed, matters):
    before = sources.source_digest("latent_anatomy.method")
    with (package / changed).open("a") as stream:
        stream.write("VALUE = 1\n")
    forget()
    assert (sources.source_digest("latent_anatomy.method") != before) == matters


def test_a_source_digest_of_no_module(package):
    with pytest.raises(
        ValueError, match=r"expected a module of latent_anatomy, found 'latent_anatomy.metod'"
    ):
        sources.source_digest("latent_anatomy.metod")


def test_outside_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(passport, "PACKAGE_ROOT", tmp_path)
    assert passport.commit() == {"commit": None, "dirty": None}


def test_a_passport_says_what_decided_the_bytes_and_not_where_or_when(tmp_path):
    passports, job = [], {"job": "train", "seed": 1}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "slices.h5"
        path.write_bytes(b"slices")
        passports.append(passport.passport(inputs={"slices": path}, job=job))
    assert files.canonical_json(passports[0]) == files.canonical_json(passports[1])
    assert passports[0]["inputs"] == {"slices": hashlib.sha256(b"slices").hexdigest()}
    assert passports[0]["job"] == job and passports[0]["environment"].keys() > {"lock", "python", "torch"}
    assert str(tmp_path) not in files.canonical_json(passports[0])


@pytest.mark.parametrize(
    ("change", "dirty"),
    [
        (lambda root: None, False),
        (lambda root: (root / "package" / "method.py").write_text("changed"), True),
        (lambda root: (root / "package" / "new.py").write_text("new"), True),
        (lambda root: (root / "notes.md").write_text("not a source"), False),
    ],
)
def test_changed_and_new_sources_make_a_tree_dirty(tmp_path, monkeypatch, change, dirty):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "method.py").write_text("committed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(passport, "PACKAGE_ROOT", tmp_path / "package")
    change(tmp_path)
    found = passport.commit()
    assert found["dirty"] is dirty and len(found["commit"]) == 40


def test_a_verb_computes_with_one_thread_whoever_calls_it():
    """And a passport says with how many, as torch knows it."""
    program = (
        "import torch\n"
        "torch.set_num_threads(3)\n"
        "from latent_anatomy.cli import main\n"
        "from latent_anatomy.provenance import passport\n"
        "job = {'job': 'gate'}\n"
        "print(passport.passport(inputs={}, job=job)['threads'])\n"
        "main.app(['sync', 'stages', '--help'], standalone_mode=False)\n"
        "print(passport.passport(inputs={}, job=job)['threads'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stdout.split("\n")
    assert (lines[0], lines[-2]) == ("3", "1"), done.stderr


@given(VALUES, st.sampled_from(["inputs", "job", "content", "seal"]))
def test_a_passport_that_is_edited_disagrees_with_its_seal(value, key):
    whole = passport.sealed({"inputs": {}, "job": {"seed": 1}}, content="0" * 64)
    edited = whole | {key: [value]}
    assert passport.sealed({k: v for k, v in edited.items() if k != "seal"})["seal"] != edited["seal"]


@pytest.mark.parametrize(
    "text", ["", "numpy==0.1\n", "h5py==3.0 ; python_version < '3'\nnumpy==1.0 \\\n    --hash=x\n"]
)
def test_a_passport_names_the_lock_only_where_it_pins_the_versions_that_run(tmp_path, monkeypatch, text):
    lock = tmp_path / "requirements.lock"
    lock.write_text(text)
    monkeypatch.setattr(passport, "LOCK", lock)
    monkeypatch.setattr(passport.metadata, "version", {"numpy": "1.0", "h5py": "3.0"}.__getitem__)
    expected = hashlib.sha256(text.encode()).hexdigest() if "h5py" in text else None
    assert passport.environment(["numpy", "h5py"])["lock"] == expected
    assert passport.environment(["numpy"])["lock"] == expected
