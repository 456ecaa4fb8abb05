"""Draw a picture for xterm.js: bytes after which a reset terminal shows the same and goes on alike.

Lines are printed in order, so that old ones end in the history; then come tab stops, margins, the
saved cursor, modes, title, cursor and pen, and last the bytes of the unfinished sequence. Empty
cells are skipped or erased, never filled with blanks: copying and reflow tell them apart. Nothing
drawn asks the terminal for an answer. Pure; where a picture comes from stands in `picture`.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache

from outlast.sessions.engine.cells import Span, cell_at, has_spacer, spans
from outlast.sessions.engine.picture import NO_STYLE, Link, Picture, Row, Saved, Screen

# Bits of the registry of modes -> the sequence's number; only those that xterm.js has.
_PRIVATE_MODES = {4: 1, 15: 45, 17: 66, 23: 1004, 36: 2004}
_INSERT, _LINEFEED, _ORIGIN, _WRAPAROUND, _BLINK, _VISIBLE, _SYNCHRONIZED = 1, 3, 8, 9, 12, 13, 37
MODES = sum(
    1 << bit
    for bit in (
        *_PRIVATE_MODES, _INSERT, _LINEFEED, _ORIGIN, _WRAPAROUND, _BLINK, _VISIBLE, _SYNCHRONIZED,
    )
)  # fmt: skip
_MOUSE = (None, 9, 1000, 1002, 1003)
_MOUSE_FORMATS = (None, 1005, 1006, 1015, 1016)
_CHARSETS = (b"B", b"B", b"A", b"0")  # UTF-8, ASCII, British, DEC line drawing
_SHIFTS = (b"\x0f", b"\x0e", b"\x1bn", b"\x1bo")
_SHAPES = (5, 1, 3, 1)  # bar, block, underline, hollow block: the blinking one of DECSCUSR
_FLAGS = ((0, 1), (2, 2), (1, 3), (3, 5), (4, 7), (5, 8), (6, 9), (7, 53))  # bit -> SGR
_TAB_COLUMNS = 8
_FIRST_WIDE = "\u1100"
_FIRST_FLAG, _LAST_FLAG = "\U0001f1e6", "\U0001f1ff"
NO_COLOUR = bytes(4)

_CONTROL_BYTES = re.compile(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]")
_COLOUR = struct.Struct("BBBB")


def draw(picture: Picture, history_lines: int) -> bytes:
    """The bytes that bring a reset xterm.js of the picture's size to the same state.

    At most `history_lines` of those above the screen are drawn.
    """
    brush = _Brush()
    _draw_rows(brush, picture.primary.rows, picture, history_lines)
    if picture.is_alternate and picture.alternate is not None:
        _save_cursor(brush, picture.primary, picture)
        brush.plain()
        brush.write(b"\x1b[?1047h\x1b[H")
        _draw_rows(brush, picture.alternate.rows, picture, 0)
    screen = active(picture)
    _save_cursor(brush, screen, picture)
    brush.plain()
    _set_tab_stops(brush, picture)
    if (picture.top, picture.bottom) != (0, picture.rows - 1):
        brush.write(b"\x1b[%d;%dr" % (picture.top + 1, picture.bottom + 1))
    _set_colours(brush, picture)
    _set_modes(brush, picture, screen)
    _place_cursor(brush, picture, screen)
    brush.write(picture.continuation)
    return bytes(brush.out)


def active(picture: Picture) -> Screen:
    """The screen that is shown."""
    if picture.is_alternate and picture.alternate is not None:
        return picture.alternate
    return picture.primary


@lru_cache(maxsize=4096)
def sgr(style: bytes) -> bytes:
    """The sequence that gives exactly this style, whatever was set before."""
    flags = int.from_bytes(style[12:14], "little")
    parts = [b"0"]
    parts += [b"%d" % number for bit, number in _FLAGS if flags >> bit & 1]
    underline = flags >> 8 & 7
    if underline:
        parts.append(b"4" if underline == 1 else b"4:%d" % underline)
    parts += _colour(style[0:4], 30, 38)
    parts += _colour(style[4:8], 40, 48)
    kind, first, second, third = _COLOUR.unpack(style[8:12])
    if kind == 1:
        parts.append(b"58:5:%d" % first)
    elif kind == 2:
        parts.append(b"58:2::%d:%d:%d" % (first, second, third))
    return b"\x1b[" + b";".join(parts) + b"m"


def _colour(colour: bytes, short: int, long: int) -> list[bytes]:
    kind, first, second, third = _COLOUR.unpack(colour)
    if kind == 0:
        return []
    if kind == 2:
        return [b"%d;2;%d;%d;%d" % (long, first, second, third)]
    if first < 8:
        return [b"%d" % (short + first)]
    if first < 16:
        return [b"%d" % (short + 52 + first)]
    return [b"%d;5;%d" % (long, first)]


class _Brush:
    """Collects bytes and knows how the terminal's pen stands, so that nothing is said twice."""

    __slots__ = ("is_protected", "link", "out", "style")

    def __init__(self) -> None:
        self.out = bytearray()
        self.style = NO_STYLE
        self.link: Link | None = None
        self.is_protected = False

    def write(self, data: bytes) -> None:
        self.out += data

    def set(self, style: bytes, link: Link | None = None, is_protected: bool = False) -> None:
        if style != self.style:
            self.out += sgr(style)
            self.style = style
        if link != self.link:
            self.out += _hyperlink(link)
            self.link = link
        if is_protected != self.is_protected:
            self.out += b'\x1b[1"q' if is_protected else b'\x1b[0"q'
            self.is_protected = is_protected

    def plain(self) -> None:
        self.set(NO_STYLE)

    def print(self, text: str) -> None:
        self.out += text.encode("utf-8", "replace")


