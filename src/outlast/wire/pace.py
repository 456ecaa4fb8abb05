"""How fast a client draws, and how much may therefore be under way to it.

A fixed window is too small for a fast client far away, or too large for a slow one: 256 KiB are a
quarter of a second at 1 MB/s, and Ctrl-C has to wait for them. So the window holds what the client
draws in a round trip and 50 ms. Only times in which the window was full tell how fast it is; else
the program's pace would be taken for the client's.
"""

from __future__ import annotations

from typing import Optional

from outlast.wire.terminal import WINDOW_BYTES

LEAST_WINDOW_BYTES = 32 << 10
AHEAD_S = 0.05
SAMPLE_S = 0.05
# A client that needs longer for what it missed is shown the end of it instead.
PATIENCE_S = 2.0


class Pace:
    """One client's speed."""

    __slots__ = ("_bytes", "_rate", "_round_trip_s", "_since", "is_blocked")

    def __init__(self) -> None:
        self.is_blocked = False  # the window was full since the last sample
        self._rate: Optional[float] = None  # bytes a second
        self._round_trip_s: Optional[float] = None
        self._since = 0.0
        self._bytes = 0

    @property
    def window_bytes(self) -> int:
        """How much may be sent and not yet drawn."""
        if self._rate is None:
            return WINDOW_BYTES
        ahead = int(self._rate * ((self._round_trip_s or 0.0) + AHEAD_S))
        return min(WINDOW_BYTES, max(LEAST_WINDOW_BYTES, ahead))

    def is_slow(self, lag_bytes: int) -> bool:
        """Would it take this client too long to draw so much?"""
        return self._rate is not None and lag_bytes > self._rate * PATIENCE_S

    def sent(self, undrawn_bytes: int, now: float) -> None:
        """Something is sent, while so much was under way."""
        if undrawn_bytes == 0:
            self._since, self._bytes, self.is_blocked = now, 0, False

    def drawn(self, size_bytes: int, undrawn_bytes: int, now: float) -> None:
        """The client has drawn so much; so much is still under way."""
        self._bytes += size_bytes
        elapsed_s = now - self._since
        if elapsed_s < SAMPLE_S and not (self.is_blocked and undrawn_bytes == 0 and elapsed_s > 0):
            return
        sample = self._bytes / elapsed_s
        if self._rate is None:
            self._rate = sample if self.is_blocked else None
        elif self.is_blocked or sample > self._rate:
            self._rate += (sample - self._rate) / 2
        self._since, self._bytes, self.is_blocked = now, 0, False

    def answered(self, round_trip_s: float) -> None:
        """A ping was answered. The shortest counts; it may grow slowly, since routes change."""
        if self._round_trip_s is None or round_trip_s < self._round_trip_s:
            self._round_trip_s = round_trip_s
        else:
            self._round_trip_s += (round_trip_s - self._round_trip_s) / 16
