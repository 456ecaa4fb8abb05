"""An answer is read as it comes; whatever breaks is said, and never taken for an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from outlast.errors import Invalid
from outlast.transport.http import Broken, Line


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """One connection, given to `serve`; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            taken, _ = listening.accept()
            with taken:
                serve(taken)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    def serve(taken: socket.socket) -> None:
        taken.recv(65536)
        for piece in pieces:
            taken.sendall(piece)

    return serve


def test_a_chunked_answer_is_whole() -> None:
    pieces = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        b"\r\n2\r\nde\r\n0\r\n\r\n",
    )
    with serving(says(*pieces)) as url:
        answer = Line(url, 5.0).request("GET", "/", {}, b"", 5.0)
        assert (answer.status, answer.read()) == (200, b"abcde")


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    with serving(says(b"HTTP/1.1 200 OK\r\n\r\nabc")) as url:
        assert Line(url, 5.0).request("GET", "/", {}, b"", 5.0).read() == b"abc"


def test_what_comes_before_the_answer_is_passed_over() -> None:
    with serving(says(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 Done\r\n\r\n")) as url:
        assert Line(url, 5.0).request("GET", "/", {}, b"", 5.0).status == 204


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 20",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    ],
)
def test_what_stops_too_early_or_is_no_http_is_broken(said: bytes) -> None:
    with serving(says(said)) as url, pytest.raises(Broken, match="broke off"):
        Line(url, 5.0).request("GET", "/", {}, b"", 5.0).read()


def test_silence_is_not_waited_for_longer_than_asked() -> None:
    is_over = threading.Event()

    def wait(_: socket.socket) -> None:
        is_over.wait(10)

    with serving(wait) as url:
        with pytest.raises(TimeoutError):
            Line(url, 5.0).request("GET", "/", {}, b"", 0.05)
        is_over.set()


def test_a_refusal_that_comes_before_all_was_sent_is_read() -> None:
    def refuse(taken: socket.socket) -> None:
        taken.recv(1000)
        taken.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        taken.shutdown(socket.SHUT_WR)
        while taken.recv(1 << 20):
            pass

    with serving(refuse) as url:
        line = Line(url, 5.0)
        answer = line.request("POST", "/", {}, b"x" * (8 << 20), 5.0)
        assert (answer.status, answer.read()) == (413, b"no")
        line.close()


def test_a_line_serves_again_only_when_its_answer_was_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    is_over = threading.Event()

    def twice(taken: socket.socket) -> None:
        for _ in range(2):
            taken.recv(65536)
            taken.sendall(answer)
        is_over.wait(10)

    with serving(twice) as url:
        line = Line(url, 5.0)
        first = line.request("GET", "/", {}, b"", 5.0)
        assert not line.is_usable(url)
        assert first.read() == b"abc"
        assert line.is_usable(url)
        assert not line.is_usable(url + "0")
        assert line.request("GET", "/", {}, b"", 5.0).read() == b"abc"
        is_over.set()


def test_a_token_that_no_header_can_hold_is_named() -> None:
    with (
        serving(lambda _: None) as url,
        pytest.raises(Invalid, match="can't be asked by HTTP"),
    ):
        Line(url, 5.0).request("GET", "/", {"Authorization": "Bearer a\nb"}, b"", 5.0)
