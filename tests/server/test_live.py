"""The WebSocket of many cursors, seen from a client; and who may open one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.server.running import Server, running, submit, wait_over

pytestmark = pytest.mark.each_database


@contextmanager
def live(server: Server, *, headers: dict[str, str] | None = None) -> Iterator[Connection]:
    sent = server.bearer if headers is None else headers
    with connect(
        f"ws://{server.host}/api/live", additional_headers=sent, compression=None, max_size=None
    ) as found:
        yield found


def say(client: Connection, **message: Any) -> None:
    client.send(json.dumps(message))


def frames(client: Connection, timeout_s: float = 15.0) -> Iterator[dict[str, Any]]:
    """What the server says; a journal's bytes stand in "data"."""
    while True:
        frame = client.recv(timeout=timeout_s)
        if isinstance(frame, bytes):
            head, _, data = frame.partition(b"\n")
            yield {**json.loads(head), "data": data}
        else:
            yield json.loads(frame)


def test_who_follows_with_a_token_that_is_revoked_is_cut_off(server: Server) -> None:
    made = server.ask("POST", "/api/tokens", {"scope": "read", "label": "follower"}).json["token"]
    found = server.ask("GET", "/api/tokens").json["tokens"]
    fingerprint = next(one["fingerprint"] for one in found if one["label"] == "follower")
    with live(server, headers={"Authorization": f"Bearer {made}"}) as client:
        say(client, ping=1)
        assert next(frames(client)) == {"pong": 1}
        assert server.ask("DELETE", f"/api/tokens/{fingerprint}").status == 204
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=30)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (
        4401, "the token is no longer valid",
    )  # fmt: skip


def test_output_state_and_end_come_over_one_socket(server: Server) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done"
    run_id = submit(server, "sh", "-c", script, wait_s=0)
    output, statuses, offset = b"", [], 0
    with live(server) as client:
        say(client, follow=[{"run": run_id, "journal": "output", "from": 0},
                            {"run": run_id, "state": True}])  # fmt: skip
        for frame in frames(client):
            if "data" in frame:
                assert (frame["from"], frame["next"]) == (offset, offset + len(frame["data"]))
                output, offset = output + frame["data"], frame["next"]
            elif "state" in frame:
                statuses.append(frame["state"]["status"])
            elif frame.get("end"):
                assert frame["at"] == offset
                break
    assert output == b"".join(b"line %d\n" % n for n in range(1, 6))
    ranks = ["Queued", "Preparing", "Starting", "Running", "Finalizing", "Completed"]
    assert statuses == sorted(statuses, key=ranks.index)


def test_following_again_from_the_last_offset_misses_and_repeats_nothing(server: Server) -> None:
    run_id = submit(server, "sh", "-c", "for i in $(seq 2000); do echo $i; done; sleep 0.5")
    output = b""
    while True:
        with live(server) as client:
            say(client, follow=[{"run": run_id, "journal": "output", "from": len(output)}])
            frame = next(frames(client))
            if frame.get("end"):
                break
            output += frame["data"][:700]  # the rest is lost with the connection
    assert output == b"".join(b"%d\n" % n for n in range(1, 2001))


