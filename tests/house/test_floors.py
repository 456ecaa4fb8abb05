"""A floor imports only lower floors, no two modules import each other, and some rooms are bare."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "outlast"

# Top-level part -> floor. A part imports lower floors and itself.
FLOORS = {
    "errors": 0,
    "ids": 0,
    "config": 0,
    "catalog": 0,
    "process": 0,
    "printable": 0,
    "stdout": 0,
    "units": 0,
    "journal": 0,
    "run": 1,
    "wire": 1,
    "supervisor": 2,
    "transport": 2,
    "store": 2,
    "artifacts": 2,
    "data": 2,
    "environments": 2,
    "why": 2,
    "executors": 3,
    "sessions": 3,
    "scheduler": 4,
    "server": 5,
    "ssh": 3,
}
# The side towers: what each may import, beside itself.
TOWERS = {
    "runtime": {"errors", "ids", "data", "process", "journal", "run", "supervisor"},
    "sdk": {
        "errors",
        "ids",
        "config",
        "process",
        "printable",
        "stdout",
        "run",
        "transport",
        "artifacts",
        "data",
        "units",
    },
    "sweeps": {"errors", "ids", "units", "journal", "run", "runtime", "sdk", "transport"},
    "notebook": {"errors", "ids", "units", "printable", "run", "sdk", "sweeps", "transport"},
    "azureml": {
        "data",
        "errors",
        "ids",
        "journal",
        "run",
        "runtime",
        "sdk",
        "sweeps",
        "notebook",
    },
    "cli": {*FLOORS, "sdk", "sweeps", "azureml"},
    "demo": {"runtime"},
}
# Python >= 3.8 and the standard library alone: they travel to nodes and into jobs.
BARE = (
    "errors",
    "ids",
    "process",
    "journal",
    "run",
    "wire",
    "runtime",
    "supervisor",
    "environments",
    "data",
    "azureml",
)
# What a room on floor 0 may import of its neighbours, lowest first.
GROUND = (
    "errors", "ids", "printable", "stdout", "units", "process", "config", "catalog", "journal",
)  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


MODULES = dict(modules())


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_imports_go_down_only(module: str) -> None:
    mine = part(module)
    for imported in imports(MODULES[module]):
        theirs = part(imported)
        if not imported.startswith("outlast.") or theirs in (mine, "__version__"):
            continue
        if theirs not in {*FLOORS, *TOWERS}:
            continue  # a public name of the package itself
        if mine in TOWERS:
            assert theirs in TOWERS[mine], f"{module} imports {imported}"
        elif mine == "__main__":
            assert theirs == "cli"
        elif FLOORS[mine] == 0:
            assert theirs in GROUND[: GROUND.index(mine)], f"{module} imports {imported}"
        else:
            assert FLOORS.get(theirs, 99) < FLOORS[mine], f"{module} imports {imported}"


def test_every_part_has_its_floor() -> None:
    parts = {part(name) for name in MODULES} - {"", "__main__"}
    assert parts - set(FLOORS) - set(TOWERS) == set()


def test_no_two_modules_import_each_other() -> None:
    graph = {
        name: {imported for imported in imports(path) if imported in MODULES and imported != name}
        for name, path in MODULES.items()
    }
    # A package imports its own modules for re-export; that is no knot.
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            graph[name] = {other for other in graph[name] if not other.startswith(name + ".")}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in MODULES if part(name) in BARE])
def test_what_travels_needs_the_standard_library_alone(module: str) -> None:
    for imported in imports(MODULES[module]):
        top = imported.split(".")[0]
        assert top == "outlast" or top in sys.stdlib_module_names, f"{module} imports {imported}"


FORBIDDEN_NAMES = {
    "utils", "util", "helpers", "helper", "common", "core", "base", "manager", "service",
    "handler", "misc",
}  # fmt: skip


@pytest.mark.parametrize("module", list(MODULES))
def test_no_room_is_named_for_nothing(module: str) -> None:
    assert not FORBIDDEN_NAMES & set(module.split("."))


@pytest.mark.parametrize("module", list(MODULES))
def test_every_file_says_what_it_promises(module: str) -> None:
    path = MODULES[module]
    text = path.read_text()
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{path}: no docstring"


@pytest.mark.parametrize("module", list(MODULES))
def test_files_and_functions_stay_readable(module: str) -> None:
    text = MODULES[module].read_text()
    assert text.count("\n") <= 600, "split the file: it has a second reason to change"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno
            assert length <= 80, f"{module}.{node.name} has {length} lines"


def test_what_travels_runs_on_python_3_8() -> None:
    vermin = pytest.importorskip("vermin")
    config = vermin.Config()
    config.add_exclusion("os.pidfd_open")  # asked for by getattr; by syscall where it is missing
    for name, path in MODULES.items():
        if part(name) in BARE or name == "outlast":
            visitor = vermin.visit(path.read_text(), config)
            _, minimum = visitor.minimum_versions()
            assert minimum is None or minimum <= (3, 8), f"{name} needs Python {minimum}"
