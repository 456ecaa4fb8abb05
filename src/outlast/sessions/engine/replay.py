"""One session's output, fed into an engine up to an offset, in the sizes that its terminal had.

A replay begins at the checkpoint, or at the first byte; what it can't catch up with in time is
left to `advance`, piece by piece, and a picture is then drawn from the output's end alone and says
that it isn't exact. Checkpoints are written where the stream stands between two sequences and
the drawing, drawn into a second engine, gives the same picture.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

from outlast.errors import Corrupt, Trimmed
from outlast.journal.cursor import Cursor
from outlast.journal.line import unpack
from outlast.journal.trim import first_offset
from outlast.run.folder import OUTPUT, TIMING, RunFolder
from outlast.sessions.engine import checkpoint
from outlast.sessions.engine.checkpoint import Checkpoint
from outlast.sessions.engine.comparing import difference
from outlast.sessions.engine.ghostty import HISTORY_LINES, VERSION, Engine, Unfit

_log = logging.getLogger(__name__)

DEFAULT_SIZE = (80, 24)
MOST_CELLS_A_SIDE = 1000
# What is fed in any case while somebody waits for a picture: 25 ms, or 70 on a busy machine.
BACKLOG_BYTES = 2 << 20
# With more than that it is tried for so long; what was fed isn't lost for the next time.
CATCH_UP_BYTES, CATCH_UP_S = 16 << 20, 0.06
TAIL_BYTES = 1 << 20
LINE_BYTES = 64 << 10  # a line that is longer is begun in its middle
CHECKPOINT_BYTES = 1 << 20
# One frame of the session's WebSocket must hold a picture.
MOST_DRAWN_BYTES = 1 << 20
_PIECE_BYTES = 256 << 10
# The next place between two sequences is rarely farther than this; else a later piece is tried.
_GROUND_STEP_BYTES, _GROUND_STEPS = 64, 64
# Old lines are drawn like new ones: these prove it, and all would take five times as long.
_PROVEN_LINES = 200


class Drawn(NamedTuple):
    """A picture of the screen: where it was taken, and whether the whole stream led to it."""

    offset: int
    data: bytes
    is_exact: bool
    lines: int  # of history above the screen
    will_be_exact: bool = False  # once the engine, which is too far behind, has come so far


class _Sized(NamedTuple):
    """A change of the terminal's size."""

    at: int  # offset of the output
    size: tuple[int, int]
    record: int  # offset of its record in `timing`


class _Stream:
    """An engine and where it stands in the journals."""

    def __init__(self, folder: RunFolder, engine: Engine, at: int, timing_at: int) -> None:
        self.engine = engine
        self.output = Cursor(folder.file(OUTPUT), at)
        self._timing = Cursor(folder.file(TIMING), timing_at)
        self.sizes: deque[_Sized] = deque()  # those that aren't in effect yet

    @property
    def timing_offset(self) -> int:
        """Where reading `timing` goes on for an engine in this one's state."""
        return self.sizes[0].record if self.sizes else self._timing.offset

    def feed(self, end: int) -> None:
        """Take the output up to `end`; raises Trimmed, or another JournalError."""
        self.resize_here()
        while self.output.offset < end:
            stop = min(end, self.sizes[0].at) if self.sizes else end
            data = self.output.read_bytes(min(_PIECE_BYTES, stop - self.output.offset))
            if not data:
                return
            self.engine.feed(data)
            self.resize_here()

    def resize_here(self) -> None:
        """Bring the size changes up to this offset into effect."""
        size = None
        while self.sizes and self.sizes[0].at <= self.output.offset:
            size = self.sizes.popleft().size
        if size is not None and size != self.engine.size:
            self.engine.resize(*size)

    def read_sizes(self) -> None:
        """Learn the size changes that were written by now; raises JournalError."""
        while True:
            start = self._timing.offset
            data = self._timing.read_lines()
            if not data:
                return
            if b'"size"' not in data:
                continue  # a busy day's times are tens of megabytes
            for line in data.splitlines(keepends=True):
                if b'"size"' in line:
                    self._add_size(line, start)
                start += len(line)

    def _add_size(self, line: bytes, record: int) -> None:
        with suppress(Corrupt):  # a damaged line: the next size will be right again
            found = _size(unpack(line))
            if found is not None:
                self.sizes.append(_Sized(*found, record))

    def close(self) -> None:
        self.engine.close()
        self.output.close()
        self._timing.close()


