"""Standard output takes all, whatever stands behind it: pipes that are full, slow, or closed."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import pytest

from outlast.sdk.shown import Shown
from outlast.stdout import whole

LINES = b"0123456789abcde\n" * 100_000  # far more than a pipe holds


class Reading:
    """Reads a pipe to its end in another thread."""

    def __init__(self) -> None:
        self.fd, self.to = os.pipe()
        self.read = b""
        self._thread = threading.Thread(target=self._all)
        self._thread.start()

    def _all(self) -> None:
        with os.fdopen(self.fd, "rb") as file:
            self.read = file.read()

    def end(self) -> bytes:
        os.close(self.to)
        self._thread.join(30)
        return self.read


@pytest.fixture
def reading() -> Reading:
    return Reading()


def unbuffered(fd: int) -> TextIO:
    """As Python makes its stdout with PYTHONUNBUFFERED: text above the bare descriptor."""
    bare = cast(BinaryIO, io.FileIO(fd, "w", closefd=False))
    return io.TextIOWrapper(bare, "utf-8", write_through=True)


@pytest.mark.parametrize("is_raw", [False, True])
def test_an_unbuffered_stdout_whose_pipe_takes_a_part_loses_nothing(
    reading: Reading, is_raw: bool
) -> None:
    os.set_blocking(reading.to, False)
    shown = Shown(unbuffered(reading.to), is_raw=is_raw)
    shown.write(LINES)
    shown.close()
    assert reading.end() == LINES


def test_a_pipe_that_another_program_made_non_blocking_ends_nothing(reading: Reading) -> None:
    os.set_blocking(reading.to, False)
    stream = whole(os.fdopen(reading.to, "w", closefd=False))
    stream.write(LINES.decode())
    stream.flush()
    assert reading.end() == LINES


def test_what_was_written_before_comes_first(reading: Reading) -> None:
    stream = os.fdopen(reading.to, "w", closefd=False)
    stream.write("before ")
    after = whole(stream)
    after.write("after")
    after.flush()
    assert reading.end() == b"before after"


def test_a_disk_that_is_full_is_named_as_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        stream = whole(full)
        stream.write("x")
        with pytest.raises(OSError, match="No space left on device: 'stdout'"):
            stream.flush()


def test_a_stream_without_a_descriptor_stays_itself() -> None:
    text = io.StringIO()
    assert whole(text) is text


def test_what_a_notebook_shows_doesnt_go_to_its_kernels_descriptor() -> None:
    class Stream(io.StringIO):
        def fileno(self) -> int:
            return 1  # as ipykernel's tells

    stream = Stream()
    assert whole(stream) is stream
