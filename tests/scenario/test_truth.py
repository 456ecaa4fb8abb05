"""What is said of a run is true, whatever is killed, and the cause is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outlast import process
from outlast.run.state import RunState
from tests.scenario.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.each_database]


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Each test looks at runs of its own, and leaves a server behind or none."""
    return shared_place


def submit(place: Place, *command: str, options: tuple[str, ...] = ()) -> str:
    return place.outlast("run", "-d", *options, "--", *command).strip()


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def why(place: Place, run_id: str) -> str:
    return place.outlast("why", run_id)


def test_it_exits_as_the_command_did(place: Place) -> None:
    for code in (0, 3):
        done = place.popen("run", "--", "sh", "-c", f"exit {code}")
        assert done.wait(30) == code
    killed = place.popen("run", "--", "sh", "-c", "kill -9 $$")
    assert killed.wait(30) == 128 + 9
    missing = place.popen("run", "--", "no-such-command")
    assert missing.wait(30) == 127
    assert "no-such-command" in why(place, "@last")


def test_output_is_shown_once_and_in_order_without_newline_at_its_end(place: Place) -> None:
    shown = place.outlast("run", "--", "sh", "-c", "seq 20000; printf tail")
    assert shown == "".join(f"{n}\n" for n in range(1, 20001)) + "tail"


def test_a_background_process_is_awaited_and_named(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "late.txt"
    script = f"(sleep 3; echo done > {out}) & echo main over"
    run = place.run(submit(place, *shell(script), options=("--output", str(out))))
    state = place.wait_for(run, lambda state: bool(state["leftovers"]))
    assert state["status"] == "Finalizing"
    text = why(place, run.id)
    assert "still running" in text or "goes on" in text or "go on" in text
    assert str(state["leftovers"][0]["pid"]) in text
    assert run.wait() == "Completed"
    assert [entry["path"] for entry in run.outputs] == [str(out).lstrip("/")]


def test_a_daemon_that_left_everything_is_awaited(place: Place, tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() != 0: os._exit(0)\n"
        "    null = os.open('/dev/null', os.O_RDWR)\n"
        "    for fd in (0, 1, 2): os.dup2(null, fd)\n"
        "    os.closerange(3, 256)\n"
        f"    time.sleep(2); open({str(tmp_path / 'daemon')!r}, 'w').write('x'); os._exit(0)\n"
    )
    run = place.run(
        submit(place, sys.executable, "-c", code, options=("--output", str(tmp_path / "daemon")))
    )
    assert run.wait() == "Completed"
    assert (tmp_path / "daemon").exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello; exit 3", ["exit code 3"]),
        ("kill -SEGV $$", ["SIGSEGV"]),
        ("python3 -c 'import no_such_module'", ["no_such_module", "exit code 1"]),
        ("python3 -c 'open(\"no/such/file\")'", ["no/such/file"]),
        ("python3 -c 'raise ValueError(\"odd\")'", ["ValueError: odd"]),
    ],
)
def test_why_it_failed_is_said(place: Place, script: str, words: list[str]) -> None:
    run = place.run(submit(place, *shell(script)))
    assert run.wait(raise_on_error=False) == "Failed"
    text = why(place, run.id)
    assert all(word in text for word in words), text


def test_a_missing_a_foreign_and_a_truncated_output_fail_the_run(
    place: Place, tmp_path: Path
) -> None:
    there = tmp_path / "there.txt"
    there.write_text("of another time")
    missing = place.run(submit(place, "true", options=("--output", str(tmp_path / "absent"))))
    foreign = place.run(submit(place, "true", options=("--output", str(there))))
    cut = tmp_path / "cut.npz"
    half = f"printf 'PK\\003\\004 half an archive' > {cut}"
    truncated = place.run(submit(place, *shell(half), options=("--output", str(cut))))
    for run, cause, word in (
        (missing, "output_missing", "missing"),
        (foreign, "output_foreign", "not written by this run"),
        (truncated, "output_damaged", "cut.npz"),
    ):
        assert run.wait(raise_on_error=False) == "Failed"
        assert run.fetch()["cause"] == cause
        assert word in why(place, run.id)


def test_errors_that_were_only_logged_are_a_warning(place: Place) -> None:
    code = "import logging; logging.error('registering failed: %s', 'no route to host')"
    run = place.run(submit(place, sys.executable, "-c", code))
    assert run.wait() == "Completed"
    assert "registering failed" in why(place, run.id)
    strict = place.run(
        submit(place, sys.executable, "-c", code, options=("--on-logged-error", "fail"))
    )
    assert strict.wait(raise_on_error=False) == "Failed"


def test_a_time_limit_ends_it_and_is_said(place: Place) -> None:
    run = place.run(submit(place, "sleep", "60", options=("--max-time", "1s", "--grace", "1s")))
    assert run.wait(raise_on_error=False) == "Failed"
    assert run.fetch()["cause"] == "time_limit"
    assert "limit" in why(place, run.id)


