"""Outputs are stored before a run is over, waited for, and stored later when that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.run import state as runs
from outlast.store import manifests
from outlast.store.database import Database
from tests.scheduler.workspace import (
    Workspace,
    run,
    wait_over,
    wait_state,
)

pytestmark = pytest.mark.each_database


WRITES = "import os; os.makedirs('outputs', exist_ok=True); open('outputs/a.txt', 'w').write('A')"


def test_outputs_are_stored_before_the_run_is_completed(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, WRITES)
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.is_committed) == (runs.COMPLETED, True)
            database = Database.open(workspace.settings.database)
            with database.read() as connection:
                manifest = manifests.load(connection, run_id)
            database.close()
            assert manifest is not None
            assert [entry.path for entry in manifest.entries] == ["outputs/a.txt"]
            blob = Path(workspace.settings.blobs, manifest.entries[0].sha256[:2])
            assert (blob / manifest.entries[0].sha256[2:]).read_text() == "A"

    run(story())


def test_a_run_waits_until_its_outputs_can_be_stored(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            workspace.hide_blobs()
            run_id = await workspace.submit(scheduler, WRITES)
            state = await wait_state(scheduler, run_id, lambda s: s.retry_ns > 0)
            assert (state.status, state.stage) == (runs.FINALIZING, runs.STORAGE)
            assert workspace.settings.blobs in state.message
            assert state.facts["storage_reason"] == "unavailable"
            assert state.retry_ns <= state.deadline_ns
            with pytest.raises(Exception, match=workspace.settings.blobs):
                await scheduler.push_outputs(run_id)
            workspace.show_blobs()
            assert (await scheduler.push_outputs(run_id)).status == runs.COMPLETED

    run(story())


def test_storing_outputs_is_given_up_and_can_be_done_later(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            workspace.hide_blobs()
            run_id = await workspace.submit(scheduler, WRITES, limits={"storage_s": 0.2})
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "storage")
            assert "still on this machine" in state.message
            workspace.show_blobs()
            state = await scheduler.push_outputs(run_id)
            assert state.is_committed

    run(story())


def test_outputs_of_a_failed_run_are_stored_too(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, WRITES + "; raise SystemExit(3)")
            await wait_over(scheduler, run_id)
            state = await wait_state(scheduler, run_id, lambda s: s.is_committed)
            assert (state.status, state.cause) == (runs.FAILED, "exit_code")

    run(story())


def test_outputs_that_changed_after_the_end_are_named(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            workspace.hide_blobs()
            run_id = await workspace.submit(scheduler, WRITES)
            await wait_state(scheduler, run_id, lambda s: s.retry_ns > 0)
            (workspace.work / "outputs" / "a.txt").write_text("B")
            workspace.show_blobs()
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "storage")
            assert "outputs/a.txt" in state.message

    run(story())
