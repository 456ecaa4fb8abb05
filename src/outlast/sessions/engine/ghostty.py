"""The terminal engine over libghostty-vt: fed with a session's output, it can draw what is shown.

    engine = Engine(columns, rows); engine.feed(data); engine.resize(columns, rows); engine.dump()

It answers no query of the stream and touches no file. A crash of the native library ends the
process, so it runs only in the one that `outlast.sessions.engine` starts. What its binary state
means stands in `picture`, how it is drawn in `drawing`.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from pyghostty import (  # type: ignore[import-untyped]
    GhosttyError,
    Terminal,
    __version__,
    ffi,
    lib,
)

from outlast.errors import Corrupt
from outlast.sessions.engine.drawing import draw
from outlast.sessions.engine.picture import Picture, read

VERSION = f"libghostty-vt by pyghostty {__version__}"
HISTORY_LINES = 2000
# The library drops the oldest lines by pages of so many cells (measured, rounded up).
_PAGE_CELLS = 50_000
# Room for wide terminals; lines are what bounds the history.
_HISTORY_BYTES = 64 << 20
# A sequence that isn't finished is kept whole up to here; a longer one can't be drawn.
_UNFINISHED_BYTES = 1 << 20
# Shell marks make the library move lines into the history that xterm.js erases, and erase prompts
# that xterm.js leaves, so it is told of them under a number that means nothing to it.
_MARK = b"\x1b]133;"
_HIDDEN_MARK = b"\x1b]74133;"


class Dump(NamedTuple):
    """What a reset xterm.js of the engine's size draws to be in the engine's state."""

    data: bytes
    lines: int  # of history above the screen


class Unfit(Exception):
    """The engine's state can't be told: its stream stands within an endless sequence."""


class Engine:
    """One terminal; not for use by two threads at once."""

    def __init__(self, columns: int, rows: int, history_lines: int = HISTORY_LINES) -> None:
        self._terminal = Terminal(columns, rows, scrollback=_kept_lines(history_lines, columns))
        self._history_lines = history_lines
        self._held = b""
        self._set("SCROLLBACK_MAX_BYTES", "size_t", _HISTORY_BYTES)
        self._set("CONTINUATION_MAX_BYTES", "size_t", _UNFINISHED_BYTES)
        self.size = (columns, rows)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, cut anywhere."""
        data = self._held + data
        keep = _begun_mark(data)
        self._held = data[len(data) - keep :]
        data = data[: len(data) - keep] if keep else data
        if _MARK in data:
            data = data.replace(_MARK, _HIDDEN_MARK)
        self._terminal.feed(data)

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; the primary screen's lines flow anew."""
        self._terminal.resize(columns, rows)
        self._set("SCROLLBACK_MAX_LINES", "size_t", _kept_lines(self._history_lines, columns))
        self.size = (columns, rows)

    def dump(self, history_lines: int | None = None) -> Dump:
        """Draw the state, with all of its history or the last `history_lines` of it.

        Raises Unfit within a sequence that is longer than 1 MiB.
        """
        if self._terminal.size != self.size:
            self.resize(*self.size)  # the program asked for 132 columns, which xterm.js ignores
        picture = self.picture()
        available = len(picture.primary.rows) - picture.rows
        lines = min(available, self._history_lines if history_lines is None else history_lines)
        return Dump(draw(picture, lines), max(lines, 0))

    def picture(self) -> Picture:
        """What `dump` draws; raises Unfit as it does."""
        picture = read(self._state())
        shown = picture.continuation.replace(_HIDDEN_MARK, _MARK) + self._held
        return picture._replace(continuation=shown)

    def state(self) -> bytes | None:
        """The binary state, or None within an unfinished sequence or character."""
        return self._state() if self.is_at_ground else None

    @property
    def is_at_ground(self) -> bool:
        """Whether the stream stands between two sequences."""
        return not self._held and bool(self._terminal.get("vt_ground", "bool"))

    @classmethod
    def restored(cls, state: bytes, history_lines: int = HISTORY_LINES) -> Engine:
        """An engine in the given binary state; raises Corrupt when the library refuses it."""
        engine = cls.__new__(cls)
        engine._terminal = Terminal.__new__(Terminal)
        _adopt(engine._terminal, _decoded(state))
        engine._history_lines = history_lines
        engine._held = b""
        engine.size = engine._terminal.size
        return engine

    def clone(self) -> Engine:
        """Another engine in the same state, to look at in another size; raises Unfit as `dump`."""
        twin = Engine.restored(self._state(), self._history_lines)
        twin._held, twin.size = self._held, self.size
        return twin

    def close(self) -> None:
        """Give the memory back now."""
        self._terminal.close()

    def _state(self) -> bytes:
        try:
            return _allocated(lib.ghostty_snapshot_encode_alloc, self._terminal._t[0])
        except GhosttyError as error:
            if not self.is_at_ground:
                raise Unfit(str(error)) from error
        self._terminal.feed(self._mending())
        try:
            return _allocated(lib.ghostty_snapshot_encode_alloc, self._terminal._t[0])
        except GhosttyError as error:
            raise Unfit(str(error)) from error

    def _mending(self) -> bytes:
        """Erases wide characters that a narrower screen cut in two: the library can't tell those.

        It happens on the alternate screen alone, whose program draws anew after such a change.
        """
        if not self._terminal.get("active_screen", "int"):
            return b"\x1b[?1047h\x1b[?1047l"  # nobody sees what is left there
        x, y = self._terminal.cursor
        column = self._terminal.size[0]
        cut = [row for row in range(self._terminal.size[1]) if self._is_wide(column - 1, row)]
        erased = b"".join(b"\x1b[%d;%dH\x1b[X" % (row + 1, column) for row in cut)
        return erased + b"\x1b[%d;%dH" % (y + 1, x + 1)

    def _is_wide(self, x: int, y: int) -> bool:
        cell, width = ffi.new("GhosttyCell*"), ffi.new("GhosttyCellWide*")
        _check(lib.ghostty_grid_ref_cell(self._terminal.ref(x, y), cell))
        _check(lib.ghostty_cell_get(cell[0], lib.GHOSTTY_CELL_DATA_WIDE, width))
        return bool(width[0] == lib.GHOSTTY_CELL_WIDE_WIDE)

    def _set(self, name: str, kind: str, value: int) -> None:
        option = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{name}")
        _check(lib.ghostty_terminal_set(self._terminal._t[0], option, ffi.new(f"{kind}*", value)))


