"""A run whose environment is built first: by its supervisor, or by whoever takes over."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import outlast
from outlast import process
from outlast.run import events as ev
from tests.environments import packages
from tests.supervisor.conftest import PYTHON, Run, kill, wait_gone

MAIN = str(Path(outlast.__file__).parent / "environments" / "__main__.py")
PRINT = "import slow, sys; print(slow.version, sys.prefix)"

pytestmark = pytest.mark.slow


class Prepared:
    """A run that needs the package `slow`, which waits while it is built."""

    def __init__(self, run: Run, home: Path) -> None:
        self.run = run
        self.home = home
        self.slow = packages.Slow(home / "slow")
        run.environ = packages.environ(home)
        run.spec["environment"] = packages.definition(home / "wheels", self.slow.line)

    def start(self, command: list[str]) -> Run:
        build = [PYTHON, "-I", "-S", MAIN, str(self.run.path), "--attempt", "1"]
        return self.run.start(command, prepare=build)

    def builder(self, count: int = 1) -> int:
        return int(self.run.wait(ev.Preparing, count).pid)

    def remains(self) -> list[str]:
        """What lies in the folder of environments, beside locks and what was resolved."""
        names = [path.name for path in (self.home / "environments").iterdir()]
        return sorted(name for name in names if name not in (".locks", ".resolved"))


@pytest.fixture
def prepared(run: Run, tmp_path: Path) -> Prepared:
    (tmp_path / "wheels").mkdir()
    return Prepared(run, tmp_path)


def check_built(prepared: Prepared) -> None:
    ended = prepared.run.ended()
    assert (ended.outcome, ended.cause) == ("completed", "")
    key = prepared.run.of(ev.Prepared)[0].key
    assert prepared.run.output.split() == ["1.0", str(prepared.home / "environments" / key)]
    assert prepared.remains() == [key]


def test_the_command_starts_in_its_environment_once_that_is_built(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    assert run.kinds() == ["supervised", "preparing"]
    assert run.ask(op="status")["stage"] == "preparing"
    prepared.slow.release()
    check_built(prepared)
    assert run.kinds()[:4] == ["supervised", "preparing", "prepared", "started"]
    assert "+ slow==1.0" in (run.path / "environment").read_text()


def test_variables_are_as_after_activation_and_the_runs_own_win(prepared: Prepared) -> None:
    run = prepared.run
    run.environ.update(VIRTUAL_ENV="/other", CONDA_PREFIX="/conda", PYTHONHOME="/x", B="run's")
    run.spec["environment"] = {
        **packages.definition(prepared.home / "wheels"),
        "variables": {"A": "1", "B": "2", "C": None},
    }
    run.spec["variables"] = {"B": "run's"}
    code = (
        "import os; e = os.environ; print(e['VIRTUAL_ENV'], e['PATH'].split(':')[0], "
        "e['A'], e['B'], 'CONDA_PREFIX' in e, 'PYTHONHOME' in e)"
    )
    prepared.start(["python3", "-c", code])
    assert run.ended().outcome == "completed"
    prefix = run.of(ev.Prepared)[0].prefix
    assert run.output.split() == [prefix, f"{prefix}/bin", "1", "run's", "False", "False"]


def test_an_environment_that_is_there_is_entered_at_once(prepared: Prepared) -> None:
    place = {
        "key": "k", "prefix": "/usr", "python": sys.executable, "variables": {"V": "1"},
        "notes": [["python_replaced", "another Python"]],
    }  # fmt: skip
    code = "import os, sys; print(sys.executable, os.environ['V'])"
    run = prepared.run.start(["python", "-c", code], environment=place)
    assert run.ended().outcome == "completed"
    assert run.output.split() == [sys.executable, "1"]
    assert [(event.code, event.message) for event in run.of(ev.Warned)] == [
        ("python_replaced", "another Python")
    ]


def test_what_cannot_be_resolved_fails_the_run_before_it_starts(prepared: Prepared) -> None:
    prepared.run.spec["environment"] = packages.definition(prepared.home / "wheels", "nosuchthing")
    run = prepared.start(["python", "-c", "print('ran')"])
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "environment")
    assert "nosuchthing was not found" in ended.message
    assert "started" not in run.kinds()
    assert run.output == ""
    assert prepared.remains() == []


def test_the_build_goes_on_when_the_supervisor_is_killed(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    kill(run.supervisor, signal.SIGKILL)
    run.wait(ev.Supervised, 2)
    prepared.slow.release()
    check_built(prepared)
    assert run.kinds().count("preparing") == 1


def test_the_build_goes_on_when_both_supervisors_are_killed(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    _kill_both(run)
    run.supervise("--mode", "adopt")
    run.wait(ev.Supervised, 2)
    prepared.slow.release()
    check_built(prepared)
    assert run.kinds().count("preparing") == 1


def test_a_build_that_ended_unseen_is_found_and_the_command_starts(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    builder = prepared.builder()
    prepared.slow.await_build()
    _kill_both(run)
    prepared.slow.release()
    wait_gone(builder)
    run.supervise("--mode", "adopt")
    check_built(prepared)
    assert run.kinds().count("preparing") == 1


def test_a_killed_build_is_started_once_more(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    kill(prepared.builder(), signal.SIGKILL)
    prepared.builder(2)
    prepared.slow.release()
    check_built(prepared)
    assert run.kinds().count("preparing") == 2


def test_a_build_that_is_killed_again_fails_the_run_and_leaves_nothing(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    kill(prepared.builder(), signal.SIGKILL)
    kill(prepared.builder(2), signal.SIGKILL)
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "environment")
    assert "was ended twice" in ended.message
    assert run.members() == []
    assert not [name for name in prepared.remains() if not name.startswith(".building-")]


def test_a_cancel_during_the_build_ends_it(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    prepared.slow.await_build()
    assert run.ask(op="stop", reason="cancel")["processes"]
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("canceled", "canceled")
    assert "started" not in run.kinds()
    assert run.members() == []
    assert prepared.remains() == []


def test_a_build_that_takes_too_long_is_ended_and_said(prepared: Prepared) -> None:
    prepared.run.limits(prepare_s=2.0)
    run = prepared.start(["python", "-c", PRINT])
    ended = run.ended()
    assert (ended.outcome, ended.cause) == ("failed", "environment")
    assert "prepare_s" in ended.message
    assert run.members() == []


def test_the_time_limit_counts_from_the_start_of_the_command(prepared: Prepared) -> None:
    prepared.run.limits(max_run_duration_s=0.8)
    prepared.run.spec["environment"] = packages.definition(prepared.home / "wheels")
    # The builder itself takes longer than the limit: it is stopped for as long as that.
    run = prepared.start(["python", "-c", "print('in time')"])
    builder = prepared.builder()
    kill(builder, signal.SIGSTOP)
    assert not select.select([], [], [], 1.0)[0]
    kill(builder, signal.SIGCONT)
    assert run.ended().outcome == "completed"


def test_the_builder_is_a_process_of_the_run(prepared: Prepared) -> None:
    run = prepared.start(["python", "-c", PRINT])
    builder = prepared.builder()
    prepared.slow.await_build()
    assert builder in run.members()
    assert os.getsid(builder) == builder
    prepared.slow.release()
    check_built(prepared)


def _kill_both(run: Run) -> None:
    pids: list[Any] = [run.keeper, run.supervisor]
    kill(pids[0], signal.SIGKILL)
    kill(pids[1], signal.SIGKILL)
    run.supervisors[-1].wait()
    wait_gone(pids[1])
    assert process.read_stat(pids[0]) is None
