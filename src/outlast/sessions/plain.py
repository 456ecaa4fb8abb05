r"""The text of a terminal's output, without what moves the cursor and colours it. Pure.

What a line was overwritten with counts (`\r` of a progress bar, backspaces), full-screen programs
don't: their drawing becomes the words that they drew, in that order. For an exact screen there is
`screens`; for a transcript to read and to search, this is what a person would copy.
"""

from __future__ import annotations

import re

# CSI; OSC and other strings, ended by BEL or ST; two-character escapes with their intermediates.
_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]"
    rb"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    rb"|[ -/]*[0-~])"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)\Z")
_CONTROLS = re.compile(rb"[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
_LONGEST_ESCAPE_BYTES = 64 << 10


def plain(data: bytes) -> bytes:
    """`data`, which begins and ends outside of any escape sequence, as plain lines."""
    if b"\x1b" in data:
        data = _ESCAPES.sub(b"", data)
    data = _CONTROLS.sub(b"", data.replace(b"\r\n", b"\n"))
    if b"\r" not in data and b"\b" not in data:
        return data
    return b"\n".join(_overwritten(line) for line in data.split(b"\n"))


def _overwritten(line: bytes) -> bytes:
    while line.endswith(b"\r"):
        line = line[:-1]
    line = line[line.rfind(b"\r") + 1 :]
    while b"\b" in line:
        at = line.index(b"\b")
        start = at - 1
        while start > 0 and line[start] & 0xC0 == 0x80:  # the rest of a UTF-8 character
            start -= 1
        line = line[: max(start, 0)] + line[at + 1 :]
    return line


class Plainer:
    """The same for a stream that comes in pieces; gives whole lines only, until `rest`."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The lines that are whole by now."""
        data = self._held + piece
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _LONGEST_ESCAPE_BYTES:
            unfinished = _UNFINISHED.search(data[-_LONGEST_ESCAPE_BYTES:])
            cut = len(data) - (len(unfinished[0]) if unfinished else 0)
        self._held = data[cut:]
        return plain(data[:cut])

    def rest(self) -> bytes:
        """What stands behind the last line's end."""
        held, self._held = self._held, b""
        return plain(_UNFINISHED.sub(b"", held))