def test_cancel_ends_a_whole_tree_that_ignores_term(place: Place) -> None:
    script = "trap '' TERM; (trap '' TERM; sleep 100) & sleep 100"
    run = place.run(submit(place, *shell(script), options=("--grace", "1s")))
    place.wait_for(run, lambda state: state["status"] == "Running")
    begun = time.monotonic()
    place.outlast("cancel", run.id)
    assert run.wait(raise_on_error=False) == "Canceled"
    assert time.monotonic() - begun < 4
    assert process.with_environ(f"OUTLAST_RUN={place.folder(run.id)}".encode()) == []
    assert "cancel" in why(place, run.id).lower()


def test_a_run_goes_on_when_server_and_client_are_killed(place: Place) -> None:
    client = place.popen(
        "run", "--", "sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert client.stdout is not None
    assert client.stdout.readline() == b"1\n"
    place.kill_server()
    client.kill()
    client.communicate()
    place.start_server()
    run = place.run("@last")
    assert run.wait() == "Completed"
    assert place.outlast("logs", run.id) == "1\n2\n3\n4\n5\n6\n"


def test_a_client_that_follows_survives_a_restart_of_the_server(place: Place) -> None:
    client = place.popen(
        "run", "--", "sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done",
        stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert client.stdout is not None
    first = client.stdout.readline()
    place.kill_server()
    place.start_server()
    rest, _ = client.communicate(timeout=30)
    assert first + rest == b"1\n2\n3\n4\n5\n6\n"
    assert client.returncode == 0


def supervisors(place: Place, run_id: str) -> list[int]:
    needle = str(place.folder(run_id))
    return [
        pid
        for pid in process.pids()
        if "supervisor/__main__.py" in (text := process.command_of(pid)) and needle in text
    ]


def test_killing_one_half_of_the_supervisor_loses_nothing(place: Place) -> None:
    run = place.run(submit(place, *shell("sleep 3; echo end; exit 0")))
    state = place.wait_for(run, lambda state: state["status"] == "Running")
    os.kill(RunState.from_dict(state).supervisor.pid, signal.SIGKILL)  # type: ignore[union-attr]
    assert run.wait() == "Completed"


def test_killing_the_whole_supervisor_is_told_and_never_called_a_success_unseen(
    place: Place,
) -> None:
    run = place.run(submit(place, *shell("sleep 3; echo end; exit 5")))
    place.wait_for(run, lambda state: state["status"] == "Running")
    for pid in supervisors(place, run.id):
        os.kill(pid, signal.SIGSTOP)
    for pid in supervisors(place, run.id):
        os.kill(pid, signal.SIGKILL)
    assert run.wait(raise_on_error=False) == "Failed"
    text = why(place, run.id)
    assert "supervisor" in text
    assert "end\n" in place.outlast("logs", run.id)


def test_after_a_reboot_every_running_run_is_lost_at_once(place: Place) -> None:
    run = place.run(submit(place, "sleep", "100"))
    state = place.wait_for(run, lambda state: state["status"] == "Running")
    place.kill_server()
    for pid in supervisors(place, run.id):
        os.kill(pid, signal.SIGSTOP)
    for pid in [*supervisors(place, run.id), RunState.from_dict(state).main.pid]:  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
    place.start_server()
    begun = time.monotonic()
    assert run.wait(raise_on_error=False) == "Failed"
    assert time.monotonic() - begun < 5
    assert run.fetch()["cause"] in ("lost", "signal")


def test_a_dependent_run_never_starts_when_its_upstream_failed(
    place: Place, tmp_path: Path
) -> None:
    first = submit(place, *shell("sleep 1; exit 1"))
    second = place.run(
        submit(place, "touch", str(tmp_path / "started"), options=("--after", first))
    )
    assert second.wait(raise_on_error=False) == "Canceled"
    assert not (tmp_path / "started").exists()
    assert first in why(place, second.id)


def test_it_is_tried_again_until_it_works(place: Place, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"test -e {flag} && exit 0; touch {flag}; exit 7"
    run = place.run(
        submit(place, *shell(script), options=("--retries", "2", "--retry-on", "failed"))
    )
    assert run.wait() == "Completed"
    assert run.fetch()["attempt"] == 2


def test_a_queued_run_says_what_it_waits_for(place: Place) -> None:
    cpus = place.workspace.status()["slots"]["total"]["cpus"]
    holder = submit(place, "sleep", "30", options=("--cpus", str(cpus)))
    waiting = place.run(submit(place, "true", options=("--cpus", "1")))
    assert waiting.status == "Queued"
    assert "cpu" in why(place, waiting.id).lower()
    place.outlast("cancel", holder)
    assert waiting.wait() == "Completed"


def test_a_second_server_on_the_workspace_says_so_and_exits(place: Place) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "outlast.server", "--home", str(place.home), "--port", "0"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert second.returncode != 0
    assert str(find_pid(place)) in second.stderr + second.stdout


def find_pid(place: Place) -> int:
    return int(place.workspace.status()["pid"])
