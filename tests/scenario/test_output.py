"""What a run prints is shown once, in order and whole, whatever becomes of who looks at it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.conftest import IS_FULL, Place

pytestmark = pytest.mark.slow

MUCH_BYTES = (1 << 30) if IS_FULL else (64 << 20)

TRAIN = """
import os, sys, time
for epoch in range(40):
    while epoch == 30 and not os.path.exists(sys.argv[1]): time.sleep(0.05)
    print(f"epoch {epoch} " + "." * (epoch % 7), flush=True)
    print(f"warning {epoch}", file=sys.stderr, flush=True)
    time.sleep(0.05)
"""


class Terminal:
    """A terminal window with `outlast run -- python train.py` in it, which ends after `go`."""

    def __init__(self, place: Place, train: Path) -> None:
        self.go = train.with_name("go")
        self.screen, line = pty.openpty()

        def take_over() -> None:  # as a terminal's shell does
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.client = place.popen(
            "run", "--", sys.executable, str(train), str(self.go),
            stdin=line, stdout=line, stderr=line, preexec_fn=take_over,
        )  # fmt: skip
        os.close(line)

    def read_until(self, words: bytes) -> bytes:
        seen = b""
        while words not in seen:
            assert select.select([self.screen], [], [], 30)[0], seen
            seen += os.read(self.screen, 4096)
        return seen

    def close(self) -> None:
        if self.screen >= 0:
            os.close(self.screen)
            self.screen = -1

    def end(self) -> None:
        self.close()
        self.client.kill()
        self.client.wait(10)


@pytest.fixture
def place(shared_place: Place) -> Place:
    """Each test looks at runs of its own."""
    return shared_place


@pytest.fixture
def terminal(place: Place, tmp_path: Path) -> Iterator[Terminal]:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    terminal = Terminal(place, script)
    yield terminal
    terminal.end()


def followed(place: Place, *arguments: str) -> bytes:
    """What `outlast logs -f` shows, here and now."""
    with place.popen("logs", "-f", *arguments, stdout=subprocess.PIPE) as client:
        shown, _ = client.communicate(timeout=100)
    assert client.returncode == 0
    return shown


@pytest.mark.parametrize("death", ["hangup", "kill"])
def test_a_killed_terminal_loses_and_repeats_no_byte(
    place: Place, terminal: Terminal, death: str
) -> None:
    terminal.read_until(b"epoch 3")
    if death == "hangup":
        terminal.close()  # the kernel sends HUP to the session, as when a window is closed
    else:
        terminal.client.send_signal(signal.SIGKILL)
    assert terminal.client.wait(10) in (-signal.SIGHUP, -signal.SIGKILL, 129)
    run = place.run("@last")
    assert not run.is_over
    terminal.go.touch()
    shown = followed(place, "@last")
    assert shown == (place.folder(run.id) / "output").read_bytes()
    assert shown.count(b"\n") == 80
    assert run.wait() == "Completed"


def test_ctrl_c_detaches_and_the_run_goes_on(place: Place, terminal: Terminal) -> None:
    terminal.read_until(b"epoch 3")
    os.write(terminal.screen, b"\x03")
    said = terminal.read_until(b"outlast logs -f")
    run = place.run("@last")
    assert run.id.encode() in said
    assert not run.is_over
    terminal.go.touch()
    assert terminal.client.wait(10) != 0
    assert run.wait() == "Completed"
    assert followed(place, run.id).count(b"\n") == 80


def test_ctrl_c_twice_cancels(place: Place, terminal: Terminal) -> None:
    terminal.read_until(b"epoch 3")
    os.write(terminal.screen, b"\x03")
    terminal.read_until(b"Ctrl-C again")
    os.write(terminal.screen, b"\x03")
    terminal.client.wait(20)
    assert place.run("@last").wait(raise_on_error=False) == "Canceled"


# --- much of it ---


def server_memory(place: Place) -> dict[str, int]:
    pid = place.workspace.status()["pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in lines)
        if name in ("VmRSS", "VmHWM")
    }


@pytest.mark.timeout(600)
def test_much_output_comes_whole_and_the_server_stays_small(place: Place) -> None:
    command = f"head -c {MUCH_BYTES * 3 // 4} /dev/urandom | base64 -w 100"
    run = place.run(place.outlast("run", "-d", "--", "sh", "-c", command).strip())
    before = server_memory(place)["VmRSS"]
    shown, size_bytes = hashlib.sha256(), 0
    with place.popen("logs", "-f", run.id, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        while piece := client.stdout.read(1 << 20):
            shown.update(piece)
            size_bytes += len(piece)
    assert client.returncode == 0
    with (place.folder(run.id) / "output").open("rb") as file:
        assert shown.digest() == hashlib.file_digest(file, "sha256").digest()
        assert size_bytes == file.seek(0, os.SEEK_END) >= MUCH_BYTES
    grown = server_memory(place)["VmHWM"] - before
    print(f"\n{size_bytes >> 20} MiB shown; the server's memory grew by {grown / 2**20:.1f} MiB")
    assert grown < 64 << 20
    assert run.wait() == "Completed"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("w(b'no newline')", b"no newline"),
        ("w(b'caf\\xe9 \\xff\\xfe ok\\n\\xe2\\x82')", b"caf\xe9 \xff\xfe ok\n\xe2\x82"),
        ("w(b'x' * 20_000_000)", b"x" * 20_000_000),
        ("w(b'\\0\\0\\r\\x1b[31mred\\x1b[0m')", b"\0\0\r\x1b[31mred\x1b[0m"),
        ("w(b'')", b""),
    ],
    ids=["no newline", "not UTF-8", "one line of 20 MB", "control characters", "nothing"],
)
def test_odd_output_comes_byte_by_byte(place: Place, code: str, expected: bytes) -> None:
    script = f"import sys; w = sys.stdout.buffer.write; {code}"
    run = place.run(place.outlast("run", "-d", "--", sys.executable, "-c", script).strip())
    assert followed(place, "--raw", run.id) == expected
    # Without --raw nothing that a terminal would obey comes through, and all of it is UTF-8.
    shown = followed(place, run.id).decode()
    assert not set(shown) & {"\0", "\x1b", "\r"}
    assert run.wait() == "Completed"
    assert "".join(run.logs()) == expected.decode("utf-8", "replace")


def test_following_from_an_offset_and_from_the_last_lines(place: Place) -> None:
    run = place.run(place.outlast("run", "-d", "--", "seq", "1000").strip())
    assert run.wait() == "Completed"
    whole = followed(place, run.id)
    assert followed(place, "--from", "100", run.id) == whole[100:]
    assert followed(place, "--tail", "3", run.id) == b"998\n999\n1000\n"
