"""Supervisors are killed, in every order; the truth is told all the same."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path

import pytest

from outlast import process
from outlast.journal.writer import Writer
from outlast.run import events as ev
from outlast.run.folder import EVENTS
from tests.supervisor.conftest import Run, wait_gone
from tests.supervisor.test_tree import STUBBORN

# Without PIDFD_GET_INFO nobody but the parent learns an exit status.
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


def kill_supervisor(run: Run) -> None:
    pid = run.supervisor
    os.kill(pid, signal.SIGKILL)


def kill_both(run: Run) -> None:
    run.wait(ev.Started)
    supervisor, keeper = run.supervisor, run.keeper
    os.kill(keeper, signal.SIGSTOP)  # so that it doesn't take over in between
    os.kill(supervisor, signal.SIGKILL)
    os.kill(keeper, signal.SIGKILL)
    run.supervisors[-1].wait()
    wait_gone(supervisor)


def gate(run: Run) -> str:
    """A command that ends with code 5 as soon as the file `gate` is there."""
    run.working.joinpath("gate").unlink(missing_ok=True)
    run.shell("echo up; while [ ! -e gate ]; do sleep 0.02; done; exit 5")
    run.wait_output("up")
    run.wait(ev.Started)
    return str(run.working / "gate")


def test_the_keeper_goes_on_and_learns_the_exit_code(run: Run) -> None:
    path = gate(run)
    before_ns = time.time_ns()
    kill_supervisor(run)
    resumed = run.wait(ev.Supervised, count=2)
    assert resumed.mode == "resume"
    assert resumed.pid == run.keeper
    assert (resumed.t_ns - before_ns) / 1e9 < 2  # 100 ms on a free machine
    Path(path).touch()
    ended = run.ended()
    assert run.wait(ev.Exited).code == 5
    assert (ended.outcome, ended.cause) == ("failed", "exit_code")
    assert len(run.of(ev.Started)) == 1
    assert run.log == ""


def test_the_supervisor_goes_on_without_its_keeper(run: Run) -> None:
    path = gate(run)
    os.kill(run.keeper, signal.SIGKILL)
    run.supervisors[0].wait()
    assert run.ask(op="status")["mode"] == "command"
    Path(path).touch()
    run.wait(ev.Ended)
    assert run.wait(ev.Exited).code == 5
    assert len(run.of(ev.Supervised)) == 1


def test_the_lock_tells_that_one_of_them_lives(run: Run) -> None:
    gate(run)
    os.kill(run.keeper, signal.SIGKILL)
    run.supervisors[0].wait()
    assert run.supervise("--mode", "adopt").wait() == 3


def test_stop_and_status_work_after_the_takeover(run: Run) -> None:
    run.limits(stop_grace_s=0.4).python(STUBBORN)
    run.wait_output("up")
    kill_supervisor(run)
    run.wait(ev.Supervised, count=2)
    assert run.ask(op="status")["mode"] == "resume"
    run.ask(op="stop")
    ended = run.ended()
    assert ended.outcome == "canceled"
    assert [stopping.signal for stopping in run.of(ev.Stopping)] == ["TERM", "KILL"]


def test_a_stop_ladder_goes_on_after_the_takeover(run: Run) -> None:
    run.limits(stop_grace_s=1.0).python(STUBBORN)
    run.wait_output("up")
    run.ask(op="stop")
    kill_supervisor(run)
    ended = run.ended()
    assert ended.outcome == "canceled"
    assert [stopping.signal for stopping in run.of(ev.Stopping)] == ["TERM", "KILL"]
    assert run.members() == []


def test_the_time_limit_holds_after_the_takeover(run: Run) -> None:
    run.limits(max_run_duration_s=1.5, stop_grace_s=0.2).python(STUBBORN)
    run.wait_output("up")
    kill_supervisor(run)
    ended = run.ended()
    assert ended.cause == "time_limit"
    assert 1.5 <= run.wait(ev.LimitReached).observed < 6


def test_leftovers_are_waited_for_after_the_takeover(run: Run) -> None:
    run.shell("sleep 2 & exit 0")
    run.wait(ev.Leftovers)
    kill_supervisor(run)
    ended = run.ended()
    assert ended.outcome == "completed"
    assert run.wait(ev.TreeEnded).t_ns - run.wait(ev.Exited).t_ns > 1.5e9


@pytest.mark.skipif(KERNEL < (6, 15), reason="this kernel tells exit statuses to parents only")
def test_both_killed_an_adopter_learns_the_exit_code_from_the_kernel(run: Run) -> None:
    path = gate(run)
    kill_both(run)
    run.supervise("--mode", "adopt")
    orphaned = run.wait(ev.Orphaned)
    assert run.wait(ev.Started).pid in [process["pid"] for process in orphaned.processes]
    Path(path).touch()
    ended = run.ended()
    assert run.wait(ev.Exited).code == 5
    assert ended.cause == "exit_code"
    assert run.kinds()[:4] == ["supervised", "started", "supervised", "orphaned"]


def test_both_killed_and_main_gone_is_lost(run: Run) -> None:
    path = gate(run)
    kill_both(run)
    fd = os.pidfd_open(run.wait(ev.Started).pid)
    Path(path).touch()
    poll = select.poll()
    poll.register(fd, 0)  # POLLHUP: it is reaped as well, and its status gone
    if not poll.poll(10_000):
        pytest.skip("nobody reaps orphans on this machine")
    os.close(fd)
    run.supervise("--mode", "adopt")
    ended = run.ended()
    exited = run.wait(ev.Exited)
    assert (exited.code, exited.signal) == (None, None)
    assert (ended.outcome, ended.cause) == ("failed", "lost")


def test_an_adopter_waits_for_all_and_can_stop_them(run: Run) -> None:
    run.limits(stop_grace_s=0.3)
    run.shell("sleep 600 & sleep 600 & echo up; wait")
    run.wait_output("up")
    kill_both(run)
    run.supervise("--mode", "adopt")
    run.wait(ev.Orphaned)
    assert len(run.members()) == 3
    run.ask(op="stop")
    assert run.ended().outcome == "canceled"
    assert run.members() == []


def test_an_adopter_waits_for_processes_that_came_later(run: Run) -> None:
    run.shell("echo up; sleep 0.7; sh -c 'sleep 0.7; (setsid sleep 0.7 &) '")
    run.wait_output("up")
    kill_both(run)
    run.supervise("--mode", "adopt")
    run.ended()
    assert run.members() == []
    assert run.kinds()[-2:] == ["tree_ended", "ended"]
    assert run.wait(ev.TreeEnded).t_ns - run.wait(ev.Started).t_ns > 2e9


def test_the_time_limit_holds_after_the_adoption(run: Run) -> None:
    run.limits(max_run_duration_s=1.5, stop_grace_s=0.2).python(STUBBORN)
    run.wait_output("up")
    kill_both(run)
    run.supervise("--mode", "adopt")
    assert run.ended().cause == "time_limit"


def test_an_exit_that_stands_in_events_counts_after_both_were_killed(run: Run) -> None:
    run.shell("sleep 2 & exit 0")
    run.wait(ev.Leftovers)
    kill_both(run)
    run.supervise("--mode", "adopt")
    ended = run.ended()
    assert ended.outcome == "completed"
    assert len(run.of(ev.Exited)) == 1


def test_the_command_is_never_started_twice(run: Run) -> None:
    path = gate(run)
    kill_both(run)
    run.supervise()  # in mode command, by mistake
    Path(path).touch()
    run.ended()
    assert len(run.of(ev.Started)) == 1
    assert run.output == "up\n"


def told(run: Run, *events: ev.Event) -> None:
    """The events of a supervisor that was killed at this point."""
    with Writer(run.folder.file(EVENTS)) as writer:
        for event in events:
            writer.append(ev.to_record(event))


STARTED = ev.Started(2, 1, 2**22 + 1, 1, "another-boot", "/", 0)
EXITED = ev.Exited(3, 1, 0)


def test_killed_between_the_exit_and_the_end_the_work_is_finished(run: Run) -> None:
    run.write(["true"])
    told(run, ev.Supervised(1, 1, "command", 1, 1, "b", "h", "v"), STARTED, EXITED)
    run.supervise("--mode", "adopt")
    assert run.ended().outcome == "completed"
    assert run.kinds()[3:] == ["supervised", "tree_ended", "ended"]


def test_killed_between_the_last_event_and_end_json_the_file_is_written(run: Run) -> None:
    run.write(["true"])
    last = ev.Ended(5, 1, "failed", "exit_code", "words", {"a": 1})
    told(run, STARTED, EXITED, last)
    assert run.supervise("--mode", "adopt").wait() == 0
    assert json.loads((run.path / "end.json").read_text())["message"] == "words"
    assert len(run.of(ev.Ended)) == 1


def test_killed_before_the_command_started_is_lost_not_started_again(run: Run) -> None:
    run.write(["touch", "ran"])
    told(run, ev.Supervised(1, 1, "command", 1, 1, "b", "h", "v"))
    run.supervise()
    assert run.ended().cause == "lost"
    assert not (run.working / "ran").exists()


def test_a_rebooted_machine_has_nothing_left(run: Run) -> None:
    run.write(["true"])
    me = process.Identity.of(os.getpid())
    assert me is not None
    # Same pid, same start time, another boot: not the run's.
    told(run, STARTED._replace(pid=me.pid, start_ticks=me.start_ticks))
    run.supervise("--mode", "adopt")
    assert run.ended().cause == "lost"


def test_killed_at_random_moments_the_exit_code_is_never_invented(run: Run) -> None:
    """The supervisor is killed at once after each event; the keeper tells what is true."""
    path = gate(run)
    pid = run.supervisor
    Path(path).touch()
    run.wait(ev.Exited)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pytest.skip("it was faster")
    run.ended()
    assert [exited.code for exited in run.of(ev.Exited)] == [5]
    assert {ended.cause for ended in run.of(ev.Ended)} == {"exit_code"}