class Replay:
    """A loaded session; give its memory back with `close`."""

    def __init__(self, folder: RunFolder) -> None:
        """Load the checkpoint, or begin anew; raises JournalError."""
        self.folder = folder
        self.kept = 0  # how far the last checkpoint went, or the last place not fit for one
        self._stream, self._is_exact = self._begin()

    @property
    def offset(self) -> int:
        """How much of the output the engine has taken."""
        return self._stream.output.offset

    def end(self) -> int:
        """The length of the output by now."""
        return self._stream.output.size()

    def close(self) -> None:
        self._stream.close()

    def _begin(self) -> tuple[_Stream, bool]:
        first = first_offset(self.folder.file(OUTPUT))
        kept = checkpoint.load(self.folder, VERSION)
        if kept is not None and kept.at >= first:
            try:
                engine = Engine.restored(kept.state)
            except Corrupt:
                _log.warning("run=%s: the checkpoint can't be restored", self.folder.run_id)
            else:
                stream = _Stream(self.folder, engine, kept.at, kept.timing)
                if kept.at <= stream.output.size():
                    self.kept = kept.at
                    return stream, kept.is_exact
                stream.close()  # the journal lost its end
        return _Stream(self.folder, Engine(*DEFAULT_SIZE), first, 0), first == 0

    def advance(self, limit_bytes: int) -> int:
        """Take at most so much of the output, and return how much is left; raises JournalError.

        A checkpoint is written when one is due. Output that was trimmed before it was taken makes
        what follows inexact.
        """
        end = self.end()  # before the sizes: one that took effect before `end` is in them then
        self._stream.read_sizes()
        try:
            self._stream.feed(min(end, self.offset + limit_bytes))
        except Trimmed as trimmed:
            self._pass_over(trimmed)
        if self.offset - self.kept >= CHECKPOINT_BYTES:
            self._keep(end)
        return max(0, end - self.offset)

    def draw(self, size: tuple[int, int], up_to: int | None) -> Drawn | None:
        """Picture the screen at `up_to`, or as late as can be; None when it can't be told there.

        When too much is in between, only the output before that place is looked at. Raises
        JournalError.
        """
        end = self.end() if up_to is None else min(up_to, self.end())
        will_be_exact = False
        self._stream.read_sizes()
        try:
            if self.offset <= end and self._catches_up(end):
                return _drawn(self._stream, size, self._is_exact)
            will_be_exact = self._is_exact
        except Trimmed as trimmed:
            self._pass_over(trimmed)
        except Unfit:
            _log.info("run=%s offset=%d: within an endless sequence", self.folder.run_id, end)
        drawn = self._draw_tail(size, end)
        return None if drawn is None else drawn._replace(will_be_exact=will_be_exact)

    def _catches_up(self, end: int) -> bool:
        """Feed the output up to `end` if that doesn't take too long; raises as `_Stream.feed`."""
        if end - self.offset > CATCH_UP_BYTES:
            return False
        until_s = time.monotonic() + CATCH_UP_S
        while end - self.offset > BACKLOG_BYTES and time.monotonic() < until_s:
            self._stream.feed(self.offset + _PIECE_BYTES)
        if end - self.offset > BACKLOG_BYTES:
            return False
        self._stream.feed(end)
        return True

    def _draw_tail(self, size: tuple[int, int], end: int) -> Drawn | None:
        tail = _Stream(self.folder, Engine(*self._stream.engine.size), 0, 0)
        tail.sizes = self._stream.sizes.copy()
        return _drawn_tail(tail, size, end)

    def _pass_over(self, trimmed: Trimmed) -> None:
        self._is_exact = False
        self._stream.output.offset = trimmed.first

    def _keep(self, end: int) -> None:
        """Write a checkpoint at the next place that is fit for it; else a later call does."""
        stream = self._stream
        for _ in range(_GROUND_STEPS):
            if stream.engine.is_at_ground or self.offset >= end:
                break
            stream.feed(min(end, self.offset + _GROUND_STEP_BYTES))
        if not stream.engine.is_at_ground:
            return
        self.kept = self.offset  # also when it isn't fit: the next try is due 1 MiB later
        try:
            state = stream.engine.state()
            wrong = _unproven(stream.engine)
        except Unfit as error:
            state, wrong = None, str(error)
        if state is None or wrong is not None:
            _log.info("run=%s offset=%d: no checkpoint: %s", self.folder.run_id, self.offset, wrong)
            return
        size, timing = stream.engine.size, stream.timing_offset
        kept = Checkpoint(self.offset, *size, self._is_exact, timing, state)
        try:
            checkpoint.write(self.folder, VERSION, kept)
        except OSError as error:
            _log.warning("run=%s: no checkpoint: %s", self.folder.run_id, error)


