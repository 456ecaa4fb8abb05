"""Start a command: its output into the run's journal, nothing else of the supervisor in it.

The command gets /dev/null and the output file twice, or a terminal; its own session, default
signals, and no other descriptor. What keeps it from starting is told in words. It doesn't wait for
the command.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Mapping, Optional, Sequence, Tuple

NOT_FOUND = 127  # as a shell says it
NOT_EXECUTABLE = 126
_FIRST_LINE_BYTES = 256  # as much of it as the kernel reads


class CannotStart(Exception):
    """The command could not be started; nothing of it is left."""

    def __init__(self, reason: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.reason = reason  # as in run.events.StartFailed
        self.message = message
        self.exit_code = exit_code


def start(
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    output: str,
    *,
    umask: int = 0o022,
    cgroup_procs: str = "",
) -> int:
    """Start `command` in `folder` and return its pid; it has run execve by then.

    Its stdout and stderr are appended to the file `output`. Raises CannotStart.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        out = os.open(output, flags, 0o600)
    except OSError as error:
        raise CannotStart("no_output", f"{output}: {error.strerror}", NOT_EXECUTABLE) from None
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return start_on(
            (null, out, out), command, environ, folder, umask=umask, cgroup_procs=cgroup_procs
        )
    finally:
        os.close(null)
        os.close(out)


def start_on(
    streams: Tuple[int, int, int],
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    *,
    umask: int = 0o022,
    cgroup_procs: str = "",
    is_terminal: bool = False,
) -> int:
    """As `start`, with these descriptors as stdin, stdout and stderr.

    With `is_terminal` the first becomes the controlling terminal. Raises CannotStart.
    """
    if not command or not command[0]:
        raise CannotStart("no_command", "the command is empty", NOT_FOUND)
    if not os.path.isdir(folder):
        raise CannotStart("no_folder", f"the working folder {folder} doesn't exist", NOT_FOUND)
    program = find(command[0], environ.get("PATH"), folder)
    told, tell = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _become(
                program, command, environ, folder, streams, tell, umask, cgroup_procs, is_terminal
            )
        os.close(tell)
        tell = -1
        failure = _read_all(told)
    except OSError as error:
        message = f"no further process can be started: {error.strerror}"
        raise CannotStart("no_processes", message, NOT_EXECUTABLE) from None
    finally:
        for fd in (told, tell):
            if fd >= 0:
                os.close(fd)
    if failure:
        os.waitpid(pid, 0)
        raise _explain(failure.decode(), program, folder)
    return pid


def find(name: str, path: Optional[str], folder: str) -> str:
    """The program that `name` means on the job's own PATH. Raises CannotStart."""
    if "/" in name:
        _check(os.path.join(folder, name), name)
        return name
    path = os.defpath if path is None else path
    refused: Optional[CannotStart] = None
    for place in path.split(os.pathsep):
        candidate = os.path.join(folder, place, name)
        try:
            _check(candidate, name)
            return candidate
        except CannotStart as error:
            if error.reason == "not_executable":
                refused = error
    if refused is not None:
        raise refused
    if os.path.isfile(os.path.join(folder, name)):
        message = f"{name!r} is a file of the folder, not a command: "
        message += f"write ./{name}, or its interpreter before it"
        raise CannotStart("no_command", message, NOT_FOUND)
    raise CannotStart(
        "no_command",
        f"there is no command {name!r} on the PATH: {path or '(empty)'}",
        NOT_FOUND,
    )


def _check(path: str, name: str) -> None:
    if not os.path.exists(path):
        raise CannotStart("no_command", f"there is no command {name!r}", NOT_FOUND)
    if os.path.isdir(path):
        raise CannotStart("not_executable", f"{path} is a folder", NOT_EXECUTABLE)
    if not os.access(path, os.X_OK):
        message = f"{path} isn't executable; chmod +x it, or name its interpreter before it"
        raise CannotStart("not_executable", message, NOT_EXECUTABLE)


def _become(
    program: str,
    command: Sequence[str],
    environ: Mapping[str, str],
    folder: str,
    streams: Tuple[int, int, int],
    tell: int,
    umask: int,
    cgroup_procs: str,
    is_terminal: bool,
) -> None:
    """In the child: turn into the command, or tell why not. Never returns."""
    step = "prepare"
    try:
        os.setsid()
        _default_signals()
        for target, fd in enumerate(streams):
            os.dup2(fd, target)
        if is_terminal:
            step = "terminal"
            _take_terminal()
        os.umask(umask)
        if cgroup_procs:
            step = "cgroup"
            with open(cgroup_procs, "w") as file:
                file.write(str(os.getpid()))
        step = "folder"
        os.chdir(folder)
        step = "execute"
        os.execve(program, list(command), dict(environ))
    except OSError as error:
        os.write(tell, f"{step} {error.errno or 0}".encode())
    except Exception as error:
        os.write(tell, f"{step} 0 {error!r}".encode("utf-8", "replace")[:4000])
    finally:
        os._exit(NOT_FOUND)


def _take_terminal() -> None:
    import fcntl  # only a terminal needs these two; the supervisor has loaded them by now
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _default_signals() -> None:
    # Python ignores SIGPIPE and SIGXFSZ, the supervisor more; what is ignored stays so over execve.
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):  # the C library keeps a few for itself
                continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _read_all(fd: int) -> bytes:
    text = b""
    while True:
        piece = os.read(fd, 4096)  # ends when the child's execve closes the other end
        if not piece:
            return text
        text += piece


def _explain(failure: str, program: str, folder: str) -> CannotStart:
    step, number, more = (failure + " ").split(" ", 2)
    code = int(number)
    words = os.strerror(code) if code else more.strip()
    if step == "folder":
        return CannotStart("no_folder", f"the working folder {folder}: {words}", NOT_FOUND)
    if step != "execute":
        return CannotStart("not_prepared", f"{step}: {words}", NOT_EXECUTABLE)
    if code == errno.ENOENT:
        words = _missing_interpreter(os.path.join(folder, program))
        return CannotStart("no_command", f"{program}: {words}", NOT_FOUND)
    if code == errno.ENOEXEC:
        words = "it is neither a program nor a script with a first line like #!/bin/sh"
    if code == errno.E2BIG:
        words = "its arguments and environment together are too long"
    return CannotStart("not_executable", f"{program}: {words}", NOT_EXECUTABLE)


def _missing_interpreter(script: str) -> str:
    try:
        with open(script, "rb") as file:
            line = file.read(_FIRST_LINE_BYTES).partition(b"\n")[0]
    except OSError:
        line = b""
    if not line.startswith(b"#!"):
        return "a program that it needs to be loaded doesn't exist"  # the ELF interpreter
    named = line[2:].strip().decode("utf-8", "replace")
    if line.endswith(b"\r"):
        return (
            f"its lines end as on Windows, so {named} isn't found; remedy: sed -i 's/\\r$//' FILE"
        )
    return f"its first line names a program that doesn't exist: {named}"
