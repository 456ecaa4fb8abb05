"""`run` and `submit`: nohup done right. Exit codes, Ctrl-C, closed terminals, what is said."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path

import pytest

from outlast.cli import reach
from outlast.cli.main import main
from tests.cli.terminal import COMMAND, CTRL_C, Piped, Terminal
from tests.sdk.place import Place

Tty = Callable[..., AbstractContextManager[Terminal]]
ID = r"[0-9a-hjkmnp-tv-z]{10}"


def wait_for(path: Path) -> str:
    """A shell loop that goes on until the file is there."""
    return f"while ! test -e {path}; do sleep 0.02; done"


def test_a_command_runs_here_and_only_its_output_is_on_stdout(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("here\n")
    done = cli("run", "--", "cat", "data")
    assert (done.code, done.out) == (0, "here\n")
    assert re.fullmatch(rf"outlast: {ID} Completed in \d+(\.\d)? m?s\n", done.err)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 1", 1), ("exit 3", 3), ("exit 69", 69), ("exit 130", 130),
     ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)],
)  # fmt: skip
def test_it_exits_as_its_command_did_and_says_so(cli: Piped, script: str, code: int) -> None:
    done = cli("run", "--", "sh", "-c", script)
    assert done.code == code
    if 0 < code < 128 or code in (130, 255):
        assert f"exit code {code}" in done.err
    if code:
        assert re.search(rf"outlast: more by: outlast why {ID}", done.err)


def test_codes_of_its_own_are_said_in_words(cli: Piped) -> None:
    done = cli("run", "--output", "never.txt", "--", "true")
    assert done.code == 1
    assert "never.txt" in done.err
    done = cli("run", "--max-time", "0.2s", "--grace", "1s", "--", "sleep", "30")
    assert done.code == 128 + signal.SIGTERM
    assert "200 ms" in done.err
    done = cli("run", "--", "no-such-command")
    assert done.code == 127
    assert "no-such-command" in done.err


def test_detached_it_prints_the_id_and_returns_at_once(cli: Piped, place: Place) -> None:
    began = time.monotonic()
    done = cli("run", "-d", "--name", "detached", "--", "sleep", "30")
    assert time.monotonic() - began < 10
    assert re.fullmatch(ID + "\n", done.out)
    assert cli("cancel", "--force", "detached").out.startswith(f"canceling {done.out.strip()}")
    waited = cli("wait", "detached")
    assert waited.code == 3
    assert "Canceled" in waited.err


def test_ctrl_c_without_a_terminal_detaches_and_returns_at_once(
    cli: Piped, place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with cli.popen("run", "--", "sh", "-c", f"echo up; {wait_for(go)}; echo done") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        client.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = client.communicate(timeout=20)
        assert time.monotonic() - began < 1.5
    assert client.returncode == 130
    assert out == b""
    run_id = re.search(rf"run ({ID}) goes on", err.decode())
    assert run_id is not None
    assert f"outlast logs -f {run_id[1]}" in err.decode()
    go.touch()
    done = cli("logs", "-f", run_id[1])
    assert (done.code, done.out) == (0, "up\ndone\n")


def test_ctrl_c_in_a_terminal_detaches_and_a_key_gives_the_prompt_back(
    tty: Tty, place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with tty("run", "--name", "left", "--", "sh", "-c", f"echo up; {wait_for(go)}") as window:
        window.until("up\n".replace("\n", "\r\n"))
        window.press(CTRL_C)
        window.until("Ctrl-C again within 2 s cancels it")
        window.press(b"\n")
        assert window.end() == 130
    handle = place.workspace.run("left")
    assert not handle.is_over
    go.touch()
    assert handle.wait() == "Completed"


def test_ctrl_c_twice_cancels_and_shows_the_rest(tty: Tty, place: Place) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    with tty("run", "--name", "twice", "--", "sh", "-c", script) as window:
        window.until("up")
        window.press(CTRL_C)
        window.until("cancels it")
        window.press(CTRL_C)
        assert window.end() == 3
    assert "bye" in window.text
    assert "Canceled" in window.text
    assert place.workspace.run("twice").status == "Canceled"


def test_ctrl_c_twice_cancels_however_fast_the_second_comes(tty: Tty, place: Place) -> None:
    with tty("run", "--name", "fast", "--", "sh", "-c", "echo up; sleep 600") as window:
        window.until("up")
        window.press(CTRL_C)
        window.until("detached")  # there is more to be said before it waits for the second
        window.press(CTRL_C)
        assert window.end() == 3
    handle = place.workspace.run("fast")
    assert handle.wait(raise_on_error=False) == "Canceled"


def test_a_background_job_ignores_ctrl_c_as_its_shell_told_it(
    cli: Piped, place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    # Like `outlast run … &` in a script: the shell lets it ignore SIGINT.
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *COMMAND]
    arguments = ("run", "--name", "ground", "--", "sh", "-c", f"echo up; {wait_for(go)}")
    with subprocess.Popen(
        [*ignoring, *arguments], env=cli.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        client.send_signal(signal.SIGINT)
        go.touch()
        assert client.wait(30) == 0
    assert place.workspace.run("ground").status == "Completed"


def test_a_closed_terminal_changes_nothing_for_the_run(
    tty: Tty, cli: Piped, place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with tty(
        "run", "--name", "closed", "--", "sh", "-c", f"echo up; {wait_for(go)}; seq 1000"
    ) as w:
        w.until("up")
        w.hang_up()
    assert not place.workspace.run("closed").is_over
    go.touch()
    done = cli("logs", "-f", "closed")
    assert (
        done.out.encode()
        == (place.folder(place.workspace.run("closed").id) / "output").read_bytes()
    )
    assert done.out == "up\n" + "".join(f"{number}\n" for number in range(1, 1001))


def test_a_reader_that_leaves_does_not_end_the_run(
    cli: Piped, place: Place, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with cli.popen(
        "run", "--name", "headed", "--", "sh", "-c", f"echo up; {wait_for(go)}; seq 100000"
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline() == b"up\n"
        client.stdout.close()
        go.touch()
        err = client.stderr.read().decode()
        assert client.wait(20) == 141
    assert "goes on" in err
    assert "Traceback" not in err
    assert place.workspace.run("headed").wait() == "Completed"


def test_a_killed_client_leaves_the_run_alone(cli: Piped, place: Place, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with cli.popen(
        "run", "--name", "orphan", "--", "sh", "-c", f"echo up; {wait_for(go)}"
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        client.kill()
    go.touch()
    assert place.workspace.run("orphan").wait() == "Completed"


def test_what_a_run_waits_for_is_said_while_it_waits(cli: Piped, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = cli("run", "-d", "--", "sh", "-c", wait_for(go)).out.strip()
    with cli.popen("run", "--after", first, "--", "echo", "second") as client:
        assert client.stderr is not None
        said = client.stderr.readline().decode()
        go.touch()
        out, _ = client.communicate(timeout=20)
    assert first in said
    assert out == b"second\n"


def test_what_the_end_waits_for_is_said(cli: Piped, tmp_path: Path) -> None:
    go = tmp_path / "go"
    background = f"({wait_for(go)}) & echo started"
    with cli.popen("run", "--", "sh", "-c", background) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline() == b"started\n"
        said = client.stderr.readline().decode()
        go.touch()
        _, rest = client.communicate(timeout=20)
    assert "still running" in said
    assert client.returncode == 0
    assert b"warning: " in rest


def test_output_is_shown_without_what_a_terminal_would_obey(cli: Piped, tty: Tty) -> None:
    script = r"printf '\033]0;evil\007\033[31mred\033[0m\033[2J\n'"
    assert cli("run", "--", "sh", "-c", script).out == "red\n"
    with tty("run", "--", "sh", "-c", script) as window:
        window.end()
    assert "\x1b[31mred\x1b[0m" in window.text
    assert "\x1b]0" not in window.text
    assert "\x1b[2J" not in window.text
    assert cli("logs", "--raw", "@last").out == "\x1b]0;evil\x07\x1b[31mred\x1b[0m\x1b[2J\n"


def test_submit_runs_a_snapshot_and_returns_with_the_id(cli: Piped, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print('as submitted')")
    done = cli("submit", "--", "python", "train.py")
    script.write_text("print('changed')")
    assert re.fullmatch(ID + "\n", done.out)
    assert cli("logs", "-f", done.out.strip()).out == "as submitted\n"
    followed = cli("submit", "--follow", "--", "sh", "-c", "echo out; exit 4")
    assert followed.code == 4
    assert followed.out.endswith("\nout\n")
    assert cli("submit", "--wait", "--", "sh", "-c", "exit 5").code == 5


def test_what_a_snapshot_leaves_out_is_said(cli: Piped, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN=1")
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / "data").mkdir()
    done = cli("submit", "--wait", "--", "true")
    told = ".env (may hold secrets); data/ (ignored by .gitignore)"
    assert f"outlast: not in the snapshot: {told}\n" in done.err
    assert f"left out    {told}\n" in cli("show").out
    assert "Not all of" in cli("why").out


def test_options_reach_the_spec(cli: Piped, place: Place, tmp_path: Path) -> None:
    done = cli(
        "run", "-d", "--name", "asked", "-e", "vision", "--output", "a", "--check", "grep -q 1 a",
        "--output", "b", "--cpus", "0.5", "--memory", "64MB", "--memory-limit", "1GiB",
        "--max-time", "2h30m", "--grace", "3s", "--retries", "2", "--retry-exit-code", "75",
        "--leftovers", "terminate", "--leftovers-wait", "90", "--on-logged-error", "fail",
        "--tag", "team=a=b", "--param", "lr=0.1", "--env", "COLOUR=blue", "--",
        "sh", "-c", "echo --output $COLOUR; echo 1 > a; echo 2 > b",
    )  # fmt: skip
    handle = place.workspace.run("asked")
    assert handle.wait() == "Completed", done.err
    spec = handle.fetch()["spec"]
    assert spec["experiment"] == "vision"
    assert [(out["path"], out["check"]) for out in spec["outputs"]] == [
        ("a", ["grep", "-q", "1", "a"]), ("b", []),
    ]  # fmt: skip
    assert spec["resources"] == {"cpus": 0.5, "memory_bytes": 64_000_000, "gpus": 0}
    assert spec["limits"]["memory_bytes"] == 1 << 30
    assert spec["limits"]["max_run_duration_s"] == 9000
    assert spec["limits"]["stop_grace_s"] == 3
    assert spec["limits"]["leftovers_s"] == 90
    assert spec["policy"]["max_attempts"] == 3
    assert spec["policy"]["retry_exit_codes"] == [75]
    assert spec["policy"]["retry_on"] == []
    assert spec["policy"]["leftovers"] == "terminate"
    assert spec["policy"]["on_logged_error"] == "fail"
    assert spec["tags"] == {"team": "a=b"}
    assert spec["parameters"] == {"lr": "0.1"}
    assert list(handle.logs()) == ["--output blue\n"]


def test_options_of_the_command_are_left_alone(cli: Piped) -> None:
    command = ["echo", "--output", "x", "--check", "y"]
    assert cli("run", *command).out == "--output x --check y\n"
    assert cli("run", "-e", "vision", "--cpus=0", *command).out == "--output x --check y\n"
    assert cli("run", "--", *command).out == "--output x --check y\n"


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("test -s a && test -s b", 1),
        ("test -s a && test -s a", 0),
        ('test "$(cat a)" = 1', 0),
        ("sh -c 'exit 4'", 1),
    ],
)
def test_a_check_may_be_what_a_shell_understands(cli: Piped, check: str, code: int) -> None:
    done = cli("run", "--output", "a", "--check", check, "--", "sh", "-c", "echo 1 > a")
    assert done.code == code, done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cpus", "nan"), "'--cpus': 'nan': give a number, 0 or more"),
        (("--cpus", "-1"), "'--cpus': '-1': give a number, 0 or more"),
        (("--retries", "99999999999999999999"), "'--retries'"),
        (("--gpus", "-1"), "'--gpus'"),
        (("--output", "a", "--check", "it's"), '--check = "it\'s": close the quote'),
        (("--memory", "900TB"), "GB to give"),
    ],
)
def test_a_wrong_value_is_named_with_its_option(
    cli: Piped, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("run", *arguments, "--", "true")
    assert done.code == 2
    assert words in done.err


def test_retry_runs_the_same_again(cli: Piped) -> None:
    first = cli("run", "-d", "--", "sh", "-c", "echo again; exit 6").out.strip()
    assert cli("wait", first).code == 6
    again = cli("retry", "-f", first)
    assert again.code == 6
    assert again.out.split("\n")[1:] == ["again", ""]
    assert cli("cancel", first).err == f"outlast: {first} is over already (Failed)\n"


def test_ctrl_c_while_submitting_says_what_may_be_queued(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("OUTLAST_HOME", str(place.home))
    monkeypatch.setattr(import_module("outlast.sdk.submit"), "submit", interrupted)
    reach.workspace.cache_clear()
    assert main(["run", "--", "true"]) == 130
    assert re.search(rf"it may be queued: outlast show {ID}\n", capsys.readouterr().err)


def test_a_secret_in_the_command_is_in_no_answer(cli: Piped) -> None:
    secret = "hf_" + "aB3d" * 8
    done = cli("run", "--", "sh", "-c", "true", "--token", secret)
    assert done.code == 0
    told = cli("show", "@last").out + cli("ls").out + cli("ls", "--json").out
    assert secret not in told
    assert "***" in told


def test_the_client_follows_in_order_while_much_is_printed(cli: Piped) -> None:
    done = subprocess.run(
        ["sha256sum"], input=cli("run", "--", "seq", "300000").out.encode(), capture_output=True
    )
    wanted = subprocess.run("seq 300000 | sha256sum", shell=True, capture_output=True)
    assert done.stdout == wanted.stdout
