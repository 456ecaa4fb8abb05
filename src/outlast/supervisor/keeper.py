"""Two processes, so that neither's death loses how the run ended.

The keeper forks the supervisor and then only waits. Both are subreapers: when the supervisor is
killed, the kernel hands its children to the keeper, which goes on as the supervisor and still
learns the exit status. When the keeper is killed, nothing happens. Both hold one lock on the run's
`lease`: nobody else supervises while either lives; who gets the lock knows that both are dead.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
from typing import List

from outlast.errors import OutlastError
from outlast.run import folder as names
from outlast.supervisor import kernel, requests, takeover
from outlast.supervisor.assignment import Assignment, read_arguments
from outlast.supervisor.channel import Channel
from outlast.supervisor.complaint import complain
from outlast.supervisor.control import Control
from outlast.supervisor.story import Past
from outlast.supervisor.supervision import Supervision

OK = 0
LOCKED = 3  # another supervisor lives
UNUSABLE = 2  # wrong arguments, or a folder without a spec
# A shutdown, a closed terminal or a stray kill must not end the one who has to tell the truth; the
# job gets such signals itself, and the supervisor then tells how it ended.
_IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


def main(arguments: List[str]) -> int:
    """Supervise one attempt from here to its end; the exit code of this process."""
    try:
        assignment = read_arguments(arguments)
        _close_inherited(assignment.owner_fd)
        lease = _lock(assignment)
    except (OutlastError, OSError, ValueError) as error:
        complain(f"{error}")
        return UNUSABLE
    if lease < 0:
        complain("another supervisor of this run is alive")
        return LOCKED
    if _is_over(assignment):
        return OK
    _stand_apart()
    streams = _opened(assignment)
    gc.freeze()  # what both processes share stays shared
    gc.enable()
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(assignment, streams, assignment.mode)
        return OK
    # Nothing else is a child of the keeper while the supervisor lives.
    if os.waitpid(supervisor, 0)[1] != 0:
        _supervise(assignment, streams, "resume")
    return OK


def _close_inherited(kept: int) -> None:
    if kept > 2:
        os.set_inheritable(kept, False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:  # it belonged to the listing itself
                continue


def _lock(assignment: Assignment) -> int:
    """The lease, locked as long as this process or one that it forks lives.

    While another supervisor holds it: -1, but a next attempt waits for the one before.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(assignment.folder.file(names.LEASE), flags, 0o600)
    # The attempt before told its end, or this one wouldn't be; its processes may still be leaving.
    is_next = assignment.mode == "command" and assignment.attempt > 1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if is_next else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd


def _is_over(assignment: Assignment) -> bool:
    """Has this attempt ended? What an earlier attempt left is removed."""
    end = assignment.folder.file(names.END)
    try:
        with open(end, "rb") as file:
            attempt = json.load(file)["attempt"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):  # not written by a supervisor
        attempt = 0
    if attempt >= assignment.attempt:
        return True
    os.unlink(end)
    if os.path.lexists(assignment.folder.file(names.MANIFEST)):
        os.unlink(assignment.folder.file(names.MANIFEST))
    return False


def _stand_apart() -> None:
    if os.getpgrp() != os.getpid():
        os.setsid()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")  # keep no filesystem busy
    kernel.become_subreaper()


def _opened(assignment: Assignment) -> Channel:
    """What the command's streams will be joined to; nothing that a plain run would pay for."""
    if assignment.spec.kind == "tunnel":
        from outlast.supervisor.stream import Tunnel

        return Tunnel(assignment)
    if assignment.spec.terminal is not None or assignment.spec.kind == "session":
        from outlast.supervisor.terminal import Terminal

        return Terminal(assignment)
    return Channel(assignment)


def _supervise(assignment: Assignment, streams: Channel, mode: str) -> None:
    past = Past.read(assignment.folder.file(names.EVENTS), assignment.attempt)
    if mode != "resume":
        kernel.become_subreaper()  # not inherited by fork
        if past.is_supervised:
            streams.give_up()
    supervision = Supervision(assignment, streams, mode)
    woken, wake = os.pipe()
    for fd in (woken, wake):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def child_ended() -> None:
        os.read(woken, 4096)
        supervision.children_changed()

    supervision.loop.watch(woken, child_ended)
    # Before the command starts: who reads `started` may ask.
    supervision.listen(
        Control(
            assignment.folder,
            supervision.loop,
            lambda request, asker: requests.answer(supervision, request, asker),
        )
    )
    takeover.begin(supervision, past)
    supervision.children_changed()  # what ended before SIGCHLD was listened to
    supervision.sync_logged()
    supervision.loop.run()
