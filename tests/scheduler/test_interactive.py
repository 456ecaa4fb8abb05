"""Interactive runs seen from the server: noticed, followed, and ended when their script is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outlast.run import state as runs
from outlast.run.spec import RunSpec
from outlast.runtime import interactive
from tests.scheduler.workspace import (
    PAUSE,
    Workspace,
    kill_supervisors,
    run,
    supervisors,
    wait_over,
    wait_state,
    wait_status,
    wait_until,
)


class Owner:
    """A script that owns an interactive run."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def wait_line(self, line: bytes) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == line

    def go_on(self) -> None:
        """End what it reads."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close(self) -> None:
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def test_an_interactive_run_is_noticed_and_followed(workspace: Workspace) -> None:
    code = (
        "import outlast, sys\n"
        f"run = outlast.start_logging(home={str(workspace.home)!r}, run_id='nb1')\n"
        "run.log('loss', 0.5); sys.stdin.read(); run.complete()"
    )

    async def story() -> None:
        async with workspace.running() as scheduler:
            owner = Owner(code)
            await wait_status(scheduler, "nb1", runs.RUNNING)
            assert scheduler.queue_view()["slots"]["free"]["cpus"] == 8.0
            owner.go_on()
            assert (await wait_over(scheduler, "nb1")).status == runs.COMPLETED
            owner.close()

    run(story())


@pytest.mark.parametrize("is_server_there", [True, False])
def test_an_interactive_run_whose_owner_was_killed_is_failed(
    workspace: Workspace, is_server_there: bool
) -> None:
    code = (
        "from outlast.runtime import interactive\n"
        f"interactive.begin({str(workspace.home)!r}, run_id='nb1')\n"
        "print('begun', flush=True)\n" + PAUSE
    )
    Path(workspace.settings.runs_folder).mkdir()

    async def story() -> None:
        owner = Owner(code)
        owner.wait_line(b"begun\n")
        if is_server_there:
            async with workspace.running() as scheduler:
                await wait_status(scheduler, "nb1", runs.RUNNING)
                owner.process.kill()
                state = await wait_over(scheduler, "nb1")
        else:
            owner.process.kill()
            await wait_until(lambda: not supervisors(workspace, "nb1"))
            async with workspace.running() as scheduler:
                state = await wait_over(scheduler, "nb1")
        owner.close()
        assert (state.status, state.cause) == (runs.FAILED, "owner_died")

    run(story())


def test_an_interactive_run_whose_supervisors_were_killed_is_watched_again(
    workspace: Workspace,
) -> None:
    code = (
        "import outlast, sys\n"
        f"run = outlast.start_logging(home={str(workspace.home)!r}, run_id='nb1')\n"
        "run.log('loss', 0.5); sys.stdin.read(); run.complete()"
    )

    async def story() -> None:
        async with workspace.running() as scheduler:
            owner = Owner(code)
            first = await wait_state(scheduler, "nb1", lambda s: s.main is not None)
            kill_supervisors(workspace, "nb1")
            await wait_state(scheduler, "nb1", lambda s: s.supervisor != first.supervisor)
            owner.go_on()
            assert (await wait_over(scheduler, "nb1")).status == runs.COMPLETED
            owner.close()

    run(story())


def test_a_script_that_died_before_its_supervisor_began_leaves_a_lost_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outlast.scheduler import adopt

    monkeypatch.setattr(adopt, "UNBORN_S", 0.2)
    Path(workspace.settings.runs_folder).mkdir()
    spec = RunSpec.from_dict({"id": "nb1", "kind": "interactive", "created_ns": 1})
    interactive._make(str(workspace.home), spec)

    async def story() -> None:
        async with workspace.running() as scheduler:
            state = await wait_over(scheduler, "nb1")
            assert (state.status, state.cause) == (runs.FAILED, "lost")

    run(story())