def _hyperlink(link: Link | None) -> bytes:
    if link is None:
        return b"\x1b]8;;\x1b\\"
    name = b"id=" + clean(link.name) if link.name else b""
    return b"\x1b]8;%b;%b\x1b\\" % (name, clean(link.uri))


def clean(text: bytes) -> bytes:
    """Text for inside a sequence: without controls, which would end it or begin another."""
    return _CONTROL_BYTES.sub(b"", text)


def _draw_rows(brush: _Brush, rows: list[Row], picture: Picture, history_lines: int) -> None:
    rows = rows[-(picture.rows + history_lines) :]
    if len(rows) <= picture.rows:
        while rows and not rows[-1].cells and not rows[-1].continues:
            rows = rows[:-1]  # the cursor is placed at the end: no line need be begun for it
    for number, row in enumerate(rows):
        following = rows[number + 1] if number + 1 < len(rows) else None
        _draw_row(brush, row, following, picture.columns)
        if following is not None and not following.continues:
            brush.plain()
            brush.write(b"\r\n")
    brush.plain()


def _draw_row(brush: _Brush, row: Row, following: Row | None, columns: int) -> None:
    """Print one row; where the next one continues it, end so that the next character wraps."""
    found = list(spans(row))
    while found and not found[-1].text and found[-1].style == NO_STYLE:
        found.pop()
    column = 0
    for span in found:
        brush.set(span.style, span.link, span.is_protected)
        if span.text:
            brush.print(span.text)
        else:
            _leave_empty(brush, span, column, columns)
        column += span.size
    if following is None or not following.continues or row.page.columns != columns:
        return
    first = next(spans(following), None)
    if has_spacer(row) and first is not None and first.text[:1] >= _FIRST_WIDE:
        if column != columns - 1:  # what stands before it was skipped, not printed
            brush.write(b"\x1b[%dG" % columns)
        _wrap_wide(brush, first)
    else:
        _wrap(brush, first, columns, found[-1] if found and column == columns else None)


