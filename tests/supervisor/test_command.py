"""How a command is started, and how its end is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from outlast.run import events as ev
from tests.supervisor.conftest import PYTHON, Run


def test_the_order_of_a_plain_run(run: Run) -> None:
    ended = run.shell("echo hello").ended()
    assert run.kinds() == ["supervised", "started", "exited", "tree_ended", "ended"]
    assert (ended.outcome, ended.cause, ended.manifest) == ("completed", "", "")
    assert run.output == "hello\n"
    assert run.log == ""
    assert run.supervisors[0].returncode == 0
    assert not run.path.joinpath("control.sock").exists()


@pytest.mark.parametrize("code", [1, 3, 127, 255])
def test_the_exit_code_is_told(run: Run, code: int) -> None:
    ended = run.shell(f"exit {code}").ended()
    exited = run.wait(ev.Exited)
    assert (exited.code, exited.signal) == (code, None)
    assert (ended.outcome, ended.cause) == ("failed", "exit_code")
    assert str(code) in ended.message


def test_a_command_that_ends_while_it_is_being_looked_at_is_told_right(tmp_path: Path) -> None:
    for index in range(30):
        run = Run(tmp_path / str(index))
        run.shell("exit 7")
        assert run.ended().facts == {}
        assert run.wait(ev.Exited).code == 7
        run.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_from_elsewhere_is_told(run: Run, number: signal.Signals) -> None:
    run.start(["sleep", "60"])
    os.kill(run.wait(ev.Started).pid, number)
    ended = run.ended()
    assert run.wait(ev.Exited).signal == number
    assert (ended.outcome, ended.cause) == ("failed", "signal")
    assert number.name in ended.message


def test_time_and_memory_of_the_command_are_told(run: Run) -> None:
    run.python("b = b'x' * (60 << 20); sum(range(3_000_000))").ended()
    exited = run.wait(ev.Exited)
    assert exited.max_rss_bytes > 60 << 20
    assert exited.cpu_s > 0


def test_stdout_and_stderr_are_one_journal_in_order(run: Run) -> None:
    run.shell("echo a; echo b >&2; printf c").ended()
    assert run.output == "a\nb\nc"
    assert run.wait(ev.Exited).output_offset == 5


def test_a_second_attempt_goes_on_in_the_same_journals(run: Run) -> None:
    run.shell("echo first; exit 1").ended()
    run.write(["/bin/sh", "-c", "echo second"], attempt=2)
    run.supervise(attempt=2)
    ended = run.wait(ev.Ended, count=2)
    run.supervisors[-1].wait()
    assert (ended.attempt, ended.outcome) == (2, "completed")
    assert run.output == "first\nsecond\n"
    assert run.wait(ev.Started, count=2).output_offset == len("first\n")


def test_an_attempt_that_has_ended_is_left_alone(run: Run) -> None:
    run.shell("echo once").ended()
    before = run.kinds()
    assert run.supervise().wait() == 0
    assert run.kinds() == before
    assert run.output == "once\n"


def test_two_supervisors_never_supervise_one_run(run: Run) -> None:
    run.start(["sleep", "60"])
    run.wait(ev.Started)
    assert run.supervise().wait() == 3
    assert "another supervisor" in run.log
    assert run.kinds() == ["supervised", "started"]


def test_the_command_inherits_nothing_but_its_three_streams(run: Run) -> None:
    told, tell = os.pipe()
    run.write([PYTHON, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))"])
    run.supervise(pass_fds=(tell,))
    os.close(tell)
    run.ended()
    assert run.output == "['0', '1', '2', '3']\n"  # 3 is the listing itself
    os.close(told)


def test_the_command_gets_default_signals_its_own_session_and_no_input(run: Run) -> None:
    script = (
        "import os, signal, sys\n"
        "print(os.getsid(0) == os.getppid(), sys.stdin.read() == '', oct(os.umask(0)))\n"
    )
    # Python itself ignores SIGPIPE and SIGXFSZ: look at a program that doesn't.
    run.shell(f"grep -E 'SigIgn|SigBlk' /proc/self/status; {PYTHON} -c \"{script}\"").ended()
    assert run.output.count("0000000000000000") >= 2
    assert "True True 0o22" in run.output


def test_a_signal_that_its_starter_ignored_works_in_the_command(run: Run) -> None:
    run.write(["/bin/sh", "-c", "yes | head -n 1; kill -HUP $$; echo survived"])
    run.supervise(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    run.ended()
    assert run.output == "y\n"
    assert run.wait(ev.Exited).signal == signal.SIGHUP


def test_the_environment_is_the_callers_and_the_runs(run: Run, tmp_path: Path) -> None:
    run.environ.update(MINE="1", OUTLAST_TOKEN="secret", PYTHONPATH="/behind")
    run.spec["resources"] = {"gpus": 2}
    run.start(["env"], gpus=[1, 3], kit="/kit").ended()
    environ = dict(line.split("=", 1) for line in run.output.splitlines())
    assert environ == {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "MINE": "1",
        "OUTLAST_RUN": str(run.path),
        "OUTLAST_RUN_ID": "run1",
        "OUTLAST_HOME": str(tmp_path),
        "OUTLAST_OUTPUTS": str(run.working / "outputs"),
        "OUTLAST_ATTEMPT": "1",
        "CUDA_VISIBLE_DEVICES": "1,3",
        "PYTHONPATH": "/kit:/behind",
        "AZUREML_RUN_ID": "run1",
    }


def test_the_jobs_own_path_is_searched(run: Run, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "hello"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    run.environ["PATH"] = f"/nowhere:{program.parent}"
    run.start(["hello"]).ended()
    assert run.output == "found\n"


@pytest.mark.parametrize(
    ("command", "reason", "words", "code"),
    [
        (["no-such-command"], "no_command", "no command 'no-such-command' on the PATH", 127),
        (["./missing"], "no_command", "no command './missing'", 127),
        (["./plain"], "not_executable", "chmod +x", 126),
        (["./folder"], "not_executable", "is a folder", 126),
        (["./no_interpreter"], "no_command", "doesn't exist: /no/such", 127),
        (["./windows"], "no_command", "lines end as on Windows, so /bin/sh isn't found", 127),
        (["plain"], "no_command", "write ./plain, or its interpreter before it", 127),
        (["./binary"], "not_executable", "neither a program nor a script", 126),
        ([], "no_command", "empty", 127),
    ],
)
def test_what_cant_be_started_is_told_in_words(
    run: Run, command: list[str], reason: str, words: str, code: int
) -> None:
    run.working.joinpath("plain").write_text("x")
    run.working.joinpath("folder").mkdir()
    for name, text in (
        ("no_interpreter", b"#!/no/such\n"),
        ("windows", b"#!/bin/sh\r\necho\r\n"),
        ("binary", b"\0\1\2"),
    ):
        run.working.joinpath(name).write_bytes(text)
        run.working.joinpath(name).chmod(0o755)
    ended = run.start(command).ended()
    failed = run.wait(ev.StartFailed)
    assert failed.reason == reason
    assert words in failed.message
    assert (ended.outcome, ended.cause) == ("failed", "start_failed")
    assert ended.facts["exit_code"] == code
    assert run.kinds() == ["supervised", "start_failed", "ended"]
    assert run.log == ""


def test_the_search_path_stands_in_the_event_alone(run: Run) -> None:
    run.environ["PATH"] = "/nowhere:" + "/long" * 100
    ended = run.start(["no-such-command"]).ended()
    assert run.environ["PATH"] in run.wait(ev.StartFailed).message
    assert ended.message == "there is no command 'no-such-command' on the PATH"


def test_a_missing_folder_is_told(run: Run) -> None:
    run.start(["true"], folder="/no/such/folder").ended()
    assert run.wait(ev.StartFailed).reason == "no_folder"


def test_a_missing_launch_is_told(run: Run) -> None:
    run.write(["true"])
    run.path.joinpath("launch.json").unlink()
    run.supervise()
    assert run.ended().cause == "start_failed"
    assert "launch.json" in run.wait(ev.StartFailed).message


def test_two_hundred_megabytes_of_output_cost_the_supervisor_nothing(run: Run) -> None:
    run.shell("head -c 200000000 /dev/zero; printf LAST; exec sleep 60")
    started = run.wait(ev.Started)
    run.wait_output("LAST")
    stat = Path(f"/proc/{run.supervisor}/io").read_text()
    assert int(stat.split("rchar: ")[1].split()[0]) < 5_000_000
    os.kill(started.pid, signal.SIGKILL)
    run.ended()


def test_wrong_arguments_are_told(run: Run) -> None:
    run.write(["true"])
    assert run.supervise("--mode", "dance").wait() == 2
    assert "usage:" in run.log
