"""Reading what is packed, up to a limit: a file of a few kilobytes may claim to hold terabytes."""

import gzip
import io
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

LIMIT_VARIABLE = "LATENT_ANATOMY_UNPACK_GB"
LIMIT_GB = 16.0  # the largest file that is read, a cine of ACDC in float64, has less than 1
CHUNK = 1 << 20
DAMAGED = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class TooLargeError(ValueError):
    """A file that unpacks to more than the limit."""


def limit() -> int:
    """The most bytes that one file may become; ValueError where the variable is no positive number."""
    value = os.environ.get(LIMIT_VARIABLE, "")
    try:
        size = float(value) if value else LIMIT_GB
    except ValueError:
        size = 0.0
    if not size > 0:
        raise ValueError(f"{LIMIT_VARIABLE}: expected a number of GB above 0, found {value!r}: correct it")
    return int(min(size, 1e6) * 1e9)


def check_size(where: object, size: int) -> None:
    """TooLargeError when what is at `where` unpacks to more than the limit."""
    if size > (most := limit()):
        raise TooLargeError(
            f"{where}: expected at most {most / 1e9:g} GB when it is unpacked, found {size / 1e9:.3g} GB or "
            f"more: if it is meant, set {LIMIT_VARIABLE} to more GB"
        )


def gunzip(content: bytes, where: object) -> bytes:
    """The content of a gzip file with the checksum at its end verified; ValueError beyond the limit.

    Raises EOFError, OSError or zlib.error for a damaged one, as `gzip` does.
    """
    parts, size = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        while part := stream.read(CHUNK):
            size += len(part)
            check_size(where, size)
            parts.append(part)
    return b"".join(parts)


def check_hdf5(file: h5py.File, where: object) -> None:
    """TooLargeError when all data sets of an open HDF5 file together, by their shapes, exceed the limit.

    Nothing is read of them. Those that links lead to count too, each as often as it has names.
    """
    names = [*file]
    file.visit(lambda name: names.append(name) if "/" in name else None)
    sets = [item for name in names if isinstance(item := file[name], h5py.Dataset)]
    # Not `nbytes`, which is taken modulo 2^64.
    check_size(where, sum(math.prod(each.shape or (0,)) * each.dtype.itemsize for each in sets))


def zip_entry(archive: zipfile.ZipFile, name: str, where: object) -> bytes:
    """One file of a zip archive, which may be no longer than the archive says and the limit allows."""
    check_size(where, archive.getinfo(name).file_size)
    return archive.read(name)


def read_npz(
    file: Path | BinaryIO, where: object = None, remedy: str = "make it again"
) -> dict[str, NDArray]:
    """All arrays of an .npz of plain arrays; ValueError, one line, for a damaged one or beyond the limit."""
    where = file if where is None else where
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        raise _damaged(where, error, remedy) from error
    check_size(where, size)
    if not isinstance(file, Path):
        file.seek(0)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGED as error:
        raise _damaged(where, error, remedy) from error


def _damaged(where: object, error: Exception, remedy: str) -> ValueError:
    found = " ".join(str(error).split())
    return ValueError(
        f"{where}: expected a whole .npz of plain arrays, found a damaged one ({found}): {remedy}"
    )
