"""Read the binary state of a terminal that libghostty-vt gives (its snapshot format, version 1).

    "GHOSTSNP" version u16, then records: tag u16 | length u32 | crc32c u32 | payload
    TERMINAL (SCREEN PAGE...)... CONTINUATION READY (HISTORY PAGE...)... FINISH      little-endian

Pure. It believes the library, which has just made these bytes, and raises Corrupt on anything that
isn't of this version. What is drawn from a picture stands in `drawing`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from outlast.errors import Corrupt

_MAGIC = b"GHOSTSNP\x01\x00"
_RECORD = struct.Struct("<HII")
_TERMINAL, _SCREEN, _PAGE, _HISTORY, _CONTINUATION = 1, 2, 3, 4, 7
_TERMINAL_HEADER = struct.Struct("<HHIIHHHHBHHIBBBBBBBBBBQQQ8s8s8sQQ")
_SCREEN_HEADER = struct.Struct("<HHQHHBB16sIHBB8sBBB")
_SAVED_CURSOR = struct.Struct("<HH16sBH")
_PAGE_HEADER = struct.Struct("<HHHHHHII")
_STYLE_ENTRY = struct.Struct("<H16s")
_ROW_HEADER = struct.Struct("<BH")
_GRAPHEME = struct.Struct("<HHH")

NO_STYLE = bytes(16)


class Link(NamedTuple):
    """An OSC 8 hyperlink; `name` is what the program called it, if it did."""

    name: bytes
    uri: bytes


class Page(NamedTuple):
    """What the cells of a run of rows refer to."""

    columns: int
    styles: dict[int, bytes]  # id -> 16 bytes: three colours of 4, flags u16, 0
    links: dict[int, Link]


class Row(NamedTuple):
    """One line of cells; those after the last one that is told are empty."""

    page: Page
    wraps: bool  # its text goes on in the next row
    continues: bool  # it is the rest of the row before
    width: int  # bytes a cell: 1, 2 (code points), 4 or 8 (cell words)
    cells: bytes
    marks: dict[int, str] | None  # column -> combining characters


class Saved(NamedTuple):
    """What DECSC saved."""

    x: int
    y: int
    pen: bytes
    is_protected: bool
    is_wrap_pending: bool
    is_origin: bool
    charset: int


class Screen(NamedTuple):
    """The primary or the alternate screen."""

    x: int
    y: int
    shape: int  # 0 bar, 1 block, 2 underline, 3 hollow block
    is_wrap_pending: bool
    is_protected: bool
    pen: bytes
    charset: int  # bits 0-7 the sets of G0 to G3, bits 8-9 which of them is in use
    keyboard: bytes  # kitty keyboard flags from the bottom of its stack to the top
    link: Link | None
    saved: Saved | None
    rows: list[Row]  # oldest first; the last ones are the screen, those before are history


class Picture(NamedTuple):
    """A whole terminal."""

    columns: int
    rows: int
    top: int
    bottom: int
    is_alternate: bool
    previous: int | None  # the code point that was printed last
    has_default_cursor: bool
    modifies_other_keys: bool
    mouse: int  # 0 none, 1 X10, 2 buttons, 3 with drags, 4 any motion
    mouse_format: int  # 0 X10, 1 UTF-8, 2 SGR, 3 urxvt, 4 SGR in pixels
    modes: int  # bits of the format's registry
    colours: tuple[bytes | None, bytes | None, bytes | None]  # background, foreground, cursor
    tab_stops: frozenset[int]
    palette: dict[int, bytes]  # what the program changed
    title: bytes
    primary: Screen
    alternate: Screen | None
    continuation: bytes  # of the sequence that isn't finished yet


def read(state: bytes) -> Picture:
    """The picture in a binary state; raises Corrupt when it isn't one of version 1."""
    try:
        return _picture(state)
    except (struct.error, IndexError, KeyError, UnicodeError) as error:
        raise Corrupt(f"the state of a terminal can't be read: {error!r}") from error


