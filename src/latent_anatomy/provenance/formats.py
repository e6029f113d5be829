"""What an artefact holds beside its passport, as a hash; and how a passport is read back.

A passport names the content that it was written for. One that was copied from another artefact, and one
whose artefact was edited afterwards, are therefore found in the file alone.

| artefact        | where the passport is               | content                                            |
|-----------------|-------------------------------------|----------------------------------------------------|
| `.h5`           | root attribute `passport`           | every data set and every other attribute           |
| `.safetensors`  | metadata `passport`                 | names, types, shapes and bytes of the tensors      |
| `.png`          | text chunk `passport`               | all other chunks                                   |
| `.html`         | `<meta name="passport">` in `<head>`| the document without that element                  |
| `passport.json` | it is the passport of files beside it | none of its own: their hashes are its `outputs`  |
"""

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path

import h5py
import numpy as np

from latent_anatomy.provenance import unpacking
from latent_anatomy.provenance.files import canonical_json, digest

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEYWORD = b"passport\0"
META = re.compile(r'<meta name="passport" content="([^"]*)">\n')
HEAD = "<head>"


class NoPassportError(ValueError):
    """A whole file without a passport."""


def read_passport(path: Path) -> dict:
    """The passport of an artefact; one made before there were seals has no `seal` and no `content`.

    ValueError for one damaged, edited, without a passport or of another kind, FileNotFoundError for none.
    """
    return _dispatch(path, PASSPORTS)


def content_of(path: Path) -> str:
    """SHA-256 of what the artefact holds beside its passport; ValueError as in `read_passport`."""
    return _dispatch(path, CONTENTS)


def _dispatch(path: Path, functions: dict) -> object:
    path = Path(path)
    if path.suffix not in functions:
        raise ValueError(
            f"{path}: expected one of {', '.join(functions)}, which carry a passport, found {path.suffix!r}: "
            "other files are named in the passport of the job that made them"
        )
    try:
        return functions[path.suffix](path)
    except unpacking.TooLargeError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, struct.error) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{path}: expected an artefact, found no such file: make it") from error
        if isinstance(error, IsADirectoryError):
            raise ValueError(f"{path}: expected a file, found a folder: name one in it") from error
        if isinstance(error, NoPassportError):
            raise ValueError(
                f"{path}: expected an artefact with its passport, found none in it: that of metrics is "
                "passport.json beside them; a file that another program made or saved anew has none"
            ) from error
        if isinstance(error, BlockingIOError):
            raise OSError(f"{path}: expected no other process in it, found it locked: wait") from error
        raise ValueError(
            f"{path}: expected a whole artefact with its passport, found a damaged one ({error}): "
            "make it again"
        ) from error


def _opened(text: str) -> dict:
    """A passport from its JSON, checked against its seal."""
    passport = json.loads(text)
    if not isinstance(passport, dict):
        raise ValueError(f"a passport that is no object but {type(passport).__name__}")
    unsealed = {key: value for key, value in passport.items() if key != "seal"}
    if "seal" in passport and passport["seal"] != digest(unsealed):
        raise ValueError("the passport was changed after it was sealed")
    return passport


def of_hdf5(file: h5py.File) -> str:
    """Content of an open HDF5 file: all but the root attribute `passport`, in the order of their names."""
    summary = hashlib.sha256()

    def add(name: str, kind: str, values: object) -> None:
        array = np.asarray(values.encode() if isinstance(values, str) else values)
        summary.update(canonical_json([name, kind, array.dtype.str, array.shape]).encode())
        summary.update(np.ascontiguousarray(array).data)

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for key in sorted(item.attrs):
            if (name, key) != ("/", "passport"):
                add(f"{name}@{key}", "attribute", item.attrs[key])
        if isinstance(item, h5py.Dataset):
            add(name, "data set", item[()])

    visit("/", file)
    names = []
    file.visit(names.append)
    for name in sorted(names):
        visit(name, file[name])
    return summary.hexdigest()


def _hdf5_content(path: Path) -> str:
    with h5py.File(path, "r") as file:
        unpacking.check_hdf5(file, path)
        return of_hdf5(file)


def _hdf5_passport(path: Path) -> dict:
    with h5py.File(path, "r") as file:
        if "passport" not in file.attrs:
            raise NoPassportError
        return _opened(file.attrs["passport"])


