"""Over any schedule of cuts a stream gives every byte once, in order, and its end."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.wire import link, stream
from outlast.wire.frame import (
    BYE,
    DATA,
    END,
    HELLO,
    PING,
    PONG,
    TAKEN,
    WELCOME,
    Frame,
    Malformed,
    decode,
    telling,
)
from outlast.wire.stream import ClientLink, Denied, Link, NodeLink

VECTORS = Path(__file__).parents[1] / "vectors" / "wire"
TOKEN = "a5" * 32
WINDOW_BYTES = 4096

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from((0, 1)), st.binary(min_size=1, max_size=3000)),
        st.tuples(st.just("move"), st.sampled_from((0, 1)), st.integers(1, 4)),
        st.tuples(st.just("hand"), st.sampled_from((0, 1)), st.integers(1, 2500)),
        st.tuples(st.just("cut"), st.just(0), st.just(0)),  # both ends notice
        # One end notices later: it goes on talking into the void until the next connection.
        st.tuples(st.just("half-open"), st.sampled_from((0, 1)), st.just(0)),
        st.tuples(st.just("tick"), st.sampled_from((0, 1)), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.sampled_from((0, 1)), st.just(0)),
    ),
    max_size=60,
)


class Network:
    """Both ends and what is on its way between them; end 0 is the client, 1 the node."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self.client = ClientLink("r1", TOKEN, window_bytes)
        self.node = NodeLink(lambda token: token == TOKEN, window_bytes)
        self.ends: tuple[Link, Link] = (self.client, self.node)
        self.wires: tuple[deque[Frame], deque[Frame]] = (deque(), deque())  # by who sent
        self.is_open = False
        self.has_greeted = False
        self.put = (bytearray(), bytearray())
        self.got = (bytearray(), bytearray())
        self.now_s = 0.0

    def connect(self) -> None:
        for wire in self.wires:
            wire.clear()
        self.client.connected(self.now_s)
        self.is_open, self.has_greeted = True, False

    def cut(self) -> None:
        for wire in self.wires:
            wire.clear()
        self.is_open = False
        self.client.disconnected()
        self.node.disconnected()

    def write(self, who: int, data: bytes) -> None:
        end = self.ends[who]
        data = data[: end.outgoing.room_bytes]
        if data:
            end.outgoing.put(data)
            self.put[who].extend(data)

    def finish(self, who: int) -> None:
        self.ends[who].outgoing.is_ended = True

    def move(self, who: int, count: int) -> None:
        """`who` sends so many frames, and the other end takes what is on its way."""
        if not self.is_open:
            self.connect()
        if who == 1 and not self.has_greeted:
            return
        for _ in range(count):
            has_frame = self.ends[who].has_frame
            frame = self.ends[who].next_frame()
            assert has_frame is (frame is not None)
            if frame is None:
                break
            self.wires[who].append(decode(frame.encode()))
        while self.wires[who]:
            self.deliver(who, self.wires[who].popleft())

    def deliver(self, who: int, frame: Frame) -> None:
        if who == 0 and not self.has_greeted:
            self.node.greet(frame, self.now_s)
            self.has_greeted = True
        else:
            self.ends[1 - who].receive(frame, self.now_s)

    def hand(self, who: int, size_bytes: int) -> None:
        incoming = self.ends[who].incoming
        piece = incoming.next_piece()
        if piece is not None:
            self.got[1 - who].extend(piece[:size_bytes])
            incoming.hand(min(size_bytes, len(piece)))
        elif incoming.is_at_end:
            incoming.hand_end()

    def settle(self) -> None:
        """No more faults: everything arrives."""
        self.cut()
        for _ in range(2000):
            if all(end.is_done for end in self.ends):
                return
            self.now_s += 2.5
            for who in (0, 1):
                self.ends[who].heard(self.now_s)
                self.ends[who].tick(self.now_s)
                self.move(who, 100)
                self.hand(who, 1 << 20)
        raise AssertionError("it doesn't come to an end")


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_every_byte_comes_once_and_in_order_whatever_breaks(steps: list[Any]) -> None:
    network = Network()
    for what, who, argument in steps:
        if what == "put":
            network.write(who, argument)
        elif what == "move":
            network.move(who, argument)
        elif what == "hand":
            network.hand(who, argument)
        elif what == "cut":
            network.cut()
        elif what == "half-open":
            # `who` says something that nobody hears; the client connects anew.
            network.ends[who].next_frame()
            network.is_open = False
        elif what == "tick":
            network.now_s += argument
            network.ends[who].heard(network.now_s)
            network.ends[who].tick(network.now_s)
        else:
            network.finish(who)
        for sent, got in zip(network.put, network.got, strict=True):
            assert sent.startswith(got)
        for end in network.ends:
            held = end.incoming.received - end.incoming.taken
            assert 0 <= held <= WINDOW_BYTES + 1
            assert end.outgoing.room_bytes >= 0
    network.finish(0)
    network.finish(1)
    network.settle()
    assert network.got == network.put


