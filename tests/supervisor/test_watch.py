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


def ask_when_there(run: Run, **request: Any) -> dict[str, Any]:
    until_s = time.monotonic() + 10
    while True:
        try:
            return run.ask(**request)
        except Exception:
            if time.monotonic() > until_s:
                raise


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
    answer = ask_when_there(run, op="finish", how="complete", message="", facts={})
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
    ask_when_there(run, op="finish", how="fail", message="no data", facts=facts)
    ended = run.ended()
    assert (ended.outcome, ended.cause, ended.message) == ("failed", "failed_by_script", "no data")
    assert "facts_left_out" in ended.facts  # what no record can hold is said, and does no harm


def test_an_owner_that_cancels(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    ask_when_there(run, op="finish", how="cancel")
    assert run.ended().outcome == "canceled"


def test_an_owner_that_dies(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    ask_when_there(run, op="status")
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


def test_canceled_from_outside_the_owner_lives(run: Run, owner: subprocess.Popen[bytes]) -> None:
    watch(run, owner)
    ask_when_there(run, op="stop")
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
    ask_when_there(run, op="finish", how="complete")
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
    ask_when_there(run, op="finish", how="complete")
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
