"""A run's way through the scheduler: in, started, stopped, stored, tried again, deleted."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import Conflict, Invalid, NotFound
from outlast.run import state as runs
from outlast.run.folder import LAUNCH, OUTPUT, SPEC, WORK
from outlast.scheduler import launching
from outlast.scheduler.scheduler import Scheduler
from outlast.store import runs as store_runs
from outlast.store.database import Database
from tests.scheduler.workspace import (
    PAUSE,
    Workspace,
    python,
    run,
    wait_over,
    wait_state,
    wait_status,
    wait_until,
)

pytestmark = pytest.mark.each_database

STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "import os; os.write(1, b'ready')\n"
    "while True: signal.pause()"
)


def output(workspace: Workspace, run_id: str) -> str:
    return workspace.text(run_id, OUTPUT)


# --- in and out ---


def test_a_submitted_run_is_completed_and_nothing_private_stays(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            spec = await scheduler.submit(
                {"tags": {"k": "v"}},
                workspace.launch([*python("print('hello')"), "--token=s3cr3t-v4lue"]),
            )
            assert workspace.mode(spec.id, "") == 0o700
            assert "s3cr3t" in workspace.text(spec.id, LAUNCH)
            assert workspace.mode(spec.id, LAUNCH) == 0o600
            assert "s3cr3t" not in workspace.text(spec.id, SPEC)
            state = await wait_over(scheduler, spec.id)
            assert (state.status, state.exit_code) == (runs.COMPLETED, 0)
            assert output(workspace, spec.id) == "hello\n"
            await wait_until(lambda: LAUNCH not in workspace.names(spec.id))

    run(story())


def test_a_run_is_indexed_when_submit_returns(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "pass", experiment="exp")
            database = Database.open(workspace.settings.database)
            with database.read() as connection:
                row = store_runs.row(connection, run_id)
            database.close()
            assert row["experiment"] == "exp"
            await wait_over(scheduler, run_id)

    run(story())


@pytest.mark.parametrize(
    ("spec", "launch", "field"),
    [
        ({"executor": "slurm"}, {}, "executor"),
        ({"resources": {"cpus": 9}}, {}, "resources.cpus"),
        ({"resources": {"gpus": 1}}, {}, "resources.gpus"),
        ({"kind": "interactive"}, {}, "kind"),
        ({"after": ["nobody"]}, {}, "after[0]"),
        ({"colour": "red"}, {}, "colour"),
        ({"name": None}, {}, "name"),
        ({"name": []}, {}, "name"),
        ({"outputs": ["/"]}, {}, "outputs[0]"),
        ({"outputs": ["fine", "../.."]}, {}, "outputs[1]"),
        ({"outputs": ["/proc"]}, {}, "outputs[0]"),
        ({"outputs": ["fine", "../blobs/.."]}, {}, "outputs[1]"),
        ({"outputs": ["../blobs"]}, {}, "outputs[0]"),
        ({"outputs": ["fine", "also", "./also/"]}, {}, "outputs[2]"),
        ({"outputs": ["best.pt", "../best.pt"]}, {}, "outputs[1]"),
        ({"outputs": ["/elsewhere/d/", "elsewhere/d/m.pt"]}, {}, "outputs[1]"),
        ({"outputs": ["elsewhere/d/m.pt", "/elsewhere/d/"]}, {}, "outputs[0]"),
        ({"outputs": ["../outputs/m.pt"]}, {}, "outputs[0]"),
        ({"outputs": [f"f{n}" for n in range(1001)]}, {}, "outputs"),
        ({}, {"command": []}, "launch.command"),
        ({}, {"command": "a string"}, "launch.command"),
        ({}, {"folder": "relative"}, "launch.folder"),
        ({}, {"environ": {"A=B": "c"}}, "launch.environ"),
        ({}, {"umask": 4096}, "launch.umask"),
        ({}, {"shell": True}, "launch.shell"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_run(
    workspace: Workspace, spec: dict[str, Any], launch: dict[str, Any], field: str
) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            with pytest.raises(Invalid) as caught:
                await scheduler.submit(spec, {**workspace.launch(["true"]), **launch})
            assert caught.value.facts["field"] == field
        assert workspace.names() == []

    run(story())


def test_an_id_can_be_used_once(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            await workspace.submit(scheduler, "pass", id="mine")
            with pytest.raises(Conflict, match="mine"):
                await workspace.submit(scheduler, "pass", id="mine")
            await wait_over(scheduler, "mine")
            assert workspace.names() == ["mine"]

    run(story())


def test_a_run_can_be_deleted_once_it_is_over(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, PAUSE)
            with pytest.raises(Conflict, match="only a run that is over"):
                await scheduler.delete(run_id)
            await scheduler.cancel(run_id)
            await wait_over(scheduler, run_id)
            await scheduler.delete(run_id)
            assert await scheduler.state(run_id) is None
            with pytest.raises(NotFound):
                await scheduler.delete(run_id)
        async with workspace.running() as scheduler:
            assert await scheduler.state(run_id) is None
        assert workspace.names() == []

    run(story())


# --- the queue ---


def test_runs_wait_for_slots_and_say_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", cpus=1.0)

    async def story() -> None:
        async with workspace.running() as scheduler:
            first = await workspace.submit(scheduler, PAUSE)
            await wait_status(scheduler, first, runs.RUNNING)
            second = await workspace.submit(scheduler, "print('second')")
            await wait_status(scheduler, second, runs.QUEUED)
            facts = await until_waiting(scheduler, second)
            assert facts.lacking == ("cpus",)
            assert [name for name, _ in facts.holders] == [first]
            view = scheduler.queue_view()
            assert [entry["id"] for entry in view["queue"]] == [second]
            assert view["queue"][0]["waits_for"] == "slots"
            assert view["slots"]["free"]["cpus"] == 0.0
            await scheduler.cancel(first)
            assert (await wait_over(scheduler, second)).status == runs.COMPLETED
            assert scheduler.queue_view()["slots"]["free"]["cpus"] == 1.0

    try:
        run(story())
    finally:
        workspace.kill_everything()


async def until_waiting(scheduler: Scheduler, run_id: str) -> Any:
    """The facts of a run that is about to be put in line."""
    version = scheduler.changes.version()
    for _ in range(100):
        facts = scheduler.queue_facts(run_id)
        if facts is not None:
            return facts
        version = await scheduler.changes.wait("", version, 0.1)
    raise AssertionError("it doesn't wait")


def test_each_run_sees_only_its_own_gpus(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", gpus=3)
    code = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)"

    async def story() -> None:
        async with workspace.running() as scheduler:
            both = await workspace.submit(scheduler, code + f"\n{PAUSE}", resources={"gpus": 2})
            one = await workspace.submit(scheduler, code, resources={"gpus": 1})
            none = await workspace.submit(scheduler, code)
            await wait_over(scheduler, one)
            await wait_over(scheduler, none)
            await wait_status(scheduler, both, runs.RUNNING)
            await scheduler.cancel(both)
            await wait_over(scheduler, both)
            held = [set(output(workspace, name).strip().split(",")) for name in (both, one)]
            assert held[0] | held[1] == {"0", "1", "2"}
            assert output(workspace, none).strip() == "None"

    try:
        run(story())
    finally:
        workspace.kill_everything()


def test_a_run_follows_those_it_comes_after(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            first = await workspace.submit(scheduler, PAUSE)
            second = await workspace.submit(scheduler, "pass", after=[first])
            third = await workspace.submit(scheduler, "pass", after=[second])
            facts = await until_waiting(scheduler, third)
            assert facts.upstream == (second,)
            await wait_status(scheduler, first, runs.RUNNING)
            await scheduler.cancel(first)
            state = await wait_over(scheduler, third)
            assert (state.status, state.cause) == (runs.CANCELED, "upstream_failed")
            good = await workspace.submit(scheduler, "pass")
            late = await workspace.submit(scheduler, "pass", after=[good])
            assert (await wait_over(scheduler, late)).status == runs.COMPLETED
            # One that is over already decides at once.
            bad = await workspace.submit(scheduler, "pass", after=[first, good])
            assert (await wait_over(scheduler, bad)).cause == "upstream_failed"

    run(story())


# --- the working folder ---


def test_a_run_on_a_snapshot_sees_the_files_as_they_were(workspace: Workspace) -> None:
    (workspace.work / "data.txt").write_text("before")

    async def story() -> None:
        async with workspace.running() as scheduler:
            code = "import os; print(os.getcwd(), open('data.txt').read())"
            source = {"kind": "snapshot", "folder": str(workspace.work)}
            gate = await workspace.submit(scheduler, "import time; time.sleep(0.3)")
            run_id = await workspace.submit(scheduler, code, source=source, after=[gate])
            (workspace.work / "data.txt").write_text("after")
            assert (await wait_over(scheduler, run_id)).status == runs.COMPLETED
            work = workspace.folder(run_id).file(WORK)
            assert output(workspace, run_id) == f"{work} before\n"

    run(story())


def test_a_snapshot_that_cannot_be_laid_out_fails_the_launch(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            source = {"kind": "snapshot", "folder": str(workspace.work), "digest": "0" * 64}
            run_id = await workspace.submit(scheduler, "pass", source=source)
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "launch_failed")
            assert "isn't stored" in state.message
            assert scheduler.queue_view()["slots"]["free"]["cpus"] == 8.0

    run(story())


def test_a_folder_that_went_away_is_named(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            gate = await workspace.submit(scheduler, "import time; time.sleep(0.3)")
            gone = workspace.home / "gone"
            gone.mkdir()
            launch = {**workspace.launch(["true"]), "folder": str(gone)}
            run_id = (await scheduler.submit({"after": [gate]}, launch)).id
            gone.rmdir()
            state = await wait_over(scheduler, run_id)
            assert state.cause == "launch_failed"
            assert str(gone) in state.message

    run(story())


def test_a_fault_of_our_own_leaves_no_run_preparing_for_ever(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise KeyError("a fault")

    async def story() -> None:
        async with workspace.running() as scheduler:
            monkeypatch.setattr(launching, "prepare", broken)
            run_id = await workspace.submit(scheduler, "pass")
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.cause) == (runs.FAILED, "launch_failed")
            assert "a fault" in state.message

    run(story())


# --- stopping ---


def test_a_queued_run_is_canceled_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", cpus=1.0)

    async def story() -> None:
        async with workspace.running() as scheduler:
            first = await workspace.submit(scheduler, PAUSE)
            second = await workspace.submit(scheduler, "pass")
            state = await scheduler.cancel(second, by="ada", reason="no need")
            assert state.status == runs.CANCELED
            assert state.message == "canceled by ada: no need, before it started"
            await scheduler.cancel(first)
            await wait_over(scheduler, first)

    try:
        run(story())
    finally:
        workspace.kill_everything()


def test_a_run_is_canceled_wherever_it_is_on_its_way(workspace: Workspace) -> None:
    """Preparing, launched but not listening yet, running: all end Canceled, nothing runs on."""

    async def story() -> None:
        async with workspace.running() as scheduler:
            for delay_s in (0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.1):
                run_id = await workspace.submit(scheduler, PAUSE)
                began_s = time.monotonic()
                while time.monotonic() - began_s < delay_s:
                    await scheduler.changes.wait(run_id, scheduler.changes.version(run_id), 0.002)
                await scheduler.cancel(run_id)
                state = await wait_over(scheduler, run_id)
                assert (state.status, state.cause) == (runs.CANCELED, "canceled"), delay_s

    run(story())


def test_force_does_not_wait_for_a_run_that_ignores_the_signal(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, STUBBORN, limits={"stop_grace_s": 600})
            await wait_status(scheduler, run_id, runs.RUNNING)
            await scheduler.cancel(run_id)
            await wait_state(scheduler, run_id, lambda s: s.stopping == "cancel")
            await scheduler.cancel(run_id, force=True)
            assert (await wait_over(scheduler, run_id)).status == runs.CANCELED

    run(story())


def test_canceling_a_run_that_is_over_changes_nothing(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "pass")
            before = await wait_over(scheduler, run_id)
            assert await scheduler.cancel(run_id) == before
            with pytest.raises(NotFound):
                await scheduler.cancel("nobody")

    run(story())


# --- again ---


def test_a_failed_run_is_tried_again_until_it_works(workspace: Workspace) -> None:
    code = (
        "import os, pathlib\n"
        "print(os.environ['OUTLAST_ATTEMPT'])\n"
        "raise SystemExit(0 if os.environ['OUTLAST_ATTEMPT'] == '3' else 7)"
    )
    policy = {"max_attempts": 3, "retry_exit_codes": [7], "retry_delay_s": 0.05}

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, code, policy=policy)
            state = await wait_over(scheduler, run_id)
            assert (state.status, state.attempt) == (runs.COMPLETED, 3)
            assert output(workspace, run_id) == "1\n2\n3\n"

    run(story())


def test_a_run_that_waits_for_its_next_attempt_can_be_canceled(workspace: Workspace) -> None:
    policy = {"max_attempts": 3, "retry_exit_codes": [7], "retry_delay_s": 600}

    async def story() -> None:
        async with workspace.running() as scheduler:
            run_id = await workspace.submit(scheduler, "raise SystemExit(7)", policy=policy)
            await wait_state(scheduler, run_id, lambda s: s.attempt == 2 and s.queued_ns > 0)
            facts = await until_waiting(scheduler, run_id)
            assert facts.waits_for == "time"
            assert (await scheduler.cancel(run_id)).status == runs.CANCELED

    run(story())


def test_retry_submits_the_same_again(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            code = "import os; print(os.environ['SEED'])"
            spec = await scheduler.submit(
                {"variables": {"SEED": "7"}, "name": "mine"},
                workspace.launch(python(code), SEED="7"),
            )
            await wait_over(scheduler, spec.id)
            again = await scheduler.retry(spec.id)
            assert again.retry_of == spec.id
            assert (await wait_over(scheduler, again.id)).status == runs.COMPLETED
            assert output(workspace, again.id) == "7\n"

    run(story())


def test_a_retry_that_is_asked_for_again_is_the_same_run(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            spec = await scheduler.submit({}, workspace.launch(python("pass")))
            other = await scheduler.submit({}, workspace.launch(python("pass")))
            await wait_over(scheduler, spec.id)
            asked = [scheduler.retry(spec.id, new_id="again") for _ in range(5)]
            told = await asyncio.gather(*asked)
            assert {(run.id, run.retry_of) for run in told} == {("again", spec.id)}
            assert (await wait_over(scheduler, "again")).status == runs.COMPLETED
            assert (await scheduler.retry(spec.id, new_id="again")).id == "again"
            with pytest.raises(Conflict, match="there is such a run already"):
                await scheduler.retry(other.id, new_id="again")
            with pytest.raises(Invalid):
                await scheduler.retry(spec.id, new_id="../again")
            assert workspace.names() == sorted(["again", spec.id, other.id])

    run(story())


def test_retry_refuses_when_a_secret_was_not_kept(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            launch = workspace.launch([*python("pass"), "--token=s3cr3t-v4lue"])
            spec = await scheduler.submit({}, launch)
            await wait_over(scheduler, spec.id)
            with pytest.raises(Conflict, match="secret"):
                await scheduler.retry(spec.id)
            again = await scheduler.retry(spec.id, launch)
            assert (await wait_over(scheduler, again.id)).status == runs.COMPLETED

    run(story())


# --- many ---


def test_a_flood_of_points_does_not_hold_up_others(workspace: Workspace) -> None:
    """The one writer of the database takes turns: others start and end while it reads the flood."""

    async def story() -> None:
        async with workspace.running() as scheduler:
            flood = await workspace.submit(scheduler, PAUSE)
            await wait_status(scheduler, flood, runs.RUNNING)
            written = write_points(workspace, flood, 400_000)
            scheduler.on_changed(flood)
            quick = await workspace.submit(scheduler, "pass")
            assert points_read(workspace, flood) < written, "the flood was over before: no proof"
            await wait_over(scheduler, quick)
            await scheduler.cancel(flood)
            await wait_over(scheduler, flood)
            # Canceled runs are read to the end as well.
            await wait_until(lambda: points_read(workspace, flood) == written)

    run(story())


def write_points(workspace: Workspace, run_id: str, count: int) -> int:
    """Append this many points to the run, as a script would."""
    from outlast.journal.line import pack
    from outlast.journal.writer import Writer

    with Writer(workspace.folder(run_id).logged("flood")) as writer:
        for start in range(0, count, 20_000):
            lines = [
                pack({"k": "m", "n": "loss", "v": 1.0, "s": step, "t": step})
                for step in range(start, start + 20_000)
            ]
            writer.append_packed(b"".join(lines))
    return count


def points_read(workspace: Workspace, run_id: str) -> int:
    database = Database.open(workspace.settings.database)
    try:
        with database.read() as connection:
            metrics = store_runs.row(connection, run_id)["metrics"]
            return int(json.loads(json.dumps(metrics)).get("loss", {}).get("n", 0))
    finally:
        database.close()


@pytest.mark.longest
@pytest.mark.slow
def test_two_hundred_runs_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", cpus=200.0)

    async def story() -> None:
        async with workspace.running() as scheduler:
            names = [
                await workspace.submit(scheduler, "import time; time.sleep(0.5)")
                for _ in range(200)
            ]
            for name in names:
                state = await wait_over(scheduler, name)
                assert state.status == runs.COMPLETED, state
            assert scheduler.queue_view()["slots"]["free"]["cpus"] == 200.0

    try:
        run(story())
    finally:
        workspace.kill_everything()


def test_a_session_starts_while_jobs_fill_the_queue(workspace: Workspace) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            job = await workspace.submit(scheduler, PAUSE, resources={"cpus": 8})
            await wait_status(scheduler, job, runs.RUNNING)
            waiting = await workspace.submit(scheduler, PAUSE)
            spec = {"kind": "session", "terminal": {}, "resources": {"cpus": 0}}
            shell = await workspace.submit(scheduler, PAUSE, **spec)
            await wait_status(scheduler, shell, runs.RUNNING)
            state = await scheduler.state(waiting)
            assert state is not None
            assert state.status == runs.QUEUED
            for run_id in (job, waiting, shell):
                await scheduler.cancel(run_id, force=True)
                await wait_over(scheduler, run_id)

    run(story())


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"kind": "session"}, "terminal"),
        ({"kind": "session", "terminal": {}}, "resources"),
        ({"kind": "tunnel", "resources": {"cpus": 1}}, "resources"),
    ],
)
def test_a_session_that_could_have_to_wait_is_refused(
    workspace: Workspace, spec: dict[str, Any], field: str
) -> None:
    async def story() -> None:
        async with workspace.running() as scheduler:
            with pytest.raises(Invalid) as caught:
                await workspace.submit(scheduler, PAUSE, **spec)
            assert caught.value.facts["field"] == field

    run(story())