def up() -> Network:
    network = Network()
    network.move(0, 1)
    network.move(1, 2)
    assert network.client.is_up
    assert network.node.is_up
    return network


def test_a_full_window_only_keeps_the_sender_from_reading() -> None:
    network = up()
    network.write(1, b"x" * 10_000)
    assert network.node.outgoing.room_bytes == 0
    network.move(1, 100)
    for _ in range(100):  # minutes in which nobody takes a byte
        network.now_s += 2.5
        for who in (0, 1):
            network.ends[who].heard(network.now_s)
            network.ends[who].tick(network.now_s)
            network.move(who, 10)
    assert len(network.put[1]) == WINDOW_BYTES
    network.hand(0, WINDOW_BYTES)
    network.move(0, 10)
    assert network.node.outgoing.room_bytes == WINDOW_BYTES


def test_only_silence_is_a_dead_link() -> None:
    network = up()
    assert not network.client.is_dead(network.now_s + link.DEAD_S - 0.1)
    assert network.client.is_dead(network.now_s + link.DEAD_S)
    network.client.heard(network.now_s + 5)  # a part of a frame is a sign of life as well
    assert not network.client.is_dead(network.now_s + link.DEAD_S + 4)
    network.cut()
    assert not network.client.is_dead(network.now_s + 3600)


def test_pings_are_answered_with_their_number() -> None:
    network = up()
    network.node.receive(Frame(PING, 77), 0.0)
    assert network.node.next_frame() == Frame(PONG, 77)


def test_who_asks_without_reading_is_answered_once() -> None:
    network = up()
    for number in range(1000):
        network.node.receive(Frame(PING, number), 0.0)
    for second in range(100):
        network.node.tick(10.0 * second)
    unsaid = []
    while (frame := network.node.next_frame()) is not None:
        unsaid.append(frame)
    assert unsaid == [Frame(PONG, 999), Frame(PING)]


def test_tiny_pieces_that_wait_become_few() -> None:
    incoming = stream.Incoming(1 << 20)
    whole = bytes(n % 251 for n in range(50_000))
    for at in range(len(whole)):
        incoming.add(Frame(DATA, at, whole[at : at + 1]))
    handed, pieces = b"", 0
    while (piece := incoming.next_piece()) is not None:
        handed, pieces = handed + bytes(piece), pieces + 1
        incoming.hand(len(piece))
    assert handed == whole
    assert pieces < 1_010


def test_taken_is_told_after_a_quarter_of_the_window_or_with_the_next_ping() -> None:
    network = up()
    network.write(0, b"x" * 10)
    network.move(0, 1)
    network.hand(1, 10)
    assert network.node.next_frame() is None
    network.node.tick(2.5)
    assert [network.node.next_frame() for _ in range(3)] == [Frame(PING), Frame(TAKEN, 10), None]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"token": "b6" * 32, "received": 0, "taken": 0}, Denied),
        ({"received": 0, "taken": 0}, Denied),
        ({"token": 7, "received": 0, "taken": 0}, Denied),
        ({"token": TOKEN, "received": 1, "taken": 0}, Denied),
        ({"token": TOKEN, "received": 0, "taken": 1}, Denied),
        ({"token": TOKEN, "received": -1, "taken": 0}, Malformed),
        ({"token": TOKEN, "received": 2**63, "taken": 0}, Malformed),
        ({"token": TOKEN, "received": True, "taken": 0}, Malformed),
        ({"token": TOKEN, "received": "0", "taken": 0}, Malformed),
        ({"token": TOKEN}, Malformed),
    ],
)
def test_a_wrong_greeting_leaves_the_connection_before_untouched(
    said: dict[str, Any], error: type[Exception]
) -> None:
    network = up()
    with pytest.raises(error):
        network.node.greet(telling(HELLO, 0, **said), 1.0)
    network.write(1, b"still here")
    network.move(1, 1)
    network.hand(0, 100)
    assert network.got[1] == b"still here"


def test_a_second_client_that_has_missed_bytes_is_denied() -> None:
    network = up()
    network.write(1, b"x" * 3000)
    network.move(1, 5)
    network.hand(0, 3000)
    network.move(0, 5)
    fresh = ClientLink("r1", TOKEN)
    fresh.connected(0.0)
    hello = fresh.next_frame()
    assert hello is not None
    with pytest.raises(Denied, match="isn't kept"):
        network.node.greet(hello, 0.0)


def test_the_first_frame_must_be_a_greeting() -> None:
    with pytest.raises(Malformed, match="HELLO"):
        Network().node.greet(Frame(DATA, 0, b"x"), 0.0)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(DATA, 1, b"x"),
        Frame(END, 1),
        Frame(DATA, 0, b"x" * (WINDOW_BYTES + 1)),
        Frame(TAKEN, 1),
        Frame(TAKEN, 2**64 - 1),
    ],
)
def test_what_no_honest_end_says_ends_the_connection(frame: Frame) -> None:
    network = up()
    with pytest.raises(Malformed):
        network.node.receive(frame, 0.0)


