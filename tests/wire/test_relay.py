"""What a client is served, when: windows by what it draws, snapshots, roles, limits."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.wire import frame as wire
from outlast.wire.frame import Frame, Malformed, telling
from outlast.wire.relay import LAST_BYTES, MOST_SAID_BYTES, MOST_SIZES, Hello, ServerHalf
from outlast.wire.terminal import Action, Closed, Forward, Picture, Read, Send

KEY = "00112233445566778899aabbccddeeff"
MB = 1 << 20


def hello(**fields: Any) -> Hello:
    says = {
        "version": 1, "role": "driver", "key": KEY, "epoch": None, "output": 0, "input": 0,
        "columns": 80, "rows": 24, "who": "ann", **fields,
    }  # fmt: skip
    return Hello.of(telling(wire.HELLO, 0, **says))


def served(
    *, written: int = 0, role: str = "driver", first: int = 0, **fields: Any
) -> tuple[ServerHalf, dict[str, Any]]:
    """A welcomed client, and its WELCOME."""
    half = ServerHalf(hello(role=role, **fields), 0.0)
    answer = {
        "role": role, "epoch": 1, "accepted": 0, "written": written, "columns": 80, "rows": 24,
        "fenced": False, "driver": "ann", "viewers": [],
    }  # fmt: skip
    actions = half.attached(answer, session="s", server="one", first=first)
    return half, sent(actions)[0].said()


def sent(actions: list[Action]) -> list[Frame]:
    return [action.frame for action in actions if isinstance(action, Send)]


def wrote(half: ServerHalf, length: int, now: float = 0.0) -> None:
    half.relayed(Frame(wire.WRITTEN, length), now)


def serve_all(half: ServerHalf, now: float) -> int:
    """Read as much as is allowed; how many bytes that was."""
    before = half.sent
    while isinstance(want := half.next(now), Read):
        half.read(b"x" * want.limit_bytes, now)
    return half.sent - before


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"version": 2}, "version 2"),
        ({"role": "root"}, "role 'root'"),
        ({"key": "short"}, "HELLO"),
        ({"key": "zz" * 16}, "HELLO"),
        ({"output": -1}, "-1"),
        ({"output": 1 << 63}, "9223372036854775808"),
        ({"output": True}, "True"),
        ({"columns": "wide"}, "wide"),
        ({"columns": None}, "None"),
    ],
)
def test_a_hello_that_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(Malformed, match=told):
        hello(**fields)


def test_sizes_are_brought_into_bounds() -> None:
    assert hello(columns=0, rows=100_000)[5:7] == (1, 1000)
    half, _ = served()
    asked = telling(wire.SIZE, 0, columns=5000, rows=0)
    assert half.heard(asked, 0.0) == [Forward(telling(wire.SIZE, columns=1000, rows=1))]


def test_no_more_is_sent_than_the_window_until_it_is_drawn() -> None:
    half, _ = served()
    wrote(half, MB)
    assert serve_all(half, 0.0) == 256 << 10
    assert half.next(0.0) is None
    half.heard(Frame(wire.DRAWN, 200 << 10), 0.001)
    assert serve_all(half, 0.001) > 0


def test_a_slow_client_has_a_small_window_and_a_fast_one_the_whole() -> None:
    half, _ = served()
    now, under_way = 0.0, []
    for pause_s in (0.032, 0.001):  # 1 MB/s, then 32
        for _ in range(200):
            wrote(half, half.drawn + MB)
            serve_all(half, now)
            now += pause_s
            half.heard(Frame(wire.DRAWN, min(half.sent, half.drawn + (32 << 10))), now)
        wrote(half, half.drawn + MB)
        serve_all(half, now)
        under_way.append(half.sent - half.drawn)
    assert under_way[0] <= 64 << 10
    assert under_way[1] > 128 << 10


def test_whoever_comes_back_far_behind_gets_the_screen() -> None:
    half, welcome = served(written=5 * MB, output=10)
    assert welcome["output"] == 10
    assert half.next(0.0) == Picture(has_history=False)
    assert half.next(0.0) is None
    gap, screen = sent(half.snapshot(5 * MB, b"screen", 0.0))
    assert (gap.kind, gap.number, gap.said()) == (wire.GAP, 5 * MB, {"from": 10, "why": "skipped"})
    assert (screen.kind, screen.number, screen.payload) == (wire.SNAPSHOT, 5 * MB, b"screen")


def test_whoever_comes_back_soon_gets_every_byte() -> None:
    half, _ = served(written=4 * MB, output=10)
    assert half.next(0.0) == Read(10, 64 << 10)


def test_a_fresh_client_gets_history_as_well() -> None:
    half, _ = served(written=100, output=None)
    assert half.next(0.0) == Picture(has_history=True)
    assert [frame.kind for frame in sent(half.snapshot(90, b"screen", 0.0))] == [wire.SNAPSHOT]
    assert half.next(0.0) == Read(90, 10)


def test_without_an_engine_a_fresh_client_is_told_where_it_begins() -> None:
    half, _ = served(written=1000, output=None)
    half.next(0.0)
    (gap,) = sent(half.skip(900, "tail"))
    assert (gap.number, gap.said()) == (900, {"from": 0, "why": "tail"})
    assert half.next(0.0) == Read(900, 100)


def test_trimmed_bytes_are_told_at_the_attach_and_later() -> None:
    half, welcome = served(written=100, output=10, first=50)
    assert welcome["first"] == 50
    assert half.next(0.0) == Read(50, 50)
    half.read(b"", 0.0)
    (gap,) = sent(half.skip(80, "trimmed"))
    assert gap.said() == {"from": 50, "why": "trimmed"}


def test_a_client_that_is_ahead_of_a_journal_that_lost_its_end_begins_afresh() -> None:
    half, welcome = served(written=50, output=100)
    assert welcome["output"] == 0
    assert half.next(0.0) == Picture(has_history=True)


def test_ctrl_c_in_a_flood_skips_to_the_last_lines_and_draws_the_screen_later() -> None:
    half, _ = served()
    wrote(half, 2 * MB)
    serve_all(half, 0.0)
    half.heard(Frame(wire.INPUT, 0, b"\x03"), 1.0)
    half.heard(Frame(wire.DRAWN, half.sent), 1.0)
    assert half.next(1.0) == Read(2 * MB - LAST_BYTES, LAST_BYTES)
    gap, output = sent(half.read(b"y\n" + b"prompt" * 100, 1.0))
    assert gap.said() == {"from": 256 << 10, "why": "skipped"}
    assert gap.number == output.number == 2 * MB - LAST_BYTES + 2
    assert output.payload == b"prompt" * 100
    serve_all(half, 1.0)
    half.heard(Frame(wire.DRAWN, half.sent), 1.1)
    assert half.next(1.5) is None
    assert half.next(2.5) == Picture(has_history=False)
    assert [frame.kind for frame in sent(half.snapshot(2 * MB, b"screen", 2.5))] == [wire.SNAPSHOT]
    assert half.next(2.6) is None


def test_ctrl_c_does_not_wait_for_a_snapshot_that_is_being_made() -> None:
    half, _ = served(written=5 * MB)
    assert half.next(0.0) == Picture(has_history=False)
    half.heard(Frame(wire.INPUT, 0, b"\x03"), 0.1)
    assert isinstance(half.next(0.1), Read)
    half.read(b"\nprompt", 0.1)
    assert half.snapshot(4 * MB, b"old", 0.2) == []
    assert half.next(1.5) == Picture(has_history=False)
    half.snapshot(half.sent - 1, b"old again", 1.6)
    assert not isinstance(half.next(1.7), Picture), "it would be asked for ever"


def test_only_the_driver_types_and_sizes() -> None:
    half, _ = served(role="viewer")
    assert half.heard(Frame(wire.INPUT, 0, b"x"), 0.0) == []
    assert half.heard(telling(wire.SIZE, 0, columns=1, rows=1), 0.0) == []
    half, _ = served()
    typed = Frame(wire.INPUT, 0, b"x")
    assert half.heard(typed, 0.0) == [Forward(typed)]
    half.relayed(telling(wire.NEWS, 0, role="viewer", epoch=2, driver="bob", viewers=[]), 0.0)
    assert half.heard(Frame(wire.INPUT, 1, b"y"), 0.0) == []


@pytest.mark.parametrize(
    "frame",
    [
        Frame(wire.DRAWN, 1),
        Frame(wire.INPUT, 256 << 10, b"x"),
        telling(wire.SIZE, 0, columns="x", rows=1),
        telling(wire.HELLO, 0),
    ],
)
def test_what_can_not_be_ends_the_connection(frame: Frame) -> None:
    half, _ = served()
    bye, closed = half.heard(frame, 0.0)
    assert isinstance(bye, Send)
    assert bye.frame.kind == wire.BYE
    assert isinstance(closed, Closed)
    assert half.is_closed
    assert half.heard(Frame(wire.PING, 1), 0.0) == []


def test_sizes_and_the_end_are_told_when_the_output_before_them_was_sent() -> None:
    half, _ = served(role="viewer")
    wrote(half, 100)
    size = telling(wire.SIZE, 60, columns=100, rows=30)
    end = telling(wire.EXIT, 100, code=0)
    assert half.relayed(size, 0.0) == []
    assert half.relayed(end, 0.0) == []
    assert half.next(0.0) == Read(0, 60)
    assert sent(half.read(b"x" * 60, 0.0))[1:] == [size]
    assert half.next(0.0) == Read(60, 40)
    assert sent(half.read(b"x" * 40, 0.0))[1:] == [end]


def test_sizes_that_nobody_draws_are_few_and_the_screen_comes_instead() -> None:
    half, _ = served(role="viewer")
    for _ in range(1000):  # at one place only the last counts
        half.relayed(telling(wire.SIZE, 50, columns=90, rows=30), 0.0)
    wrote(half, 50)
    assert [frame.kind for frame in sent(read_all(half))] == [wire.OUTPUT, wire.SIZE]
    for at in range(100, 100 + 2 * MOST_SIZES):
        half.relayed(telling(wire.SIZE, at, columns=at, rows=30), 0.0)
    wrote(half, 1000)
    assert isinstance(half.next(0.0), Picture)
    told = sent(half.snapshot(1000, b"screen", 0.0))
    assert [frame.kind for frame in told] == [wire.GAP, wire.SNAPSHOT, wire.SIZE]
    assert told[-1].said()["columns"] == 99 + 2 * MOST_SIZES


def read_all(half: ServerHalf) -> list[Action]:
    actions: list[Action] = []
    while isinstance(want := half.next(0.0), Read):
        actions += half.read(b"x" * want.limit_bytes, 0.0)
    return actions


@pytest.mark.parametrize("kind", [wire.PING, wire.DRAWN, wire.SIZE, wire.BYE, 99])
def test_only_input_may_be_long(kind: int) -> None:
    half, _ = served()
    said = b'{"columns":80,"rows":24}'.ljust(MOST_SAID_BYTES + 1)
    assert isinstance(half.heard(Frame(kind, 0, said), 0.0)[-1], Closed)
    with pytest.raises(Malformed, match="HELLO"):
        hello(who="x" * MOST_SAID_BYTES)


def test_a_silent_client_is_let_go_and_an_asking_one_answered() -> None:
    half, _ = served()
    assert [frame.kind for frame in sent(half.due(2.0))] == [wire.PING]
    assert half.due(3.0) == []
    assert half.heard(Frame(wire.PING, 7), 3.0) == [Send(Frame(wire.PONG, 7))]
    assert sent(half.due(8.9))[0].kind == wire.PING
    assert half.due(9.0) == [Closed(False, 0.0, "nothing was heard for 6 s")]


def test_a_client_that_speaks_but_reads_nothing_is_let_go() -> None:
    half, _ = served()
    now, said = 0.0, list[Action]()
    while now < 90.0 and not any(isinstance(action, Closed) for action in said):
        now += 2.0
        half.heard(Frame(wire.PING, int(now)), now)
        half.heard(Frame(wire.DRAWN, 0), now)
        said = half.due(now)
    assert now == 60.0
    assert said[-1] == Closed(False, 0.0, "no ping was answered for 60 s")


def test_a_client_that_answers_late_stays() -> None:
    half, _ = served()
    for second in range(2, 600, 2):
        assert [frame.kind for frame in sent(half.due(float(second)))] == [wire.PING]
        answered = second // 2 - 20  # forty seconds ago
        half.heard(Frame(wire.PONG, answered) if answered > 0 else Frame(wire.PING, 1), second)


def test_an_exact_screen_follows_in_a_pause() -> None:
    half, _ = served(written=9 * MB, output=None)
    assert half.next(0.0) == Picture(has_history=True)
    half.snapshot(9 * MB, b"of the end alone", 0.0)
    wrote(half, 9 * MB + 10)
    half.redraw()
    assert half.next(0.0) == Read(9 * MB, 10)
    half.read(b"x" * 10, 0.0)
    assert half.next(0.0) == Picture(has_history=True, up_to=9 * MB + 10)
    wrote(half, 9 * MB + 15)
    assert half.next(0.0) is None
    (screen,) = sent(half.snapshot(9 * MB + 10, b"exact", 0.0))
    assert (screen.kind, screen.payload) == (wire.SNAPSHOT, b"exact")
    assert half.next(0.0) == Read(9 * MB + 10, 5)


def test_a_screen_stays_when_there_is_no_exact_one_after_all() -> None:
    half, _ = served(written=10, output=None)
    half.next(0.0)
    half.snapshot(10, b"of the end alone", 0.0)
    half.redraw()
    assert half.next(0.0) == Picture(has_history=True, up_to=10)
    half.not_redrawn()
    assert half.next(0.0) is None
    wrote(half, 20)
    assert half.next(0.0) == Read(10, 10)
