"""Snapshots through the drawing process: checkpoints, sizes, trimming, deaths of the process."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import pytest

pytest.importorskip("pyghostty", reason="no engine is made for this machine")

from outlast.journal.trim import trim
from outlast.journal.writer import Writer
from outlast.run.folder import OUTPUT, SCREEN, TIMING, RunFolder
from outlast.sessions.engine import checkpoint
from outlast.sessions.engine.ghostty import VERSION, Engine
from outlast.sessions.engine.replay import CATCH_UP_BYTES, CHECKPOINT_BYTES, Replay
from outlast.sessions.screens import Screens, Snapshot
from tests.sessions.streams import torture

COLUMNS, ROWS = 80, 24
Args = ParamSpec("Args")


def in_loop(test: Callable[Args, Coroutine[Any, Any, None]]) -> Callable[Args, None]:
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Args.args, **named: Args.kwargs) -> None:
        asyncio.run(test(*args, **named))

    return run


def lines(first: int, end: int) -> bytes:
    """Numbered lines of 100 bytes, coloured."""
    return b"".join(
        b"\x1b[3%dm%08d\x1b[0m %s\r\n" % (n % 8, n, b"x" * 80) for n in range(first, end)
    )


class Session:
    """A run's folder with the journals of a terminal."""

    def __init__(self, path: Path, columns: int = COLUMNS, rows: int = ROWS) -> None:
        path.mkdir(mode=0o700)
        self.folder = RunFolder(str(path))
        self.size(columns, rows)

    def write(self, data: bytes) -> None:
        with Path(self.folder.file(OUTPUT)).open("ab") as file:
            file.write(data)

    def size(self, columns: int, rows: int) -> None:
        with Writer(self.folder.file(TIMING)) as timing:
            timing.append({"at": self.length(), "t": 1, "size": [columns, rows]})

    def output(self) -> bytes:
        return Path(self.folder.file(OUTPUT)).read_bytes()

    def length(self) -> int:
        path = Path(self.folder.file(OUTPUT))
        return path.stat().st_size if path.exists() else 0


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "run-1")


@asynccontextmanager
async def open_screens(*command: str, deadline_s: float = 20.0) -> AsyncIterator[Screens]:
    screens = Screens(command, deadline_s=deadline_s) if command else Screens(deadline_s=deadline_s)
    try:
        yield screens
    finally:
        await screens.close()


def expected(*parts: bytes | tuple[int, int]) -> bytes:
    """What an engine draws that was fed without any interruption."""
    engine = Engine(COLUMNS, ROWS)
    for part in parts:
        if isinstance(part, bytes):
            engine.feed(part)
        else:
            engine.resize(*part)
    return engine.dump().data


async def caught_up(screens: Screens, session: Session) -> checkpoint.Checkpoint:
    """Follow until the checkpoint is near the end of the output."""
    while True:
        screens.follow(session.folder)
        await asyncio.sleep(0.02)
        kept = checkpoint.load(session.folder, VERSION)
        if kept is not None and session.length() - kept.at < CHECKPOINT_BYTES:
            return kept


async def shot(screens: Screens, session: Session, **more: int) -> Snapshot:
    found = await screens.snapshot(session.folder, COLUMNS, ROWS, **more)
    assert found is not None
    return found


@in_loop
async def test_a_snapshot_is_what_the_whole_stream_led_to(session: Session) -> None:
    data = lines(0, 3000) + b"\x1b[?1049h\x1b[2J\x1b[Hfull\x1b[3"
    session.write(data)
    async with open_screens() as screens:
        found = await shot(screens, session)
    assert found == Snapshot(len(data), expected(data), True, 2000)
    assert found.data.endswith(b"\x1b[3")


@in_loop
async def test_later_snapshots_go_on_from_the_first(session: Session) -> None:
    async with open_screens() as screens:
        for n in range(5):
            session.write(lines(n * 100, n * 100 + 100) + "\u5bbd".encode()[: n % 3])
            found = await shot(screens, session)
            assert found.offset == session.length()
            assert found.data == expected(session.output())


