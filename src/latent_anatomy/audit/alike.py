"""What one file holds otherwise than the same file made again."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import load_file

from latent_anatomy.provenance import formats

MISSING = "not there"


def differences(before: Path, after: Path) -> Iterator[str]:
    """What differs, in words; nothing for the same content, passports aside.

    Of numbers in JSON each is named, of arrays and tensors their names; of other files that they differ.
    """
    name = before.name
    if not after.is_file():
        yield f"{name} is not made any more"
    elif before.suffix == ".json":
        one, other = _loaded(before), json.loads(after.read_text(encoding="utf-8"))
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                yield f"{key} was {one.get(key, MISSING)} and is {other.get(key, MISSING)}"
    elif before.suffix in READERS:
        if before.suffix in formats.CONTENTS and formats.content_of(before) == formats.content_of(after):
            return
        try:
            one = READERS[before.suffix](before)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            yield f"{name} is damaged"
            return
        other = READERS[before.suffix](after)
        unlike = [key for key in sorted(one.keys() | other.keys()) if not _same(one.get(key), other.get(key))]
        yield from (f"{key} of {name} is another" for key in unlike)
        if not unlike and before.suffix in formats.CONTENTS:
            yield f"{name} is another, its arrays aside"
    elif before.suffix in formats.CONTENTS:
        if formats.content_of(before) != formats.content_of(after):
            yield f"{name} shows something else"
    elif before.read_bytes() != after.read_bytes():
        yield f"{name} is another"


def _loaded(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two arrays are the same bits; text is compared by what it says."""
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path, "r") as file:
        return {name: file[name][()] for name in file}


READERS = {".npz": _npz, ".h5": _hdf5, ".safetensors": load_file}