class _Reader:
    """Takes bytes off the front."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise IndexError(f"{size} bytes are missing at {self.at}")
        self.at += size
        return piece

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self) -> bytes:
        return self.take(self.number(4))


def _records(state: bytes) -> Iterator[tuple[int, bytes]]:
    if state[: len(_MAGIC)] != _MAGIC:
        raise Corrupt("the state of a terminal isn't of version 1")
    at = len(_MAGIC)
    while at < len(state):
        tag, length, _crc = _RECORD.unpack_from(state, at)
        at += _RECORD.size
        yield tag, state[at : at + length]
        at += length


def _picture(state: bytes) -> Picture:
    terminal = b""
    continuation = b""
    screens: dict[int, Screen] = {}
    history: dict[int, list[list[Row]]] = {}
    pages: list[list[Row]] | None = None
    key = 0
    for tag, payload in _records(state):
        if tag == _TERMINAL:
            terminal = payload
        elif tag == _SCREEN:
            key, screens[key_of(payload)] = key_of(payload), _screen(payload)
            pages = None
        elif tag == _HISTORY:
            pages = history.setdefault(key_of(payload), [])
        elif tag == _PAGE and pages is not None:
            pages.append(_page(payload))
        elif tag == _PAGE:
            screens[key].rows.extend(_page(payload))
        elif tag == _CONTINUATION:
            continuation = payload
    for number, older in history.items():
        screens[number].rows[:0] = [row for page in reversed(older) for row in page]
    return _assembled(terminal, screens, continuation)


def key_of(payload: bytes) -> int:
    """Which screen a SCREEN or HISTORY record is about."""
    return int.from_bytes(payload[:2], "little")


def _assembled(terminal: bytes, screens: dict[int, Screen], continuation: bytes) -> Picture:
    reader = _Reader(terminal)
    fields = reader.unpack(_TERMINAL_HEADER)
    columns, rows = fields[0], fields[1]
    stops = reader.number((columns + 7) // 8)
    reader.take(3 * 256)
    changed = reader.number(32)
    palette = {index: reader.take(3) for index in range(256) if changed >> index & 1}
    reader.text()
    background, foreground, cursor = (_override(bytes(colour)) for colour in _colours(terminal))
    return Picture(
        columns=columns,
        rows=rows,
        top=fields[4],
        bottom=fields[5],
        is_alternate=fields[9] == 1,
        previous=None if fields[11] == 0xFFFFFFFF else fields[11],
        has_default_cursor=bool(fields[12]),
        modifies_other_keys=bool(fields[16]),
        mouse=fields[17],
        mouse_format=fields[18],
        modes=fields[22],
        colours=(background, foreground, cursor),
        tab_stops=frozenset(column for column in range(columns) if stops >> column & 1),
        palette=palette,
        title=reader.text(),
        primary=screens[0],
        alternate=screens.get(1),
        continuation=continuation,
    )


def _colours(terminal: bytes) -> tuple[bytes, bytes, bytes]:
    return terminal[63:71], terminal[71:79], terminal[79:87]


def _override(colour: bytes) -> bytes | None:
    return colour[5:8] if colour[4] else None


def _screen(payload: bytes) -> Screen:
    reader = _Reader(payload)
    (
        _key, _pages, _history, x, y, shape, flags, pen, _implicit, charset,
        _protection, depth, keyboard, _click, _value, has_saved,
    ) = _SCREEN_HEADER.unpack_from(payload)  # fmt: skip
    reader.at = _SCREEN_HEADER.size
    saved = None
    if has_saved:
        saved_x, saved_y, saved_pen, saved_flags, saved_charset = _SAVED_CURSOR.unpack(
            reader.take(_SAVED_CURSOR.size)
        )
        saved = Saved(
            saved_x, saved_y, saved_pen, bool(saved_flags & 1), bool(saved_flags & 2),
            bool(saved_flags & 4), saved_charset,
        )  # fmt: skip
    return Screen(
        x=x,
        y=y,
        shape=shape,
        is_wrap_pending=bool(flags & 1),
        is_protected=bool(flags & 2),
        pen=pen,
        charset=charset,
        keyboard=keyboard[: depth + 1],
        link=_link(reader),
        saved=saved,
        rows=[],
    )


def _link(reader: _Reader) -> Link | None:
    kind = reader.number(1)
    if kind == 0:
        return None
    if kind == 1:
        reader.take(4)
        return Link(b"", reader.text())
    name = reader.text()
    return Link(name, reader.text())


def _page(payload: bytes) -> list[Row]:
    reader = _Reader(payload)
    columns, row_count, style_count, link_count, *_hints = reader.unpack(_PAGE_HEADER)
    styles: dict[int, bytes] = {0: NO_STYLE}
    for _ in range(style_count):
        number, style = _STYLE_ENTRY.unpack(reader.take(_STYLE_ENTRY.size))
        styles.setdefault(number, style)
    links: dict[int, Link] = {}
    for _ in range(link_count):
        number = reader.number(2)
        link = _link(reader)
        if link is not None:
            links.setdefault(number, link)
    page = Page(columns, styles, links)
    rows = []
    for _ in range(row_count):
        flags, count = reader.unpack(_ROW_HEADER)
        width = 1 << (flags >> 4 & 3)
        cells = reader.take(count * width)
        rows.append(Row(page, bool(flags & 1), bool(flags & 2), width, cells, None))
    for at, column, size in (reader.unpack(_GRAPHEME) for _ in range(reader.number(4))):
        marks = rows[at].marks
        if marks is None:
            marks = {}
            rows[at] = rows[at]._replace(marks=marks)
        marks[column] = reader.take(4 * size).decode("utf-32-le")
    return rows
