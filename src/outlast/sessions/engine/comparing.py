"""Whether two pictures show the same: what proves that a drawing leaves nothing out.

Compared is what a program or a reader can notice: every cell of both screens and of the history
that was drawn, cursors, pens, modes, margins, tab stops, title. Not compared: names that a library
gives to unnamed links, how rows are packed, and what was printed before the cursor.
"""

from __future__ import annotations

from itertools import groupby, zip_longest
from typing import Any

from outlast.sessions.engine.cells import spans
from outlast.sessions.engine.drawing import MODES, active
from outlast.sessions.engine.picture import NO_STYLE, Picture, Row, Screen

_FIELDS = (
    "columns", "rows", "top", "bottom", "is_alternate", "modifies_other_keys", "mouse",
    "mouse_format", "colours", "palette", "title",
)  # fmt: skip


def difference(one: Picture, other: Picture, history_lines: int) -> str | None:
    """The first thing in which the pictures differ, in a few words; None when they show the same.

    Of the lines above the screen, the last `history_lines` are compared.
    """
    for name in _FIELDS:
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)!r}, {getattr(other, name)!r}"
    if one.modes & MODES != other.modes & MODES:
        return f"modes: {one.modes & MODES:#x}, {other.modes & MODES:#x}"
    if one.tab_stops - {0} != other.tab_stops - {0}:
        return f"tab stops: {sorted(one.tab_stops)}, {sorted(other.tab_stops)}"
    found = _of_cursors(active(one), active(other))
    if found is None:
        found = _of_rows(one, other, history_lines)
    if found is None and one.is_alternate and one.alternate and other.alternate:
        found = _of_lists(one.alternate.rows[-one.rows :], other.alternate.rows[-one.rows :])
    return found


def _of_cursors(one: Screen, other: Screen) -> str | None:
    for name in ("x", "y", "is_wrap_pending", "is_protected", "pen", "link", "keyboard"):
        if getattr(one, name) != getattr(other, name):
            return f"cursor's {name}: {getattr(one, name)!r}, {getattr(other, name)!r}"
    if _charset(one.charset) != _charset(other.charset):
        return f"character sets: {one.charset:#x}, {other.charset:#x}"
    return None


def _charset(charset: int) -> tuple[int, ...]:
    """The sets of G0 to G3, UTF-8 and ASCII being one, and which of them prints."""
    return (*(max(1, charset >> 2 * slot & 3) for slot in range(4)), charset >> 8 & 3)


def _of_rows(one: Picture, other: Picture, history_lines: int) -> str | None:
    lines = one.rows + history_lines
    return _of_lists(one.primary.rows[-lines:], other.primary.rows[-lines:])


def _of_lists(one: list[Row], other: list[Row]) -> str | None:
    if len(one) != len(other):
        return f"lines: {len(one)}, {len(other)}"
    for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        if mine.cells == theirs.cells and mine.page is theirs.page and mine.marks == theirs.marks:
            continue
        for left, right in zip_longest(_looks(mine), _looks(theirs)):
            if left != right:
                return f"line {number}: {left!r}, {right!r}"
    return None


def _looks(row: Row) -> list[tuple[Any, ...]]:
    """The spans of a row, joined where only their packing parts them, without empty ends."""
    found = [
        (span.size, span.text, (span.style, span.link, span.is_protected, not span.text))
        for span in spans(row)
    ]
    joined: list[tuple[Any, ...]] = []
    for look, parts in groupby(found, key=lambda part: part[2]):
        pieces = list(parts)
        joined.append((sum(part[0] for part in pieces), "".join(p[1] for p in pieces), look))
    while joined and not joined[-1][1] and joined[-1][2][0] == NO_STYLE:
        joined.pop()
    return joined
