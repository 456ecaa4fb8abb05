"""The user's own terminal, lent to a session: raw while it is, and given back as it was.

Writing never blocks (a terminal may be stopped by Ctrl-S, or slow): what it doesn't take is kept,
and whoever asked to be told hears when all before it was taken. Signals come as bytes of a pipe, so
that one loop waits for everything.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable
from types import FrameType, TracebackType

SIGNALS = (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)
_READ_BYTES = 64 << 10
_SWITCH = re.compile(rb"\x1b\[\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*([hl])")
_SWITCH_BYTES = 32
# What programs may have switched on, and the user's shell doesn't expect: mouse, focus, bracketed
# paste, application keys, a hidden cursor, colours, a scroll region (which moves the cursor).
_PLAIN = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l"
    b"\x1b[?1l\x1b>\x1b[?25h\x1b[0m\x1b7\x1b[r\x1b8\x0f"
)


class Tty:
    """stdin and stdout, which must be a terminal; use it in a `with`."""

    def __init__(self) -> None:
        self.keys_fd = sys.stdin.fileno()
        # A description of its own: O_NONBLOCK on stdout would reach whoever shares it.
        name = os.ttyname(sys.stdout.fileno())
        self.screen_fd = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self.signals_fd, self._signalled_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.is_other_screen = False  # vim, less and the like have switched to it
        self._before = termios.tcgetattr(self.keys_fd)
        self._handlers: dict[int, object] = {}
        self._wakeup_fd = -1
        self._unsent: deque[tuple[memoryview, Callable[[], None] | None]] = deque()
        self._tail = b""

    def __enter__(self) -> Tty:
        self._wakeup_fd = signal.set_wakeup_fd(self._signalled_fd, warn_on_full_buffer=False)
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, _heard)
        self.make_raw()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """As it was before. What isn't drawn yet is not waited for."""
        leave = b"\x1b[?1049l" if self.is_other_screen else b""
        with contextlib.suppress(OSError):  # its window may be gone
            os.write(self.screen_fd, leave + _PLAIN)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self.keys_fd, termios.TCSANOW, self._before)
        signal.set_wakeup_fd(self._wakeup_fd)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        for fd in (self.screen_fd, self.signals_fd, self._signalled_fd):
            os.close(fd)

    def make_raw(self) -> None:
        """Every key as it is; also after somebody else (a `fg`, a `stty`) changed it."""
        tty.setraw(self.keys_fd, termios.TCSANOW)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        size = os.get_terminal_size(self.screen_fd)
        return size.columns or 80, size.lines or 24

    @property
    def wants_write(self) -> bool:
        """Is something not drawn yet?"""
        return bool(self._unsent)

    def keys(self) -> bytes:
        """What was typed; b"" when the terminal is gone."""
        try:
            return os.read(self.keys_fd, _READ_BYTES)
        except OSError:  # EIO: its window was closed
            return b""

    def signals(self) -> list[signal.Signals]:
        """Those that came since it was asked last."""
        with contextlib.suppress(BlockingIOError):
            return [signal.Signals(number) for number in os.read(self.signals_fd, 64)]
        return []

    def draw(self, data: bytes, then: Callable[[], None] | None = None) -> None:
        """Draw it, in order; `then` is called once it and all before it is drawn."""
        self._watch(data)
        self._unsent.append((memoryview(data), then))
        self.flush()

    def flush(self) -> None:
        """Draw on, as much as the terminal takes."""
        try:
            while self._unsent:
                data, then = self._unsent[0]
                taken = os.write(self.screen_fd, data) if data else 0
                if taken < len(data):
                    self._unsent[0] = (data[taken:], then)
                    continue
                self._unsent.popleft()
                if then is not None:
                    then()
        except BlockingIOError:
            return
        except OSError:  # its window was closed: the keys will tell
            self._unsent.clear()

    def _watch(self, data: bytes) -> None:
        """Which of its two screens is shown?"""
        if b"\x1b" not in data and not self._tail:
            return
        seen = self._tail + data
        last = next(reversed(list(_SWITCH.finditer(seen))), None)
        if last is not None:
            self.is_other_screen = last[1] == b"h"
        cut = seen.rfind(b"\x1b", -_SWITCH_BYTES)
        self._tail = seen[cut:] if cut >= 0 and (last is None or cut >= last.end()) else b""


def _heard(_number: int, _frame: FrameType | None) -> None:
    """The number is in the pipe."""
