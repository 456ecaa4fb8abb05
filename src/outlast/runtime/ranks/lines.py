"""Join what several ranks print into one stream of whole lines, each with its rank before it.

A line is held until it is whole, so no two ranks write into one. One that a carriage return ends,
as a progress bar's, is whole too. Pure: bytes come in, bytes go out.
"""

from __future__ import annotations

from typing import Dict, List

# Longer ones are cut: a rank that prints no line end must not fill the memory.
MAX_LINE_BYTES = 64 << 10


class Lines:
    """What was printed and isn't a whole line yet, by rank."""

    def __init__(self) -> None:
        self._held: Dict[int, bytes] = {}
        self._ended_by_return: Dict[int, bool] = {}

    def take(self, rank: int, data: bytes) -> bytes:
        """The whole lines that there are now."""
        held = self._held.pop(rank, b"") + data
        if self._ended_by_return.pop(rank, False) and held.startswith(b"\n"):
            held = held[1:]  # the second half of \r\n; its line was given out
        whole: List[bytes] = []
        for line in held.splitlines(keepends=True):
            if line.endswith((b"\n", b"\r")) or len(line) >= MAX_LINE_BYTES:
                whole.append(_named(rank, line))
            else:
                self._held[rank] = line
        if whole and rank not in self._held:
            self._ended_by_return[rank] = whole[-1].endswith(b"\r")
        return b"".join(whole)

    def rest(self, rank: int) -> bytes:
        """What the rank left without a line end, as a line: it prints no more."""
        line = self._held.pop(rank, b"")
        return _named(rank, line) if line else b""


def _named(rank: int, line: bytes) -> bytes:
    end = b"" if line.endswith((b"\n", b"\r")) else b"\n"
    return b"[rank %d] " % rank + line + end
