"""The cells of a row as spans of one look: text, or emptiness, with style, link and protection.

A row of a picture is packed in one of four ways. Plain text, coloured text and uniform rows take a
few steps in all, whatever their length: 2,000 lines must be drawn within tens of milliseconds.
Only rows with links, combining characters or mixed colours of wide characters cost a step a cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from outlast.sessions.engine.picture import NO_STYLE, Link, Row

_SPANS = re.compile("\0+|[^\0]+")
_SAME_STYLE = re.compile(rb"(.)\1*", re.DOTALL)
# Of the words' sixth bytes, those that belong to wide characters: bits 2 and 3 are the width.
_WIDE = re.compile(b"[" + b"".join(b"\\x%02x" % n for n in range(256) if n & 12 == 4) + b"]")
_TAIL = "\x01"
_CONTROLS = re.compile("[\x01-\x1f\x7f-\x9f]")
# A cell's word: bits 0-1 its kind (0 a code point, 1 one with marks, 2 only a background of the
# palette, 3 of RGB), 2-25 content, 26-41 style, 42-43 width, 44 protection, 48-63 link.
_CONTENT = 0xFFFFFF
_LINK_AND_PROTECTION = 0xFFFF << 48 | 1 << 44
_LINK_STYLE_PROTECTION = _LINK_AND_PROTECTION | 0xFFFF << 26
# What is alike in a uniform row: style, protection, link, and that no cell is only a background.
_UNIFORM = (_LINK_STYLE_PROTECTION | 2).to_bytes(8, "little")
_ERASED_RGB = 45  # a bit of a look that no word's look has otherwise


class Span(NamedTuple):
    """Neighbouring cells of one look; `text` is empty where nothing was printed."""

    size: int  # in cells
    text: str
    style: bytes
    link: Link | None
    is_protected: bool


def spans(row: Row) -> Iterator[Span]:
    """The cells of a row, from the left; the empty ones at its end may be missing."""
    if row.width < 4 and not row.marks:
        yield from _split(_clean(_short_text(row)), NO_STYLE)
    elif row.width == 4 and not row.marks and not _has_kinds(row.cells):
        text, styles = _clean(_code_points(row.cells)), row.page.styles
        # The high byte of such a word is its style alone: one step a run instead of one a cell.
        for run in _SAME_STYLE.finditer(row.cells[3::4]):
            start, end = run.span()
            yield from _split(text[start:end], styles[run[0][0] >> 2])
    else:
        uniform = _uniform_text(row.cells) if row.width == 8 and not row.marks else None
        if uniform is None:
            yield from _slow_spans(row)
        else:
            first = int.from_bytes(row.cells[:8], "little")
            yield from _split(uniform, row.page.styles[first >> 26 & 0xFFFF])


def _clean(text: str) -> str:
    """Without controls: drawn, they would be carried out instead of shown."""
    return _CONTROLS.sub(" ", text) if _CONTROLS.search(text) else text


def _split(text: str, style: bytes) -> Iterator[Span]:
    if "\0" not in text:
        yield Span(len(text), text.replace(_TAIL, ""), style, None, False)
        return
    for found in _SPANS.finditer(text):
        piece = found[0]
        if piece[0] == "\0":
            yield Span(len(piece), "", _background_of(style), None, False)
        else:
            yield Span(len(piece), piece.replace(_TAIL, ""), style, None, False)


def _background_of(style: bytes) -> bytes:
    """What of a style shows in an empty cell."""
    return NO_STYLE[:4] + style[4:8] + NO_STYLE[8:]


def _has_kinds(cells: bytes) -> bool:
    return bool(int.from_bytes(cells, "little") & _repeated(b"\x02\0\0\0", len(cells)))


def _code_points(cells: bytes) -> str:
    """The text of cell words that hold a code point in bits 2 to 22."""
    size = len(cells)
    words = int.from_bytes(cells, "little") >> 2 & _repeated(b"\xff\xff\x1f\0", size)
    return words.to_bytes(size, "little").decode("utf-32-le")


def _uniform_text(cells: bytes) -> str | None:
    """The text of words that differ in width and content only; _TAIL stands after a wide character.

    None where they differ in more. Rows of wide characters and prompts come this way.
    """
    size = len(cells)
    words = int.from_bytes(cells, "little")
    looks = words & _repeated(_UNIFORM, size)
    if looks != int.from_bytes(
        (looks & (1 << 64) - 1).to_bytes(8, "little") * (size // 8), "little"
    ):
        return None
    if looks & (_LINK_AND_PROTECTION | 2):
        return None
    points = words >> 2 & _repeated(b"\xff\xff\x1f\0\0\0\0\0", size)
    text = list(_clean(points.to_bytes(size, "little").decode("utf-32-le")[::2]))
    for found in _WIDE.finditer(cells[5::8]):
        at = found.start()
        if text[at] < "\x80":
            return None
        text[at + 1 : at + 2] = _TAIL
    return "".join(text)


@lru_cache(maxsize=4096)
def _repeated(word: bytes, size: int) -> int:
    return int.from_bytes(word * (size // len(word)), "little")


def _slow_spans(row: Row) -> Iterator[Span]:
    """As `spans`, a step for each cell: wide characters, links, marks, erased backgrounds."""
    marks = row.marks or {}
    look, size, text = -1, 0, ""
    for column, word in enumerate(_words(row)):
        width = word >> 42 & 3
        if width > 1:
            continue  # the rest of a wide character, or of a line that had no room for one
        cell_look = _look(word)
        if cell_look != look:
            if size:
                yield _span(row, look, size, text)
            look, size, text = cell_look, 0, ""
        size += 1 + width
        if look & 1:
            character = chr(word >> 2 & _CONTENT)
            text += character
            if column in marks:
                text += marks[column]
            if width and character < "\x80":
                text += " "  # the library gives what a character set has no sign for two cells
    if size:
        yield _span(row, look, size, text)


def _look(word: int) -> int:
    """What cells of one span have in common; bit 0: something is printed, bit 1: only a colour."""
    if word & 2:
        return word & (_LINK_AND_PROTECTION | _CONTENT << 2 | 3) & ~1 | (word & 1) << _ERASED_RGB
    return word & _LINK_STYLE_PROTECTION | (1 if word >> 2 & _CONTENT else 0)


def _span(row: Row, look: int, size: int, text: str) -> Span:
    link = row.page.links.get(look >> 48 & 0xFFFF)
    is_protected = bool(look >> 44 & 1)
    if look & 2:
        colour = look >> 2 & _CONTENT
        is_rgb = look >> _ERASED_RGB & 1
        return Span(size, "", _background(is_rgb, colour), link, is_protected)
    style = row.page.styles[look >> 26 & 0xFFFF]
    if not text:
        style = _background_of(style)
    return Span(size, _clean(text), style, link, is_protected)


def _words(row: Row) -> list[int]:
    if row.width < 4:
        return [ord(character) << 2 for character in _short_text(row)]
    return list(memoryview(row.cells).cast("I" if row.width == 4 else "Q"))


def _short_text(row: Row) -> str:
    return row.cells.decode("latin-1" if row.width == 1 else "utf-16-le")


def _background(is_rgb: int, content: int) -> bytes:
    if is_rgb:
        colour = bytes((2, content & 0xFF, content >> 8 & 0xFF, content >> 16 & 0xFF))
    else:
        colour = bytes((1, content & 0xFF, 0, 0))
    return bytes(4) + colour + bytes(8)


def cell_at(row: Row, x: int) -> tuple[Span, int]:
    """The character that covers a cell, and the column where it begins."""
    words = _words(row)
    if x < len(words) and words[x] >> 42 & 3 == 2:
        x -= 1
    if x >= len(words):
        return Span(1, "", NO_STYLE, None, False), x
    size = 2 if words[x] >> 42 & 3 == 1 else 1
    look = _look(words[x])
    text = chr(words[x] >> 2 & _CONTENT) + (row.marks or {}).get(x, "") if look & 1 else ""
    return _span(row, look, size, text), x


def has_spacer(row: Row) -> bool:
    """Whether the last cell is empty because a wide character had no room there."""
    return row.width == 8 and int.from_bytes(row.cells[-8:], "little") >> 42 & 3 == 3
