"""What runs print is kept within its quota, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.errors import Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.trim import first_offset
from outlast.run.folder import RunFolder
from outlast.scheduler import retention
from outlast.scheduler.retention import Retention
from tests.scheduler.workspace import Workspace, python, run, wait_over, wait_until

QUOTA_BYTES = 1 << 20
LINE = b"x" * 99 + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run1").mkdir()
    return RunFolder(str(tmp_path / "run1"))


def printed(folder: RunFolder, lines: int) -> str:
    path = Path(folder.file("output"))
    path.write_bytes(LINE * lines)
    return str(path)


def test_the_newest_bytes_are_kept_from_a_line_on(folder: RunFolder) -> None:
    path = printed(folder, 50_000)
    Retention(QUOTA_BYTES).keep(folder)
    first = first_offset(path)
    assert first % len(LINE) == 0
    assert 0 <= QUOTA_BYTES - (5_000_000 - first) < len(LINE)
    with pytest.raises(Trimmed), Cursor(path, 0) as cursor:
        cursor.read_bytes(10)
    with Cursor(path, first) as cursor:
        assert cursor.read_bytes(100) == LINE
    assert Path(path).stat().st_blocks * 512 < 1.2 * QUOTA_BYTES


def test_a_little_more_is_left_until_the_run_is_over(folder: RunFolder) -> None:
    path = printed(folder, 12_000)
    keeper = Retention(QUOTA_BYTES)
    keeper.keep(folder)
    assert first_offset(path) == 0
    keeper.keep(folder, is_over=True)
    assert first_offset(path) > 0


def test_without_a_quota_all_is_kept(folder: RunFolder) -> None:
    path = printed(folder, 50_000)
    Retention(0).keep(folder, is_over=True)
    assert first_offset(path) == 0


def test_what_is_no_file_is_left_alone(folder: RunFolder, tmp_path: Path) -> None:
    Retention(QUOTA_BYTES).keep(folder)
    (tmp_path / "mine").write_bytes(LINE * 50_000)
    Path(folder.file("output")).symlink_to(tmp_path / "mine")
    Retention(QUOTA_BYTES).keep(folder)
    assert [path.name for path in Path(folder.path).iterdir()] == ["output"]


def test_a_run_is_trimmed_while_it_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOOK_S", 0.05)
    limited = Workspace(workspace.home, output_quota_bytes=QUOTA_BYTES)
    code = "\n".join(
        (
            "import sys, os, time",
            "print('ERROR: dropped', flush=True)",
            "for n in range(50_000): print('x' * 99)",
            "sys.stdout.flush()",
            "while not os.path.exists('gate'): time.sleep(0.02)",
            "print('ERROR: kept', flush=True)",
        )
    )

    async def story() -> None:
        async with limited.running() as scheduler:
            spec = await scheduler.submit({}, limited.launch(python(code)))
            path = limited.folder(spec.id).file("output")
            await wait_until(lambda: first_offset(path) > 0)
            (limited.work / "gate").touch()
            state = await wait_over(scheduler, spec.id)
            assert state.status == "Completed"
            told = dict(state.warnings)["logged_errors"]
            assert told.endswith(
                "an error was logged in its output, though it ended well: ERROR: kept"
            )

    run(story())
