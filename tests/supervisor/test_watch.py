"""Interactive runs: a process that owns its run is watched."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast import process
from outlast.journal.writer import Writer
from outlast.run import events as ev
from tests.supervisor.conftest import PYTHON, Run, kill


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["sleep", "600"])
    yield started
    started.kill()
    started.wait()


def watch(run: Run, owner: subprocess.Popen[bytes], **spec: Any) -> Run:
    identity = process.Identity.of(owner.pid)
    assert identity is not None
    source = {"kind": "in_place", "folder": str(run.working)}
    run.spec.update(kind="interactive", source=source, **spec)
    run.write([])
    run.path.joinpath("launch.json").unlink()
    run.supervise("--mode", "watch", "--owner", str(identity.pid), str(identity.start_ticks))
    run.wait(ev.Started)
    return run


def log(run: Run, **record: Any) -> None:
    with Writer(run.folder.logged("w1")) as writer:
        writer.append(record)


def test_an_owner_that_completes(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    assert run.wait(ev.Supervised).mode == "watch"
    assert run.wait(ev.Started).pid == owner.pid
    uploads = run.path / "uploads"
    uploads.mkdir()
    (uploads / "fig.txt").write_text("x")
    answer = run.ask(op="finish", how="complete", message="", facts={})
    # When it has answered, everything is on the disk.
    assert answer == {"ok": True}
    assert run.kinds() == ["supervised", "started", "owner_ended", "ended"]
    ended = run.ended()
    assert ended.outcome == "completed"
    assert [entry["path"] for entry in run.manifest["files"]] == ["fig.txt"]
    assert owner.poll() is None


def test_an_owner_that_fails(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    facts = {"code": "E1", "bad": "\ud800", "nan": float("nan")}
    run.ask(op="finish", how="fail", message="no data", facts=facts)
    ended = run.ended()
    assert (ended.outcome, ended.cause, ended.message) == ("failed", "failed_by_script", "no data")
    assert "facts_left_out" in ended.facts  # what no record can hold is said, and does no harm


def test_an_owner_that_cancels(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    run.ask(op="finish", how="cancel")
    assert run.ended().outcome == "canceled"


def test_an_owner_that_dies(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    run.ask(op="status")
    died_ns = time.time_ns()
    owner.kill()
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "owner_died")
    assert (ended.t_ns - died_ns) / 1e9 < 1
    assert run.wait(ev.OwnerEnded).how == "died"


def test_an_owner_that_is_dead_already(run: Run) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    identity = process.Identity.of(owner.pid)
    assert identity is not None
    owner.kill()
    owner.wait()
    run.spec["kind"] = "interactive"
    run.write([])
    run.supervise("--mode", "watch", "--owner", str(identity.pid), str(identity.start_ticks))
    assert run.ended().cause == "owner_died"


def test_a_pid_that_is_used_again_is_not_the_owner(run: Run) -> None:
    run.spec["kind"] = "interactive"
    run.write([])
    run.supervise("--mode", "watch", "--owner", str(os.getpid()), "1")
    assert run.ended().cause == "owner_died"


@pytest.mark.parametrize(
    ("how", "outcome"), [("complete", "completed"), ("fail", "failed"), ("cancel", "canceled")]
)
def test_the_word_of_a_dead_owner_counts(
    run: Run, owner: subprocess.Popen[bytes], how: str, outcome: str
) -> None:
    watch(run, owner)
    log(run, k="m", n="loss", v=1, s=1, t=1)
    log(run, k="m", n='"end"', v=1, s=1, t=1)
    log(run, k="end", how=how, message="so it said", facts={}, t=1)
    owner.kill()
    assert run.ended().outcome == outcome
    assert run.wait(ev.OwnerEnded).how == how


@pytest.fixture
def shell_owner() -> Iterator[subprocess.Popen[bytes]]:
    """An owner that ends as it is told: `exit 3`, `kill -9 $$`."""
    started = subprocess.Popen(["sh"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def end(owner: subprocess.Popen[bytes], script: bytes) -> None:
    assert owner.stdin is not None
    owner.stdin.write(script + b"\n")
    owner.stdin.flush()


needs_status = pytest.mark.skipif(
    tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 15),
    reason="before Linux 6.15 only a parent learns how a process ended",
)


@needs_status
@pytest.mark.parametrize("is_written", [True, False], ids=["journal", "request"])
@pytest.mark.parametrize(
    ("script", "outcome", "cause"),
    [
        (b"exit 0", "completed", ""),
        (b"exit 3", "failed", "exit_code"),
        (b"kill -9 $$", "failed", "signal"),
    ],
)
def test_after_exit_the_owners_own_end_decides(
    run: Run, shell_owner: subprocess.Popen[bytes], script: bytes, outcome: str, cause: str,
    is_written: bool,
) -> None:  # fmt: skip
    watch(run, shell_owner)
    if is_written:
        log(run, k="end", how="exit", message="", facts={}, t=1)
    else:
        assert run.ask(op="finish", how="exit") == {"ok": True}
    assert "owner_ended" not in run.kinds()  # it is believed when it is so
    end(shell_owner, script)
    ended = run.ended()
    assert (ended.outcome, ended.cause) == (outcome, cause)
    assert run.kinds()[-3:] == ["exited", "owner_ended", "ended"]
    assert run.wait(ev.OwnerEnded).how == "exit"


@needs_status
def test_the_taking_over_supervisor_keeps_how_the_owner_ended(
    run: Run, shell_owner: subprocess.Popen[bytes]
) -> None:
    watch(run, shell_owner)
    log(run, k="end", how="exit", message="", facts={}, t=1)
    kill(run.supervisor, signal.SIGKILL)
    run.wait(ev.Supervised, count=2)
    end(shell_owner, b"exit 4")
    assert run.ended().message == "the command ended with exit code 4"


@needs_status
def test_how_a_silent_owner_died_is_told(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    owner.kill()
    assert run.ended().message == "its owner was ended by SIGKILL without complete()"
    assert run.wait(ev.Exited).signal == signal.SIGKILL


def test_what_an_owner_did_before_its_supervisor_was_there_counts(run: Run) -> None:
    run.spec.update(kind="interactive", outputs=["model.bin"], created_ns=time.time_ns())
    source = {"kind": "in_place", "folder": str(run.working)}
    run.spec["source"] = source
    run.working.joinpath("model.bin").write_text("new")
    run.write([])
    log(run, k="end", how="complete", message="", facts={}, t=1)
    run.supervise("--mode", "watch", "--owner", str(os.getpid()), "1")
    assert run.ended().outcome == "completed"
    assert [entry["path"] for entry in run.manifest["files"]] == ["model.bin"]


@needs_status
def test_an_owner_hands_over_how_it_ended_before_its_supervisor_was_there(run: Run) -> None:
    owner = subprocess.Popen(["sh", "-c", "exit 3"])
    pidfd = os.pidfd_open(owner.pid)
    owner.wait()
    run.spec["kind"] = "interactive"
    run.write([])
    log(run, k="end", how="exit", message="", facts={}, t=1)
    given = ("--mode", "watch", "--owner", str(owner.pid), "1", "--owner-fd", str(pidfd))
    run.supervise(*given, pass_fds=(pidfd,))
    os.close(pidfd)
    ended = run.ended()
    assert (ended.cause, run.wait(ev.Exited).code) == ("exit_code", 3)


def test_what_was_there_before_an_interactive_run_is_foreign(
    run: Run, owner: subprocess.Popen[bytes]
) -> None:
    old = run.working / "model.bin"
    old.write_text("old")
    second_later_ns = old.stat().st_ctime_ns + 10**9
    watch(run, owner, outputs=["model.bin"], created_ns=second_later_ns)
    run.ask(op="finish", how="complete")
    assert run.ended().cause == "output_foreign"


def test_canceled_from_outside_the_owner_lives(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    run.ask(op="stop")
    assert run.ended().outcome == "canceled"
    assert owner.poll() is None


def test_the_time_limit_ends_the_run_not_the_owner(
    run: Run, owner: subprocess.Popen[bytes]
) -> None:
    watch(run, owner, limits={"max_run_duration_s": 0.8})
    assert run.ended().cause == "time_limit"
    assert owner.poll() is None


def test_a_missing_declared_output_fails(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner, outputs=["model.bin"])
    run.ask(op="finish", how="complete")
    assert run.ended().cause == "output_missing"


def test_the_keeper_goes_on_watching(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    kill(run.supervisor, signal.SIGKILL)
    run.wait(ev.Supervised, count=2)
    owner.kill()
    assert run.ended().cause == "owner_died"


def test_an_adopter_goes_on_watching(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    os.kill(run.keeper, signal.SIGSTOP)
    kill(run.supervisor, signal.SIGKILL)
    kill(run.keeper, signal.SIGKILL)
    run.supervisors[0].wait()
    run.supervise("--mode", "adopt")
    run.wait(ev.Supervised, count=2)
    run.ask(op="finish", how="complete")
    assert run.ended().outcome == "completed"
    assert run.of(ev.Orphaned) == []


def test_the_word_of_a_script_counts_in_a_command_run_too(run: Run) -> None:
    root = str(Path(process.__file__).parents[1])
    script = f"""
import os, sys
sys.path.insert(0, {root!r})
from outlast.journal.writer import Writer
Writer(os.environ['OUTLAST_RUN'] + '/logged.w1').append(
    {{'k': 'end', 'how': 'fail', 'message': 'bad data', 'facts': {{'code': 'E7'}}, 't': 1}})
"""
    ended = run.start([PYTHON, "-c", script]).ended()
    assert (ended.cause, ended.message) == ("failed_by_script", "bad data")
    assert ended.facts["code"] == "E7"


def test_the_word_of_the_attempt_before_doesnt_count(run: Run) -> None:
    log(run, k="end", how="fail", message="", facts={}, t=1)
    assert run.shell("exit 0").ended().outcome == "completed"


def test_a_living_owner_that_could_not_reach_it_is_heard_by_its_journal(
    run: Run, owner: subprocess.Popen[bytes]
) -> None:
    watch(run, owner)
    run.wait(ev.Started)
    me = process.Identity.of(owner.pid)
    assert me is not None
    with Writer(str(run.path / f"logged.{me.pid}-{me.start_ticks}-abcd")) as journal:
        journal.append({"k": "end", "how": "complete", "message": "", "facts": {}, "t": 1})
    assert run.ended().outcome == "completed"
    assert owner.poll() is None
