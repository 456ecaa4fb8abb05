"""The server's door to tunnels: a target is a name, and only its own client comes in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outlast.errors import NotFound, OutlastError, Refused
from outlast.server.routes import tunnels
from outlast.store import pages
from outlast.transport.address import Address
from outlast.transport.websocket import WebSocket
from outlast.wire import frame as wire
from outlast.wire.frame import decode
from outlast.wire.stream import ClientLink, Denied
from tests.server.running import Server, running, wait_over
from tests.ssh.test_keys import ED25519
from tests.ssh.world import needs_ssh

pytestmark = needs_ssh


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("door")) as made:
        yield made
        for row in made.ask("GET", "/api/runs?kind=tunnel&limit=200").json["runs"]:
            made.ask("POST", f"/api/runs/{row['id']}/cancel", {"force": True})


def opened(server: Server) -> dict[str, Any]:
    answer = server.ask("POST", "/api/tunnels", {"target": "local", "public_key": ED25519})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json
    return made


class Talk:
    """One connection of a tunnel's client."""

    def __init__(self, server: Server, run_id: str, link: ClientLink, token: str = "") -> None:
        address = Address(f"http://{server.host}", token or server.token)
        self.line = WebSocket(address, f"/api/tunnels/{run_id}")
        self.link = link
        self.got = bytearray()
        self.pongs = 0
        link.connected(time.monotonic())

    def until(self, text: bytes, pongs: int = 0) -> None:
        """Talk until this came. Raises Denied, Unreachable."""
        deadline = time.monotonic() + 20
        while text not in self.got or self.pongs < pongs:
            assert time.monotonic() < deadline, bytes(self.got)
            for message in self.line.receive():
                frame = decode(message)
                self.pongs += frame.kind == wire.PONG
                self.link.receive(frame, time.monotonic())
            while (piece := self.link.incoming.next_piece()) is not None:
                self.got += piece
                self.link.incoming.hand(len(piece))
            while (said := self.link.next_frame()) is not None:
                self.line.send(said.encode())
            time.sleep(0.01)


def test_the_answer_names_what_ssh_needs(server: Server) -> None:
    (target,) = server.ask("GET", "/api/targets").json["targets"]
    made = opened(server)
    assert target == {"name": "local", "user": made["user"], "host_key": made["host_key"]}
    assert len(made["token"]) == 64
    talk = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    talk.until(b"SSH-2.0-")
    talk.line.close()
    text = (server.home / "runs" / made["id"] / "spec.json").read_text()
    assert made["token"] not in text


@pytest.mark.parametrize(
    "asked",
    [
        {"host": "127.0.0.1"},
        {"port": 22},
        {"target": "127.0.0.1"},
        {"target": "127.0.0.1:22"},
        {"target": "169.254.169.254"},
        {"target": "localhost"},
        {"target": "../local"},
        {"target": ""},
        {"target": None},
        {"public_key": "ssh-ed25519 AAAA"},
        {"public_key": f'command="id" {ED25519}'},
        {"command": ["/bin/sh"]},
    ],
)
def test_no_address_and_no_command_comes_from_the_client(
    server: Server, asked: dict[str, Any]
) -> None:
    before = len(server.ask("GET", "/api/runs?kind=tunnel&limit=200").json["runs"])
    body = {"target": "local", "public_key": ED25519, **asked}
    answer = server.ask("POST", "/api/tunnels", body)
    assert answer.status == 400
    assert next(iter(asked)) in answer.json["error"]["message"]
    assert len(server.ask("GET", "/api/runs?kind=tunnel&limit=200").json["runs"]) == before


def test_who_may_only_read_opens_and_joins_nothing(server: Server) -> None:
    token = server.ask("POST", "/api/tokens", {"scope": "read", "label": "reader"}).json["token"]
    answer = server.ask(
        "POST", "/api/tunnels", {"target": "local", "public_key": ED25519}, token=token
    )
    assert answer.status == 403
    made = opened(server)
    with pytest.raises(Refused):
        Talk(server, made["id"], ClientLink(made["id"], made["token"]), token)


