"""Content hashes, canonical JSON and atomic writes: same content, same bytes, whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: object) -> str:
    """JSON whose bytes depend on the value alone: sorted keys, two-space indent, final newline.

    Raises ValueError for NaN and infinities, which JSON cannot carry.

    >>> canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    True
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@contextmanager
def atomic_write(path: Path, like: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` only when the block ends without error.

    The temporary file is flushed to the disk before it is renamed and removed when anything fails, so
    a killed process, a full disk or an exception never leaves a half-written `path`. Its mode follows the
    umask, and never allows more than that of the file that it replaces or of `like`, of which it is a copy.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    mode = allowed(path) & (0o666 if like is None else like.stat().st_mode)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def allowed(path: Path) -> int:
    """The mode of a new file under the umask, or of the file at `path`, of both what is narrower."""
    umask = os.umask(0o077)  # there is no way to ask alone; what is made meanwhile is private
    os.umask(umask)
    return 0o666 & ~umask & (path.stat().st_mode if path.is_file() else 0o666)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it takes its place only when the block ends without error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=".part") as around:
        made = Path(around, path.name)
        made.mkdir()
        yield made
        shutil.rmtree(path, ignore_errors=True)
        made.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_text_if_changed(path: Path, text: str) -> None:
    """Write atomically, but leave the file and its modification time alone when it already says `text`."""
    path = Path(path)
    if not (path.is_file() and path.read_text(encoding="utf-8") == text):
        write_text(path, text)


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON atomically."""
    write_text(path, canonical_json(value))


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Role -> SHA-256 of the file with that role."""
    return {role: sha256_file(path) for role, path in sorted(files.items())}
