"""The engine: drawings that lose nothing, states that restore, hostile bytes."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("pyghostty", reason="no engine is made for this machine")

from outlast.errors import Corrupt
from outlast.sessions.engine.comparing import difference
from outlast.sessions.engine.ghostty import HISTORY_LINES, Engine, Unfit
from outlast.sessions.engine.picture import read
from tests.sessions.recording import Stream
from tests.sessions.streams import COLUMNS, ROWS, SHORT, encoded, recorded, torture

COLOURED = b"".join(
    b"\x1b[%dm%05d\x1b[0m loss=\x1b[1;32m%d\x1b[0m %s\r\n" % (31 + n % 7, n, n * n, b"x" * (n % 70))
    for n in range(4000)
)


def fed(data: bytes, columns: int = COLUMNS, rows: int = ROWS) -> Engine:
    engine = Engine(columns, rows)
    engine.feed(data)
    return engine


def loss(engine: Engine) -> str | None:
    """What drawing the engine into another loses."""
    dump = engine.dump()
    second = Engine(*engine.size)
    second.feed(dump.data)
    return difference(engine.picture(), second.picture(), dump.lines)


@pytest.mark.parametrize("name", [name for name in SHORT if "cut" not in name])
def test_a_drawing_drawn_gives_the_same_picture(name: str) -> None:
    assert loss(fed(encoded(SHORT[name][0]))) is None


@pytest.mark.parametrize("stream", recorded(), ids=lambda stream: stream.program)
def test_what_programs_draw_survives_drawing_at_any_place(stream: Stream) -> None:
    engine = Engine(stream.columns, stream.rows)
    for at in range(0, len(stream.data), 997):
        engine.feed(stream.data[at : at + 997])
        if engine.is_at_ground:
            assert loss(engine) is None


@pytest.mark.slow
def test_random_streams_lose_next_to_nothing() -> None:
    lost = [
        found
        for seed in range(60)
        for part in (1, 2)
        if (found := loss(fed(torture(seed)[: 1200 * part], 60, 16))) is not None
        and not found.startswith("cursor")
    ]
    # Never more than a line that continues one of which nothing is left.
    assert len(lost) <= 2, lost


def test_the_last_two_thousand_lines_are_drawn() -> None:
    dump = fed(COLOURED, 120, 40).dump()
    assert dump.lines == HISTORY_LINES
    text = dump.data.replace(b"\x1b[0m", b"")
    assert b"03999" in text
    assert b"01961" in text  # 4000 lines, the last row is empty: 39 shown, 2,000 above
    assert b"01960" not in text


@pytest.mark.slow
@pytest.mark.parametrize("columns", [10, 40, 80, 200])
def test_two_thousand_lines_are_there_at_any_time(columns: int) -> None:
    engine = Engine(columns, 24)
    engine.feed(b"".join(b"%d\r\n" % n for n in range(6000)))
    for n in range(0, 6000, 500):
        engine.feed(b"".join(b"%d\r\n" % m for m in range(n, n + 500)))
        assert engine.dump().lines == HISTORY_LINES


def test_fewer_lines_are_drawn_when_fewer_are_asked_for() -> None:
    assert fed(COLOURED, 120, 40).dump(10).lines == 10


def test_a_state_restores_to_the_same_state() -> None:
    engine = fed(COLOURED + b"\x1b[?1049h\x1b[Hfull\x1b[2;3r", 120, 40)
    state = engine.state()
    assert state is not None
    restored = Engine.restored(state)
    assert restored.state() == state
    assert restored.dump() == engine.dump()
    assert restored.size == (120, 40)


def test_there_is_no_state_within_a_sequence_a_mark_or_a_character() -> None:
    for unfinished in (b"\x1b[3", b"\x1b]0;half", b"\xe5\xae", b"\x1b]13", b"\x1b"):
        assert fed(b"a" + unfinished).state() is None


def test_an_unfinished_sequence_is_drawn_last() -> None:
    for unfinished in (b"\x1b[3", b"\x1b]0;half", b"\xe5\xae", b"\x1b]13", b"\x1b]133;A", b"\x1b"):
        assert fed(b"a" + unfinished).dump().data.endswith(b"a" + unfinished)


def test_an_endless_sequence_cannot_be_drawn() -> None:
    engine = fed(b"\x1b]52;c;" + b"A" * (3 << 20))
    with pytest.raises(Unfit):
        engine.dump()
    engine.feed(b"\x07after")
    assert b"after" in engine.dump().data


def test_a_clone_goes_its_own_way() -> None:
    engine = fed(b"one two three four five six seven\x1b]13")
    before = engine.dump()
    clone = engine.clone()
    assert clone.dump() == before
    clone.resize(10, 8)
    clone.feed(b"3;A\x07more")
    assert engine.dump() == before


def test_a_wide_character_cut_by_a_narrower_screen_can_still_be_drawn() -> None:
    engine = fed("\x1b[?1049h\x1b[1;9H\u5bbd".encode(), 20, 5)
    engine.resize(9, 5)
    assert engine.dump().data
    engine = fed("\x1b[?1049h\x1b[1;9H\u5bbd\x1b[?1049lback".encode(), 20, 5)
    engine.resize(9, 5)
    assert b"back" in engine.dump().data


def test_nothing_hostile_in_text_or_title_becomes_a_sequence() -> None:
    engine = fed(b"a\xc2\x9b31mb\x1b]0;t\xc2\x9bx\x07\x1b]8;;http://a\xc2\x9cb\x07l\x1b]8;;\x07")
    assert b"\xc2\x9b" not in engine.dump().data
    assert b"\xc2\x9c" not in engine.dump().data


@pytest.mark.slow
def test_hostile_bytes_and_sizes_never_break_it() -> None:
    chance = random.Random(7)
    engine = Engine(80, 24)
    starts = (
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b_",
        b"\x1b^",
        b"\x1bX",
        b"\x9b",
        b"\xf0\x9f",
        b"\x1b",
    )
    for turn in range(600):
        piece = b"".join(
            chance.choice(starts) + chance.randbytes(chance.randint(0, 12)) for _ in range(40)
        )
        engine.feed(piece + torture(turn, 20))
        if turn % 7 == 0:
            engine.resize(chance.choice((1, 2, 7, 80, 300, 1000)), chance.choice((1, 2, 24, 200)))
        if turn % 5 == 0:
            try:
                dump = engine.dump()
            except Unfit:
                continue
            assert len(dump.data) < 8 << 20


def test_a_state_that_is_damaged_is_refused() -> None:
    state = fed(b"hello").state()
    assert state is not None
    for at in range(0, len(state), 37):
        damaged = bytearray(state)
        damaged[at] ^= 0x55
        with pytest.raises(Corrupt):
            Engine.restored(bytes(damaged))
    with pytest.raises(Corrupt):
        read(b"something else")
    with pytest.raises(Corrupt):
        read(state[:-400])
