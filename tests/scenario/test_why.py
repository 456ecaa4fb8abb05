"""`outlast why` on a run of each state and cause: one straight answer, with its evidence."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from outlast.sdk.handle import RunHandle
from tests.scenario.conftest import Place

pytestmark = pytest.mark.slow

PYTHON = (sys.executable, "-c")
MEMORY_HOG = "held = []\nwhile True: held.append(bytearray(b'x' * (8 << 20)))"


class Case(NamedTuple):
    """A command, and what is to be said of it."""

    status: str
    cause: str
    words: tuple[str, ...]
    command: tuple[str, ...]
    options: tuple[str, ...] = ()


OVER = {
    "completed": Case("Completed", "", ("Completed",), ("true",)),
    "logged errors": Case(
        "Completed", "", ("ERROR:root:no route", "exit code 0"),
        (*PYTHON, "import logging; logging.error('no route')"),
    ),
    "exit code": Case(
        "Failed", "exit_code", ("exit code 3", "last words"),
        ("sh", "-c", "echo last words; exit 3"),
    ),
    "exception": Case(
        "Failed", "exit_code", ("ValueError: odd", "<string>:1", "exit code 1"),
        (*PYTHON, "raise ValueError('odd')"),
    ),
    "module": Case(
        "Failed", "exit_code", ("no_such_module is missing", "exit code 1"),
        (*PYTHON, "import no_such_module"),
    ),
    "file": Case(
        "Failed", "exit_code", ("no/such/file is missing", "exit code 1"),
        (*PYTHON, "open('no/such/file')"),
    ),
    "signal": Case("Failed", "signal", ("SIGSEGV",), ("sh", "-c", "kill -SEGV $$")),
    "memory": Case(
        "Failed", "memory", ("memory", "64"),
        (*PYTHON, MEMORY_HOG), ("--memory-limit", "64MB"),
    ),
    "time": Case(
        "Failed", "time_limit", ("time limit", "1 s"),
        ("sleep", "60"), ("--max-time", "1s", "--grace", "1s"),
    ),
    "no command": Case("Failed", "start_failed", ("no-such-command",), ("no-such-command",)),
    "script": Case(
        "Failed", "failed_by_script", ("fail()", "bad data"),
        (*PYTHON, "import outlast; outlast.get_context().fail('bad data')"),
    ),
    "leftovers": Case(
        "Failed", "leftovers", ("outlived", "sleep 50"),
        ("sh", "-c", "sleep 50 &"), ("--leftovers", "fail", "--grace", "1s"),
    ),
    "logged error": Case(
        "Failed", "logged_error", ("no route", "policy"),
        (*PYTHON, "import logging; logging.error('no route')"), ("--on-logged-error", "fail"),
    ),
    "missing": Case(
        "Failed", "output_missing", ("absent.bin",),
        ("true",), ("--output", "absent.bin"),
    ),
    "foreign": Case(
        "Failed", "output_foreign", ("there.bin", "before"),
        ("true",), ("--output", "there.bin"),
    ),
    "damaged": Case(
        "Failed", "output_damaged", ("cut.npz",),
        ("sh", "-c", "printf 'PK\\003\\004 half' > cut.npz"), ("--output", "cut.npz"),
    ),
    "check": Case(
        "Failed", "output_damaged", ("made.bin", "check"),
        ("touch", "made.bin"), ("--output", "made.bin", "--check", "false"),
    ),
}  # fmt: skip


BEGINS = {
    "Queued": "Waiting",
    "Finalizing": "Not finished yet",
    "CancelRequested": "Being canceled",
}


def check_form(text: str, status: str) -> None:
    """What every answer keeps to, whatever it says."""
    headline, findings = re.split(r"\n\n|\n(?=    )", text, maxsplit=1)
    assert headline.startswith(BEGINS.get(status, status)), text
    assert headline.endswith("."), text
    assert re.match(r"[✗!•] \S|    \S", findings) or status == "Completed", text
    for line in text.splitlines():  # a command is never broken, nor is a long word
        assert len(line) <= 80 or " " not in line.strip() or line.startswith("  try:"), text
    for jargon in ("None", "{'", " 0x", "nan s", "errno", "-0.", ".isra", ".."):
        assert jargon not in text, (jargon, text)


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Each test looks at runs of its own."""
    return shared_place


