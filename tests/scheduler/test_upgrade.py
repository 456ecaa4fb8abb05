"""Outlast's files are replaced while its server starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.executors import kit
from tests.scheduler.workspace import Workspace, run, wait_over


def test_runs_start_from_the_kit_that_the_server_began_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, present = kit.stage, kit._files

    def upgraded(package: Path) -> dict[str, bytes]:
        return {**present(package), "added.py": b""}

    def staged(home: str) -> str:
        place = stage(home)
        monkeypatch.setattr(kit, "_files", upgraded)
        return place

    monkeypatch.setattr(kit, "stage", staged)

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "pass")
            assert (await wait_over(scheduler, run_id)).status == "Completed"

    run(story())
