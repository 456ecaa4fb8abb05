"""The guard, seen from outside: what it lets in, and what it says to the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlast.config import Settings
from outlast.server.app import routes
from outlast.server.auth import PUBLIC, Misses, Principal, Tickets, allowed_hosts
from outlast.server.errors import HttpError
from outlast.server.route import Route, Table
from tests.server.running import Server, running


def path_of(route: Route) -> str:
    filled = route.path.replace("{id}", "abcdefghjk").replace("{name}", "output")
    return filled.replace("{path*}", "a/b").replace("{sha256}", "0" * 64)


HTTP_ROUTES = [route for route in routes() if route.method != "WEBSOCKET"]


@pytest.mark.parametrize("route", HTTP_ROUTES, ids=lambda route: route.name)
def test_every_route_asks_for_a_token(server: Server, route: Route) -> None:
    answer = server.ask(route.method, path_of(route), token=None)
    if route.path == "/assets/{file}":
        assert answer.status == 401  # public by exact name: only files that are there
        return
    if route.path.encode() in PUBLIC:
        # A login without a code is wrong; the page is missing where the studio isn't built.
        assert answer.status == {"/api/login": 400, "/login": answer.status}.get(route.path, 200)
        return
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(answer.json["error"]) >= {"code", "message", "hint", "field", "id"}


def test_only_version_health_and_the_way_in_are_public() -> None:
    public = {route.path.encode() for route in HTTP_ROUTES if route.permission == "public"}
    assert public - {b"/assets/{file}"} == PUBLIC
    assert sorted(PUBLIC) == [b"/api/health", b"/api/login", b"/api/version", b"/login"]


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/api", "/api/", "/api/nothing", "/static/x", "/favicon.ico",
     "/api/version/", "/api//version", "/api/health/../runs", "/api/%76ersion", "/API/VERSION",
     "/api/version%00", "/.env", "/.git/config", "/api/runs/", "/metrics"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE", "PROPFIND"])
def test_what_isnt_public_is_closed_whether_it_exists_or_not(
    server: Server, path: str, method: str
) -> None:
    assert server.ask(method, path, token=None).status == 401


@pytest.mark.parametrize("path", ["/runs/", "/docs", "/api/nothing", "/api/runs/x/y/z", "/.env"])
def test_with_a_token_a_path_that_isnt_there_is_404(server: Server, path: str) -> None:
    answer = server.ask("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


def test_a_wrong_method_names_the_right_ones(server: Server) -> None:
    answer = server.ask("PUT", "/api/runs")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert server.ask("POST", "/api/version").status == 405
    assert server.ask("HEAD", "/api/version").body == b""


def test_wrong_tokens_are_refused_then_held_up_and_the_right_one_never(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for header in ("Bearer", "Bearer ", "Basic abc", "bearer", server.token):
            answer = server.ask("GET", "/api/runs", headers={"Authorization": header}, token=None)
            assert answer.status == 401, header
        statuses = [server.ask("GET", "/api/runs", token=f"wrong{n}").status for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        limited = server.ask("GET", "/api/runs", token="x" * 64)
        assert int(limited.headers["retry-after"]) > 0
        assert server.ask("GET", "/api/runs").status == 200
        assert server.ask("GET", "/api/runs", token=server.token[:-1]).status == 429


def test_the_token_isnt_taken_from_anywhere_else(server: Server) -> None:
    token = server.token
    for path in (f"/api/runs?token={token}", f"/api/runs?access_token={token}"):
        assert server.ask("GET", path, token=None).status == 401
    for headers in ({"Cookie": f"token={token}"}, {"X-Api-Key": token}, {"X-Token": token}):
        assert server.ask("GET", "/api/runs", headers=headers, token=None).status == 401


HOSTS = [
    "evil.example", "evil.example:{port}", "127.0.0.1", "localhost", "127.0.0.1:1",
    "0.0.0.0:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example:{port}",
    "evil.example#127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "user@127.0.0.1:{port}",
    "[::ffff:127.0.0.1]:{port}", "127.1:{port}", "2130706433:{port}", "0x7f000001:{port}",
    "127.0.0.1:{port}/", "127.0.0.1:{port},evil.example", "localhost:{port}.",
    "localhost.:{port}", "", " ", "127.0.0.1:0{port}", "127.0.0.1:{port}:{port}", "*", "null",
    "[::1", "::1:{port}", "127.0.0.1 :{port}", "http://127.0.0.1:{port}",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/api/health", "/api/runs", "/nothing"])
def test_a_foreign_host_is_refused_before_anything_else(
    server: Server, host: str, path: str
) -> None:
    named = host.replace("{port}", str(server.port))
    answer = server.ask("GET", path, headers={"Host": named})
    assert answer.status == 400


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "LocalHost:{port}"]
)
def test_the_servers_own_names_are_served(server: Server, host: str) -> None:
    named = host.replace("{port}", str(server.port))
    assert server.ask("GET", "/api/runs", headers={"Host": named}).status == 200


def test_no_host_and_two_hosts_are_refused(server: Server) -> None:
    host = server.host.encode()
    assert server.raw(b"GET /api/health HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.raw(b"GET /api/health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400")
    both = b"GET /api/health HTTP/1.1\r\nHost: %b\r\nHost: %b\r\n\r\n" % (host, host)
    assert server.raw(both).startswith(b"HTTP/1.1 400")
    absolute = b"GET http://%b/api/health HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
    assert server.raw(absolute % (host, host)).startswith(b"HTTP/1.1 400")


def test_forwarded_headers_change_nothing(server: Server) -> None:
    evil = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "Forwarded": "host=e"}
    answer = server.ask("GET", "/api/status", headers=evil)
    assert answer.status == 200
    assert b"evil" not in answer.body


def test_allowed_hosts_let_a_proxys_name_in() -> None:
    settings = Settings(allowed_hosts=("lab.example.org", "other:9000"), host="192.0.2.7")
    found = allowed_hosts(settings, 8686)
    assert {"lab.example.org", "lab.example.org:8686", "other:9000", "192.0.2.7:8686"} <= found
    assert "other" not in found
    assert "127.0.0.1" not in found
    assert "127.0.0.1" in allowed_hosts(Settings(), 80)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://127.0.0.1:1",
     "http://localhost:{port}", "null", "", "http://127.0.0.1:{port}.evil.example", "file://",
     "http://127.0.0.1:{port}/", "http://evil.example:{port}", "chrome-extension://x"],
)  # fmt: skip
def test_a_foreign_origin_gets_nothing_even_with_the_token(server: Server, origin: str) -> None:
    named = origin.replace("{port}", str(server.port))
    for method, path in (("GET", "/api/runs"), ("POST", "/api/tickets"), ("GET", "/api/health")):
        answer = server.ask(method, path, headers={"Origin": named})
        assert (answer.status, answer.code) == (403, "foreign_origin")
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_servers_own_origin_is_served(server: Server) -> None:
    headers = {"Origin": f"http://{server.host}"}
    assert server.ask("GET", "/api/runs", headers=headers).status == 200


def test_every_answer_carries_the_headers_that_keep_browsers_safe(server: Server) -> None:
    answers = [
        server.ask("GET", "/api/health", token=None),
        server.ask("GET", "/api/runs", token=None),
        server.ask("GET", "/api/runs"),
        server.ask("GET", "/nothing"),
        server.ask("POST", "/api/runs", b"x", {"Content-Type": "text/plain"}),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    refused = server.raw(b"nonsense\r\n\r\n").lower()
    assert b"nosniff" in refused
    assert b"content-security-policy" in refused


def test_misses_forget_after_a_minute_and_keep_few_addresses() -> None:
    now = [0.0]
    misses = Misses(10, clock=lambda: now[0])
    assert [misses.add("a") for _ in range(10)] == [0.0] * 10
    assert misses.add("a") == 60
    assert misses.add("b") == 0
    now[0] = 61
    assert misses.add("a") == 0
    for n in range(20_000):
        misses.add(str(n))
    assert len(misses._times) <= 10_000


def test_a_ticket_is_good_once_and_for_30_seconds() -> None:
    now = [0.0]
    tickets = Tickets(clock=lambda: now[0])
    who = Principal("me", "read")
    first, second = tickets.make(who), tickets.make(who)
    assert first != second
    assert tickets.take(first) == who
    assert tickets.take(first) is None
    now[0] = 31
    assert tickets.take(second) is None
    assert tickets.take("") is None
    for _ in range(1000):
        tickets.make(who)
    with pytest.raises(HttpError):
        tickets.make(who)


async def nothing() -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    "declared",
    [
        [Route("GET", "/a", "", nothing)],  # type: ignore[arg-type]
        [Route("GET", "/a", "everyone", nothing)],  # type: ignore[arg-type]
        [Route("FETCH", "/a", "read", nothing)],
        [Route("GET", "a", "read", nothing)],
        [Route("GET", "/a", "read", nothing), Route("GET", "/a", "read", nothing)],
    ],
)
def test_a_route_that_isnt_fully_declared_stops_the_server_from_starting(
    declared: list[Route],
) -> None:
    with pytest.raises(ValueError, match="a"):
        Table(declared)