def _kept_lines(history_lines: int, columns: int) -> int:
    """How many lines to have kept so that as many as wanted always are: whole pages are dropped."""
    return history_lines + _PAGE_CELLS // columns + 1


def _begun_mark(data: bytes) -> int:
    """How many bytes at the end may be the beginning of a shell mark."""
    at = data.rfind(b"\x1b", max(0, len(data) - len(_MARK) + 1))
    return len(data) - at if at >= 0 and _MARK.startswith(data[at:]) else 0


def _decoded(state: bytes) -> Any:
    decoder, terminal = ffi.new("GhosttySnapshotDecoder*"), ffi.new("GhosttyTerminal*")
    source = ffi.from_buffer(state)
    try:
        _check(lib.ghostty_snapshot_decoder_new_buf(ffi.NULL, decoder, source, len(state)))
        try:
            # Else a terminal caught within a sequence couldn't tell its state again.
            retain = lib.GHOSTTY_SNAPSHOT_DECODER_OPT_RETAIN_CONTINUATION
            _check(lib.ghostty_snapshot_decoder_set(decoder[0], retain, ffi.new("bool*", True)))
            _check(lib.ghostty_snapshot_decoder_decode(decoder[0], terminal))
        finally:
            lib.ghostty_snapshot_decoder_free(decoder[0])
    except GhosttyError as error:
        raise Corrupt(f"the state of a terminal can't be restored: {error}") from error
    return terminal


def _adopt(wrapper: Terminal, terminal: Any) -> None:
    """Make the binding's wrapper own a terminal that the library made."""
    wrapper._t = terminal
    wrapper._unknown_cb = wrapper._reply_cb = wrapper._cb_err = None
    wrapper._free = weakref.finalize(wrapper, lib.ghostty_terminal_free, terminal[0])


def _allocated(call: Any, subject: Any) -> bytes:
    pointer, size = ffi.new("uint8_t**"), ffi.new("size_t*")
    _check(call(subject, ffi.NULL, pointer, size))
    try:
        return bytes(ffi.buffer(pointer[0], size[0]))
    finally:
        lib.ghostty_free(ffi.NULL, pointer[0], size[0])


def _check(result: int) -> None:
    if result:
        raise GhosttyError(f"libghostty-vt answered {result}")
