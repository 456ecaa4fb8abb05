"""Bytes that a run printed, on a terminal or in a notebook: without what either would obey."""

from __future__ import annotations

import codecs
from typing import TextIO

from outlast.printable import Stripper
from outlast.stdout import whole

RESET = "\x1b[0m"
# Everything that needs a closer look: control characters, and whatever isn't ASCII.
UNPLAIN = bytes({*range(32), *range(127, 256)} - set(b"\t\n"))


class Shown:
    """Writes pieces of a run's output to `to`; a character cut in two by a piece is still one.

    Where `to` is a terminal, colours stay, to be reset at the end, and a progress bar is one line.
    """

    def __init__(self, to: TextIO, *, is_raw: bool = False) -> None:
        self._to = whole(to)
        self._is_raw = is_raw
        self._is_terminal = to.isatty()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stripper = Stripper(on_terminal=self._is_terminal)
        self.is_at_line_start = True

    def write(self, data: bytes) -> None:
        """Show these bytes now. Raises what writing to `to` raises."""
        if self._is_raw:
            self._to.flush()
            self._to.buffer.write(data)
            self._to.buffer.flush()
            self.is_at_line_start = data.endswith(b"\n") if data else self.is_at_line_start
            return
        if self._is_plain(data):
            self._show_plain(data)
        else:
            self._show(self._stripper.feed(self._decoder.decode(data)))

    def _is_plain(self, data: bytes) -> bool:
        """Nearly all output is: then looking closely would take ten times as long."""
        has_rest = self._stripper.is_holding or self._decoder.getstate()[0]
        return not has_rest and len(data.translate(None, UNPLAIN)) == len(data)

    def _show_plain(self, data: bytes) -> None:
        if not data:
            return
        self.is_at_line_start = data.endswith(b"\n")
        self._to.write(data.decode("ascii"))
        self._to.flush()

    def _show(self, text: str) -> None:
        if not text:
            return
        self.is_at_line_start = text.endswith("\n")
        encoding = getattr(self._to, "encoding", None) or "utf-8"
        # A notebook's stream has no buffer, a C locale no "é": neither may end the following.
        self._to.write(text.encode(encoding, "replace").decode(encoding))
        self._to.flush()

    def close(self) -> None:
        """Show what was held back, as the stream is over."""
        if self._is_raw:
            return
        self._show(self._stripper.feed(self._decoder.decode(b"", True)))
        self._show(self._stripper.close())
        if self._is_terminal:
            self._to.write(RESET)
            self._to.flush()
