"""Notebooks and scripts that own their run: the truth, with or without a server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.sdk.handle import RunHandle
from tests.scenario.conftest import IS_FULL, Place, wait_gone

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.slow

DOWN_S = 60.0 if IS_FULL else 5.0


class Kernel:
    """A Jupyter kernel, as a notebook has one."""

    def __init__(self, place: Place) -> None:
        self._manager = jupyter_client.KernelManager(kernel_name="python3")
        # PYDEVD_…: the debugger of ipykernel warns about frozen modules.
        environ = {**place.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        self._manager.start_kernel(env=environ)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def execute(self, cell: str) -> str:
        """What the cell prints."""
        printed: list[str] = []

        def output(message: dict[str, Any]) -> None:
            content = message["content"]
            assert message["msg_type"] != "error", content["traceback"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed.append(content["text"])

        reply = self._client.execute_interactive(cell, output_hook=output, timeout=60)
        assert reply["content"]["status"] == "ok"
        return "".join(printed)

    def kill(self) -> None:
        os.kill(int(self.execute("import os; print(os.getpid())")), signal.SIGKILL)

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Each test looks at runs of its own."""
    return shared_place


@pytest.fixture
def kernel(place: Place) -> Iterator[Kernel]:
    kernel = Kernel(place)
    yield kernel
    kernel.close()


CELL = """
import outlast
run = outlast.start_logging("notebook", "explore")
for step in range(10_000):
    run.log("loss", 1 / (step + 1))
print(run.id)
"""


def test_a_killed_kernel_is_told_within_two_seconds_and_every_metric_is_there(
    place: Place, kernel: Kernel
) -> None:
    run = place.run(kernel.execute(CELL).strip())
    place.wait_for(run, lambda state: state["status"] == "Running")
    kernel.kill()
    killed_ns = time.time_ns()
    assert run.wait(raise_on_error=False) == "Failed"
    facts = run.fetch()
    assert time.time_ns() - killed_ns < 2e9
    assert (facts["cause"], facts["experiment"], facts["name"]) == (
        "owner_died", "notebook", "explore",
    )  # fmt: skip
    assert run.metrics("loss")["values"] == [1 / (step + 1) for step in range(10_000)]
    text = place.outlast("why", run.id)
    assert "SIGKILL" in text
    assert "complete()" in text


def test_a_kernel_whose_cell_fails_keeps_its_run(place: Place, kernel: Kernel) -> None:
    run = place.run(kernel.execute(CELL).strip())
    assert kernel.execute("try:\n 1 / 0\nexcept ZeroDivisionError: run.log('loss', 2.0)") == ""
    kernel.execute("run.complete()")
    assert run.wait() == "Completed"
    assert run.metrics("loss")["values"][-1] == 2.0


# --- without a server ---

# Logs until its stdin says something, at the pace of a fast training loop, and measures. Calls in
# which another process got the processor tell of the machine, not of log(), and are left out.
LOGGING = """
import json, resource, select, sys, time
import outlast
run = outlast.start_logging(name="offline")
print(run.id, flush=True)
took_ns, step = [], 0
displaced = lambda: resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for _ in range(10):
        before, begin_ns = displaced(), time.perf_counter_ns()
        run.log("loss", step * 0.5)
        call_ns = time.perf_counter_ns() - begin_ns
        if displaced() == before:
            took_ns.append(call_ns)
        step += 1
begin_s = time.perf_counter()
run.complete()
done_s = time.perf_counter() - begin_s
took_ns.sort()
at = lambda part: took_ns[int(part * (len(took_ns) - 1))] / 1e6
took_ms = dict(p50_ms=at(0.5), p999_ms=at(0.999), longest_ms=at(1.0))
print(json.dumps(dict(n=step, done_s=done_s, **took_ms)))
"""


@pytest.fixture
def script(place: Place) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LOGGING], env=place.environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as script:  # fmt: skip
        yield script
        script.kill()


def test_a_script_notices_nothing_of_a_server_that_is_down(
    place: Place, script: subprocess.Popen[str]
) -> None:
    assert script.stdout is not None
    run_id = script.stdout.readline().strip()
    place.wait_for(place.run(run_id), lambda state: state["status"] == "Running")
    place.kill_server()
    with pytest.raises(subprocess.TimeoutExpired):
        script.wait(DOWN_S)
    told, _ = script.communicate("end\n", timeout=30)
    measured = json.loads(told)
    print(f"\nwith the server down for {DOWN_S:g} s: {measured}")
    assert script.returncode == 0
    assert measured["p999_ms"] < 1
    assert measured["done_s"] < 2
    place.start_server()
    run = place.run(run_id)
    assert run.wait() == "Completed"
    loss = run.metrics("loss")
    assert loss["steps"] == list(range(measured["n"]))
    assert loss["values"] == [step * 0.5 for step in range(measured["n"])]


