"""What the user of an attached terminal is told without harming what is on it.

Offline for half a second: the title says so. For 2 s: a line at the bottom does, too, with the age
and the keys that wait. Where the cursor is, the terminal is asked first; if it stands on the last
line, the screen scrolls up by one, which no line-based program notices, so nothing is drawn over.
In a full-screen program the last line is hidden, and `clear` says that it has to draw anew.
"""

from __future__ import annotations

import re

from outlast.cli.show import fitted
from outlast.cli.tty import Tty
from outlast.printable import one_line
from outlast.wire.client import ClientHalf
from outlast.wire.terminal import News, Skipped

TITLE_AFTER_S = 0.5
LINE_AFTER_S = 2.0
REDRAW_S = 1.0
ANSWER_S = 1.0
# A key is an arrow or the like, or a character, however many bytes it sends. The studio counts the
# same way, in core/keys.ts. Of much input, pasted most likely, the size is told.
_KEY = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO?[ -~]|[^\x80-\xbf]")
_COUNTED_BYTES = 4 << 10
_PLACE = re.compile(rb"\x1b\[(\d{1,4});(\d{1,4})R")
_PUSH_TITLE, _POP_TITLE = b"\x1b[22;2t", b"\x1b[23;2t"


class Notice:
    """The title and the line below, of one attached session."""

    def __init__(self, tty: Tty, session: str, hint: str) -> None:
        self.skipped_bytes = 0
        self._tty = tty
        self._session = session
        self._hint = hint
        self._title = ""
        self._standing = ""  # the title while online: who types, if it isn't this user
        self._shown_at = float("-inf")
        self._asked_at: float | None = None
        self._place: tuple[int, int] | None = None  # row, column of the program's cursor
        self._rows = 0  # of the window in which the line was drawn
        self._has_line = False
        self._has_hidden = False

    def show(self, half: ClientHalf, now: float) -> None:
        """Tell how long there has been no connection, if there is none."""
        since = half.offline_since
        if since is None or half.is_over or now - since < TITLE_AFTER_S:
            return
        if now - self._shown_at < REDRAW_S and not (self._place and not self._has_line):
            return
        self._shown_at = now
        text = f"offline for {int(now - since)} s{_queued(half)}"
        self._set_title(f"{text} - {self._session}")
        if now - since >= LINE_AFTER_S:
            self._show_line(f"outlast: {text}; the session goes on, trying again   {self._hint}")

    def wait_s(self, half: ClientHalf, now: float) -> float:
        """How long until `show` has something to tell."""
        since = half.offline_since
        if since is None or half.is_over:
            return float("inf")
        if now - since < TITLE_AFTER_S:
            return TITLE_AFTER_S - (now - since)
        if now - since < LINE_AFTER_S:
            return min(REDRAW_S, LINE_AFTER_S - (now - since) + 0.01)
        return max(0.01, self._shown_at + REDRAW_S - now)

    def without_answers(self, data: bytes, now: float) -> bytes:
        """Keys without the terminal's answer to where the cursor is, if it was asked."""
        if self._asked_at is None or now - self._asked_at > ANSWER_S:
            return data
        found = _PLACE.search(data)
        if found is None:
            return data
        self._place = (int(found[1]), int(found[2]))
        return data[: found.start()] + data[found.end() :]

    def clear(self) -> bool:
        """Take the line and the title away; True when a program has to draw its last line anew."""
        if self._has_line and self._place is not None:
            row, column = self._place
            self._tty.draw(b"\x1b[%d;1H\x1b[2K\x1b[%d;%dH" % (self._rows, row, column))
        self._set_title(self._standing)
        has_hidden = self._has_hidden
        self._place, self._asked_at, self._shown_at = None, None, float("-inf")
        self._has_line = self._has_hidden = False
        return has_hidden

    def news(self, news: News) -> None:
        """Somebody else types: the title says who."""
        self._standing = ""
        if news.is_fenced:
            who = news.driver or "somebody else"
            self._standing = f"{who} types now, you look on ({self._hint}) - {self._session}"
        self._set_title(self._standing)

    def skipped(self, gap: Skipped) -> None:
        """Bytes were not drawn; told when the terminal is given back."""
        self.skipped_bytes += gap.end - gap.start

    def end(self) -> None:
        """As it was before the session."""
        self._standing = ""
        self.clear()

    def _set_title(self, text: str) -> None:
        if text == self._title:
            return
        push = b"" if self._title else _PUSH_TITLE
        self._title = text
        told = f"\x1b]2;{one_line(text)}\x07".encode()
        self._tty.draw(push + told if text else _POP_TITLE)

    def _show_line(self, text: str) -> None:
        columns, rows = self._tty.size
        if self._place is None or rows != self._rows:
            self._ask(rows)
            return
        row, column = self._place
        drawn = b""
        if not self._has_line:
            self._has_hidden = self._tty.is_other_screen
            if row >= rows and not self._has_hidden:
                drawn, row = b"\n\x1b[A", rows - 1
                self._place = (row, column)
        self._has_line = True
        line = fitted(one_line(text), columns - 1).encode()
        self._tty.draw(drawn + b"\x1b[%d;1H%b\x1b[%d;%dH" % (rows, line, row, column))

    def _ask(self, rows: int) -> None:
        """Once for each size: a terminal that doesn't answer keeps the title only."""
        if self._asked_at is None or rows != self._rows:
            self._rows, self._place, self._has_line = rows, None, False
            self._asked_at = self._shown_at
            self._tty.draw(b"\x1b[6n")


def _queued(half: ClientHalf) -> str:
    """What was typed and waits, as its typist would count it."""
    if half.queued_bytes > _COUNTED_BYTES:
        return f", {half.queued_bytes >> 10} KiB of input queued"
    keys = len(_KEY.findall(half.queued(_COUNTED_BYTES)))
    return f", {keys} key{'' if keys == 1 else 's'} queued" if keys else ""
