"""The kit is whole, importable by itself, made once, and swept when nobody uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from outlast.errors import Unreachable
from outlast.executors import kit


def test_a_kit_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    place = kit.stage(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {place!r})\n"
        "import outlast.supervisor.keeper, outlast.runtime, outlast.runtime.interactive\n"
        "import outlast.journal.__main__\n"
        "files = {m.__file__ for n, m in sys.modules.items() if n.startswith('outlast')}\n"
        f"assert all(f.startswith({place!r}) for f in files), files\n"
        "assert not [n for n in sys.modules if n.split('.')[0] in ('msgspec', 'sqlalchemy')]\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_a_kit_is_compiled(tmp_path: Path) -> None:
    place = Path(kit.stage(tmp_path))
    for source in place.rglob("*.py"):
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        assert cached.exists(), cached
    code = (
        f"import sys; sys.path.insert(0, {str(place)!r})\n"
        "import outlast.process\n"
        "print(outlast.process.Identity.of.__func__.__code__.co_filename)"
    )
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert shown.strip() == str(place / "outlast" / "process.py")


def test_the_same_kit_is_not_made_again(tmp_path: Path) -> None:
    place = kit.stage(tmp_path)
    before = Path(place).stat()
    assert kit.stage(tmp_path) == place
    assert Path(place).stat().st_ino == before.st_ino


def test_a_damaged_kit_is_replaced(tmp_path: Path) -> None:
    place = Path(kit.stage(tmp_path))
    (place / "outlast" / "process.py").write_text("")
    assert kit.stage(tmp_path) == str(place)
    assert (place / "outlast" / "process.py").stat().st_size > 0
    assert [entry.name for entry in place.parent.iterdir()] == [place.name]


def test_many_processes_may_stage_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        places = set(pool.map(kit.stage, [str(tmp_path)] * 8))
    assert len(places) == 1
    assert [entry.name for entry in (tmp_path / "kit").iterdir()] == [Path(places.pop()).name]


def test_kits_that_no_run_uses_are_removed(tmp_path: Path) -> None:
    present = kit.stage(tmp_path)
    shelf = tmp_path / "kit"
    for name in ("used", "unused"):
        (shelf / name / "outlast").mkdir(parents=True)
    being_made = shelf / ".new-fresh"
    being_made.mkdir()
    abandoned = shelf / ".new-old"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    assert kit.sweep(tmp_path, [str(shelf / "used")]) == [str(abandoned), str(shelf / "unused")]
    assert {entry.name for entry in shelf.iterdir()} == {
        "used",
        Path(present).name,
        being_made.name,
    }


def test_a_workspace_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("a file where the folder belongs")
    with pytest.raises(Unreachable, match="can't be written"):
        kit.stage(tmp_path)
    assert kit.sweep(tmp_path, []) == []
