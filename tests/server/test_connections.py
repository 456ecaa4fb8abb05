"""Sockets and bodies of people who mean harm, or whose network does."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.server.running import Server, running


def head(server: Server, method: str = "POST", path: str = "/api/tickets", *lines: str) -> bytes:
    text = "\r\n".join(
        [f"{method} {path} HTTP/1.1", f"Host: {server.host}",
         f"Authorization: Bearer {server.token}", *lines, "", ""]
    )  # fmt: skip
    return text.encode()


SMUGGLES = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"Content-Length: +5\r\n\r\nhello",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 0x5\r\n\r\nhello",
    b"Content-Length: 5, 5, 6\r\n\r\nhello",
    b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    b"X-Folded: one\r\n two\r\nContent-Length: 0\r\n\r\n",
    b"X-Folded: one\r\n\ttwo\r\nContent-Length: 0\r\n\r\n",
    b"X-Bare: one\nContent-Length: 0\r\n\r\n",
    b"X-Nul: a\x00b\r\nContent-Length: 0\r\n\r\n",
    b"X-Cr: a\rb\r\nContent-Length: 0\r\n\r\n",
    b": empty\r\nContent-Length: 0\r\n\r\n",
    b"No-Colon\r\nContent-Length: 0\r\n\r\n",
    b"Bad Name: x\r\nContent-Length: 0\r\n\r\n",
    b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
]


@pytest.mark.parametrize("lines", SMUGGLES, ids=range(len(SMUGGLES)))
def test_an_ambiguous_head_is_refused_and_the_connection_closed(
    server: Server, lines: bytes
) -> None:
    begun = head(server)[:-2]
    answer = server.raw(begun + lines + head(server, "GET", "/api/status"))
    assert answer.startswith(b"HTTP/1.1 4")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50,
     b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n",
     b" GET / HTTP/1.1\r\n\r\n",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n",
     b"\xff" * 100 + b"\r\n\r\n"],
)  # fmt: skip
def test_what_isnt_http_is_told_so(server: Server, text: bytes) -> None:
    answer = server.raw(text)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"].startswith("bad_")


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nab\r\n0\r\n\r\n", b"-1\r\n\r\n", b"5\r\nab\r\n0\r\n\r\n", b"\r\n0\r\n\r\n",
     b"2\r\nabc\r\n0\r\n\r\n", b"0x2\r\nab\r\n0\r\n\r\n", b"ffffffffffffffffffffff\r\n"],
)  # fmt: skip
def test_a_bad_chunk_never_becomes_a_request(server: Server, chunks: bytes) -> None:
    lines = ("Transfer-Encoding: chunked", "Content-Type: application/json")
    answer = server.raw(head(server, "POST", "/api/runs", *lines) + chunks, timeout_s=2)
    assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    close = head(server, "GET", "/nothing", "Connection: close")
    answer = server.raw(head(server, "GET", "/api/version") + close)
    assert answer.index(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("", 415),
        ("multipart/form-data; boundary=x", 415), ("application/json; charset=latin-1", 415),
        ("application/jsonp", 415), ("application/json", 400), ("Application/JSON", 400),
        ("application/json; charset=utf-8", 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/runs", "/api/tokens"])
def test_only_json_is_taken(server: Server, path: str, content_type: str, status: int) -> None:
    answer = server.ask("POST", path, b"{}", {"Content-Type": content_type})
    assert answer.status == status


@pytest.mark.parametrize("path", ["/api/tickets", "/api/shutdown"])
def test_a_form_of_another_page_cant_reach_a_route_that_wants_no_body(
    server: Server, path: str
) -> None:
    answer = server.ask("POST", path, b"a=b", {"Content-Type": "text/plain"})
    assert answer.status == 415
    assert server.ask("GET", "/api/health").status == 200


def test_a_compressed_body_isnt_taken(server: Server) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.ask("POST", "/api/runs", b"{}", headers).status == 415


def test_a_large_body_is_refused_without_being_kept(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.ask("POST", "/api/runs", {"spec": {}})
        before = server.rss_bytes()
        json_type = {"Content-Type": "application/json"}
        body = b'"' + b"x" * (64 << 20) + b'"'
        answer = server.ask("POST", "/api/runs", body, json_type)
        assert (answer.status, answer.code) == (413, "too_large")
        chunked = head(server, "POST", "/api/runs", "Transfer-Encoding: chunked",
                       "Content-Type: application/json")  # fmt: skip
        chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(chunked)
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    connection.sendall(chunk)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
        assert server.rss_bytes() - before < 32 << 20


@pytest.mark.each_database
@pytest.mark.parametrize(
    "body",
    [b"NaN", b'{"spec":{"id":"a","id":"b"}}', b"[" * 100_000, b'{"a":' * 100 + b"1" + b"}" * 100,
     b"9" * 70, b'{"spec":{"created_ns":99999999999999999999}}', b'{"spec":"\\ud800"}', b"\xff\xfe",
     b'{"spec":{"name":"a\\u0000b"}}', b"[" + b"1, " * 500_000 + b" 1]", b"null", b"[]", b'"x"',
     b"1"],
)  # fmt: skip
def test_hostile_json_is_a_clear_400(server: Server, body: bytes) -> None:
    answer = server.ask("POST", "/api/runs", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (400, "invalid")
    assert answer.json["error"]["message"]


@pytest.mark.each_database
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=1.5", "limit=-1", "limit=99999999999999999999",
     "nothing=1", "limit=1&limit=2", "cursor=%00", "cursor=xx", "where=%00",
     "where=metrics.a%20%3C",
     "sort=nothing", "status=Nothing", "since_ns=-1", "kind=x", "experiment=%00", "where=((((((",
     "experiment=%ED%A0%80%00", "where=" + "(" * 3000, "cursor=" + "A" * 4000],
)  # fmt: skip
def test_a_wrong_query_is_a_clear_400(server: Server, query: str) -> None:
    answer = server.ask("GET", f"/api/runs?{query}")
    assert (answer.status, answer.code) == (400, "invalid")
    assert not any(word in answer.body for word in (b"Traceback", b"SELECT", b".py", b"/home"))


TRAVERSALS = [
    "..", "../", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/token", "..%252f..%252ftoken",
    "....//token",
    "..%5c..%5ctoken", "%2e%2e%5ctoken", "/etc/passwd", "%2fetc%2fpasswd", "a/../../token", "a%00",
    "%c0%ae%c0%ae/token", "..%c0%aftoken", "%ff", "C:%5cx", "file:%2f%2f%2fetc%2fpasswd", "token",
    "launch.json", "..;/token", ".%2e/token", "a//b", "./a", "%2e", "a/%2e%2e/b", "..%00/token",
    "%e2%80%ae", "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("evil", TRAVERSALS)
def test_no_path_leads_out(server: Server, evil: str) -> None:
    for template in ("/api/runs/{}", "/api/runs/{}/output", "/api/runs/abcdefghjk/outputs/{}",
                     "/api/runs/abcdefghjk/journals/{}", "/{}", "/api/{}"):  # fmt: skip
        answer = server.ask("GET", template.format(evil))
        assert answer.status in (400, 404), (template, answer.status)
        assert b"root:" not in answer.body
        assert server.token.encode() not in answer.body


def test_headers_that_never_end_lose_their_socket(tmp_path: Path) -> None:
    with running(tmp_path, "--header-timeout-s", "1") as server:
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        begin = time.monotonic()
        for number, connection in enumerate(sockets):
            # Some say nothing, some begin, some trickle.
            connection.sendall(b"GET / HT"[: number % 8])
            connection.settimeout(10)
        trickling = sockets[7]
        stop = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.1):
                    trickling.sendall(b"T")

        thread = threading.Thread(target=trickle)
        thread.start()
        for connection in sockets:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) in (b"", b"H")
        assert time.monotonic() - begin < 5
        stop.set()
        thread.join()
        for connection in sockets:
            connection.close()
        assert server.ask("GET", "/api/health").status == 200


def test_a_second_request_has_the_same_deadline_as_the_first(tmp_path: Path) -> None:
    with (
        running(tmp_path, "--header-timeout-s", "1", "--keep-alive-s", "60") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
    ):
        connection.sendall(head(server, "GET", "/api/health"))
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        time.sleep(1.3)  # idle between requests is no crime
        connection.sendall(b"GET /api/hea")
        begin = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        assert 0.5 < time.monotonic() - begin < 5


def test_a_body_that_stops_loses_its_socket(tmp_path: Path) -> None:
    with running(tmp_path, "--body-idle-timeout-s", "0.5") as server:
        lines = ("Content-Type: application/json", "Content-Length: 100")
        answer = server.raw(head(server, "POST", "/api/runs", *lines) + b'{"a"')
        assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.slow
def test_a_thousand_slow_sockets_dont_slow_the_others_down(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with running(tmp_path) as server:
            slow = []
            for _ in range(1000):
                connection = socket.create_connection(("127.0.0.1", server.port))
                connection.sendall(b"GET / HTTP/1.1\r\nX-")
                slow.append(connection)
            took = []
            for _ in range(100):
                begin = time.perf_counter()
                assert server.ask("GET", "/api/health").status == 200
                took.append(time.perf_counter() - begin)
            assert sorted(took)[98] < 0.2
            for connection in slow:
                connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_connections_are_told_so_and_others_served_later(tmp_path: Path) -> None:
    with running(tmp_path, "--max-connections-per-ip", "20") as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for connection in held:
            connection.sendall(head(server, "GET", "/api/health"))
            connection.settimeout(5)
            assert connection.recv(12) == b"HTTP/1.1 200"
        answer = server.raw(b"")
        assert answer.startswith(b"HTTP/1.1 503")
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 5
        while server.raw(head(server, "GET", "/api/health", "Connection: close"))[9:12] != b"200":
            assert time.monotonic() < deadline


def test_the_server_survives_running_out_of_descriptors(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        used = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 5, hard))
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        time.sleep(0.3)  # as long as it takes the server to hit the wall
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 500, hard))
        for connection in held:
            connection.close()
        assert server.ask("GET", "/api/health").status == 200
