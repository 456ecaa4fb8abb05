"""A run's way through the scheduler: in, started, stored, over."""

from __future__ import annotations

from outlast.run.state import COMPLETED
from tests.scheduler.workspace import Workspace, run, wait_over


def test_a_submitted_run_is_completed(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "print('hello')")
            state = await wait_over(scheduler, run_id)
            assert state.status == COMPLETED, state

    run(story())