def test_a_line_is_there_within_a_moment(server: Server) -> None:
    script = "i=0; while [ $i -lt 20 ]; do date +%s%N; sleep 0.05; i=$((i+1)); done"
    run_id = submit(server, "sh", "-c", script, wait_s=0)
    late_ms = []
    with live(server) as client:
        say(client, follow=[{"run": run_id, "journal": "output", "from": 0}])
        for frame in frames(client):
            if frame.get("end"):
                break
            late_ms.append((time.time_ns() - int(frame["data"].split()[-1])) / 1e6)
    assert sorted(late_ms)[len(late_ms) // 2] < 100


def test_the_run_list_tells_what_changed(server: Server) -> None:
    experiment = f"list{time.time_ns()}"
    with live(server) as client:
        say(client, follow=[{"runs": {"experiment": experiment, "limit": 10}}])
        told = frames(client)
        assert next(told) == {"runs": [], "is_whole": True, "next": None}
        run_id = submit(server, "sleep", "0.3", wait_s=0, experiment=experiment)
        seen = []
        for frame in told:
            assert [row["id"] for row in frame["runs"]] == [run_id]
            seen.append(frame["runs"][0]["status"])
            if seen[-1] == "Completed":
                break
    assert len(seen) <= 8


def test_metrics_come_when_they_change(server: Server) -> None:
    run_id = submit(server, "true")
    with live(server) as client:
        say(client, follow=[{"run": run_id, "metrics": True}])
        assert next(frames(client)) == {"run": run_id, "metrics": []}


@pytest.mark.parametrize(
    "message",
    [
        "nonsense", "[]", "{}x", '{"follow":[{}]}', '{"follow":[{"run":"x"}]}', '{"what":1}',
        '{"follow":[{"run":"x","state":true,"metrics":true}]}', '{"follow":[{"runs":{"limit":0}}]}',
        '{"follow":[{"run":"x","journal":"launch.json"}]}', '{"follow":[{"runs":{"bad":1}}]}',
        '{"follow":[{"run":"../..","journal":"output"}]}', '{"follow":[{"run":"x","state":1}]}',
        '{"follow":[{"run":"nosuchrun0","journal":"output"}]}',
        '{"follow":[{"run":"a/b","state":true}]}',
        '{"follow":[{"run":"x","journal":"output","from":-1}]}', "[" * 1000,
        '{"follow":[{"run":"x","journal":"output","from":1e30}]}',
        '{"follow":[{"runs":{"where":"("}}]}',
    ],
)  # fmt: skip
def test_a_wrong_message_is_told_and_the_socket_stays(server: Server, message: str) -> None:
    with live(server) as client:
        client.send(message)
        frame = next(frames(client))
        assert frame["error"]["code"] in ("invalid", "not_found")
        assert "Traceback" not in str(frame)
        run_id = submit(server, "true")
        say(client, follow=[{"run": run_id, "state": True}])
        assert next(frames(client))["run"] == run_id


def test_unfollowing_ends_it(server: Server) -> None:
    run_id = submit(server, "sh", "-c", "while true; do echo x; sleep 0.05; done", wait_s=0)
    entry = {"run": run_id, "journal": "output", "from": 0}
    with live(server) as client:
        say(client, follow=[entry])
        assert next(frames(client))["data"].startswith(b"x")
        say(client, unfollow=[entry])
        with pytest.raises(TimeoutError):
            for _ in frames(client, timeout_s=0.5):
                pass
    server.ask("POST", f"/api/runs/{run_id}/cancel", {"force": True})


# --- who may ---


def status_of(server: Server, path: str = "/api/live", **headers: str) -> int:
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://{server.host}{path}", additional_headers=headers)
    return caught.value.response.status_code


def test_a_page_of_another_origin_gets_no_socket(server: Server) -> None:
    for origin in ("http://evil.example", "null", f"http://localhost:{server.port}",
                   f"https://{server.host}", "http://127.0.0.1:1"):  # fmt: skip
        assert status_of(server, Origin=origin) == 403
        assert status_of(server, Origin=origin, **server.bearer) == 403
    with live(server, headers={**server.bearer, "Origin": f"http://{server.host}"}):
        pass


def test_a_wrong_token_or_path_gets_no_socket(server: Server) -> None:
    assert status_of(server, Authorization="Bearer wrong") == 401
    assert status_of(server, Cookie=f"token={server.token}", Authorization="Basic x") == 401
    assert status_of(server, "/api/nothing") == 401
    assert status_of(server, f"/api/other?token={server.token}") == 401
    assert status_of(server, "/api/runs", **server.bearer) in (404, 405)
    assert status_of(server, "/api/nothing", **server.bearer) == 404


def test_a_foreign_host_gets_no_socket(server: Server) -> None:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    text = (
        "GET /api/live HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nAuthorization: Bearer {server.token}\r\n{key}\r\n"
    )
    assert server.raw(text.encode()).startswith(b"HTTP/1.1 400")


def closed_with(client: Connection) -> int:
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=15)
    assert client.close_code is not None
    return client.close_code


