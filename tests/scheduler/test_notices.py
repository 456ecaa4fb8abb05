"""What the loop is told of runs' folders, and how often it is woken for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from outlast.run.folder import EVENTS, OUTPUT
from outlast.scheduler.notices import Notices

LINES = 2_000


class Told:
    """A listener that remembers, and counts how often the folders were looked at."""

    def __init__(self) -> None:
        self.has_changed = asyncio.Event()

    def on_appeared(self, run_id: str) -> None:
        pass

    def on_changed(self, run_id: str) -> None:
        self.has_changed.set()

    def on_socket(self, run_id: str) -> None:
        pass

    def on_printed(self, run_id: str) -> None:
        pass


class Counted(Notices):
    looks = 0

    def _on_readable(self) -> None:
        self.looks += 1
        super()._on_readable()


def test_a_job_that_prints_line_by_line_doesnt_wake_the_server_for_each(tmp_path: Path) -> None:
    async def print_lines() -> tuple[int, bool]:
        (tmp_path / "run").mkdir()
        told = Told()
        notices = Counted(str(tmp_path), told)
        notices.watch("run")
        output = os.open(tmp_path / "run" / OUTPUT, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for _ in range(LINES):
            os.write(output, b"line\n")
            await asyncio.sleep(0)
        os.close(output)
        looks = notices.looks
        (tmp_path / "run" / EVENTS).write_bytes(b"something")  # it comes in a rest
        async with asyncio.timeout(20):
            await told.has_changed.wait()
        notices.close()
        return looks, told.has_changed.is_set()

    looks, is_told = asyncio.run(print_lines())
    assert looks < LINES / 4
    assert is_told
