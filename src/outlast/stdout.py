"""Standard output that takes everything it is given, whatever stands behind it.

With PYTHONUNBUFFERED set, Python hands text to the system in one call and forgets what a full pipe
left over; a pipe that another program made non-blocking ends the write with an error. Both would
lose output in the middle. It doesn't make text safe to show (see sdk.shown) and starts no thread.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

NAME = "stdout"


class _Whole(io.RawIOBase):
    """A descriptor whose `write` returns when all is written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: Buffer) -> int:
        """Write all of it. Raises OSError of the file "stdout"; a part may be written then."""
        rest = memoryview(data).cast("B")
        size_bytes = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                _wait_for_room(self._fd)
            except OSError as error:
                raise OSError(error.errno, error.strerror, NAME) from None
        return size_bytes


def _wait_for_room(fd: int) -> None:
    import select  # hardly ever needed

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()


def whole(stream: TextIO) -> TextIO:
    """The same stream, of which no write is cut short; itself when it is no file's.

    A notebook's stream tells the descriptor of its kernel, where nobody reads what is written.

    Raises OSError when what it held can't be written.
    """
    try:
        fd = stream.fileno()
    except (OSError, AttributeError):  # a text in memory
        return stream
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    takes_all = cast(BinaryIO, _Whole(fd))
    is_by_line = bool(getattr(stream, "line_buffering", False))
    return io.TextIOWrapper(takes_all, stream.encoding, stream.errors, line_buffering=is_by_line)
