"""Where an artefact comes from: content hashes, atomic writes, source digests and passports.

Nothing in a passport depends on when or where it was made: no clock, no host, no absolute path, so
that the same inputs give the same bytes.
"""

import ast
import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = "latent_anatomy"
PACKAGE_ROOT = Path(__file__).parent
LOCK = PACKAGE_ROOT.parents[1] / "requirements.lock"
LIBRARIES = {  # whose versions a passport names, beside the lock of them all, by kind of job
    "bias": ("numpy", "nibabel", "SimpleITK"),
    "coregister": ("numpy", "scipy", "nibabel", "antspyx"),
    "register": ("numpy", "scipy", "nibabel", "antspyx", "nilearn"),
    "strip": ("numpy", "scipy", "nibabel", "antspyx", "nilearn"),
    "normalise": ("numpy", "nibabel", "SimpleITK"),
    "gate": ("numpy",),
    "slice": ("numpy", "h5py"),
    "train": ("torch", "numpy", "h5py", "safetensors"),
    "evaluate": ("torch", "numpy", "scikit-learn", "h5py", "safetensors"),
    "paired-tests": ("torch", "numpy", "scipy"),
    "determinism": ("torch", "numpy", "scipy", "h5py"),
    "report": ("numpy", "scipy", "matplotlib", "papermill", "nbconvert"),
}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: object) -> str:
    """JSON whose bytes depend on the value alone: sorted keys, two-space indent, final newline.

    Raises ValueError for NaN and infinities, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` only when the block ends without error.

    The temporary file is flushed to the disk before it is renamed and removed when anything fails, so
    a killed process, a full disk or an exception never leaves a half-written `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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


class Sources:
    """The package's source files, and what they import of each other, read without running them.

    `read` gives the bytes of a file by its path in the package, None where there is none.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = cache(read)
        self._imported: dict[str, frozenset[str]] = {}

    def digest(self, *modules: str) -> str:
        """SHA-256 over the sources of `modules` and of every module of this package that they import.

        Raises ValueError for a name that is no module of this package.
        """
        reached, waiting = set(), list(modules)
        while waiting:
            module = waiting.pop()
            if self._source(module) is None:
                raise ValueError(f"expected a module of {PACKAGE}, found {module!r}: check its spelling")
            if module not in reached:
                reached.add(module)
                waiting.extend(self._imports(module))
        summary = hashlib.sha256()
        for module in sorted(reached):
            summary.update(module.encode() + b"\0" + self._source(module) + b"\0")
        return summary.hexdigest()

    def _source(self, module: str) -> bytes | None:
        place = "/".join(module.split(".")[1:])
        found = self._read(f"{place}.py") if place else None
        return self._read(f"{place}/__init__.py".lstrip("/")) if found is None else found

    def _imports(self, module: str) -> frozenset[str]:
        if module not in self._imported:
            names = set()
            for node in ast.walk(ast.parse(self._source(module), filename=module)):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            own = {name for name in names if name.split(".")[0] == PACKAGE}
            self._imported[module] = frozenset(name for name in own if self._source(name) is not None)
        return self._imported[module]


@cache
def running_sources() -> Sources:
    """The sources of the package that runs."""

    def read(name: str) -> bytes | None:
        path = PACKAGE_ROOT / name
        return path.read_bytes() if path.is_file() else None

    return Sources(read)


@cache
def source_digest(*modules: str) -> str:
    """`Sources.digest` of the package that runs."""
    return running_sources().digest(*modules)


def commit() -> dict[str, str | bool | None]:
    """The checkout's commit, and whether sources differ from it or are new; None outside a checkout."""
    command = ["git", "-C", str(PACKAGE_ROOT)]
    try:
        head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*command, "status", "--porcelain", "--untracked-files=all", "--", str(PACKAGE_ROOT)],
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head.stdout.strip(), "dirty": bool(changed.stdout.strip())}


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Role -> SHA-256 of the file with that role."""
    return {role: sha256_file(path) for role, path in sorted(files.items())}


def passport(*, inputs: Mapping[str, Path], job: dict, device: str = "cpu") -> dict:
    """Everything that decides an artefact's bytes. Made when a job starts, and `sealed` when it ends.

    `inputs` maps a role (such as "slices") to a file, recorded by content hash; `job` is the resolved
    job, with its seed and the digest of its sources; `device` is the kind of device ("cpu", or the
    accelerator's model and libraries). The lock is that of the checkout, None outside one.
    """
    return {
        "inputs": hashes(inputs),
        "job": job,
        "source": commit(),
        "environment": {
            "lock": sha256_file(LOCK) if LOCK.is_file() else None,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES[job["job"]]},
        },
        "device": device,
    }


def sealed(passport: dict, **more: object) -> dict:
    """The passport with what is known when the job ends, and `seal`, its own hash.

    `more` is `content`, the hash of what the artefact holds beside its passport (see `content`), and
    `outputs`, the hashes of files that have no room for a passport. A passport that is moved to another
    artefact then disagrees with it, and one that is edited disagrees with its seal.
    """
    whole = passport | more
    return whole | {"seal": digest(whole)}
