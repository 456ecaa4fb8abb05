"""The journal of this process: records go in, at the cost of one write each.

Each process writes a journal of its own (`logged.<writer>`), so that forks, spawned workers and
ranks never mix. A full disk never stops the script: records wait in a bounded memory, the oldest
are dropped and counted, and a gap record tells how many. It doesn't know what records mean (see
run.logged) and starts no thread: the run's supervisor syncs the journals to disk every second.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import zlib
from collections import deque
from typing import Any, Deque, Mapping, Optional

from outlast.errors import DiskFull, JournalError, Sealed
from outlast.journal.line import pack
from outlast.journal.writer import Writer
from outlast.process import Identity, boot_id
from outlast.run import logged
from outlast.run.folder import RunFolder

# About 8 MB of metric records: what a script may hold back while its disk is full.
HELD_RECORDS = 50_000
RETRY_PAUSE_S = 1.0
EXIT_PATIENCE_S = 60.0

_quote = json.encoder.encode_basestring_ascii


class Recorder:
    """Appends this process's records to the run's folder."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._writer: Optional[Writer] = None
        self._opening = threading.Lock()
        self._holding = threading.Lock()  # for the three below
        self._held: Deque[bytes] = deque(maxlen=HELD_RECORDS)
        self._dropped = 0
        self._retry_at = 0.0
        os.register_at_fork(after_in_child=self._forget)

    def metric(self, name: str, value: str, step: int, t_ns: int) -> None:
        """Append a metric point; `value` is JSON text, or `null,"x":"nan"` for what JSON lacks."""
        # Made by hand: json.dumps of the same record takes three times as long.
        body = f'{{"k":"m","n":{_quote(name)},"v":{value},"s":{step},"t":{t_ns}'.encode("ascii")
        self._append(b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body)))

    def record(self, record: Mapping[str, Any]) -> None:
        """Append any other record. Raises Invalid for values that JSON can't hold."""
        self._append(pack(record))

    def sync(self) -> None:
        """Return when every record so far is on the disk; raise OSError or JournalError if not."""
        if self._held:
            with self._holding:
                self._write_held()
        if self._held:
            raise DiskFull(
                f"{len(self._held)} records wait for room on the disk of {self.folder.path}"
            )
        if self._writer is not None:
            self._writer.sync()

    def finish(self) -> None:
        """At the process's end: sync, waiting a minute for room if records are still held."""
        until_s = time.monotonic() + EXIT_PATIENCE_S
        while True:
            try:
                return self.sync()
            except (OSError, JournalError):
                if not self._held or time.monotonic() > until_s:
                    break
            time.sleep(RETRY_PAUSE_S)
        if self._held:
            _tell(f"no room came: the last {len(self._held) + self._dropped} records are lost")

    def _append(self, line: bytes) -> None:
        if self._held:  # asked without the lock, which would cost every record of a healthy run
            with self._holding:
                self._hold(line)
                if time.monotonic() >= self._retry_at:
                    self._write_held()
            return
        try:
            (self._writer or self._open()).append_packed(line)
        except (OSError, JournalError) as error:
            self._begin_holding(line, error)

    def _open(self) -> Writer:
        with self._opening:
            if self._writer is None:
                self._writer = self._begin_journal()
            return self._writer

    def _begin_journal(self) -> Writer:
        me = Identity.of(os.getpid()) or Identity(os.getpid(), 0, "")
        # Four random characters: a pid and start time may come again after a reboot.
        name = f"{me.pid}-{me.start_ticks}-{os.urandom(2).hex()}"
        writer = Writer(self.folder.logged(name))
        hello = {
            "k": logged.HELLO,
            "pid": me.pid,
            "start": me.start_ticks,
            "boot": boot_id(),
            "rank": _rank(),
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "t": time.time_ns(),
            "mono": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        }
        writer.append(hello)
        return writer

    def _begin_holding(self, line: bytes, error: Exception) -> None:
        with self._holding:
            is_first = not self._held  # of the threads that all met the full disk
            self._leave_sealed(error)
            self._hold(line)
            self._retry_at = time.monotonic() + RETRY_PAUSE_S
        if is_first:
            _tell(
                f"the run's journal can't be written ({error}); the script goes on, "
                f"up to {HELD_RECORDS} records wait in memory"
            )

    def _leave_sealed(self, error: Exception) -> None:
        """A journal that failed for good is left as it is; the next record begins another."""
        if isinstance(error, Sealed):
            self._writer = None

    def _hold(self, line: bytes) -> None:
        if len(self._held) == HELD_RECORDS:
            self._dropped += 1
        self._held.append(line)

    def _write_held(self) -> None:
        if not self._held:  # another thread was faster
            return
        self._retry_at = time.monotonic() + RETRY_PAUSE_S
        try:
            writer = self._writer or self._open()
            lost = self._dropped
            if lost:
                gap = {"k": logged.GAP, "count": lost, "reason": "disk full", "t": time.time_ns()}
                writer.append(gap)
                self._dropped = 0
            while self._held:
                writer.append_packed(self._held[0])
                self._held.popleft()
            _tell(f"the run's journal can be written again; {lost or 'no'} records were lost")
        except (OSError, JournalError) as error:
            self._leave_sealed(error)  # told once when it began; tried again in RETRY_PAUSE_S

    def _forget(self) -> None:
        """In a forked child: the parent's journal is the parent's, and so are its held records."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        # Another thread of the parent may have held them.
        self._opening, self._holding = threading.Lock(), threading.Lock()
        self._held.clear()
        self._dropped = 0


def _tell(text: str) -> None:
    """To the user, past Python's buffer: what that can't write it keeps, and fails at the exit."""
    try:
        if sys.stderr is sys.__stderr__:
            os.write(2, f"outlast: {text}\n".encode())
        else:  # a notebook's
            print(f"outlast: {text}", file=sys.stderr)
    except (OSError, ValueError):
        return  # stderr is closed, or on the same full disk; the script must not suffer from it


def _rank() -> Optional[int]:
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return None
