"""Passports: each format's content, found again after writing, and every kind of damage found in the file."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file
from test_slices import example
from typer.testing import CliRunner

from latent_anatomy.cli import main
from latent_anatomy.data import slices_file
from latent_anatomy.jobs import report as report_job
from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import canonical_json, sha256_file, write_json
from latent_anatomy.provenance.passport import sealed
from latent_anatomy.reports import figures

PASSPORT = {"inputs": {"raw": "0" * 64}, "job": {"job": "report", "unit": 'µm, "quoted" & <b>'}}
HTML = '<!DOCTYPE html>\n<html>\n<head><meta charset="utf-8"/>\n</head>\n<body>24.31 dB</body>\n</html>\n'
KINDS = ("h5", "safetensors", "png", "html", "json")


def write(folder, kind, variant=0):
    """An artefact of a kind with its passport; another `variant` has other content."""
    path = folder / f"artefact-{variant}.{kind}"
    if kind == "h5":
        slices_file.write(path, example(seed=variant), PASSPORT)
    elif kind == "safetensors":
        weights = {"b": np.arange(6, dtype=np.float32) + variant, "a": np.ones((2, 3), np.int64)}
        proof = sealed(PASSPORT, content=formats.of_safetensors(save(weights)))
        path.write_bytes(save(weights, metadata={"passport": canonical_json(proof)}))
    elif kind == "png":
        picture = {"a": np.full((1, 3, 4, 4), 100 + variant, np.uint8)}
        path.write_bytes(figures.png(figures.image_grid(picture), PASSPORT))
    elif kind == "html":
        text = HTML.replace("24", str(24 + variant))
        path.write_text(formats.html_with_passport(text, sealed(PASSPORT, content=formats.of_html(text))))
    else:
        write_json(path, sealed(PASSPORT, outputs={"metrics": str(variant)}))
    return path


def replace_passport(path: Path, passport: dict) -> None:
    """Put another passport in place of a file's own, and leave the rest."""
    text = canonical_json(passport)
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["passport"] = text
    elif path.suffix == ".safetensors":
        save_file(load_file(path), path, metadata={"passport": text})
    elif path.suffix == ".png":
        chunks = [chunk for name, chunk in formats._png_chunks(path.read_bytes()) if name != b"tEXt"]
        path.write_bytes(formats.png_with_passport(formats.PNG_SIGNATURE + b"".join(chunks), passport))
    elif path.suffix == ".html":
        document = formats.META.sub("", path.read_text(encoding="utf-8"))
        path.write_text(formats.html_with_passport(document, passport), encoding="utf-8")
    else:
        path.write_text(text, encoding="utf-8")


