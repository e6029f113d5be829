"""Predict: an exported model on everybody's images, and one table of all of them."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file
from torch import device as Device
from tqdm import tqdm

from latent_anatomy import __version__
from latent_anatomy.jobs.inputs import choose_device
from latent_anatomy.prediction import derivatives, export, exported, given, progress, table
from latent_anatomy.prediction.exported import Exported
from latent_anatomy.prediction.given import Given
from latent_anatomy.prediction.subject import image_of, volume_of
from latent_anatomy.prediction.table import Row
from latent_anatomy.provenance.files import digest, hashes, sha256_file, write_json
from latent_anatomy.provenance.lock import alone
from latent_anatomy.provenance.passport import commit, environment, sealed
from latent_anatomy.training.environment import device_name

TABLE, PASSPORT = "cohort.csv", "passport.json"
LIBRARIES = ("torch", "numpy", "scipy", "nibabel", "SimpleITK", "antspyx", "nilearn", "safetensors", "pillow")


def run(model: Path, source: Path, out: Path, device: str) -> int:
    """Write maps, pictures, the table of the cohort and a passport below `out`; returns how many failed.

    `model`: an exported file, or the folder of a run, models/<study>/<dataset>/<run>/<replicate>. Who fails
    is a line of the table; a run that was killed goes on where it was. ValueError, before anybody is looked
    at, for a model that is not whole or of another version, an input of another kind than it was trained on,
    and an `out` with other files.
    """
    with alone(out), TemporaryDirectory() as scratch:
        used = choose_device(device)
        opened, checksum = _opened(model, Path(scratch), used)
        for line in _said(opened):
            print(line, file=sys.stderr)
        people = given.find(source)
        _check_kind(opened, people[0], source)
        progress.begin(out, checksum)
        rows = []
        for each in tqdm(people, desc="predict", unit="subject", dynamic_ncols=True):
            rows.append(_one(opened, each, source, out))
            progress.keep(out, rows[-1])
        table.judge(rows, opened.document["imaging"])
        table.write(out / TABLE, rows)
        derivatives.describe(out, __version__, opened.licence)
        proof = {
            "job": {"job": "predict", "run": opened.document["job"], "licence": opened.document["licence"]},
            "inputs": {"model": checksum}
            | {f"{row.name}/{image}": value for row in rows for image, value in row.inputs.items()},
            "source": commit(),
            "environment": environment(LIBRARIES),
            "device": device_name(used),
        }
        made = {path.relative_to(out).as_posix(): path for path in out.rglob("[!.]*") if path.is_file()}
        made = {name: path for name, path in made.items() if not name.startswith(progress.FOLDER)}
        write_json(out / PASSPORT, sealed(proof, outputs=hashes(made)))
        progress.end(out)
    for row in rows:
        for said in [*row.warnings, *([f"failed: {row.problem}"] if row.problem else [])]:
            print(f"{row.name}: {said}", file=sys.stderr)
    return sum(bool(row.problem) for row in rows)


def _one(model: Exported, one: Given, source: Path, out: Path) -> Row:
    """The line of a subject, whatever becomes of it."""
    row = Row(one.name, one.file, one.problem, list(one.warnings))
    with TemporaryDirectory() as folder:
        try:
            row.inputs = {image: _checksum(files) for image, files in one.images.items()}
            if (finished := progress.known(out, one.name, row.inputs)) is not None:
                return finished
            shutil.rmtree(derivatives.folder(out, one.name), ignore_errors=True)  # what a kill has left
            if not one.problem:
                predict = image_of if one.kind == "png" else volume_of
                predict(model, one, Path(folder), out, row)
        except Exception as error:  # of whatever kind: the others are not to suffer from it
            row = Row(
                one.name, one.file, _reason(error, one, Path(folder), source), row.warnings, inputs=row.inputs
            )
            shutil.rmtree(derivatives.folder(out, one.name), ignore_errors=True)
    return row


def _reason(error: Exception, one: Given, work: Path, source: Path) -> str:
    """One line on why a subject failed, without a path of this machine or anything of a DICOM header."""
    kind = type(error).__name__
    text = str(error) or kind
    if isinstance(error, OSError) and error.strerror:
        text = f"{kind}: {error.strerror}"
    elif not isinstance(error, ValueError):
        text = kind if one.kind == "dicom" else f"{kind}: {text}"  # libraries tell what they were reading
    for path in (work / "raw", work / "interim", work, source.resolve(), source):
        text = text.replace(f"{path}/", "").replace(str(path), one.name)
    return " ".join(text.split())


def _checksum(files: tuple[Path, ...]) -> str:
    """SHA-256 of a file, or of those of all files of a series in their order."""
    sums = [sha256_file(path) for path in files]
    return sums[0] if len(sums) == 1 else digest(sums)


def _opened(model: Path, work: Path, device: Device) -> tuple[Exported, str]:
    """The model of an exported file, or of a run that is exported on the way; and its checksum."""
    path = model
    if model.is_dir():
        folder = model.resolve()
        if len(folder.parents) < 5 or folder.parents[3].name != "models":
            expected = "an exported file, or models/<study>/<dataset>/<run>/<replicate>"
            raise ValueError(f"{model}: expected {expected}, found another folder: name one of them")
        run = folder.relative_to(folder.parents[3]).as_posix()
        checkpoint, document = export.described(run, folder.parents[4])
        path = work / f"model{exported.SUFFIX}"
        exported.write(path, load_file(checkpoint), document)
    return exported.read(path, device), sha256_file(path)


def _said(model: Exported) -> list[str]:
    """What everybody is to know before it starts, a line each."""
    lines = [model.licence, *export.notes(model.document)]
    if model.changed:
        lines.append("the sources of the method are others than when it was exported: maps may differ")
    if model.document["imaging"] is None:
        modality = ", ".join(model.document["images"]["modalities"])
        lines.append(f"pictures do not tell their modality: they are taken for {modality}")
    return lines


def _check_kind(model: Exported, one: Given, source: Path) -> None:
    """ValueError for pictures where the model takes volumes, and the other way round."""
    of_volumes = model.document["imaging"] is not None
    if of_volumes == (one.kind == "png"):
        known = ", ".join(model.document["images"]["modalities"])
        expected, found = ("volumes", "pictures") if of_volumes else ("a PNG or a folder of PNGs", "volumes")
        remedy = (
            "its training had no imaging steps" if not of_volumes else "give NIfTI, DICOM or a BIDS folder"
        )
        raise ValueError(f"{source}: expected {expected} ({known}), found {found}: {remedy}")