@in_loop
async def test_sizes_take_effect_where_they_did(session: Session) -> None:
    first, second, third = b"a" * 100, b"b" * 100, b"c" * 100
    session.write(first)
    session.size(40, 10)
    session.write(second)
    session.size(90, 30)
    session.size(COLUMNS, ROWS)
    session.write(third)
    async with open_screens() as screens:
        found = await shot(screens, session)
    wanted = expected(first, (40, 10), second, (COLUMNS, ROWS), third)
    assert found.data == wanted


@in_loop
async def test_a_client_of_another_size_gets_a_drawing_for_it(session: Session) -> None:
    session.write(b"w" * 70 + b"\r\n")
    async with open_screens() as screens:
        narrow = await screens.snapshot(session.folder, 35, 10)
        usual = await shot(screens, session)
    assert narrow is not None
    assert narrow.data == expected(b"w" * 70 + b"\r\n", (35, 10))
    assert usual.data == expected(b"w" * 70 + b"\r\n")


@in_loop
async def test_a_snapshot_of_an_earlier_place(session: Session) -> None:
    session.write(lines(0, 50))
    async with open_screens() as screens:
        early = await shot(screens, session, up_to=1000)
    assert early.offset == 1000
    assert early.is_exact


@in_loop
async def test_a_session_that_printed_nothing_has_no_picture(session: Session) -> None:
    async with open_screens() as screens:
        assert await screens.snapshot(session.folder, COLUMNS, ROWS) is None
        assert screens.pid is None


@pytest.mark.slow
@in_loop
async def test_a_checkpoint_spares_reading_the_journal(session: Session) -> None:
    session.write(lines(0, 200_000))
    assert session.length() > CATCH_UP_BYTES
    async with open_screens() as screens:
        behind = await shot(screens, session)
        assert not behind.is_exact
        assert behind.will_be_exact
        assert behind.offset == session.length()
        assert b"00199999" in behind.data
        assert await screens.caught_up(session.folder)
        assert (await shot(screens, session)).is_exact
    session.write(b"and more\r\n")
    async with open_screens() as screens:  # another process: only the file can help it
        found = await shot(screens, session)
    assert found.is_exact
    assert found.data == expected(lines(0, 200_000) + b"and more\r\n")


@in_loop
async def test_whoever_waits_for_an_exact_picture_is_told_when_there_will_be_none(
    session: Session,
) -> None:
    session.write(lines(0, 20_000))
    async with open_screens("/nonexistent/program") as screens:
        assert not await screens.caught_up(session.folder)
        session.write(lines(0, 1))
    assert not await screens.caught_up(session.folder)


@pytest.mark.slow
@in_loop
async def test_sizes_that_wait_behind_a_checkpoint_still_come(session: Session) -> None:
    session.write(lines(0, 15_000))
    session.size(50, 12)
    session.write(lines(0, 40))
    replay = Replay(session.folder)
    assert replay.advance(session.length() - 100_000) > 0  # the change of size is still to come
    assert replay.kept > 0
    replay.close()
    async with open_screens() as screens:
        found = await screens.snapshot(session.folder, 50, 12)
    assert found is not None
    assert found.is_exact
    assert found.data == expected(lines(0, 15_000), (50, 12), lines(0, 40))


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged_or_foreign_counts_as_none(session: Session) -> None:
    session.write(lines(0, 12_000))
    replay = Replay(session.folder)
    replay.advance(session.length())
    replay.close()
    path = Path(session.folder.file(SCREEN))
    good = path.read_bytes()
    head, _, frame = good.partition(b"\n")
    assert checkpoint.load(session.folder, VERSION) is not None
    assert checkpoint.load(session.folder, "another engine") is None
    unfit = (b"", head, good[:-1], good[:300] + b"?" + good[301:], head + b"\n" + frame[::-1])
    for damaged in unfit:
        path.write_bytes(damaged)
        assert checkpoint.load(session.folder, VERSION) is None
        replay = Replay(session.folder)
        drawn = replay.draw((COLUMNS, ROWS), None)
        replay.close()
        assert drawn is not None
        assert drawn.data == expected(lines(0, 12_000))
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert checkpoint.load(session.folder, VERSION) is None
    path.unlink()
    os.mkfifo(path)
    assert checkpoint.load(session.folder, VERSION) is None