def of_safetensors(data: bytes) -> str:
    """Content of a safetensors file's bytes: its header without metadata, and the tensors."""
    header, start = _safetensors_header(data)
    header.pop("__metadata__", None)
    summary = hashlib.sha256(canonical_json(header).encode())
    summary.update(memoryview(data)[start:])
    return summary.hexdigest()


def _safetensors_header(data: bytes) -> tuple[dict, int]:
    """The header, and where the tensors begin: after 8 bytes with its length, little-endian, and itself."""
    start = 8 + struct.unpack_from("<Q", data)[0]
    return json.loads(data[8:start].decode()), start


def _safetensors_passport(path: Path) -> dict:
    header, _ = _safetensors_header(path.read_bytes())
    if "passport" not in header.get("__metadata__", {}):
        raise NoPassportError
    return _opened(header["__metadata__"]["passport"])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, whole chunk) of a PNG; ValueError for a wrong signature or checksum."""
    if not data.startswith(PNG_SIGNATURE):
        raise ValueError("no PNG signature")
    at = len(PNG_SIGNATURE)
    while at < len(data):
        end = at + 12 + struct.unpack_from(">I", data, at)[0]
        chunk = data[at:end]
        if struct.unpack(">I", chunk[-4:])[0] != zlib.crc32(chunk[4:-4]):
            raise ValueError(f"a wrong checksum in the chunk at byte {at}")
        yield chunk[4:8], chunk
        at = end


def _is_passport(kind: bytes, chunk: bytes) -> bool:
    return kind == b"tEXt" and chunk[8:].startswith(PNG_KEYWORD)


def of_png(data: bytes) -> str:
    """Content of a PNG's bytes: all chunks but the one with the passport."""
    summary = hashlib.sha256()
    for kind, chunk in _png_chunks(data):
        if not _is_passport(kind, chunk):
            summary.update(chunk)
    return summary.hexdigest()


def png_with_passport(data: bytes, passport: dict) -> bytes:
    """A PNG with the passport as a text chunk behind its header."""
    (_, header), *rest = _png_chunks(data)
    body = b"tEXt" + PNG_KEYWORD + json.dumps(passport, sort_keys=True).encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return PNG_SIGNATURE + header + chunk + b"".join(other for _, other in rest)


def _png_passport(path: Path) -> dict:
    chunks = [chunk for kind, chunk in _png_chunks(path.read_bytes()) if _is_passport(kind, chunk)]
    chunk = _only(chunks)
    return _opened(chunk[8 + len(PNG_KEYWORD) : -4].decode("ascii"))


def _only(passports: list) -> object:
    if not passports:
        raise NoPassportError
    if len(passports) > 1:
        raise ValueError(f"{len(passports)} passports in it")
    return passports[0]


def of_html(text: str) -> str:
    """Content of an HTML document: its text without the passport's element."""
    return hashlib.sha256(META.sub("", text, count=1).encode()).hexdigest()


def html_with_passport(text: str, passport: dict) -> str:
    """A document with the passport at the beginning of its head; ValueError if it is not whole."""
    if text.count(HEAD) != 1 or not text.rstrip().endswith("</html>"):
        raise ValueError(
            f"expected a whole HTML document with one {HEAD}, found {len(text):,} characters without: "
            "see the log of what made it"
        )
    return text.replace(HEAD, HEAD + _meta(passport))


def _meta(passport: dict) -> str:
    return f'<meta name="passport" content="{escape(json.dumps(passport, sort_keys=True))}">\n'


def _html_passport(path: Path) -> dict:
    element = _only(list(META.finditer(path.read_bytes().decode())))
    passport = _opened(unescape(element[1]))
    if _meta(passport) != element[0]:
        raise ValueError("the passport was changed after it was sealed")
    return passport


def _json_passport(path: Path) -> dict:
    text = path.read_bytes().decode()
    passport = _opened(text)
    if "job" not in passport:
        raise NoPassportError
    if text != canonical_json(passport):
        raise ValueError("the passport is not as it was written")
    return passport


PASSPORTS = {
    ".h5": _hdf5_passport,
    ".safetensors": _safetensors_passport,
    ".png": _png_passport,
    ".html": _html_passport,
    ".json": _json_passport,
}
CONTENTS = {
    ".h5": _hdf5_content,
    ".safetensors": lambda path: of_safetensors(path.read_bytes()),
    ".png": lambda path: of_png(path.read_bytes()),
    ".html": lambda path: of_html(path.read_bytes().decode()),
}
