"""The digest of the sources that decide a result: some modules and all that they import of this package."""

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from latent_anatomy.provenance.files import sha256_file

PACKAGE = "latent_anatomy"
PACKAGE_ROOT = Path(__file__).parents[1]


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
        summary = hashlib.sha256()
        for module in sorted(self.reached(*modules)):
            summary.update(module.encode() + b"\0" + self.text(module) + b"\0")
        return summary.hexdigest()

    def reached(self, *modules: str) -> set[str]:
        """`modules` and every module of this package that they import; ValueError as in `digest`."""
        reached, waiting = set(), list(modules)
        while waiting:
            module = waiting.pop()
            if self.text(module) is None:
                raise ValueError(f"expected a module of {PACKAGE}, found {module!r}: check its spelling")
            if module not in reached:
                reached.add(module)
                waiting.extend(self._imports(module))
        return reached

    def text(self, module: str) -> bytes | None:
        """The bytes of a module's source, None where there is none."""
        place = "/".join(module.split(".")[1:])
        text = self._read(f"{place}.py") if place else None
        return self._read(f"{place}/__init__.py".lstrip("/")) if text is None else text

    def imported(self, code: str | bytes, filename: str) -> frozenset[str]:
        """The modules of this package that Python code imports; SyntaxError where it is none."""
        return frozenset(name for name in _own(code, filename) if self.text(name) is not None)

    def _imports(self, module: str) -> frozenset[str]:
        if module not in self._imported:
            self._imported[module] = self.imported(self.text(module), module)
        return self._imported[module]


@cache
def _own(code: str | bytes, filename: str) -> frozenset[str]:
    """Names of this package that Python code may import, modules or what is in them."""
    names = set()
    for node in ast.walk(ast.parse(code, filename)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] == PACKAGE)


@cache
def running_sources() -> Sources:
    """The sources of the package that runs."""

    def read(name: str) -> bytes | None:
        path = PACKAGE_ROOT / name
        return path.read_bytes() if path.is_file() else None

    return Sources(read)


@cache
def source_hashes() -> dict[str, str]:
    """Path of each source of the package that runs, in the package -> SHA-256 of its bytes."""
    paths = PACKAGE_ROOT.rglob("*.py")
    return {path.relative_to(PACKAGE_ROOT).as_posix(): sha256_file(path) for path in paths}


@cache
def source_digest(*modules: str) -> str:
    """`Sources.digest` of the package that runs."""
    return running_sources().digest(*modules)
