"""Start the ranks of a run, hold them together, and end as they did.

The first rank that fails ends all: the others get TERM and, after the run's grace, KILL. A signal
to this process ends all in the same way. Parameter servers never end by themselves: they are ended
once every worker is done. What the ranks print passes through here, named line by line; where there
is but one it writes to the run's output itself.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from outlast.run import folder as names
from outlast.run.folder import RunFolder
from outlast.run.spec import RunSpec
from outlast.runtime.ranks import words
from outlast.runtime.ranks.lines import Lines
from outlast.runtime.ranks.words import Rank
from outlast.supervisor import command as starter
from outlast.supervisor.command import CannotStart

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
READ_BYTES = 64 << 10
FULL_DISK_S = 0.5  # until writing is tried again; the ranks wait in their own writes meanwhile
# Below the ports that Linux gives to outgoing connections: one of those could be taken between
# being found free here and being listened at by a rank.
FIRST_PORT, LAST_PORT = 20_000, 32_000


class Failure(NamedTuple):
    """The first rank that failed: how it ended, or why it couldn't be started."""

    rank: int
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    message: str = ""


class Ranks:
    """All ranks of one attempt."""

    def __init__(
        self, folder: RunFolder, attempt: int, spec: RunSpec, command: Sequence[str]
    ) -> None:
        self._folder = folder
        self._attempt = attempt
        self._asked = spec.distributed
        self._grace_s = spec.limits.stop_grace_s
        self._command = command
        self._ranks = words.ranks(spec.distributed)
        self._alive: Dict[int, Rank] = {}  # by pid
        self._pids: Dict[int, int] = {}  # by rank
        self._pipes: Dict[int, int] = {}  # descriptor -> rank
        self._poll = select.poll()
        self._signals = select.poll()
        self._lines = Lines()
        self._unwritten = b""
        self._failure: Optional[Failure] = None
        self._told_to_end: Optional[int] = None  # the signal that this process got
        self._kill_at_s = 0.0  # 0 = nobody is being ended

    def run(self) -> int:
        """Start them and stay until all are over; the exit code, or death by the same signal."""
        woken = _wake_on_signals(self._note_signal)
        self._poll.register(woken, select.POLLIN)
        self._signals.register(woken, select.POLLIN)
        self._start()
        self._write_facts()
        while self._alive:
            # With a full disk nobody's output is read: the ranks wait in their own writes.
            source = self._signals if self._unwritten else self._poll
            for fd, _ in source.poll(self._wait_ms()):
                if fd == woken:
                    _empty(woken)
                else:
                    self._read(fd)
            self._reap()
            self._see_to_the_end()
        self._read_the_rest()
        return self._end()

    # --- starting ---

    def _start(self) -> None:
        ports = free_ports(words.ports_needed(self._asked))
        environ = dict(os.environ)
        umask = os.umask(0)
        os.umask(umask)
        for rank in self._ranks:
            told = {**environ, **words.variables(rank, self._asked, ports, environ)}
            try:
                pid = self._start_one(rank, told, umask)
            except (CannotStart, OSError) as error:
                code = error.exit_code if isinstance(error, CannotStart) else 1
                self._failure = Failure(rank.number, code, message=str(error))
                return
            self._alive[pid], self._pids[rank.number] = rank, pid

    def _start_one(self, rank: Rank, environ: Dict[str, str], umask: int) -> int:
        if len(self._ranks) == 1:
            return starter.start_on((0, 1, 2), self._command, environ, os.getcwd(), umask=umask)
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            pid = starter.start_on(
                (0, theirs, theirs), self._command, environ, os.getcwd(), umask=umask
            )
        except CannotStart:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        self._pipes[ours] = rank.number
        self._poll.register(ours, select.POLLIN)
        return pid

    # --- output ---

    def _read(self, fd: int) -> bool:
        """Pass on what this rank printed; False when there is nothing now."""
        if self._unwritten:
            return False
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        rank = self._pipes[fd]
        if not data:
            self._poll.unregister(fd)
            del self._pipes[fd]
            os.close(fd)
        self._write(self._lines.take(rank, data) if data else self._lines.rest(rank))
        return bool(data)

    def _write(self, data: bytes) -> None:
        self._unwritten += data
        while self._unwritten:
            try:
                self._unwritten = self._unwritten[os.write(1, self._unwritten) :]
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return

    def _read_the_rest(self) -> None:
        """All ranks are over: what they wrote is in the pipes, which others may hold open."""
        for fd in list(self._pipes):
            self._wait_for_room()
            while self._read(fd):
                self._wait_for_room()
            rank = self._pipes.get(fd)
            if rank is not None:
                self._write(self._lines.rest(rank))
        self._wait_for_room()

    def _wait_for_room(self) -> None:
        """What was printed isn't given up before somebody ends the run."""
        while self._unwritten and not self._told_to_end:
            self._signals.poll(FULL_DISK_S * 1000)
            self._write(b"")

    # --- ending ---

    def _note_signal(self, number: int) -> None:
        self._told_to_end = self._told_to_end or number

    def _reap(self) -> None:
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            rank = self._alive.pop(pid, None)
            if rank is None or self._failure or self._told_to_end or self._kill_at_s:
                continue  # others fail because of the first, or are being ended
            if os.WIFSIGNALED(status):
                self._fail(Failure(rank.number, signal=os.WTERMSIG(status)))
            elif os.WEXITSTATUS(status):
                self._fail(Failure(rank.number, os.WEXITSTATUS(status)))

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._write_facts()

    def _see_to_the_end(self) -> None:
        """End those that are left where there is a reason to, and make sure that they end."""
        if self._unwritten:
            self._write(b"")
        is_served = all(rank.role == words.SERVER for rank in self._alive.values())
        if not self._kill_at_s and (self._failure or self._told_to_end or is_served):
            self._kill_at_s = time.monotonic() + self._grace_s
            self._signal_all(signal.SIGTERM)
        elif self._kill_at_s and time.monotonic() >= self._kill_at_s:
            self._kill_at_s = time.monotonic() + 1.0  # what is left by then sits in the kernel
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for pid in self._alive:
            try:
                os.killpg(pid, number)  # each rank leads a session of its own; it isn't reaped yet
            except (ProcessLookupError, PermissionError):
                continue

    def _wait_ms(self) -> Optional[float]:
        waits_s = [FULL_DISK_S] if self._unwritten else []
        if self._kill_at_s:
            waits_s.append(max(0.0, self._kill_at_s - time.monotonic()))
        return min(waits_s) * 1000 + 1 if waits_s else None

    def _end(self) -> int:
        failure = self._failure
        number = failure.signal if failure is not None else self._told_to_end
        if number:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of this process tells nothing
            if number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return failure.exit_code or 0 if failure is not None else 0

    # --- facts ---

    def _write_facts(self) -> None:
        ranks: List[Dict[str, Any]] = [
            {**rank._asdict(), "pid": self._pids.get(rank.number, 0)} for rank in self._ranks
        ]
        failed = self._failure._asdict() if self._failure is not None else None
        facts = {"attempt": self._attempt, "ranks": ranks, "failed": failed}
        path = self._folder.file(names.RANKS)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(facts, file)
        os.rename(f"{path}.new", path)


def free_ports(number: int) -> List[int]:
    """Different ports of loopback at which nobody listens. Raises OSError when there are none."""
    held: List[socket.socket] = []
    try:
        port = FIRST_PORT + (os.getpid() * 61) % (LAST_PORT - FIRST_PORT)
        for _ in range(LAST_PORT - FIRST_PORT):
            tried = socket.socket()
            try:
                tried.bind((words.ADDRESS, port))
                held.append(tried)
            except OSError:
                tried.close()
            if len(held) == number:
                return [one.getsockname()[1] for one in held]
            port = FIRST_PORT + (port + 1 - FIRST_PORT) % (LAST_PORT - FIRST_PORT)
        raise OSError(errno.EADDRINUSE, "no port is free at which the ranks could meet")
    finally:
        for one in held:
            one.close()


def _wake_on_signals(note: Any) -> int:
    """Let a signal wake the poll; the descriptor to poll."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    for number in ENDING:
        signal.signal(number, lambda number, _frame: note(number))
    return reader


def _empty(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
