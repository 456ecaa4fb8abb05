"""Old output without the questions that programs asked the terminal in it.

A program asks its terminal who it is, where the cursor is, what colours it has. Drawn again later,
the question would be answered again, and the answer typed into whatever runs by then. So questions
are taken out of what is replayed; the rest stays byte for byte. Live output isn't touched.
"""

from __future__ import annotations

import re

_QUESTIONS = re.compile(
    rb"\x05"  # ENQ
    rb"|\x1bZ"  # DECID
    rb"|\x1b\[[>=?]?[\d;]*c"  # device attributes
    rb"|\x1b\[\??\d*n"  # status, place of the cursor
    rb"|\x1b\[\??[\d;]*\$p"  # is this mode set?
    rb"|\x1b\[>[\d;]*q"  # name and version
    rb"|\x1b\[\?u|\x1b\[\?\d*m"  # keyboard modes
    rb"|\x1b\[(?:1[13-9]|2[01])(?:;\d+)*t"  # sizes, titles
    rb"|\x1b\[[01]?x"  # DECREQTPARM
    rb"|\x1b\[[\d;]*\*y"  # DECRQCRA
    rb"|\x1b\](?:\d+;)+\?(?:;[^\x07\x1b]*)?(?:\x07|\x1b\\)"  # colours, clipboard
    rb"|\x1bP[$+]q[^\x1b\x07]*(?:\x07|\x1b\\)"  # settings, termcap
    rb"|\x1b_G[^\x1b]*\x1b\\"  # pictures of kitty, which are acknowledged
)
# An escape sequence that isn't whole yet.
_BEGUN = re.compile(rb"\x1b(?:\[[\x20-\x3f]*|[\]P_][^\x07\x1b]*\x1b?)?\Z")
_LONGEST_BYTES = 4096


class Unasked:
    """Takes questions out of a stream, however it is cut up."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be drawn by now; a sequence that isn't whole is held back."""
        data, self._held = self._held + data, b""
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST_BYTES))
        if begun is not None:
            data, self._held = data[: begun.start()], data[begun.start() :]
        return _QUESTIONS.sub(b"", data)

    def rest(self) -> bytes:
        """What is still held back; it goes on live."""
        rest, self._held = self._held, b""
        return rest