# --- a script that says nothing of its end ---


def run_script(place: Place, tail: str, *, code: int) -> RunHandle:
    """The run of a script that merely calls get_context()."""
    script = (
        "from outlast.runtime import Run\nrun = Run.get_context()\n"
        f"print(run.id, flush=True)\nrun.log('loss', 0.5)\n{tail}"
    )
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=place.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert time.monotonic() - begun_s < 2  # it waits for nobody at its end
    run = place.run(done.stdout.strip())
    run.wait(raise_on_error=False)
    assert run.metrics() == {"loss": 0.5}
    return run


def test_a_script_that_merely_ends_is_completed(place: Place) -> None:
    assert run_script(place, "", code=0).status == "Completed"


def test_a_script_that_ends_by_an_exception_is_failed_with_its_traceback(place: Place) -> None:
    run = run_script(place, "def train():\n    raise ValueError('bad data')\ntrain()", code=1)
    facts = run.fetch()
    assert (facts["status"], facts["cause"]) == ("Failed", "failed_by_script")
    assert "ValueError: bad data" in facts["message"]
    assert "in train" in facts["state"]["facts"]["traceback"]
    text = place.outlast("why", run.id)
    assert "ValueError: bad data" in text


@pytest.mark.parametrize(
    ("tail", "code", "cause", "words"),
    [
        ("import sys; sys.exit(3)", 3, "exit_code", "exit code 3"),
        ("raise SystemExit('no data')", 1, "exit_code", "exit code 1"),
        ("import os; os.abort()", -6, "owner_died", "SIGABRT"),
        ("import os; os._exit(0)", 0, "owner_died", "exit code 0"),
    ],
)
def test_a_script_that_ends_badly_is_never_completed(
    place: Place, tail: str, code: int, cause: str, words: str
) -> None:
    run = run_script(place, tail, code=code)
    assert (run.status, run.fetch()["cause"]) == ("Failed", cause)
    assert words in place.outlast("why", run.id)


def test_a_killed_supervisor_of_an_interactive_run_is_replaced(
    place: Place, script: subprocess.Popen[str]
) -> None:
    assert script.stdout is not None
    run = place.run(script.stdout.readline().strip())
    place.wait_for(run, lambda state: state["status"] == "Running")
    for pid in place.supervisors(run.id):
        os.kill(pid, signal.SIGSTOP)  # so that neither half can take over from the other
    for pid in place.supervisors(run.id):
        os.kill(pid, signal.SIGKILL)
    place.wait_for(run, lambda state: bool(state["supervisor"]) and place.supervisors(run.id) != [])
    told, _ = script.communicate("end\n", timeout=30)
    assert run.wait() == "Completed"
    assert len(run.metrics("loss")["steps"]) == json.loads(told)["n"]


def test_nothing_of_a_run_is_left_behind(place: Place, tmp_path: Path) -> None:
    run = run_script(place, "", code=0)
    for pid in place.supervisors(run.id):  # it ends some milliseconds after its last word
        with contextlib.suppress(ProcessLookupError):
            wait_gone(os.pidfd_open(pid))
    assert place.supervisors(run.id) == []
    assert not (place.folder(run.id) / "control.sock").exists()


ENDED = """
import outlast
workspace = outlast.Workspace()
for number in range(20):
    with outlast.run(f"ended-{number}") as run:
        for step in range(50):
            run.log("loss", step)
        run.tag("number", str(number))
    newest = next(workspace.runs(limit=1))
    facts = workspace.run(run.id).fetch()
    print(newest.id == run.id, facts["status"], facts["tags"], newest.metrics())
"""


def test_what_a_script_has_done_is_told_when_it_asks(place: Place) -> None:
    place.start_server()
    code = [sys.executable, "-c", ENDED]
    said = subprocess.check_output(code, env=place.environ, text=True, timeout=60)
    assert said.splitlines() == [
        f"True Completed {{'number': '{number}'}} {{'loss': 49.0}}" for number in range(20)
    ]
