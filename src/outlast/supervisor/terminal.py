"""A session's terminal: a PTY that outlives everybody who looks at it, and either of its keepers.

The keeper opens it before it forks, so both processes hold the master, and a slave as well: the
master never hangs up while a process of the session may still write. The shell leads its own
session on it. What comes out goes to `output` (`pump`), what is typed goes in (`typed`), who is
there sits in `attached`; `marks` finds commands, `timing` notes when, `upkeep` syncs and trims.
When both processes are killed the kernel hangs the terminal up, and the shell with it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from outlast.process import TICKS_PER_S, Identity, all_stats
from outlast.run import events as ev
from outlast.run import folder as names
from outlast.run.spec import Terminal as Asked
from outlast.supervisor import command, pump, typed
from outlast.supervisor.assignment import Assignment, Launch
from outlast.supervisor.attached import Room, Screen, Size
from outlast.supervisor.channel import Channel, Desk, End
from outlast.supervisor.complaint import complain
from outlast.supervisor.control import Asker
from outlast.supervisor.loop import now_s, wall_ns
from outlast.supervisor.marks import Marked
from outlast.supervisor.pump import Pump
from outlast.supervisor.timing import Timing
from outlast.supervisor.tree import command_of, plain
from outlast.supervisor.typed import Typed
from outlast.supervisor.upkeep import Upkeep
from outlast.wire import frame as wire
from outlast.wire.frame import telling

_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0
# More than the kernel holds of a terminal's output: whoever writes on can't keep its end from us.
_DRAINED_BYTES = 1 << 20
_IUTF8 = 0o40000
# So few new bytes are told as they are: those who follow needn't read them from the journal.
_TOLD_BYTES = 2 << 10
_GONE = "its terminal is gone: both of its supervisors were killed"


class Terminal(Channel):
    """The channel of a session."""

    is_held = True
    hangs_up = True

    def __init__(self, assignment: Assignment) -> None:
        super().__init__(assignment)
        self._failure = ""
        self._is_served = False
        self._lost_until = 0
        self._asked = assignment.spec.terminal or Asked()
        if assignment.mode != "command":
            self._failure = _GONE
            return
        try:
            self._master, self._slave = _opened(self._asked)
            self._output = pump.Ends.made(self._master)
            self._input = typed.Ends.made(self._master)
        except OSError as error:
            self._failure = f"no terminal can be opened: {error.strerror}"

    def give_up(self) -> None:
        self._failure = _GONE

    def variables(self) -> Mapping[str, str]:
        return {"TERM": "xterm-256color", "COLORTERM": "truecolor"}

    def start(self, launch: Launch, environ: Mapping[str, str], *, cgroup_procs: str = "") -> int:
        if self._failure:
            raise command.CannotStart("no_terminal", self._failure, command.NOT_EXECUTABLE)
        # They tell the size of whoever opened the session, and programs would believe them.
        told = {name: environ[name] for name in environ if name not in ("COLUMNS", "LINES")}
        return command.start_on(
            (self._slave, self._slave, self._slave),
            launch.command,
            told,
            launch.folder,
            umask=launch.umask,
            cgroup_procs=cgroup_procs,
            is_terminal=True,
        )

    # --- in the process that supervises ---

    def serve(self, desk: Desk) -> None:
        if self._failure:
            return
        file = self.assignment.folder.file
        self._desk = desk
        self._timing = Timing(file(names.TIMING))
        try:
            self._pump = Pump(self._output, file(names.OUTPUT), self._lost)
        except OSError as error:
            self._failure = f"{names.OUTPUT} can't be opened: {error.strerror}"
            return
        self._typed = Typed(self._input, desk.loop, self._took)
        columns, rows = _size_of(self._master)
        self._screen = Screen(Size(columns, rows), self._pump.length)
        self._room = Room(desk.loop, self._typed, self._screen, self._resize)
        companions = (file(names.TIMING), file(names.COMMANDS))
        quota_bytes = self._asked.quota_bytes
        self._upkeep = Upkeep(file(names.OUTPUT), companions, quota_bytes, desk.loop)
        self._marks = Marked(file(names.COMMANDS), self._pump.journal, self._pump.length)
        self._retry_s = _FIRST_RETRY_S
        self._last_byte_ns = 0
        self._last_s = now_s()
        self._is_served = True
        self._timing.resized(self._pump.length, columns, rows)
        self._marks.follow(self._pump.length)
        self._grown(self._pump.length)
        desk.loop.watch(self._master, self._ready)
        self._look_at_idleness()

    def _ready(self) -> None:
        self._turn()

    def _turn(self) -> int:
        before = self._pump.length
        turned = self._pump.turn()
        if turned:
            self._last_s, self._last_byte_ns = now_s(), time.time_ns()
            self._grown(before)
        return turned

    def _grown(self, before: int) -> None:
        length = self._pump.length
        if length > before:
            end = self._end(before)
            self._room.written(length, end)  # first: somebody waits for the echo of a key
            self._timing.came(max(before, self._lost_until), length)
            self._marks.follow(length, end)
            self._upkeep.grown(length)
        if self._pump.refusal and self._desk.loop.due_s("room") is None:
            complain(f"{names.OUTPUT}: {self._pump.refusal}; the newest is kept in memory")
            self._desk.loop.after("room", self._retry_s, self._look_for_room)

    def _end(self, start: int) -> bytes:
        """What came from `start` on, when it is little; b"" = look into the journal."""
        size_bytes = self._pump.length - start
        if size_bytes > _TOLD_BYTES or start < self._lost_until:
            return b""
        end = os.pread(self._pump.journal, size_bytes, start)
        return end if len(end) == size_bytes else b""

    def _look_for_room(self) -> None:
        before = self._pump.length
        if self._pump.recover():
            self._retry_s = _FIRST_RETRY_S
            self._timing.catch_up(self._pump.length)
        else:
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            self._desk.loop.after("room", self._retry_s, self._look_for_room)
        self._grown(before)

    def _lost(self, first: int, end: int) -> bool:
        why = "the disk was full"
        if not self._timing.lost(first, end, why):
            return False
        message = f"{end - first} bytes of its output are lost: {why}"
        facts = {"from": first, "to": end}
        attempt = self.assignment.attempt
        self._desk.tell(ev.Warned(time.time_ns(), attempt, "output_lost", message, facts))
        self._lost_until = end
        if self._is_served:
            self._marks.skip(end)
            self._room.say(telling(wire.GAP, end, **{"from": first}, why="lost"))
        return True

    def _took(self) -> None:
        self._last_s = now_s()
        self._room.accepted()

    def _resize(self, size: Size) -> None:
        if size == self._screen.size:
            return
        _set_size(self._master, size)
        self._timing.resized(self._pump.length, *size)
        self._room.resized(size)

    def _look_at_idleness(self) -> None:
        """End the session when for so long nobody was there and nothing happened."""
        allowed_s = self._asked.idle_s
        if not allowed_s:
            return
        if not self._room.is_empty():
            self._last_s = now_s()
        idle_s = now_s() - self._last_s
        if idle_s >= allowed_s:
            self._desk.reach("idle_s", allowed_s, idle_s)
        else:
            # Somebody who comes and goes in between is seen when the timer comes, at the latest.
            self._desk.loop.after("idle", allowed_s - idle_s, self._look_at_idleness)

    def attach(self, request: Dict[str, Any], asker: Asker) -> None:
        if not self._is_served:
            asker.reply({"error": self._failure})
        else:
            self._room.attach(request, asker)
            self._last_s = now_s()

    def drain(self) -> None:
        drained = 0
        while self._is_served and drained < _DRAINED_BYTES:
            turned = self._turn()
            if not turned:
                return
            drained += turned

    @property
    def is_at_rest(self) -> bool:
        return not self._is_served or not self._pump.refusal

    def ended(self, end: End) -> None:
        if self._is_served:
            said = {"code": end.code, "signal": end.signal, "t_ns": end.t_ns}
            frame = telling(
                wire.EXIT, self._pump.length, **said, message=end.message, status=end.status
            )
            self._room.exited(frame)

    def status(self, main: Optional[Identity]) -> Dict[str, Any]:
        if not self._is_served:
            return {"terminal": None}
        columns, rows = self._screen.size
        return {
            "terminal": {
                "columns": columns,
                "rows": rows,
                "written": self._pump.length,
                "last_byte_ns": self._last_byte_ns,
                "driver": self._room.driver(),
                "viewers": self._room.viewers(),
                "foreground": self._foreground(),
                "cwd": _folder_of(main) or self._marks.cwd,
            }
        }

    def _foreground(self) -> Optional[Dict[str, Any]]:
        """Who has the terminal: the leader of the foreground's process group, or its oldest."""
        try:
            group = os.tcgetpgrp(self._master)
        except OSError:
            return None
        mine = [stat for stat in all_stats().values() if stat.group == group and stat.state != "Z"]
        if not mine:
            return None
        stat = min(mine, key=lambda stat: (stat.pid != group, stat.start_ticks))
        return {
            "pid": stat.pid,
            "command": command_of(stat.pid),
            "since_ns": wall_ns(stat.start_ticks / TICKS_PER_S),
        }

    def close(self) -> None:
        if self._is_served:
            self._turn()
            self._room.close()


def _opened(asked: Asked) -> Tuple[int, int]:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    settings = termios.tcgetattr(slave)
    settings[0] |= _IUTF8  # erase takes a whole character
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    _set_size(master, Size(asked.columns, asked.rows))
    return master, slave


def _set_size(master: int, size: Size) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))


def _size_of(master: int) -> Tuple[int, int]:
    rows, columns = struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    return columns, rows


def _folder_of(main: Optional[Identity]) -> str:
    if main is None or not main.is_alive():
        return ""
    try:
        return plain(os.readlink(f"/proc/{main.pid}/cwd"))
    except OSError:
        return ""
