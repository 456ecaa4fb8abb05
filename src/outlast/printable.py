"""Make any text safe to show: no control characters, no escape sequences, no direction overrides.

What a job prints, what a user names things and what a remote machine answers may hold sequences
that move the cursor, set the clipboard, or make a terminal type. Whatever is shown passes through
here once, where it is shown (SAFETY 19); what is stored stays as it was. Not for live terminals,
which interpret sequences on purpose. Standard library only.
"""

from __future__ import annotations

import re
from typing import Match

# An unterminated string sequence is held back this long by `Stripper`, then shown as plain text.
HELD_CHARS = 4096

_CSI = r"(?:\x1b\[|\x9b)[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]"
# OSC (window title, clipboard, links), DCS, SOS, PM and APC carry text up to BEL or ST.
_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
_ESCAPE = r"\x1b[\x20-\x2f]*[\x30-\x7e]"
_LINE_END = r"\r\n?"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_SURROGATE = r"[\ud800-\udfff]"
_UNSAFE = re.compile("|".join((_CSI, _STRING, _ESCAPE, _LINE_END, _CONTROL, _SURROGATE)))
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNFINISHED = re.compile(
    r"(?:\r|\x1b[\x20-\x2f]*|(?:\x1b\[|\x9b)[\x20-\x3f]*"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*\x1b?)\Z"
)


def printable(text: str, *, on_terminal: bool = False) -> str:
    """The text without anything that a terminal would obey; "\\n" and "\\t" stay.

    A carriage return ends a line, so that no progress is hidden. `on_terminal` leaves it in place,
    where a progress bar then stays one line, and SGR sequences (colour, bold) as well; whoever
    shows them resets them afterwards.
    """
    if on_terminal:
        return _UNSAFE.sub(_safe_or_drawn, text)
    return _UNSAFE.sub(_safe, text)


def one_line(text: str, *, max_chars: int = 200) -> str:
    """The text on one line, whitespace runs made one space, cut with "…" at `max_chars`."""
    line = " ".join(printable(text[: 8 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def _safe(found: Match[str]) -> str:
    sequence = found.group()
    if sequence[0] == "\r":
        return "\n"
    return "\ufffd" if "\ud800" <= sequence[0] <= "\udfff" else ""


def _safe_or_drawn(found: Match[str]) -> str:
    sequence = found.group()
    return sequence if sequence == "\r" or _COLOUR.fullmatch(sequence) else _safe(found)


class Stripper:
    """`printable` for text that comes in pieces: a sequence cut in two is still recognised."""

    def __init__(self, *, on_terminal: bool = False) -> None:
        self._on_terminal = on_terminal
        self._held = ""

    @property
    def is_holding(self) -> bool:
        """Does an unfinished sequence wait for the next piece?"""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """What may be shown now; an unfinished sequence waits for the next piece."""
        text = self._held + text
        cut = _UNFINISHED.search(text, max(0, len(text) - HELD_CHARS))
        self._held = cut.group() if cut else ""
        shown = text[: len(text) - len(self._held)]
        return printable(shown, on_terminal=self._on_terminal)

    def close(self) -> str:
        """What was held back, as plain text; the stream is over."""
        held, self._held = self._held, ""
        return printable(held, on_terminal=self._on_terminal)