def proves(path) -> bool:
    """Whether the file alone shows no fault."""
    try:
        passport = formats.read_passport(path)
        return path.suffix == ".json" or passport["content"] == formats.content_of(path)
    except ValueError as error:
        assert str(path) in str(error) and "expected" in str(error)
        return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_passport_is_read_back_and_names_the_content(tmp_path, kind):
    path = write(tmp_path, kind)
    passport = formats.read_passport(path)
    assert passport["inputs"] == PASSPORT["inputs"] and passport["job"] == PASSPORT["job"]
    assert proves(path)
    before = sha256_file(path)
    assert sha256_file(write(tmp_path, kind)) == before, "same content, same bytes"


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_content_is_what_is_there_beside_the_passport(tmp_path, kind):
    one, other = write(tmp_path, kind), write(tmp_path, kind, variant=1)
    assert formats.content_of(one) != formats.content_of(other)


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_byte_shows_in_the_file(tmp_path, kind):
    """In an HDF5 file, any byte that carries something: it has unused ones, which say nothing."""
    path = write(tmp_path, kind)
    whole = path.read_bytes()
    passport, held = formats.read_passport(path), None if kind == "json" else formats.content_of(path)
    random = np.random.default_rng(0)
    for at in sorted({*random.integers(0, len(whole), 60).tolist(), 0, len(whole) - 1}):
        damaged = bytearray(whole)
        damaged[at] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        if proves(path):
            assert kind == "h5", f"byte {at}"
            assert (formats.read_passport(path), formats.content_of(path)) == (passport, held)
    path.write_bytes(whole[: len(whole) // 2])
    assert not proves(path)


@pytest.mark.parametrize("kind", ["h5", "png", "html", "safetensors"])
def test_a_passport_copied_from_another_file_shows_in_the_file(tmp_path, kind):
    path, other = write(tmp_path, kind), write(tmp_path, kind, variant=1)
    foreign = formats.read_passport(other)
    replace_passport(path, foreign)
    assert formats.read_passport(path) == foreign
    assert not proves(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_passport_shows_in_the_file(tmp_path, kind):
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes().replace(b"0" * 64, b"0" * 63 + b"1"))
    # a PNG has checksums of its own
    with pytest.raises(
        ValueError, match="wrong checksum" if kind == "png" else "changed after it was sealed"
    ):
        formats.read_passport(path)


def test_the_verb_prints_the_passport_of_a_whole_file_and_refuses_another(tmp_path):
    picture = write(tmp_path, "png")
    done = CliRunner().invoke(main.app, ["passport", str(picture)])
    assert done.exit_code == 0 and json.loads(done.output) == formats.read_passport(picture)
    report = write(tmp_path, "html")
    report.write_text(report.read_text().replace("24.31", "34.31"))
    done = CliRunner().invoke(main.app, ["passport", str(report)])
    assert isinstance(done.exception, ValueError) and "that of another content" in str(done.exception)


def test_a_file_without_room_for_a_passport_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"arrays\.npz: expected one of .*, which carry a passport"):
        formats.read_passport(tmp_path / "arrays.npz")


def test_metrics_are_no_passport(tmp_path):
    write_json(tmp_path / "metrics.json", {"reconstruction/psnr": 29.1})
    with pytest.raises(ValueError, match="that of metrics is passport"):
        formats.read_passport(tmp_path / "metrics.json")


def test_a_passport_from_before_they_were_sealed_is_read_as_it_is(tmp_path):
    write_json(tmp_path / "passport.json", PASSPORT)
    assert formats.read_passport(tmp_path / "passport.json") == PASSPORT


@settings(max_examples=30)
@given(text=st.text(), value=st.text())
def test_any_text_survives_in_html(tmp_path_factory, text, value):
    path = tmp_path_factory.mktemp("html") / "x.html"
    document = HTML.replace("24.31 dB", text.replace("<head>", ""))
    proof = sealed({"value": value}, content=formats.of_html(document))
    path.write_bytes(formats.html_with_passport(document, proof).encode("utf-8", "surrogatepass"))
    assert formats.read_passport(path)["value"] == value and proves(path)


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A folder with what the report is made of; it is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("study.ipynb", "ledger.csv", "a.npz", "b.npz"):
        (tmp_path / name).write_text(name)
    (tmp_path / "job.json").write_text(canonical_json({"job": "report", "study": "s"}))
    return {"ledger_file": "ledger.csv", "phantom": True, "arrays_files": ["a.npz", "b.npz"]}


def write_report(report, document):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_job, "html", lambda notebook, parameters: document)
        report_job.run(Path("job.json"), Path("study.ipynb"), json.dumps(report), Path("report.html"))


def test_a_report_is_sealed_with_the_hashes_of_all_that_it_was_made_of(report, tmp_path):
    write_report(report, HTML)
    passport = formats.read_passport(tmp_path / "report.html")
    names = ("study.ipynb", "ledger.csv", "a.npz", "b.npz")
    assert passport["inputs"] == {name: sha256_file(tmp_path / name) for name in names}
    assert passport["job"]["study"] == "s" and proves(tmp_path / "report.html")
    first = (tmp_path / "report.html").read_bytes()
    write_report(report, HTML)
    assert (tmp_path / "report.html").read_bytes() == first


@pytest.mark.parametrize("document", ["", HTML[:-20], HTML.replace("<head>", "")])
def test_a_report_that_is_not_whole_is_refused(report, tmp_path, document):
    with pytest.raises(ValueError, match="expected a whole HTML document"):
        write_report(report, document)
    assert not (tmp_path / "report.html").exists()


def test_no_report_names_a_users_folder(report, tmp_path):
    report["ledger_file"] = str(tmp_path / "ledger.csv")
    with pytest.raises(ValueError, match="found an absolute one"):
        write_report(report, HTML)