@pytest.fixture
def work(place: Place, tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "there.bin").write_text("of another time")
    return folder


def begin(place: Place, work: Path, *command: str, options: tuple[str, ...] = ()) -> RunHandle:
    return place.run(place.outlast("run", "-d", *options, "--", *command, cwd=work).strip())


def test_runs_that_are_over(place: Place, work: Path) -> None:
    runs = {
        name: begin(place, work, *case.command, options=case.options) for name, case in OVER.items()
    }
    wrong = []
    for name, case in OVER.items():
        assert runs[name].wait(raise_on_error=False) == case.status, name
        assert runs[name].fetch()["cause"] == case.cause, name
        text = place.outlast("why", runs[name].id)
        print(f"\n--- {name}\n{text}")
        check_form(text, case.status)
        flat = " ".join(text.split())
        wrong += [(name, word, text) for word in case.words if word not in flat]
    assert wrong == []


def test_a_canceled_run_and_one_whose_upstream_was(place: Place, work: Path) -> None:
    upstream = begin(place, work, "sleep", "60")
    dependent = begin(place, work, "true", options=("--after", upstream.id))
    text = place.outlast("why", dependent.id)
    check_form(text, "Queued")
    assert upstream.id in text
    upstream.cancel("the loss is flat")
    for run in (upstream, dependent):
        assert run.wait(raise_on_error=False) == "Canceled"
        text = place.outlast("why", run.id)
        print(text)
        check_form(text, "Canceled")
    assert "the loss is flat" in place.outlast("why", upstream.id)
    assert upstream.id in place.outlast("why", dependent.id)


Words = tuple[str, ...]
# The command, its options, the state that is meant, and what is to be said of it.
GOING: dict[str, tuple[Words, Words, Callable[[dict[str, Any]], bool], str]] = {
    "running": (
        ("sh", "-c", "echo begun; sleep 60"), (),
        lambda state: state["status"] == "Running", "sleep 60",
    ),
    "leftovers": (
        ("sh", "-c", "sleep 60 &"), (), lambda state: bool(state["leftovers"]), "sleep 60",
    ),
    "outputs": (
        ("touch", "made.bin"), ("--output", "made.bin", "--check", "sleep 60"),
        lambda state: state["stage"] == "outputs", "sleep 60",
    ),
    "canceling": (
        ("sh", "-c", "trap '' TERM; echo begun; sleep 60 & wait; wait"), ("--grace", "60s"),
        lambda state: state["stopping"] == "cancel", "TERM",
    ),
    "retrying": (
        ("false",), ("--retries", "2", "--retry-on", "failed"),
        lambda state: state["retry_ns"] > 0, "exit code 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOING)
def test_runs_that_are_not_over(place: Place, work: Path, name: str) -> None:
    command, options, is_there, word = GOING[name]
    run = begin(place, work, *command, options=options)
    if name == "canceling":
        assert next(run.follow_output()).data.startswith(b"begun")
        run.cancel()
    state = place.wait_for(run, is_there)
    text = place.outlast("why", run.id)
    print(text)
    check_form(text, state["status"])
    assert word in text
    place.outlast("cancel", run.id, *(["--force"] if name == "canceling" else []))
    assert run.wait(raise_on_error=False) == "Canceled"


def test_waiting_for_slots_names_who_holds_them(place: Place, work: Path) -> None:
    cpus = os.cpu_count() or 1
    holder = begin(place, work, "sleep", "60", options=("--cpus", str(cpus)))
    waiting = begin(place, work, "true", options=("--cpus", "1"))
    place.wait_for(holder, lambda state: state["status"] == "Running")
    text = place.outlast("why", waiting.id)
    print(text)
    check_form(text, "Queued")
    assert holder.id in text
    assert "cpu" in text.lower()
    holder.cancel(force=True)
    assert waiting.wait() == "Completed"
