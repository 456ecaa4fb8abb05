"""The disk is full under a session: the program goes on, and what is lost is told to the byte."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.run import events as ev
from outlast.wire import frame as wire
from tests.supervisor.attaching import Attached
from tests.supervisor.conftest import Run
from tests.supervisor.test_terminal import attached, raw, records, session

LINE_BYTES = 64
KEPT_BYTES = 1 << 20
# Each line says its own number; the file `told` outside of the full disk says that all are printed.
PRINTER = """
stty raw -echo; echo up; read count; seq -f '%062.0f' 1 $count; echo >{told}
while [ ! -e {gate} ]; do sleep 0.05; done; exit 0
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Run]:
    """A run whose folder lies on a disk of 8 MB; its program's working folder doesn't."""
    home = tmp_path / "small"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk: mounting a tmpfs needs root")
    run = Run(home)
    run.working = tmp_path / "working"
    run.working.mkdir()
    yield run
    run.close()
    subprocess.run(["umount", "-l", str(home)], check=True)


def printer(run: Run) -> None:
    script = PRINTER.format(told=run.working / "told", gate=run.working / "gate")
    session(run, ["/bin/bash", "-c", script])
    run.wait_output("up")


def fill(run: Run) -> Path:
    """Take all of the disk but what the rest of a page of the journals holds."""
    path = run.path.parent / "fill"
    with path.open("wb", buffering=0) as file:
        piece = 1 << 16
        while piece:
            try:
                file.write(b"\1" * piece)
            except OSError:
                piece >>= 1
    return path


def wait_for(path: Path) -> None:
    until_s = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until_s, f"{path} never came: the program is held up"
        time.sleep(0.01)


def wait_size(run: Run, size_bytes: int) -> None:
    until_s = time.monotonic() + 20
    while (run.path / "output").stat().st_size < size_bytes:
        assert time.monotonic() < until_s, (run.path / "output").stat().st_size
        time.sleep(0.01)


def expected(count: int) -> bytes:
    return b"up\n" + b"".join(b"%062d\n" % number for number in range(1, count + 1))


def gaps(run: Run) -> list[dict[str, Any]]:
    return [record for record in records(run, "timing") if "gap" in record]


def type_count(run: Run, seat: Attached, count: int) -> None:
    seat.type(b"%d\n" % count)
    seat.wait_accepted()
    wait_for(run.working / "told")


@pytest.mark.root
def test_what_memory_can_keep_is_written_when_room_returns(small: Run) -> None:
    printer(small)
    whole = expected(10_000)
    with attached(small) as driver:
        taken = fill(small)
        type_count(small, driver, 10_000)
        assert len(raw(small)) < len(whole)
        assert small.ask(op="status")["stage"] == "running"
        taken.unlink()
        wait_size(small, len(whole))
        while driver.wait(wire.WRITTEN).number < len(whole):
            continue
    assert raw(small) == whole
    assert gaps(small) == []
    (small.working / "gate").touch()
    assert small.ended().outcome == "completed"


@pytest.mark.root
@pytest.mark.parametrize("is_killed", [False, True])
def test_what_it_cannot_keep_is_a_gap_that_is_told(small: Run, is_killed: bool) -> None:
    printer(small)
    count = 100_000  # 6.3 MB, and 1 MiB is kept
    whole = expected(count)
    with attached(small) as driver:
        taken = fill(small)
        type_count(small, driver, count)
        if is_killed:
            os.kill(small.supervisor, signal.SIGKILL)
        taken.unlink()
        wait_size(small, len(whole))
        if not is_killed:
            told = driver.wait(wire.GAP)
            (gap,) = gaps(small)
            assert [told.said()["from"], told.number] == gap["gap"]
            assert told.said()["why"] == "lost"
    (gap,) = gaps(small)
    first, end = gap["gap"]
    assert gap["at"] == end
    assert "full" in gap["why"]
    found = raw(small)
    assert found[:first] == whole[:first]
    assert found[first:end] == bytes(end - first)
    assert found[end:] == whole[end:]
    # What was still on its way when room returned comes on top.
    assert KEPT_BYTES <= len(whole) - end < KEPT_BYTES + (256 << 10)
    offsets = [record["at"] for record in records(small, "timing")]
    assert offsets == sorted(offsets)
    (warned,) = [warned for warned in small.of(ev.Warned) if warned.code == "output_lost"]
    assert warned.facts == {"from": first, "to": end}
    (small.working / "gate").touch()
    ended = small.ended()
    assert ended.outcome == "completed"


@pytest.mark.root
def test_the_end_waits_for_room_and_tells_the_gap(small: Run) -> None:
    printer(small)
    whole = expected(100_000)
    with attached(small) as driver:
        taken = fill(small)
        type_count(small, driver, 100_000)
        main = small.wait(ev.Started).pid
        (small.working / "gate").touch()
        until_s = time.monotonic() + 20
        while small.ask(op="status")["stage"] == "running":
            assert time.monotonic() < until_s
        assert small.of(ev.Started)[0].pid == main
        taken.unlink()
        small.ended()
    assert len(gaps(small)) == 1
    assert raw(small)[-KEPT_BYTES:] == whole[-KEPT_BYTES:]
    assert len(raw(small)) == len(whole)