def test_a_tunnel_of_a_token_that_is_revoked_is_cut_off(server: Server) -> None:
    token = server.ask("POST", "/api/tokens", {"scope": "admin", "label": "leaver"}).json["token"]
    found = server.ask("GET", "/api/tokens").json["tokens"]
    fingerprint = next(one["fingerprint"] for one in found if one["label"] == "leaver")
    made = opened(server)
    talk = Talk(server, made["id"], ClientLink(made["id"], made["token"]), token)
    talk.until(b"SSH-2.0")
    assert server.ask("DELETE", f"/api/tokens/{fingerprint}").status == 204
    with pytest.raises(Denied, match="no longer valid") as caught:
        talk.until(b"never")
    assert caught.value.is_final
    talk.line.close()


def test_without_the_servers_token_there_is_no_tunnel(server: Server) -> None:
    made = opened(server)
    assert server.ask("POST", "/api/tunnels", {"target": "local"}, token=None).status == 401
    with pytest.raises(OutlastError):
        Talk(server, made["id"], ClientLink(made["id"], made["token"]), "wrong")


def test_another_tunnels_token_is_refused_for_good(server: Server) -> None:
    made, other = opened(server), opened(server)
    talk = Talk(server, made["id"], ClientLink(made["id"], other["token"]))
    with pytest.raises(Denied, match="not the token") as caught:
        talk.until(b"never")
    assert caught.value.is_final
    talk.line.close()


def test_a_second_client_is_fenced_and_the_first_goes_on(server: Server) -> None:
    made = opened(server)
    first = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    first.until(b"SSH-2.0-")
    first.link.tick(time.monotonic() + 10)  # a ping, and what was taken behind it
    first.until(b"", pongs=1)
    first.link.tick(time.monotonic() + 20)
    first.until(b"", pongs=2)  # answered in order: what came before is done
    second = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    with pytest.raises(Denied, match="isn't kept") as caught:
        second.until(b"SSH-2.0-")
    assert caught.value.is_final
    second.line.close()
    first.link.outgoing.put(b"SSH-2.0-test\r\n")
    first.until(b"curve25519")
    first.line.close()


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e", "a%2fb"])
def test_an_unknown_tunnel_is_tried_again_while_the_server_is_young(
    server: Server, name: str
) -> None:
    link = ClientLink(name, "e5" * 32)
    try:
        talk = Talk(server, name, link)
    except NotFound:
        return  # the route takes no such name
    with pytest.raises(Denied) as caught:
        talk.until(b"never")
    assert not caught.value.is_final
    talk.line.close()


def test_a_tunnel_that_is_over_is_final(server: Server, tmp_path: Path) -> None:
    made = opened(server)
    server.ask("POST", f"/api/runs/{made['id']}/cancel", {"force": True})
    assert wait_over(server, made["id"]) == "Canceled"
    talk = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    with pytest.raises(Denied, match="over") as caught:
        talk.until(b"never")
    assert caught.value.is_final
    talk.line.close()


def test_tunnels_that_were_over_for_a_week_are_deleted(server: Server) -> None:
    made = [opened(server) for _ in range(3)]
    for one in made[:2]:
        server.ask("POST", f"/api/runs/{one['id']}/cancel", {"force": True})
        wait_over(server, one["id"])
    deleted: list[str] = []

    class Rows:
        """The rows of a real server, read a week later."""

        async def read(self, _page: object, query: pages.Query) -> pages.Page:
            asked = f"kind={query.kind}&status={','.join(query.status)}&sort={query.sort}"
            rows = server.ask("GET", f"/api/runs?{asked}&limit={query.limit}").json["runs"]
            week_ns = int(tunnels.KEPT_S * 1e9)
            for row in rows:
                row["ended_ns"] -= week_ns if row["id"] == made[0]["id"] else 0
            return pages.Page(rows, None)

        @property
        def scheduler(self) -> Rows:
            return self

        async def delete(self, run_id: str) -> None:
            deleted.append(run_id)

    asyncio.run(tunnels._forget_old(Rows()))  # type: ignore[arg-type]
    assert deleted == [made[0]["id"]]


@pytest.mark.parametrize("message", [b"x", b"", wire.Frame(wire.DATA, 0, b"x").encode()])
def test_nonsense_ends_the_connection_only(server: Server, message: bytes) -> None:
    made = opened(server)
    rude = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    rude.line.send(message)
    rude.link.next_frame()  # HELLO is never said
    with pytest.raises((OutlastError, Denied)):
        rude.until(b"never")
    rude.line.close()
    talk = Talk(server, made["id"], ClientLink(made["id"], made["token"]))
    talk.until(b"SSH-2.0-")
    talk.line.close()