def _wrap_wide(brush: _Brush, first: Span) -> None:
    """Let a wide character wrap by itself; what the scrolled line was filled with is erased."""
    brush.set(first.style, first.link, first.is_protected)
    # Half a flag has one cell in xterm.js, and doesn't wrap there before the second.
    brush.print(first.text[0] * (2 if _FIRST_FLAG <= first.text[0] <= _LAST_FLAG else 1))
    brush.plain()
    brush.write(b"\x1b[K\r")


def _wrap(brush: _Brush, first: Span | None, columns: int, last: Span | None) -> None:
    """Bring the cursor to the next line by a wrap; `last` covers the line's last cell, if any does.

    A terminal wraps only when something is printed, and fills a line that it scrolls in with the
    pen's background. So a plain blank is printed where the first character doesn't do as well; and
    one in the last cell, erased later, where that is empty.
    """
    if last is not None and last.text:
        if first is None or not first.text or first.style[4:8] != NO_COLOUR:
            brush.plain()
            brush.write(b" \r\x1b[X")
        return
    brush.plain()
    brush.write(b"\x1b[%dG  \x1b[A\x1b[%dG" % (columns, columns))
    erase = sgr(last.style if last is not None else NO_STYLE) + b"\x1b[X"
    brush.write(erase + sgr(NO_STYLE) + b"\r\x1b[B\x1b[X")


def _leave_empty(brush: _Brush, span: Span, column: int, columns: int) -> None:
    if span.style != NO_STYLE:
        brush.write(b"\x1b[%dX" % span.size)
    if column + span.size < columns:
        brush.write(b"\x1b[%dC" % span.size)


def _save_cursor(brush: _Brush, screen: Screen, picture: Picture) -> None:
    saved = screen.saved
    if saved is None:
        return
    _move(brush, picture, screen, saved)
    brush.set(saved.pen, None, saved.is_protected)
    _set_charset(brush, saved.charset)
    brush.write(b"\x1b7")
    _set_charset(brush, 0)


def _set_charset(brush: _Brush, charset: int) -> None:
    """Designate what isn't the default; 0 takes all of it back."""
    for slot, introducer in enumerate(b"()*+"):
        chosen = charset >> 2 * slot & 3
        if chosen > 1 or (charset == 0 and slot < 2):
            brush.write(b"\x1b%c%b" % (introducer, _CHARSETS[chosen]))
    level = charset >> 8 & 3
    if level or charset == 0:
        brush.write(_SHIFTS[level])


def _move(brush: _Brush, picture: Picture, screen: Screen, to: Saved | Screen) -> None:
    """Put the cursor to an absolute place; past the last column by printing what stands there."""
    if not to.is_wrap_pending:
        brush.write(b"\x1b[%d;%dH" % (to.y + 1, to.x + 1))
        return
    span, column = cell_at(_row(picture, screen, to.y), to.x)
    brush.write(b"\x1b[%d;%dH" % (to.y + 1, column + 1))
    brush.set(span.style, span.link, span.is_protected)
    brush.print(span.text or " ")


def _row(picture: Picture, screen: Screen, y: int) -> Row:
    return screen.rows[len(screen.rows) - picture.rows + y]


def _set_tab_stops(brush: _Brush, picture: Picture) -> None:
    usual = frozenset(range(_TAB_COLUMNS, picture.columns, _TAB_COLUMNS))
    if picture.tab_stops - {0} == usual:
        return
    brush.write(b"\x1b[3g")
    for column in sorted(picture.tab_stops):
        brush.write(b"\x1b[%dG\x1bH" % (column + 1))