def test_the_first_message_may_carry_the_token(server: Server) -> None:
    run_id = submit(server, "true")
    with live(server, headers={}) as client:
        say(client, token=server.token)
        say(client, follow=[{"run": run_id, "state": True}])
        assert next(frames(client))["run"] == run_id


def test_a_ticket_opens_one_socket_once(server: Server) -> None:
    ticket = server.ask("POST", "/api/tickets", {}).json["ticket"]
    run_id = submit(server, "true")
    with live(server, headers={}) as client:
        say(client, ticket=ticket)
        say(client, follow=[{"run": run_id, "state": True}])
        assert next(frames(client))["run"] == run_id
    with live(server, headers={}) as client:
        say(client, ticket=ticket)
        assert closed_with(client) == 4401


@pytest.mark.parametrize("message", ['{"token":"wrong"}', '{"follow":[]}', "x", "{}", "[]"])
def test_without_a_token_the_socket_is_closed(server: Server, message: str) -> None:
    with live(server, headers={}) as client:
        client.send(message)
        assert closed_with(client) == 4401


def test_a_run_token_follows_its_own_run_only(server: Server) -> None:
    mine, other = submit(server, "true"), submit(server, "true")
    body = {"scope": f"run:{mine}", "label": "test"}
    token = server.ask("POST", "/api/tokens", body).json["token"]
    with live(server, headers={"Authorization": f"Bearer {token}"}) as client:
        told = frames(client)
        say(client, follow=[{"run": other, "state": True}])
        assert next(told)["error"]["code"] == "not_found"
        say(client, follow=[{"runs": {}}])
        assert next(told)["error"]["code"] == "not_found"
        say(client, follow=[{"run": mine, "journal": "output"}])
        assert next(told)["end"] is True


def test_a_message_that_is_too_large_closes_the_socket(server: Server) -> None:
    def say_too_much(client: Connection) -> None:
        client.send("x" * ((1 << 20) + 1))
        client.recv(timeout=15)

    with live(server) as client, pytest.raises(ConnectionClosed):
        say_too_much(client)
    assert server.ask("GET", "/api/health").status == 200


def test_stopping_the_server_closes_the_socket_as_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server, live(server) as client:
        say(client, follow=[{"runs": {}}])
        next(frames(client))
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert closed_with(client) == 1012
        stopping.join(10)


@pytest.mark.slow
def test_five_hundred_stalled_viewers_cost_little_and_hold_up_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        script = "for i in $(seq 40); do head -c 1000000 /dev/zero | tr '\\0' x; done"
        run_id = submit(server, "sh", "-c", script, wait_s=0)
        stalled = []
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        request = (
            f"GET /api/live HTTP/1.1\r\nHost: {server.host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nAuthorization: Bearer {server.token}\r\n{key}\r\n"
        )
        text = json.dumps({"follow": [{"run": run_id, "journal": "output"}]}).encode()
        masked = bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text
        for _ in range(500):
            viewer = socket.socket()
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            viewer.connect(("127.0.0.1", server.port))
            viewer.sendall(request.encode() + masked)  # and never reads a byte
            stalled.append(viewer)
        assert wait_over(server, run_id, 60) == "Completed"
        with live(server) as client:
            say(client, follow=[{"run": run_id, "journal": "output", "from": 39_999_000}])
            assert len(next(frames(client))["data"]) == 1000
        begin = time.perf_counter()
        assert server.ask("GET", "/api/health").status == 200
        assert time.perf_counter() - begin < 0.5
        assert server.rss_bytes() < 300 << 20  # 500 x (one frame + the socket's buffer)
        for viewer in stalled:
            viewer.close()


def test_a_ping_is_answered_and_nonsense_in_it_refused(server: Server) -> None:
    with live(server) as client:
        said = frames(client)
        say(client, ping=7)
        assert next(said) == {"pong": 7}
        say(client, ping=-1)
        assert next(said)["error"]["code"] == "invalid"
        say(client, ping=8, follow=[])
        assert next(said) == {"pong": 8}
