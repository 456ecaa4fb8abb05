"""Any schedule of cuts, repeats, delays, restarts and take-overs: nothing lost, nothing doubled."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.wire.network import Client, Link, Server, Session

CLIENTS = st.integers(0, 2)
SIZES = st.one_of(st.integers(1, 2000), st.sampled_from([70_000, 300_000, 5 << 20]))
LONGEST_S = 40.0


class Terminals(RuleBasedStateMachine):
    """Two who want to drive and one who watches."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.session = Session()
        self.server = Server(self.session, lambda: self.now)
        roles = ("driver", "driver", "viewer")
        self.clients = [Client(self.server, f"c{i}", role) for i, role in enumerate(roles)]
        for client in self.clients:
            client.tick()
            self.turn()

    def links(self) -> list[Link]:
        return [link for client in self.clients for link in client.links]

    # ---- what happens

    @rule(
        i=CLIENTS, size_bytes=SIZES, keys=st.integers(0, 40), taken=st.integers(0, 50),
        frames=st.integers(0, 3),
    )  # fmt: skip
    def a_moment_of_work(self, i: int, size_bytes: int, keys: int, taken: int, frames: int) -> None:
        """Some of everything; some of it stays under way."""
        self.clients[i].type(keys)
        self.session.print(size_bytes)
        self.frames_go_up(i, 2 + frames)
        self.session.type(taken)
        self.the_relay_serves(i, 1 + frames)
        self.frames_come_down(i, 1 + frames)
        self.clients[i].draw(frames)

    @rule(i=CLIENTS)
    def a_client_catches_up(self, i: int) -> None:
        """Off it goes again, as far as it gets without the PTY."""
        client = self.clients[i]
        client.half.hurry(self.now)
        client.tick()
        for _ in range(4):
            self.frames_go_up(i, 6)
            self.the_relay_serves(i, 6)
            self.frames_come_down(i, 6)
            client.draw(6)

    @rule(size_bytes=SIZES)
    def the_program_prints(self, size_bytes: int) -> None:
        self.session.print(size_bytes)

    @rule(i=CLIENTS, size_bytes=st.one_of(st.integers(1, 9), st.just(300_000)))
    def keys_are_typed(self, i: int, size_bytes: int) -> None:
        self.clients[i].type(size_bytes)

    @rule(size_bytes=st.one_of(st.integers(1, 5), st.just(100_000)))
    def the_pty_takes_input(self, size_bytes: int) -> None:
        self.session.type(size_bytes)

    @rule(i=CLIENTS, frames=st.integers(1, 6))
    def frames_go_up(self, i: int, frames: int) -> None:
        for link in self.clients[i].links:
            for _ in range(frames):
                link.deliver_up()
            link.notice()

    @rule(i=CLIENTS, frames=st.integers(1, 6))
    def frames_come_down(self, i: int, frames: int) -> None:
        client = self.clients[i]
        for _ in range(frames):
            if client.link is not None and client.link.down:
                client.deliver()
        for link in client.links:
            link.notice()

    @rule(i=CLIENTS, turns=st.integers(1, 8))
    def the_relay_serves(self, i: int, turns: int) -> None:
        for link in self.clients[i].links:
            for _ in range(turns):
                link.serve()

    @rule(i=CLIENTS, most=st.integers(1, 9))
    def the_terminal_draws(self, i: int, most: int) -> None:
        self.clients[i].draw(most)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 2.5, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for client in self.clients:
            client.tick()
        for link in self.links():
            if link.half is not None and link.is_open_there:
                link.do(link.half.due(self.now))
            link.notice()

    # ---- what goes wrong

    @rule(i=CLIENTS)
    def a_connection_is_reset(self, i: int) -> None:
        """Both ends notice at once; what was under way is lost."""
        link = self.clients[i].link
        if link is not None:
            link.up.clear()
            link.down.clear()
            if link.is_open_there:
                link.close_there()
            link.notice()

    @rule(i=CLIENTS, loses=st.integers(0, 3))
    def a_connection_goes_black(self, i: int, loses: int) -> None:
        """Nobody notices; the last frames are lost already."""
        link = self.clients[i].link
        if link is not None:
            link.is_black = True
            for _ in range(loses):
                for queue in (link.up, link.down):
                    if queue:
                        queue.pop()

    @rule(i=CLIENTS)
    def only_the_client_sees_the_end(self, i: int) -> None:
        """It reconnects while the server still holds, and reads, the older connection."""
        client = self.clients[i]
        if client.link is not None and client.link.is_open_here:
            client.link.is_open_here = False
            client.link.is_black = True
            client.lost(client.link)
            client.tick()

    @rule()
    def the_server_is_killed(self) -> None:
        self.server.kill(self.links())

    @rule(is_starting=st.booleans())
    def the_server_starts(self, is_starting: bool) -> None:
        self.server.start()
        self.server.is_starting = is_starting

    @rule()
    def the_supervisor_is_killed(self) -> None:
        self.session.kill()

    @rule(i=CLIENTS)
    def a_client_takes_over(self, i: int) -> None:
        client = self.clients[i]
        client.do(client.half.take_over(client.new_key(), self.now))
        client.tick()

    @precondition(lambda self: self.session.written > 0)
    @rule(part=st.floats(0, 1))
    def the_journal_is_trimmed(self, part: float) -> None:
        self.session.first = max(self.session.first, int(self.session.written * part))

    # ---- what holds

    @invariant()
    def what_was_typed_arrived_once_and_in_order(self) -> None:
        for client in self.clients:
            for key, typed in client.typed.items():
                arrived = self.session.typed.get(key, b"")
                assert typed[: len(arrived)] == arrived

    @invariant()
    def little_is_under_way(self) -> None:
        for link in self.links():
            if link.half is not None:
                assert link.half.sent - link.half.drawn <= 256 << 10
        assert len(self.session.ledger.held) <= 128 << 10

    def teardown(self) -> None:
        """The network heals: everything arrives, and whoever comes later sees the end."""
        self.server.start()
        self.server.is_starting = False
        self.settle()
        driver = [c for c in self.clients if c.half.role == "driver"]
        assert len(driver) <= 1
        for client in self.clients:
            assert client.half.is_online
            assert client.is_live
            assert client.at == self.session.written
            assert client.half.queued_bytes == 0
        for client in driver:
            key = client.half.key
            assert client.typed.get(key, b"") == self.session.typed.get(key, b"")
        self.session.end()
        late = Client(self.server, "late", "viewer")
        self.clients.append(late)
        self.settle()
        for client in self.clients:
            assert client.end is not None
            assert client.end.code == 7

    def settle(self) -> None:
        until = self.now + LONGEST_S
        while self.now < until:
            self.time_passes(0.5)
            is_busy = True
            while is_busy:
                is_busy = self.turn()

    def turn(self) -> bool:
        is_busy = False
        self.session.type(1 << 20)
        for client in self.clients:
            for link in client.links:
                while link.deliver_up():
                    is_busy = True
                while link.serve():
                    is_busy = True
            while client.link is not None and client.link.down:
                is_busy = True
                client.deliver()
            client.draw(1 << 20)
            for link in client.links:
                link.notice()
        return is_busy


TestTerminals: Any = Terminals.TestCase
TestTerminals.settings = settings(
    max_examples=int(os.environ.get("OUTLAST_EXAMPLES", "60")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
