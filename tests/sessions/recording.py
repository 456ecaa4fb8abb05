"""Record what real programs write to a terminal: the streams of tests/vectors/screens.

    python -m tests.sessions.recording FOLDER     makes them anew, names the absent

Each program runs in an empty home and a namespace of its own where root may make one, so that a
recording tells nothing about the machine. A vector is JSON: program, columns, rows, sizes (offset,
columns, rows of each later change) and stream, which is base64 of a zlib stream.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import sys
import tempfile
import termios
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

VECTORS = Path(__file__).parents[1] / "vectors" / "screens"
QUIET_S = 0.4
LONGEST_S = 10.0


class Stream(NamedTuple):
    """What a program wrote, and in which sizes."""

    program: str
    columns: int
    rows: int
    sizes: list[tuple[int, int, int]]  # (offset, columns, rows), after the first
    data: bytes


class Key(NamedTuple):
    """Something typed; then the program is left to draw until it is quiet."""

    text: bytes


class Size(NamedTuple):
    """A change of the terminal's size."""

    columns: int
    rows: int


def record(
    name: str, argv: Sequence[str], steps: Sequence[Key | Size], columns: int, rows: int
) -> Stream:
    """Run a program under a PTY, take the steps, and return what it wrote by then."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        _fill(Path(home))
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(home)
            environ = {
                "HOME": home,
                "PATH": os.environ["PATH"],
                "TERM": "xterm-256color",
                "LANG": "C.UTF-8",
                "PS1": "$ ",
                "TMUX_TMPDIR": home,
                "HTOPRC": f"{home}/none",
            }
            command = [*_ALONE, *argv]
            os.execvpe(command[0], command, environ)
        _resize(master, columns, rows)
        data = _quiet(master)
        sizes = []
        for step in steps:
            if isinstance(step, Key):
                os.write(master, step.text)
            else:
                sizes.append((len(data), step.columns, step.rows))
                _resize(master, step.columns, step.rows)
            data += _quiet(master)
        os.kill(pid, signal.SIGKILL)
        os.close(master)
        os.waitpid(pid, 0)
    return Stream(name, columns, rows, sizes, data)


def _fill(home: Path) -> None:
    lines = [f"{n:3d}  def step_{n}(x):  # \u5bbd \u00e9 {'x' * (n % 50)}\n" for n in range(300)]
    home.joinpath("text.py").write_text("".join(lines))
    home.joinpath("tmux.conf").write_text(
        "set -g status-right '%H:%M'\nset -g default-command 'bash --norc --noprofile -i'\n"
    )
    for name in ("alpha", "beta", "gamma"):
        home.joinpath(name).mkdir()


def _resize(master: int, columns: int, rows: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _quiet(master: int) -> bytes:
    """What comes until nothing came for a while."""
    data = b""
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until and select.select([master], [], [], QUIET_S)[0]:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the program ended
            break
        data += piece
    return data


_ALONE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"] if os.geteuid() == 0 else []
_BAR = (
    "import time,sys\n"
    "for i in range(0, 101, 4):\n"
    "    n = i * 30 // 100\n"
    "    print(f'\\rEpoch {i//25} \\x1b[32m' + '\u2588' * n + '\\x1b[90m' + '\u2591' * (30 - n) +"
    " f'\\x1b[0m {i:3d}% loss={1/(i+1):.4f}', end='', flush=True)\n"
    "    if i % 20 == 0: print(f'\\n\\x1b[1;33mcheckpoint\\x1b[0m {i} saved \U0001f600')\n"
    "    time.sleep(0.01)\n"
)
PROGRAMS: dict[str, tuple[list[str], list[Key | Size], int, int]] = {
    "vim": (
        ["vim", "-u", "NONE", "-c", "set number ruler showcmd", "text.py"],
        [Key(b"10jdd5p"), Key(b"iinserted \xe5\xae\xbd\x1b"), Key(b"\x06"), Key(b":split\r"),
         Key(b"/step_77\r"), Size(70, 20), Key(b"G"), Key(b"vkkkk"), Key(b"\x1b:q!\r")],
        100, 30,
    ),
    "htop": (
        ["htop", "-d", "50"],
        [Key(b"h"), Key(b"q"), Key(b"\x1bOQ"), Size(60, 20), Key(b"\x1b")],
        100, 30,
    ),
    "less": (
        ["less", "-N", "text.py"],
        [Key(b" "), Key(b"/step_55\r"), Key(b"G"), Key(b"kkkk"), Key(b"q")],
        80, 24,
    ),
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        [Key(b"ls\r"), Key(b"seq 60\r"), Key(b"echo a very long command line that is wider than"
         b" the terminal and so goes on in the next row of it, which readline draws by itself"),
         Key(b"\x01\x1bf\x1bd"), Key(b"\x05\x15"), Key(b"printf '\\e[31mred\\e[0m\\n'\r"),
         Size(50, 15), Key(b"cat text.py\r"), Key(b"\x0c"), Key(b"echo half ty")],
        80, 24,
    ),
    "tmux": (
        ["tmux", "-f", "tmux.conf", "new-session"],
        [Key(b"seq 40\r"), Key(b"\x02%"), Key(b"ls\r"), Key(b'\x02"'), Key(b"seq 9\r"),
         Size(90, 25), Key(b"\x02z"), Key(b"\x02z")],
        100, 30,
    ),
    "progress": ([sys.executable, "-S", "-c", _BAR], [], 80, 24),
    "zsh": (
        ["zsh", "-f", "-i"],
        [Key(b"ls al\t\r"), Key(b"setopt\r"), Key(b"print -P '%F{red}x%f'\r"), Key(b"cd \t\t")],
        80, 24,
    ),
    "fish": (
        ["fish", "--no-config", "-i", "-C", "function fish_prompt; echo '> '; end"],
        [Key(b"\x1b[?1;2c"), Key(b"ls\r"), Key(b"echo 'half"), Key(b"\x03"), Key(b"ls al\t")],
        80, 24,
    ),
}  # fmt: skip


def save(stream: Stream, folder: Path) -> None:
    """Write a vector."""
    packed = base64.b64encode(zlib.compress(stream.data, 9)).decode()
    told: dict[str, Any] = {**stream._asdict(), "data": packed}
    folder.joinpath(f"{stream.program}.json").write_text(json.dumps(told, indent=1) + "\n")


def load(path: Path) -> Stream:
    """Read a vector."""
    told = json.loads(path.read_text())
    told["data"] = zlib.decompress(base64.b64decode(told["data"]))
    told["sizes"] = [(at, columns, rows) for at, columns, rows in told["sizes"]]
    return Stream(**told)


def main() -> None:
    folder = Path(sys.argv[1])
    for name, (argv, steps, columns, rows) in PROGRAMS.items():
        if shutil.which(argv[0]) is None:
            print(f"{name}: not here")
            continue
        stream = record(name, argv, steps, columns, rows)
        save(stream, folder)
        print(f"{name}: {len(stream.data)} bytes, {len(stream.sizes)} changes of size")


if __name__ == "__main__":
    main()
