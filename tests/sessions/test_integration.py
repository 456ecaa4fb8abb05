"""What real shells tell of their commands, while the user's own startup files count as ever."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import time
from pathlib import Path

import pytest

from outlast.sessions.opening import Asked, plan

WAIT_S = 20.0
MARK = re.compile(rb"\x1b\](133;[ABCD][^\x07]*|633;E;[^\x07]*|7;[^\x07]*)\x07")
STARTUP = {
    "bash": {".bashrc": "HISTCONTROL=ignoreboth\nPS1='$ '\nexport MINE=rc\n",
             ".bash_profile": ". ~/.bashrc\nexport LOGGED=in\n"},
    "zsh": {".zshrc": "PS1='$ '\nsetopt hist_ignore_space\nexport MINE=rc\n",
            ".zprofile": "export LOGGED=in\n", ".zshenv": "export EARLY=yes\n"},
    "fish": {".config/fish/config.fish":
             "set -x MINE rc\nstatus is-login; and set -x LOGGED in\n"},
}  # fmt: skip


class Shell:
    """A shell on a PTY, started as a session starts it."""

    def __init__(self, kind: str, home: Path, *, is_login: bool = False, more: str = "") -> None:
        """`more` is added to the shell's own startup file."""
        program = shutil.which(kind)
        if program is None:
            pytest.skip(f"{kind} is not installed: its integration is untested here")
        for number, (name, text) in enumerate(STARTUP[kind].items()):
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if number else text + more)
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        _, launch = plan(Asked((program,), environ, str(home), is_login=is_login))
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(launch["folder"])
            os.execve(program, launch["command"], launch["environ"])
        self.out = b""
        self.until(lambda: self.prompts == 1)

    @property
    def prompts(self) -> int:
        return self.out.count(b"\x1b]133;A\x07")

    def until(self, is_it: object) -> None:
        deadline = time.monotonic() + WAIT_S
        while not is_it():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.out
            if select.select([self.fd], [], [], 0.1)[0]:
                piece = os.read(self.fd, 65536)
                if b"\x1b[c" in piece:  # fish asks who is there
                    os.write(self.fd, b"\x1b[?62;c")
                self.out += piece

    def __call__(self, line: str) -> list[str]:
        """What the shell tells between this line and the next prompt."""
        before, prompts = len(self.out), self.prompts
        os.write(self.fd, line.encode() + b"\r")
        self.until(lambda: self.prompts > prompts)
        return [mark[1].decode() for mark in MARK.finditer(self.out[before:])]

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


shells = pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])


def told(marks: list[str]) -> tuple[str, str]:
    """The command and the exit code that the marks tell."""
    kinds = [mark.split(";")[1] for mark in marks if not mark.startswith("7;")]
    assert kinds.index("E") < kinds.index("C") < kinds.index("D") < kinds.index("A"), marks
    command = next(mark[6:] for mark in marks if mark.startswith("633;E;"))
    code = next(mark[6:] for mark in marks if mark.startswith("133;D;"))
    return command, code


@shells
def test_commands_are_told_with_folder_and_exit_code(kind: str, tmp_path: Path) -> None:
    shell = Shell(kind, tmp_path)
    assert told(shell("true")) == ("true", "0")
    assert told(shell("sh -c 'exit 3'")) == ("sh -c 'exit 3'", "3")
    assert told(shell(r"echo 'a;b\c'"))[0] == r"echo 'a\x3bb\x5cc'"
    again = told(shell(r"echo 'a;b\c'"))[0]
    assert again == r"echo 'a\x3bb\x5cc'", "a repeated command"
    (tmp_path / "x ä;y").mkdir()
    marks = shell("cd 'x ä;y'")
    folder = next(mark for mark in marks if mark.startswith("7;"))
    assert folder.endswith(f"{tmp_path.name}/x%20%C3%A4%3By")
    shell.close()


@shells
def test_a_command_hidden_by_a_space_is_told_without_its_text(kind: str, tmp_path: Path) -> None:
    shell = Shell(kind, tmp_path)
    assert told(shell(" echo hidden")) == ("", "0")
    assert told(shell("echo shown"))[0] == "echo shown"
    marks = len(shell.out)
    shell("history")
    assert b"echo hidden" not in shell.out[marks:]
    shell.close()


@shells
@pytest.mark.parametrize("is_login", [False, True])
def test_the_users_own_startup_files_count(kind: str, is_login: bool, tmp_path: Path) -> None:
    shell = Shell(kind, tmp_path, is_login=is_login)
    shell('echo "<$MINE-$LOGGED>"')
    assert f"<rc-{'in' if is_login else ''}>".encode() in shell.out
    shell('echo "<$ZDOTDIR$OUTLAST_SHELL_LOGIN$OUTLAST_ZDOTDIR>"')
    assert b"<>" in shell.out
    shell.close()


STRICT = {
    "bash": "set -u -o pipefail\nPROMPT_COMMAND='echo -n mine; false'\nreadonly PS1\n",
    "zsh": "setopt nounset ksh_arrays sh_word_split\nprecmd() { print -n mine; false }\n",
    "fish": "function fish_prompt; echo -n 'mine> '; false; end\n",
}


@shells
def test_strict_startup_files_harm_nothing(kind: str, tmp_path: Path) -> None:
    shell = Shell(kind, tmp_path, more=STRICT[kind])
    assert told(shell("sh -c 'exit 3'")) == ("sh -c 'exit 3'", "3")
    assert told(shell("true")) == ("true", "0")
    assert b"mine" in shell.out
    assert b"readonly" not in shell.out
    shell.close()


@shells
def test_no_file_of_the_users_is_touched(kind: str, tmp_path: Path) -> None:
    shell = Shell(kind, tmp_path)
    shell("true")
    for name, text in STARTUP[kind].items():
        assert (tmp_path / name).read_text() == text
    shell.close()
