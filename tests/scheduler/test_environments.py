"""Runs in environments, as the scheduler sees them: Preparing while it is built, over a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.errors import Invalid
from outlast.run import state as runs
from outlast.run.folder import OUTPUT
from outlast.scheduler.scheduler import Scheduler
from tests.environments import packages
from tests.scheduler.workspace import Workspace, run, wait_over, wait_state

CODE = "import slow; print(slow.version)"

pytestmark = pytest.mark.slow


async def submit(workspace: Workspace, scheduler: Scheduler, wanted: dict[str, Any]) -> str:
    launch = workspace.launch(["python", "-c", CODE], **packages.environ(workspace.home))
    return (await scheduler.submit({"environment": wanted}, launch)).id


def test_a_build_goes_on_while_no_server_runs(workspace: Workspace) -> None:
    slow = packages.Slow(workspace.home / "slow")
    wanted = {"kind": "pip", "name": "slowly", "pip": [slow.line]}

    async def story() -> None:
        async with workspace.running() as scheduler:
            first = await submit(workspace, scheduler, wanted)
            state = await wait_state(scheduler, first, lambda state: bool(state.stage))
            assert (state.status, state.stage) == (runs.PREPARING, runs.ENVIRONMENT)
            assert state.message == "environment slowly is being built"
            await asyncio.to_thread(slow.await_build)
        async with workspace.running() as scheduler:
            slow.release()
            assert (await wait_over(scheduler, first)).status == runs.COMPLETED
            again = await submit(workspace, scheduler, wanted)
            assert (await wait_over(scheduler, again)).status == runs.COMPLETED
        assert workspace.text(first, OUTPUT) == workspace.text(again, OUTPUT) == "1.0\n"
        kinds = [record["k"] for record in workspace.records(again, "events")]
        assert kinds[:2] == ["supervised", "started"]  # it is there: the step is left out

    run(story())


def test_a_run_whose_environment_fails_is_failed_in_preparing(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await submit(workspace, scheduler, {"pip": ["--no-index", "nosuchthing"]})
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "environment")
            assert "nosuchthing was not found" in state.message
            assert state.started_ns == 0
        kinds = [record["k"] for record in workspace.records(run_id, "events")]
        assert kinds == ["supervised", "preparing", "start_failed", "ended"]

    run(story())


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"kind": "existing", "interpreter": "/nowhere/python"}, "there is no such file"),
        ({"kind": "existing", "interpreter": "/etc/passwd"}, "give a Python interpreter"),
        ({"pips": []}, "unknown field"),
    ],
)
def test_what_can_be_known_is_refused_at_submission(
    workspace: Workspace, wanted: dict[str, Any], told: str
) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            with pytest.raises(Invalid, match=told):
                await submit(workspace, scheduler, wanted)

    run(story())
    assert workspace.names() == []