def test_nothing_follows_an_end() -> None:
    network = up()
    network.node.receive(Frame(DATA, 0, b"abc"), 0.0)
    network.node.receive(Frame(END, 3), 0.0)
    network.node.receive(Frame(END, 3), 0.0)
    network.node.receive(Frame(DATA, 0, b"abc"), 0.0)  # said again after a cut
    for more in (Frame(DATA, 3, b"d"), Frame(DATA, 1, b"bcd"), Frame(END, 2), Frame(END, 4)):
        with pytest.raises(Malformed):
            network.node.receive(more, 0.0)


@pytest.mark.parametrize("is_final", [True, False])
def test_a_goodbye_says_whether_to_try_again(is_final: bool) -> None:
    network = up()
    with pytest.raises(Denied, match="it restarts") as caught:
        network.client.receive(telling(BYE, 0, final=is_final, reason="it restarts"), 0.0)
    assert caught.value.is_final is is_final
    assert caught.value.bye().said() == {"final": is_final, "reason": "it restarts"}


def test_unknown_kinds_are_passed_over() -> None:
    network = up()
    network.node.receive(Frame(200, 5, b"?"), 0.0)
    assert network.node.next_frame() is None


def test_keystrokes_while_offline_become_few_frames() -> None:
    network = up()
    network.cut()
    for _ in range(1000):
        network.write(0, b"k")
    network.move(0, 1)
    network.move(1, 2)
    frame = network.client.next_frame()
    assert frame == Frame(DATA, 0, b"k" * 1000)


def test_a_big_piece_is_sent_as_several() -> None:
    network = Network(stream.WINDOW_BYTES)
    network.move(0, 1)
    network.move(1, 2)
    network.write(1, b"x" * (stream.PIECE_BYTES + 1))
    frames = [network.node.next_frame() for _ in range(3)]
    assert [len(frame.payload) if frame else 0 for frame in frames] == [stream.PIECE_BYTES, 1, 0]


def test_pauses_begin_with_none_grow_and_are_spread() -> None:
    assert link.pause_s(0, 1.0) == 0.0
    longest = [link.pause_s(tries, 1.0) for tries in range(1, 40)]
    assert longest == sorted(longest)
    assert longest[-1] == 5.0
    assert link.pause_s(40, 0.0) == 2.5


@pytest.mark.parametrize("path", sorted(VECTORS.glob("stream-*.json")), ids=lambda p: p.stem)
def test_the_vectors_hold(path: Path) -> None:
    """Each is a talk seen from one end: what comes, what is done, and what it says."""
    vector = json.loads(path.read_text())
    window_bytes = vector["window_bytes"]
    link: Link
    if vector["end"] == "client":
        link = ClientLink(vector["stream"], vector["token"], window_bytes)
    else:
        link = NodeLink(lambda token: token == vector["token"], window_bytes)
    for step in vector["steps"]:
        play(link, step, vector)


def play(link: Link, step: dict[str, Any], vector: dict[str, Any]) -> None:
    what, now_s = step["do"], step.get("at_s", 0.0)
    if what == "connect":
        assert isinstance(link, ClientLink)
        link.connected(now_s)
    elif what == "greet":
        assert isinstance(link, NodeLink)
        link.greet(as_frame(step["frame"]), now_s)
    elif what == "receive":
        link.receive(as_frame(step["frame"]), now_s)
    elif what == "refuse":
        with pytest.raises((Malformed, Denied)):
            link.receive(as_frame(step["frame"]), now_s)
    elif what == "disconnect":
        link.disconnected()
    elif what == "put":
        link.outgoing.put(step["text"].encode())
    elif what == "finish":
        link.outgoing.is_ended = True
    elif what == "tick":
        link.tick(now_s)
        assert link.is_dead(now_s) is step["is_dead"]
    elif what == "hand":
        piece = link.incoming.next_piece()
        if step["text"] is None:
            assert link.incoming.is_at_end
            link.incoming.hand_end()
        else:
            assert piece is not None
            assert bytes(piece) == step["text"].encode()
            link.incoming.hand(len(piece))
    elif what == "say":
        frame = link.next_frame()
        assert (None if frame is None else as_said(frame)) == step["frame"]
    else:
        raise AssertionError(what)
    if "room_bytes" in step:
        assert link.outgoing.room_bytes == step["room_bytes"]
    if "is_done" in step:
        assert link.is_done is step["is_done"]


KINDS = {
    "HELLO": HELLO, "WELCOME": WELCOME, "PING": PING, "PONG": PONG, "BYE": BYE,
    "DATA": DATA, "TAKEN": TAKEN, "END": END,
}  # fmt: skip
NAMES = {kind: name for name, kind in KINDS.items()}


def as_frame(said: dict[str, Any]) -> Frame:
    if "said" in said:
        return telling(KINDS[said["kind"]], said["number"], **said["said"])
    return Frame(KINDS[said["kind"]], said["number"], said.get("text", "").encode())


def as_said(frame: Frame) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": NAMES[frame.kind], "number": frame.number}
    if frame.kind in (HELLO, WELCOME, BYE):
        said["said"] = frame.said()
    elif frame.payload:
        said["text"] = frame.payload.decode()
    return said
