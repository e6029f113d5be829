"""Is an input of a job what this job expects? Asked by every job, of every input, before it uses it.

Four questions, each with one line that says what to do. Is the passport as it was sealed? Is it the passport
of this very content, or do the files beside it have the hashes that it names? Was it made by the job that is
expected: for the run, data set, seed and fold, with the parameters and sources that this job's own file goes
by? Was it made of the files that this job has too?
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from latent_anatomy.provenance import formats
from latent_anatomy.provenance.files import digest, sha256_file

MADE_BY = "made_by"  # key of a job's file, see `pipeline.makers`
AGAIN = "delete it, and run again what makes it"
SHORT = 12  # digits of a hash in a message


def whole(path: Path) -> dict:
    """The passport that an artefact carries, after it was found sealed for just the content of this file.

    ValueError for a damaged or edited file, for the passport of another one, and for one without a seal;
    FileNotFoundError without the file.
    """
    passport = _sealed(path)
    held = formats.content_of(path)
    if passport.get("content") != held:
        raise ValueError(
            f"{path}: expected content {str(passport.get('content'))[:SHORT]}, for which its passport was "
            f"sealed, found {held[:SHORT]}: it was changed since: {AGAIN}"
        )
    return passport


def beside(passport: Path, files: Mapping[str, Path]) -> dict:
    """The passport in a file of its own, after these `files`, role -> path, were found to be its outputs.

    ValueError for an edited passport, for a file that it does not name and for other bytes; FileNotFoundError
    without one of the files.
    """
    document = _sealed(passport)
    outputs(passport, document, files)
    return document


def outputs(path: Path, passport: Mapping, files: Mapping[str, Path]) -> None:
    """Raise ValueError unless the `passport` at `path` names the bytes of `files`, role -> path."""
    named = passport.get("outputs", {})
    for role, file in files.items():
        found = sha256_file(file)
        if named.get(role) != found:
            raise ValueError(
                f"{file}: expected sha256 {str(named.get(role))[:SHORT]}, as {path} has it, found "
                f"{found[:SHORT]}: one of the two was changed since: {AGAIN}"
            )


def proven(path: Path) -> None:
    """Raise ValueError unless a file of a job is the one that the passport of this job, beside it, names.

    Nothing is asked of a file that no job has made, such as a notebook or a paper's numbers, nor of a table
    of losses where its checkpoint, which has the passport, has not been brought here.
    """
    if path.name in ("metrics.json", "arrays.npz", "scores.npz", "qc.csv"):
        beside(path.with_name("passport.json"), {path.stem: path})
    elif path.name == "picture.png":
        beside(path.with_name("passport.json"), {path.name: path})
    elif path.name == "history.csv":
        model = path.with_name("model.safetensors")
        if model.is_file():
            outputs(model, whole(model), {"history": path})


def made_by(path: Path, passport: Mapping, says: Mapping, maker: str | None) -> None:
    """Raise ValueError unless the artefact at `path` was made by the job that is expected.

    `says` is what that job says, key -> value, None for a key that it must not have; `maker` the digest of
    all of it, its sources included, as this job's file names it. It is None for a job that is taken from a
    passport, to be done again: what made its inputs then shows in what they say, and in their own hashes.
    """
    made = passport["job"]
    for key, expected in says.items():
        if made.get(key) != expected:
            where, one, other = _first(key, expected, made.get(key))
            raise ValueError(
                f"{path}: expected {where} {_brief(one)}, found that it was made with {_brief(other)}, by "
                f"another job: {AGAIN}"
            )
    if maker is not None and digest(made) != maker:
        raise ValueError(
            f"{path}: expected it to be made by the job {maker[:SHORT]}, found {digest(made)[:SHORT]}, of "
            f"other parameters or sources ({str(made.get('source'))[:SHORT]}): {AGAIN}"
        )


def made_of(path: Path, passport: Mapping, inputs: Mapping[str, str]) -> None:
    """Raise ValueError unless the artefact at `path` was made of `inputs`, role -> SHA-256."""
    for role, expected in inputs.items():
        if (found := passport["inputs"].get(role)) != expected:
            raise ValueError(
                f"{path}: expected it to be made of {role} {expected[:SHORT]}, as they are here, found "
                f"{str(found)[:SHORT]}: they were changed since: {AGAIN}"
            )


@contextmanager
def still(paths: Iterable[Path]) -> Iterator[None]:
    """While files are hashed and read: ValueError when one of them became another in between."""
    before = {path: _signature(path) for path in paths}
    yield
    for path, signature in before.items():
        if _signature(path) != signature:
            raise ValueError(f"{path}: expected it to stay while it was read, found it changed: run again")


def finite(path: Path, weights: Iterable[tuple[str, bool]]) -> None:
    """Raise ValueError for weights, name -> whether all of it is finite, of which some are not."""
    bad = [name for name, good in weights if not good]
    if bad:
        raise ValueError(
            f"{path}: expected finite weights, found NaN or infinity in {len(bad)} tensors, such as "
            f"{bad[0]}: train again, with a lower learning rate or precision fp32"
        )


def _signature(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sealed(path: Path) -> dict:
    passport = formats.read_passport(path)
    if "seal" not in passport:
        raise ValueError(f"{path}: expected a sealed passport, found one without a seal: {AGAIN}")
    for key in ("inputs", "job"):
        if not isinstance(passport.get(key), dict):
            raise ValueError(f"{path}: expected {key} in its passport, found none: {AGAIN}")
    return passport


def _first(key: str, expected: object, found: object) -> tuple[str, object, object]:
    """The first place in which two values differ, as params.epochs, and both values there."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for inner in sorted(expected.keys() | found.keys()):
            if expected.get(inner) != found.get(inner):
                return _first(f"{key}.{inner}", expected.get(inner), found.get(inner))
    return key, expected, found


def _brief(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
