"""Bytes out of and into a PTY where the kernel can't splice: they go by hand, and all of them."""

from __future__ import annotations

import errno
import os
import select
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from outlast.supervisor import kernel, pump, typed
from outlast.supervisor.loop import Loop
from outlast.supervisor.pump import Pump
from outlast.supervisor.typed import Typed
from outlast.wire.terminal import DRIVER

DATA = b"".join(b"line %d\n" % number for number in range(100_000))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, slave
    os.close(master)
    os.close(slave)


@pytest.fixture(params=["splice", "by hand"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    def cannot(*_: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    if request.param == "by hand":
        monkeypatch.setattr(kernel, "splice", cannot)
    return str(request.param)


def close(ends: pump.Ends | typed.Ends, kept: int) -> None:
    for fd in ends:
        if fd != kept:
            os.close(fd)


@pytest.mark.usefixtures("way")
def test_all_that_is_printed_reaches_the_journal(terminal: tuple[int, int], tmp_path: Path) -> None:
    master, slave = terminal
    ends = pump.Ends.made(master)
    moved = Pump(ends, str(tmp_path / "output"), lambda first, end: False)
    printer = threading.Thread(target=lambda: write_all(slave, DATA))
    printer.start()
    while moved.length < len(DATA):
        assert select.select([master], [], [], 10)[0]
        assert moved.turn() <= pump.TURN_BYTES + 65536
    printer.join()
    assert (tmp_path / "output").read_bytes() == DATA
    os.close(moved.journal)
    close(ends, master)


@pytest.mark.usefixtures("way")
def test_all_that_is_typed_reaches_the_program(terminal: tuple[int, int]) -> None:
    master, slave = terminal
    ends = typed.Ends.made(master)
    loop = Loop()
    told: list[int] = []
    keys = Typed(ends, loop, lambda: told.append(keys.ledger.accepted))
    keys.ledger.attach(1, DRIVER, b"k" * 16, None)
    read = bytearray()
    sent = 0
    while len(read) < len(DATA):
        if keys.ledger.wants_input and sent < len(DATA):
            sent += keys.ledger.take(1, sent, DATA[sent : sent + 10_000])
        keys.flow()
        while select.select([slave], [], [], 0)[0]:
            read += os.read(slave, 65536)
    assert read == DATA
    assert told[-1] == len(DATA)
    close(ends, master)


@pytest.mark.parametrize("put", [0, 5])
def test_a_kill_while_keys_are_put_is_settled_by_the_pipe(
    terminal: tuple[int, int], put: int
) -> None:
    """What the note and the pipe look like when the process died between its three steps."""
    master, slave = terminal
    ends = typed.Ends.made(master)
    before = Typed(ends, Loop(), lambda: None)
    before.ledger.attach(1, DRIVER, b"k" * 16, None)
    before.ledger.take(1, 0, b"typed")
    before.flow()
    os.pwrite(ends.note, before.ledger.to_bytes() + b"\1", 0)  # step one
    os.write(ends.put, b"again"[:put])  # step two, or not
    after = Typed(ends, Loop(), lambda: None)
    assert after.ledger.accepted == 5 + put
    assert after.ledger.key == b"k" * 16
    assert read_some(slave, 5 + put) == b"typed" + b"again"[:put]
    assert Typed(ends, Loop(), lambda: None).ledger.accepted == 5 + put
    assert not select.select([slave], [], [], 0.05)[0]  # and nothing twice
    close(ends, master)


def read_some(fd: int, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        data += os.read(fd, 100)
    return data


def write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