@pytest.mark.slow
def test_a_sound_file_with_a_hostile_state_is_passed_over(session: Session) -> None:
    session.write(lines(0, 100))
    for state in (b"", b"GHOSTSNP\x01\0" + b"\xff" * 500, b"x" * 10_000):
        kept = checkpoint.Checkpoint(50, COLUMNS, ROWS, True, 0, state)
        checkpoint.write(session.folder, VERSION, kept)
        replay = Replay(session.folder)
        drawn = replay.draw((COLUMNS, ROWS), None)
        replay.close()
        assert drawn is not None
        assert drawn.data == expected(lines(0, 100))


@pytest.mark.slow
@in_loop
async def test_output_that_was_trimmed_is_said_to_be_missing(session: Session) -> None:
    session.write(b"\x1b[31m" + lines(0, 20_000))
    trim(session.folder.file(OUTPUT), 1_000_000)
    async with open_screens() as screens:
        found = await shot(screens, session)
    assert not found.is_exact
    assert b"00019999" in found.data


@pytest.mark.slow
@in_loop
async def test_what_a_checkpoint_covers_may_be_trimmed(session: Session) -> None:
    session.write(lines(0, 20_000))
    replay = Replay(session.folder)
    while replay.advance(1 << 20):
        pass
    kept = replay.kept
    replay.close()
    trim(session.folder.file(OUTPUT), kept)
    async with open_screens() as screens:
        found = await shot(screens, session)
    assert found.is_exact
    assert found.data == expected(lines(0, 20_000))


@pytest.mark.slow
@in_loop
async def test_the_end_of_a_journal_without_lines_can_be_drawn(session: Session) -> None:
    session.write(b"x" * (CATCH_UP_BYTES + 3_000_000) + b"the end")
    async with open_screens() as screens:
        found = await shot(screens, session)
    assert not found.is_exact
    assert b"the end" in found.data


@in_loop
async def test_the_process_can_be_started_before_it_is_asked(session: Session) -> None:
    session.write(b"hello")
    async with open_screens() as screens:
        screens.prepare()
        assert screens._preparing is not None
        await screens._preparing
        first = screens.pid
        await shot(screens, session)
        screens.prepare()
        assert screens.pid == first is not None


@in_loop
async def test_a_killed_process_costs_nothing(session: Session) -> None:
    session.write(lines(0, 500))
    async with open_screens() as screens:
        before = await shot(screens, session)
        assert screens.pid is not None
        os.kill(screens.pid, signal.SIGKILL)
        assert await shot(screens, session) == before


@in_loop
async def test_a_process_killed_while_many_wait_answers_all_of_them(session: Session) -> None:
    session.write(lines(0, 3000))
    async with open_screens() as screens:
        await shot(screens, session)
        asked = [asyncio.ensure_future(shot(screens, session)) for _ in range(10)]
        await asyncio.sleep(0)
        assert screens.pid is not None
        os.kill(screens.pid, signal.SIGKILL)
        for found in await asyncio.gather(*asked):
            assert found.offset == session.length()
            assert b"00002999" in found.data


DIES = """
import os, sys
from outlast.sessions.engine import __main__ as process
answer = process.Drawer.answer
def dies(self, question):
    if {condition}:
        {deed}
    return answer(self, question)
process.Drawer.answer = dies
sys.exit(process.main())
"""


def program(condition: str, deed: str) -> tuple[str, ...]:
    return sys.executable, "-c", DIES.format(condition=condition, deed=deed)


@in_loop
async def test_a_stream_that_crashes_the_engine_is_drawn_from_its_end(session: Session) -> None:
    session.write(lines(0, 100))
    crash = program("not question['is_tail']", "os.abort()")
    async with open_screens(*crash) as screens:
        found = await shot(screens, session)
        assert not found.is_exact
        assert b"00000099" in found.data
        first = screens.pid
        # What ended it isn't tried again for a while.
        assert not (await shot(screens, session)).is_exact
        assert screens.pid == first


