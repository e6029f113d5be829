"""What a user can cause is one line with what was expected, what was there and what to do."""

import gzip
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import ROOT
from test_params import PHANTOM, only_line, with_entry

from latent_anatomy.audit import git_history
from latent_anatomy.cli import data as verbs
from latent_anatomy.data import slices_file
from latent_anatomy.datasets import fastmri, medmnist
from latent_anatomy.evaluation import protocol
from latent_anatomy.evaluation import registry as protocols
from latent_anatomy.imaging import volume
from latent_anatomy.jobs import report
from latent_anatomy.jobs.job import read_job
from latent_anatomy.ledger import build
from latent_anatomy.methods import registry as methods
from latent_anatomy.pipeline import params, resolve
from latent_anatomy.provenance import formats, unpacking
from latent_anatomy.statistics.inference import sign_flip
from latent_anatomy.versions.contents import gather
from latent_anatomy.versions.read import load


def line_of(caught: pytest.ExceptionInfo) -> str:
    line = str(caught.value)
    assert len(line.splitlines()) == 1 and "expected" in line and "found" in line
    return line


def run_in(folder, *words):
    """A verb in another folder than the repository's."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "latent_anatomy", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("text", ["", "[1]", "3", "{", "\ufeff{}"])
def test_a_job_file_that_is_no_job(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(ValueError) as caught:
        read_job(tmp_path / "job.json", "train")
    assert str(tmp_path / "job.json") in line_of(caught)


def test_a_phantom_of_real_data(tmp_path):
    with pytest.raises(ValueError) as caught:
        verbs.phantom("retinamnist", tmp_path)
    assert "fetch retinamnist" in line_of(caught)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: c: 2", "line 2, column 5"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("- 1", "list"),
        ("", "NoneType"),
    ],
)
def test_params_that_are_no_yaml(tmp_path, text, said):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(params.ParamsError) as caught:
        params.load(tmp_path / "params.yaml")
    assert said in line_of(caught)


def test_params_in_another_encoding(tmp_path):
    (tmp_path / "params.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(params.ParamsError) as caught:
        params.load(tmp_path / "params.yaml")
    assert "UTF-8" in line_of(caught)


def test_a_misspelt_parameter_lists_the_valid_ones():
    change = {"runs": ["ae"], "params": {"epoch": 1}}
    with pytest.raises(params.ParamsError) as caught:
        resolve.resolve(params.validate(with_entry((*PHANTOM, "changes"), [change])))
    assert "changes.params.epoch" in str(caught.value) and "epochs, " in line_of(caught)


def test_a_protocol_on_no_data_set():
    content = with_entry((*PHANTOM, "evaluation"), {"revision": {"datasets": []}})
    assert "leave the protocol out" in only_line(content)


def test_sign_flips_of_nothing_and_of_no_number():
    for differences, subjects in (([], []), ([1.0, np.nan], ["a", "b"]), ([np.inf], ["a"])):
        with pytest.raises(ValueError) as caught:
            sign_flip(differences, subjects, seed=1)
        line_of(caught)


def test_the_committed_ledger_can_be_compared():
    rows = gather(load("workspace", ROOT)).ledgers["results/ledger.csv"]
    assert {key[2] for key in rows if key[4] == "claim"} >= {"lgg-flair-128", ""}


def test_a_picture_of_others_has_no_passport(tmp_path):
    from PIL import Image

    Image.new("L", (2, 2)).save(tmp_path / "other.png")
    with pytest.raises(ValueError) as caught:
        formats.read_passport(tmp_path / "other.png")
    assert "another program" in line_of(caught)


@pytest.mark.parametrize("module", ["methods", "protocols"])
def test_a_module_without_its_exports(monkeypatch, module):
    registry = {"methods": methods, "protocols": protocols}[module]
    monkeypatch.setattr(registry, "import_module", lambda name: object())
    with pytest.raises(ValueError) as caught:
        registry.load(registry.names()[0])
    assert "add it" in line_of(caught)


def test_metrics_of_another_protocol():
    with pytest.raises(ValueError) as caught:
        protocol.check("revision", protocol.Results({"probing/auc": 1.0}), {})
    line_of(caught)


def test_the_package_of_checksums_was_edited(monkeypatch):
    assert {name: medmnist.info(name)["MD5"] for name in medmnist.MODALITY}.items() < medmnist.MD5.items()
    edited = medmnist.info("bloodmnist") | {"MD5": "0" * 32}
    monkeypatch.setattr(medmnist, "info", lambda published: edited)
    with pytest.raises(ValueError) as caught:
        medmnist._official("bloodmnist", 28)
    assert "medmnist" in line_of(caught)


@pytest.mark.parametrize("damage", ["short", "text", "bits"])
def test_arrays_that_are_damaged(tmp_path, damage):
    path = tmp_path / "arrays.npz"
    np.savez_compressed(path, values=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[80] ^= 255
    path.write_bytes({"short": content[:100], "text": b"text", "bits": bytes(content)}[damage])
    with pytest.raises(ValueError) as caught:
        unpacking.read_npz(path)
    assert str(path) in line_of(caught)


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setenv(unpacking.LIMIT_VARIABLE, "0.001")
    zeros = np.zeros(2_000_000, np.uint8)
    np.savez_compressed(tmp_path / "bomb.npz", zeros)
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(zeros.tobytes()))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", zeros.tobytes())
    with zipfile.ZipFile(tmp_path / "bomb.zip") as archive:
        for opened in (
            lambda: unpacking.read_npz(tmp_path / "bomb.npz"),
            lambda: volume.parse(tmp_path / "bomb.nii.gz"),
            lambda: unpacking.zip_entry(archive, "one", tmp_path / "bomb.zip"),
        ):
            with pytest.raises(ValueError) as caught:
                opened()
            assert "when it is unpacked" in line_of(caught)


@pytest.mark.parametrize("value", ["-1", "0", "much", "nan"])
def test_a_limit_that_is_none(monkeypatch, value):
    monkeypatch.setenv(unpacking.LIMIT_VARIABLE, value)
    with pytest.raises(ValueError) as caught:
        unpacking.limit()
    line_of(caught)


@pytest.mark.parametrize("words", [["audit"], ["audit", "psnr", "--json"], ["audit", "--retrain", "ae"]])
def test_an_audit_outside_of_a_checkout(tmp_path, words):
    result = run_in(tmp_path, *words)
    assert result.returncode == 1 and result.stdout == ""
    assert "params.yaml: expected" in result.stderr and "root of a checkout" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_passports_of_files_that_have_none(tmp_path):
    import h5py
    from safetensors.numpy import save_file

    h5py.File(tmp_path / "a.h5", "w").close()
    save_file({"a": np.zeros(1)}, tmp_path / "a.safetensors")
    (tmp_path / "a.html").write_text("<html><head></head></html>")
    (tmp_path / "a.json").write_text("{}")
    for kind in ("h5", "safetensors", "html", "json"):
        with pytest.raises(ValueError) as caught:
            formats.read_passport(tmp_path / f"a.{kind}")
        assert "found none in it" in line_of(caught)
    (tmp_path / "folder.json").mkdir()
    for name, said in (("none.png", "no such file"), ("folder.json", "a folder"), ("none", "found ''")):
        result = run_in(tmp_path, "passport", str(tmp_path / name))
        assert result.returncode == 1 and said in result.stderr
        assert len(result.stderr.splitlines()) == 1 and "expected" in result.stderr


def hdf5_bomb(path, shape=(10**6, 10**6), name="images"):
    """A few kilobytes that claim a compressed data set of terabytes; no chunk of it was written."""
    import h5py

    with h5py.File(path, "w", libver=slices_file.FILE_FORMAT) as file:
        file.attrs["schema"] = slices_file.SCHEMA
        file.attrs["passport"] = "{}"
        chunks = tuple(min(size, 1000) for size in shape)
        file.create_dataset(name, shape, "u1", chunks=chunks, compression="gzip")
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("name", ["images", "group/images"])
@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**32, 2**32)])  # numpy counts 2^64 bytes as none
def test_bombs_of_hdf5(tmp_path, shape, name):
    path = tmp_path / "bomb.h5"
    hdf5_bomb(path, shape, name)
    for read in (slices_file.read, formats.content_of):
        with pytest.raises(unpacking.TooLargeError) as caught:
            read(path)
        assert line_of(caught).startswith(f"{path}: expected at most 16 GB")


def test_a_bomb_behind_many_names(tmp_path, monkeypatch):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = np.zeros(400_000, np.uint8)
        for name in ("two", "three"):
            file[name] = h5py.SoftLink("/one")
        monkeypatch.setenv(unpacking.LIMIT_VARIABLE, "0.001")
        with pytest.raises(unpacking.TooLargeError):
            unpacking.check_hdf5(file, "a.h5")
        del file["two"]
        unpacking.check_hdf5(file, "a.h5")


def test_a_volume_of_fastmri_that_is_a_bomb(tmp_path):
    hdf5_bomb(tmp_path / "a.h5", (10, 10**6, 10**6), "reconstruction_rss")
    with pytest.raises(unpacking.TooLargeError):
        fastmri.read_slice(tmp_path / "a.h5", 0)


def test_a_commit_that_is_a_bomb(tmp_path, monkeypatch):
    source = tmp_path / "src" / "latent_anatomy" / "big.py"
    source.parent.mkdir(parents=True)
    source.write_text("#" * 2_000_000)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "big"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    history = git_history.History(tmp_path)
    assert history._read(head).sources.text("latent_anatomy.big")
    monkeypatch.setenv(unpacking.LIMIT_VARIABLE, "0.001")
    with pytest.raises(unpacking.TooLargeError, match=f"commit {head}"):
        history._read(head)


def test_a_ledger_of_a_file_elsewhere_and_a_report_with_wrong_parameters(tmp_path):
    with pytest.raises(ValueError) as caught:
        build.write([], ["a.json"], tmp_path / "l.csv", tmp_path / "p.csv")
    line_of(caught)
    with pytest.raises(ValueError) as caught:
        report.run(tmp_path / "job.json", tmp_path / "n.ipynb", "{", tmp_path / "r.html")
    line_of(caught)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "--params", "nope.json"], "'nope.json' does not exist"),
        (["fetch"], "Missing argument"),
        (["trian"], "No such command 'trian'"),
        (["compare", "a", "b", "--no-such"], "No such option: --no-such"),
        (["bench", "methods", "sdnet", "--size", "2"], "--size"),
        (["image", "bias", "--params", "."], "--params"),
    ],
)
def test_words_that_a_verb_does_not_know_are_one_line_and_exit_code_two(tmp_path, words, said):
    done = run_in(tmp_path, *words)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and not done.stdout
    assert "expected" in line and said in line and line.endswith("--help lists them")


def test_without_words_there_is_help_and_an_exit_code_is_kept(tmp_path):
    bare, audited = run_in(tmp_path), run_in(tmp_path, "passport", "--help")
    assert bare.returncode == 2 and "Commands" in bare.stdout + bare.stderr
    assert audited.returncode == 0 and "Usage" in audited.stdout
