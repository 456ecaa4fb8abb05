"""The one place where a supervisor waits: descriptors and named timers, in one poll().

Timers run on CLOCK_BOOTTIME: they count while the machine sleeps, and a change of the wall clock
doesn't move them. Nothing here is called twice at a time. It knows nothing about runs.
"""

from __future__ import annotations

import select
import time
from typing import Callable, Dict, Optional, Tuple

Call = Callable[[], None]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# poll() sleeps by another clock, so that after a suspend a timer may be late by this much at most.
_LONGEST_SLEEP_S = 60.0


def now_s() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(_CLOCK)


def wall_ns(due_s: float) -> int:
    """The wall-clock time at which `due_s` of this clock comes, as things stand now."""
    return time.time_ns() + int((due_s - now_s()) * 1e9)


class Loop:
    """Waits, and calls what is due."""

    def __init__(self) -> None:
        self.is_over = False
        self._poll = select.poll()
        self._calls: Dict[int, Call] = {}
        self._timers: Dict[str, Tuple[float, Call]] = {}

    def watch(self, fd: int, call: Call, events: int = select.POLLIN) -> None:
        """Call whenever `fd` is ready; again with other `events` to change them."""
        self._calls[fd] = call
        self._poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Watch `fd` no longer; harmless when it wasn't watched."""
        if self._calls.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def at(self, name: str, due_s: float, call: Call) -> None:
        """Call once at `due_s`, instead of what `name` stood for before."""
        self._timers[name] = (due_s, call)

    def after(self, name: str, delay_s: float, call: Call) -> None:
        """Call once in `delay_s` seconds, instead of what `name` stood for before."""
        self.at(name, now_s() + delay_s, call)

    def cancel(self, name: str) -> None:
        """Drop the timer; harmless when there is none."""
        self._timers.pop(name, None)

    def due_s(self, name: str) -> Optional[float]:
        """When the timer comes, None when there is none."""
        timer = self._timers.get(name)
        return None if timer is None else timer[0]

    def run(self) -> None:
        """Until `is_over`."""
        while True:
            self._run_due()
            if self.is_over:
                return
            for fd, _ in self._poll.poll(self._sleep_ms()):
                call = self._calls.get(fd)  # a call before may have forgotten it
                if call is not None:
                    call()

    def _sleep_ms(self) -> int:
        due_s = min((due for due, _ in self._timers.values()), default=now_s() + _LONGEST_SLEEP_S)
        # Rounded up: to wake a little too early would mean to wake twice.
        return int(min(max(due_s - now_s(), 0.0), _LONGEST_SLEEP_S) * 1000) + 1

    def _run_due(self) -> None:
        now = now_s()
        for name in [name for name, (due, _) in self._timers.items() if due <= now]:
            timer = self._timers.get(name)
            if timer is not None and timer[0] <= now:  # a call before may have moved it
                del self._timers[name]
                timer[1]()