def draw_tail(folder: RunFolder, size: tuple[int, int], up_to: int | None) -> Drawn | None:
    """Picture the screen from the last TAIL_BYTES before `up_to` alone, never exact.

    For when a replay ended the process: no checkpoint is believed, and the one that is there goes.
    """
    checkpoint.remove(folder)
    tail = _Stream(folder, Engine(*DEFAULT_SIZE), 0, 0)
    tail.read_sizes()
    return _drawn_tail(tail, size, tail.output.size() if up_to is None else up_to)


def _drawn_tail(tail: _Stream, size: tuple[int, int], end: int) -> Drawn | None:
    try:
        tail.output.offset = _line_start(tail.output, min(end, tail.output.size()))
        tail.feed(end)
        return _drawn(tail, size, is_exact=False)
    except (Unfit, Trimmed):
        return None
    finally:
        tail.close()


def _drawn(stream: _Stream, size: tuple[int, int], is_exact: bool) -> Drawn:
    engine = stream.engine
    if size != engine.size:
        engine = engine.clone()
        engine.resize(*size)
    try:
        lines = HISTORY_LINES
        dump = engine.dump(lines)
        while len(dump.data) > MOST_DRAWN_BYTES and lines:
            lines //= 2
            dump = engine.dump(lines)
    finally:
        if engine is not stream.engine:
            engine.close()
    return Drawn(stream.output.offset, dump.data, is_exact, dump.lines)


def _unproven(engine: Engine) -> str | None:
    """What the engine's drawing loses; None when a second engine draws the same from it."""
    dump = engine.dump(_PROVEN_LINES)
    second = Engine(*engine.size)
    try:
        second.feed(dump.data)
        return difference(engine.picture(), second.picture(), dump.lines)
    finally:
        second.close()


def _size(record: dict[str, Any]) -> tuple[int, tuple[int, int]] | None:
    size, at = record.get("size"), record.get("at")
    if not isinstance(at, int) or not isinstance(size, list) or len(size) != 2:
        return None
    columns, rows = size
    if not isinstance(columns, int) or not isinstance(rows, int):
        return None
    return at, (fitting(columns), fitting(rows))


def fitting(cells: int) -> int:
    """A width or height that a terminal can have."""
    return min(max(cells, 1), MOST_CELLS_A_SIDE)


def _line_start(output: Cursor, end: int) -> int:
    """Where to begin in order to reach `end` soon: a line's first byte, where one is near."""
    first = first_offset(output.path)
    start = max(first, end - TAIL_BYTES)
    if start in (first, end):
        return start
    output.offset = start
    head = output.read_bytes(min(LINE_BYTES, end - start))
    return start + head.find(b"\n") + 1  # the middle of a line when none begins near