@in_loop
async def test_where_nothing_can_be_drawn_the_caller_is_told(session: Session) -> None:
    session.write(lines(0, 100))
    async with open_screens(*program("True", "os.abort()")) as screens:
        assert await screens.snapshot(session.folder, COLUMNS, ROWS) is None
    async with open_screens("/nowhere/at-all") as screens:
        assert await screens.snapshot(session.folder, COLUMNS, ROWS) is None


@in_loop
async def test_a_process_that_hangs_is_ended_at_the_deadline(session: Session) -> None:
    session.write(lines(0, 100))
    hang = program("not question['is_tail']", "import signal; signal.pause()")
    async with open_screens(*hang, deadline_s=3.0) as screens:
        started_s = time.monotonic()
        found = await shot(screens, session)
        assert not found.is_exact
        assert time.monotonic() - started_s < 10


@in_loop
async def test_a_process_that_ended_for_want_of_work_is_started_again(session: Session) -> None:
    session.write(lines(0, 100))
    bored = program("not os.path.exists(question['folder'] + '/seen')", BORED)
    async with open_screens(*bored) as screens:
        assert (await shot(screens, session)).is_exact


BORED = "open(question['folder'] + '/seen', 'w').close(); os._exit(0)"


@in_loop
async def test_few_engines_are_loaded_and_none_for_long(tmp_path: Path) -> None:
    from outlast.sessions.engine import __main__ as process

    drawer = process.Drawer()
    for number in range(process.MOST_ENGINES + 3):
        session = Session(tmp_path / f"run-{number}")
        session.write(b"hello")
        question = {"folder": session.folder.path, "columns": 80, "rows": 24, "up_to": None}
        header, data = drawer.answer({"op": "draw", "is_tail": False, **question})
        assert header == {"offset": 5, "is_exact": True, "lines": 0, "will_be_exact": False}
        assert b"hello" in data
    assert len(drawer._loaded) == process.MOST_ENGINES
    drawer.drop_idle(time.monotonic() + process.ENGINE_IDLE_S)
    assert not drawer._loaded


@in_loop
async def test_the_process_ends_with_its_server(session: Session) -> None:
    session.write(b"hello")
    screens = Screens(deadline_s=20.0)
    await shot(screens, session)
    pid = screens.pid
    assert pid is not None
    await screens.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert await screens.snapshot(session.folder, COLUMNS, ROWS) is None


@pytest.mark.slow
@in_loop
async def test_hostile_output_and_sizes_leave_the_server_unharmed(session: Session) -> None:
    chance = random.Random(3)
    async with open_screens() as screens:
        for turn in range(40):
            session.write(torture(turn, 100) + chance.randbytes(3000))
            session.size(
                chance.choice((-5, 0, 1, 2, 80, 999_999)), chance.choice((0, 1, 24, 70_000))
            )
            asked = chance.choice((1, 20, 80, 5_000)), chance.choice((1, 24, 5_000))
            found = await screens.snapshot(session.folder, *asked)
            if found is not None:  # within an endless sequence nothing can be drawn
                assert found.offset == session.length()
                assert len(found.data) <= 1 << 20
            screens.follow(session.folder)
        session.write(b"\x18\x1bc" + b"sane again")
        assert b"sane again" in (await shot(screens, session)).data


@pytest.mark.slow
@in_loop
async def test_a_wide_history_still_fits_one_frame(tmp_path: Path) -> None:
    session = Session(tmp_path / "wide", 400, 100)
    session.write(b"".join(b"\x1b[38;2;%d;9;9m%s" % (n % 256, b"ab" * 20) for n in range(40_000)))
    async with open_screens() as screens:
        found = await screens.snapshot(session.folder, 400, 100)
    assert found is not None
    assert len(found.data) <= 1 << 20
    assert found.lines > 0
