"""The studio's own checks: types, a core without a DOM, vitest on the shared vectors; its size."""

from __future__ import annotations

import gzip
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from outlast.server.studio import FOLDER, Studio

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "studio"
SHELL_BYTES = 60_000  # compressed, of all pages but the terminal
TERMINAL_BYTES = 160_000


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("studio_build", SOURCE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _build()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A copy of the studio's sources with what they depend on."""
    if build.npm() is None:
        pytest.skip("no Node 20.19 or newer here: the studio's own checks don't run")
    try:
        with build.copied("tests", "types", "tsconfig.core.json") as copy:
            yield copy
    except build.CannotBuild as error:
        pytest.skip(f"the npm registry can't be had: {error}")


@pytest.mark.longest
@pytest.mark.slow
def test_types_hold_and_the_core_needs_no_dom(folder: Path) -> None:
    build.run(folder, "run", "check")


@pytest.mark.slow
def test_the_core_does_what_the_vectors_say(folder: Path) -> None:
    said = build.run(folder, "test", OUTLAST_VECTORS=str(ROOT / "tests" / "vectors"))
    assert re.search(r"\d+ passed", said)


def test_the_pages_are_built_from_these_sources() -> None:
    if Studio().index is None:
        pytest.skip("the studio isn't built: scripts/studio")
    assert build.is_built(), "the built pages are older than their sources: scripts/studio"


def test_nothing_is_built_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stamp").write_text(build.digest() + "\n")

    def fail(*_arguments: str) -> None:
        raise AssertionError("it is built already")

    monkeypatch.setattr(build, "run", fail)
    assert not build.build(tmp_path)
    (tmp_path / "stamp").write_text("another\n")
    with pytest.raises(AssertionError):
        build.build(tmp_path)


def test_the_shell_stays_small() -> None:
    files = Studio().files
    if not files:
        pytest.skip("the studio isn't built: scripts/studio")
    sizes = {name: len(gzip.compress(file.forms[""], 9)) for name, file in files.items()}
    is_terminal = re.compile(r"assets/(session|Commands|screen)-")
    shell = {name: size for name, size in sizes.items() if not is_terminal.match(name)}
    assert sum(shell.values()) <= SHELL_BYTES, shell
    assert sum(sizes.values()) - sum(shell.values()) <= TERMINAL_BYTES, sizes


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in Path(FOLDER).rglob("*"):
        if path.suffix in (".html", ".css"):
            assert not re.search(
                r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", path.read_text()
            )
    lock = (SOURCE / "package-lock.json").read_text()
    assert '"resolved"' not in lock, "the lock names a host: .npmrc"


@pytest.mark.parametrize(
    "path", sorted(p for p in (SOURCE / "src").rglob("*") if p.suffix in (".svelte", ".ts")),
    ids=lambda path: str(path.relative_to(SOURCE)),
)  # fmt: skip
def test_no_text_becomes_markup(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"\{@html|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
    )
    assert text.count("\n") <= 600
