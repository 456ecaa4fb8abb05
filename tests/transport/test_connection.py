"""Requests that may be repeated are, others say that they weren't; streams resume by offset."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from outlast.errors import (
    Conflict,
    DiskFull,
    Invalid,
    NotFound,
    OutlastError,
    Refused,
    Trimmed,
    Unreachable,
)
from outlast.transport import connection as module
from outlast.transport.address import Address
from outlast.transport.connection import Connection, in_path
from outlast.transport.http import Answer
from tests.transport.standin import StandIn, answer, cut, failure, reply, standing_in


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)


@pytest.fixture
def opened() -> Iterator[list[Connection]]:
    connections: list[Connection] = []
    yield connections
    for connection in connections:
        connection.close()


def connect(opened: list[Connection], server: StandIn, *, patience_s: float = 5.0) -> Connection:
    opened.append(Connection(Address(server.url, "sesame"), patience_s=patience_s))
    return opened[-1]


def test_a_get_whose_answer_broke_off_is_asked_again(opened: list[Connection]) -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
    with standing_in(cut(), cut(half), reply(answer(b'{"a": 1}'))) as server:
        assert connect(opened, server).get("/api/x", q="a b") == {"a": 1}
    assert len(server.requests) == 3
    assert server.requests[2].startswith(b"GET /api/x?q=a+b HTTP/1.1\r\n")
    assert b"Authorization: Bearer sesame" in server.requests[2]


def test_a_post_whose_answer_was_lost_is_not_repeated_and_says_so(
    opened: list[Connection],
) -> None:
    with (
        standing_in(cut(), reply(answer())) as server,
        pytest.raises(Unreachable, match="whether it was carried out is unknown"),
    ):
        connect(opened, server).post("/api/runs/a/retry")
    assert len(server.requests) == 1


def test_a_post_that_may_be_repeated_is_and_its_error_tells(opened: list[Connection]) -> None:
    taken = failure("409 Conflict", "conflict", "there is such a run")
    with standing_in(cut(), reply(taken)) as server, pytest.raises(Conflict) as raised:
        connect(opened, server).post("/api/runs", {"id": "a"}, repeat=True)
    assert raised.value.facts["is_repeated"] is True
    with standing_in(reply(taken)) as server, pytest.raises(Conflict) as raised:
        connect(opened, server).post("/api/runs", {"id": "a"}, repeat=True)
    assert raised.value.facts["is_repeated"] is False


def test_a_kept_connection_that_the_server_closed_costs_nothing(opened: list[Connection]) -> None:
    with standing_in(reply(answer(b"1")), reply(answer(b"2"))) as server:
        connection = connect(opened, server)
        assert connection.get("/api/a") == 1
        assert connection.post("/api/b") == 2
    assert [request.split()[0] for request in server.requests] == [b"GET", b"POST"]


def test_a_busy_server_is_asked_again_after_the_time_it_names(opened: list[Connection]) -> None:
    busy = failure("503 Service Unavailable", "unavailable", "full")
    with standing_in(reply(busy, answer(b"1"))) as server:
        assert connect(opened, server).get("/api/a") == 1


def test_a_server_that_never_answers_is_unreachable_with_the_reason(
    opened: list[Connection],
) -> None:
    with standing_in() as server:
        pass
    with pytest.raises(Unreachable, match=r"no answer from .* for 0.05 s \(Connection refused\)"):
        connect(opened, server, patience_s=0.05).get("/api/a")


def test_a_restarted_server_is_found_at_its_new_address(opened: list[Connection]) -> None:
    with standing_in() as gone:
        pass
    with standing_in(reply(answer(b"1"))) as server:
        outages: list[float] = []

        def locate(lasted_s: float) -> Address | None:
            outages.append(lasted_s)
            return Address(server.url, "sesame") if len(outages) > 2 else None

        opened.append(Connection(Address(gone.url, "old"), locate=locate))
        assert opened[-1].get("/api/a") == 1
    assert len(outages) == 3
    assert outages == sorted(outages)


def test_an_outage_that_lasts_is_told_once_and_its_end_too(
    opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_S", 0.0)
    told: list[str] = []
    with standing_in(cut(), cut(), cut(), reply(answer(b"1"))) as server:
        opened.append(Connection(Address(server.url, ""), tell=told.append))
        assert opened[-1].get("/api/a") == 1
    assert len(told) == 2
    assert "doesn't answer" in told[0]
    assert told[1] == f"the server answers again at {server.url}"


def test_a_server_that_says_nothing_is_told_of_while_its_answer_is_awaited(
    opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    was_told = threading.Event()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        was_told.set()

    def play(sock: socket.socket, _first: bytes) -> None:
        assert was_told.wait(30)
        sock.sendall(answer(b"1"))

    with standing_in(play) as server:
        opened.append(Connection(Address(server.url, ""), tell=tell))
        assert opened[-1].get("/api/a") == 1
    assert len(told) == 1
    assert "still no answer" in told[0]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("400 Bad Request", "invalid", Invalid),
        ("401 Unauthorized", "unauthorized", Refused),
        ("403 Forbidden", "refused", Refused),
        ("404 Not Found", "not_found", NotFound),
        ("409 Conflict", "conflict", Conflict),
        ("416 Range", "beyond_end", Invalid),
        ("507 Insufficient Storage", "disk_full", DiskFull),
        ("500 Internal Server Error", "internal", OutlastError),
    ],
)
def test_an_error_keeps_its_kind_message_hint_and_facts(
    opened: list[Connection], status: str, code: str, kind: type[OutlastError]
) -> None:
    told = failure(status, code, "what is wrong", hint="do this", field="where", id="abc")
    with standing_in(reply(told)) as server, pytest.raises(kind) as raised:
        connect(opened, server).get("/api/a")
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.hint) == ("what is wrong", "do this")
    assert raised.value.facts["field"] == "where"


def test_an_answer_of_something_else_is_an_error_all_the_same(opened: list[Connection]) -> None:
    page = answer(b"<html>nginx</html>", "404 Not Found")
    with (
        standing_in(reply(page)) as server,
        pytest.raises(NotFound, match="the server answered 404 to /api/a"),
    ):
        connect(opened, server).get("/api/a", secret="x")


def test_trimmed_bytes_are_told_with_both_offsets(opened: list[Connection]) -> None:
    told = failure("410 Gone", "trimmed", "gone", asked=5, first=4096)
    with standing_in(reply(told)) as server, pytest.raises(Trimmed) as raised:
        connect(opened, server).piece("/api/o", 5)
    assert (raised.value.asked, raised.value.first) == (5, 4096)


def piece(data: bytes, start: int, *, end: bool = False) -> bytes:
    headers = {"outlast_from": str(start), "outlast_next": str(start + len(data))}
    return answer(data, **headers, **({"outlast_end": "1"} if end else {}))


def test_a_stream_that_breaks_anywhere_is_followed_once_and_in_order(
    opened: list[Connection],
) -> None:
    whole = piece(b"defgh", 3)
    breaks = [cut(whole[:length]) for length in range(0, len(whole), 7)]
    with standing_in(
        reply(piece(b"abc", 0)), *breaks, reply(whole, piece(b"", 8), piece(b"i", 8, end=True))
    ) as server:
        found = list(connect(opened, server).follow("/api/o", wait_s=0.01))
    assert b"".join(each.data for each in found) == b"abcdefghi"
    assert found[-1].is_end
    asked = [request.split()[1] for request in server.requests]
    assert all(b"from=3&" in path for path in asked[1:])


def test_a_server_that_answers_early_is_not_asked_in_a_busy_loop(
    opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("outlast.transport.connection.time.sleep", pauses.append)
    nothing = piece(b"", 0)
    with standing_in(reply(nothing, nothing, piece(b"", 0, end=True))) as server:
        list(connect(opened, server).follow("/api/o", wait_s=30))
    assert len(pauses) == 2


def test_a_download_goes_on_from_an_offset_and_says_when_it_broke_off(
    opened: list[Connection],
) -> None:
    half = b"HTTP/1.1 206 Partial Content\r\ncontent-length: 10\r\n\r\nabc"
    with standing_in(cut(half)) as server:
        came = connect(opened, server).download("/api/f", 7)
        assert next(came) == b"abc"
        with pytest.raises(Unreachable, match="broke off"):
            next(came)
    assert b"Range: bytes=7-" in server.requests[0]


def test_other_requests_may_be_made_while_a_download_is_read(opened: list[Connection]) -> None:
    with standing_in(reply(answer(b"x" * (3 << 20))), reply(answer(b"1"))) as server:
        connection = connect(opened, server)
        came = connection.download("/api/f")
        first = next(came)
        # The stand-in serves one connection after another: this one waits for the download's end.
        found: list[int] = []
        other = threading.Thread(target=lambda: found.append(connection.get("/api/a")))
        other.start()
        assert len(first) + sum(map(len, came)) == 3 << 20
        other.join()
    assert found == [1]


def test_each_thread_has_a_line_of_its_own(opened: list[Connection]) -> None:
    with standing_in(reply(answer(b"1"), answer(b"3")), reply(answer(b"2"))) as server:
        connection = connect(opened, server)
        assert connection.get("/api/a") == 1
        found: list[int] = []

        def other() -> None:
            found.append(connection.get("/api/b"))
            connection.close()

        # The first line stays open meanwhile: the stand-in serves one connection after another.
        thread = threading.Thread(target=other)
        thread.start()
        assert connection.get("/api/c") == 3
        thread.join()
    assert found == [2]


def test_proxies_of_the_environment_are_not_used(
    opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with standing_in(reply(answer(b"1"))) as server:
        assert connect(opened, server).get("/api/a") == 1


def test_an_interrupted_request_leaves_a_usable_connection(
    opened: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing_in(reply(answer(b"1")), reply(answer(b"2"))) as server:
        connection = connect(opened, server)
        with monkeypatch.context() as patch:

            def interrupted(self: Answer) -> bytes:
                raise KeyboardInterrupt

            patch.setattr(Answer, "read", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.get("/api/a")
        assert connection.get("/api/b") == 2


def test_a_wrong_url_is_named(opened: list[Connection]) -> None:
    opened.append(Connection(Address("ftp://x", "")))
    with pytest.raises(Invalid, match="http://HOST:PORT"):
        opened[-1].get("/api/a")


def test_user_text_stays_one_part_of_a_path() -> None:
    assert in_path("a/../b?c#d e") == "a%2F..%2Fb%3Fc%23d%20e"
