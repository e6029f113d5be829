"""Slices as an HDF5 file of the schema that `slices` describes: written atomically, read whole, checked.

A file that is not there raises FileNotFoundError, a disk that takes no more OSError, all else ValueError.
"""

import json
from pathlib import Path

import h5py
import numpy as np

from latent_anatomy.data.slices import COLUMNS, OPTIONAL, Slices, defect
from latent_anatomy.data.slices_check import check
from latent_anatomy.provenance import formats, unpacking
from latent_anatomy.provenance.files import atomic_write, canonical_json
from latent_anatomy.provenance.passport import sealed

SCHEMA = "latent-anatomy slices 1"
FILE_FORMAT = ("v110", "v110")  # pinned, so that a newer HDF5 library writes the same bytes
FAST = 1  # level of gzip: what masks lose, they lose at once


def write(path: Path, slices: Slices, passport: dict) -> None:
    """Check `slices` and write them to `path` atomically, with `passport` (JSON values) sealed inside."""
    check(slices, path)
    try:
        with atomic_write(path) as temporary, h5py.File(temporary, "w", libver=FILE_FORMAT) as file:
            file.attrs["schema"] = SCHEMA
            file.attrs["dataset"] = slices.dataset
            file.attrs["task"] = slices.task
            file.attrs["classes"] = slices.classes
            file.attrs["mask_names"] = canonical_json(slices.mask_names)
            file.attrs["box_names"] = canonical_json(slices.box_names)
            if slices.covariate_names:  # so that files without have the bytes that they always had
                file.attrs["covariate_names"] = canonical_json(slices.covariate_names)
            for name, values in slices.columns().items():
                stored = _encode(values) if values.dtype.kind == "U" else values
                file.create_dataset(name, data=stored, track_times=False, **_storage(name, values))
            file.attrs["passport"] = canonical_json(sealed(passport, content=formats.of_hdf5(file)))
    except RuntimeError as error:  # h5py reports a full disk, found when the file is closed, like this
        raise OSError(f"{path}: could not be written ({error}): free space and run again") from error


def read(path: Path, split: str | None = None) -> Slices:
    """Read and check the whole file; with `split`, return the slices of that split only."""
    slices = _load(Path(path))
    if split is None:
        return slices
    if split not in slices.split:
        splits = ", ".join(np.unique(slices.split))
        raise defect(path, f"slices of split {split!r}", f"only {splits}", "ask for one of these")
    return slices.select(split)


def validate(path: Path) -> None:
    """Raise unless `path` is a whole and sound slices file."""
    _load(Path(path))


def _load(path: Path) -> Slices:
    again = "delete the file and run `slice` again"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a slices file, found none: run `slice` for this data set")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != SCHEMA:
                raise defect(path, f"schema {SCHEMA!r}", repr(file.attrs.get("schema")), again)
            unpacking.check_hdf5(file, path)
            missing = sorted(set(COLUMNS) - set(OPTIONAL) - set(file))
            unknown = sorted(set(file) - set(COLUMNS))
            if missing or unknown:
                raise defect(
                    path, "the datasets of the schema", f"missing {missing}, unknown {unknown}", again
                )
            columns = {name: _load_column(file[name]) for name in file}
            attributes = {name: file.attrs[name] for name in ("dataset", "task")}
            attributes["classes"] = int(file.attrs["classes"])
            attributes |= {name: tuple(json.loads(file.attrs[name])) for name in ("mask_names", "box_names")}
            attributes["covariate_names"] = tuple(json.loads(file.attrs.get("covariate_names", "[]")))
            json.loads(file.attrs["passport"])
    except BlockingIOError as error:  # what another process writes is locked, and sound
        raise OSError(
            f"{path}: expected no other process in it, found it locked: wait for that one"
        ) from error
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise defect(path, "a whole HDF5 file of the schema", f"a damaged one ({error})", again) from error
    slices = Slices(**columns, **attributes)
    check(slices, path)
    return slices


def _storage(name: str, values: np.ndarray) -> dict:
    if name != "masks":
        return {}
    return {"chunks": (1, *values.shape[1:]), "compression": "gzip", "compression_opts": FAST}


def _encode(text: np.ndarray) -> np.ndarray:
    """Fixed-length UTF-8, which HDF5 stores in place and therefore always at the same offsets."""
    encoded = np.char.encode(text, "utf-8")
    return encoded.astype(h5py.string_dtype("utf-8", encoded.itemsize))


def _load_column(column: h5py.Dataset) -> np.ndarray:
    values = column[()]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
