"""The rooms of the package: what may import what, and how large a file may be (docs/architecture.md)."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/latent_anatomy"

# From the ground up; a room may import rooms below it and files of its own. Rooms of one floor are apart.
FLOORS = (
    ("networks", "corruptions", "statistics", "provenance"),
    ("data",),
    ("imaging", "metrics"),
    ("training", "datasets"),
    ("methods", "evaluation"),
    ("pipeline",),
    ("jobs", "ledger"),
    ("audit", "determinism", "benchmarks", "reports", "prediction"),
    ("versions",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


MODULES = {module(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports, found a relative one"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & MODULES.keys()


def room(name: str) -> str:
    return name.split(".")[1]


def test_only_the_packages_two_files_lie_loose_at_its_root():
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES} == FLOOR.keys()


def test_the_page_has_every_room_on_its_floor():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = {room: int(floor) for floor, room in re.findall(r"^\| (\d+) \| `(\w+)/` \|", page, re.MULTILINE)}
    assert rows == {room: floor for room, floor in FLOOR.items() if room != "__main__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_from_its_room_and_from_rooms_below(path):
    here = room(module(path))
    allowed = {here} | {each for each, floor in FLOOR.items() if floor < FLOOR[here]}
    found = {name: room(name) for name in imports(path)}
    assert not {name for name, where in found.items() if where not in allowed}


def test_no_circle():
    try:
        TopologicalSorter({name: imports(path) for name, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_a_package_file_is_empty_so_that_a_source_digest_has_only_what_is_imported(path):
    if path.parent != PACKAGE:
        assert not path.read_bytes()


def test_files_are_short():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {path.name: count for path, count in lines.items() if count > 250}
    assert median(lines.values()) <= 100