def _set_colours(brush: _Brush, picture: Picture) -> None:
    for index, colour in sorted(picture.palette.items()):
        brush.write(b"\x1b]4;%d;rgb:%02x/%02x/%02x\x1b\\" % (index, *colour))
    background, foreground, cursor = picture.colours
    for number, chosen in ((10, foreground), (11, background), (12, cursor)):
        if chosen is not None:
            brush.write(b"\x1b]%d;rgb:%02x/%02x/%02x\x1b\\" % (number, *chosen))
    if picture.title:
        brush.write(b"\x1b]2;%b\x1b\\" % clean(picture.title))


def _set_modes(brush: _Brush, picture: Picture, screen: Screen) -> None:
    def is_set(bit: int) -> bool:
        return bool(picture.modes >> bit & 1)

    for bit, number in _PRIVATE_MODES.items():
        if is_set(bit):
            brush.write(b"\x1b[?%dh" % number)
    for mouse in (_MOUSE[picture.mouse], _MOUSE_FORMATS[picture.mouse_format]):
        if mouse is not None:
            brush.write(b"\x1b[?%dh" % mouse)
    if not picture.has_default_cursor:
        steady = 0 if is_set(_BLINK) else 1
        brush.write(b"\x1b[%d q" % (_SHAPES[screen.shape] + steady))
    elif is_set(_BLINK):
        brush.write(b"\x1b[?12h")
    if not is_set(_VISIBLE):
        brush.write(b"\x1b[?25l")
    if picture.modifies_other_keys:
        brush.write(b"\x1b[>4;2m")
    for depth, flags in enumerate(screen.keyboard):
        if depth:
            brush.write(b"\x1b[>%du" % flags)
        elif flags:
            brush.write(b"\x1b[=%d;1u" % flags)
    if is_set(_SYNCHRONIZED):
        brush.write(b"\x1b[?2026h")
    if is_set(_ORIGIN):
        brush.write(b"\x1b[?6h")


def _place_cursor(brush: _Brush, picture: Picture, screen: Screen) -> None:
    """The last steps: what changes how text is printed comes after all text but the last cell.

    When the cell before the cursor looks as the pen does, it is printed once more: a combining
    character or a repetition that comes next finds what it belongs to.
    """
    late = _late_modes(picture)
    has_plain_charset = not screen.charset >> 8 & 3 and not any(
        screen.charset >> 2 * slot & 3 > 1 for slot in range(4)
    )
    origin = picture.top if picture.modes >> _ORIGIN & 1 else 0
    covered = screen.x if screen.is_wrap_pending else screen.x - 1
    span, column = cell_at(_row(picture, screen, screen.y), max(covered, 0))
    is_alike = (span.style, span.link, span.is_protected) == (
        screen.pen, screen.link, screen.is_protected,
    )  # fmt: skip
    ends_before_cursor = covered >= 0 and column + span.size == covered + 1
    if span.text and is_alike and ends_before_cursor and not late and has_plain_charset:
        brush.write(b"\x1b[%d;%dH" % (screen.y - origin + 1, column + 1))
        brush.set(screen.pen, screen.link, screen.is_protected)
        brush.print(span.text)
        return
    if screen.is_wrap_pending:
        brush.write(b"\x1b[%d;%dH" % (screen.y - origin + 1, column + 1))
        brush.set(span.style, span.link, span.is_protected)
        brush.print(span.text or " ")
    else:
        brush.write(b"\x1b[%d;%dH" % (screen.y - origin + 1, screen.x + 1))
    brush.set(screen.pen, screen.link, screen.is_protected)
    _set_charset_from_plain(brush, screen.charset)
    brush.write(late)


def _set_charset_from_plain(brush: _Brush, charset: int) -> None:
    if charset & 0xFF or charset >> 8 & 3:
        _set_charset(brush, charset)


def _late_modes(picture: Picture) -> bytes:
    modes = b""
    if not picture.modes >> _WRAPAROUND & 1:
        modes += b"\x1b[?7l"
    if picture.modes >> _INSERT & 1:
        modes += b"\x1b[4h"
    if picture.modes >> _LINEFEED & 1:
        modes += b"\x1b[20h"
    return modes
