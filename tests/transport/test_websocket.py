"""The synchronous WebSocket, against a real server in a thread."""

from __future__ import annotations

import os
import select
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.http11 import Response
from websockets.sync.server import Server, ServerConnection, serve

from outlast.errors import NotFound, Refused, Unreachable
from outlast.transport.address import Address
from outlast.transport.websocket import MAX_MESSAGE_BYTES, WebSocket


@contextmanager
def server(
    talk: Callable[[ServerConnection], None], tls: ssl.SSLContext | None = None
) -> Iterator[Address]:
    def guard(connection: ServerConnection, request: object) -> Response | None:
        headers = request.headers  # type: ignore[attr-defined]
        if headers.get("Authorization") != "Bearer secret":
            return connection.respond(401, '{"error": {"message": "who are you?"}}')
        if request.path == "/nowhere":  # type: ignore[attr-defined]
            return connection.respond(404, '{"error": {"message": "no such session"}}')
        return None

    made: Server = serve(
        talk, "127.0.0.1", 0, process_request=guard, ssl=tls, max_size=None, compression="deflate"
    )
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        port = made.socket.getsockname()[1]
        yield Address(f"{'https' if tls else 'http'}://127.0.0.1:{port}", "secret")
    finally:
        made.shutdown()
        thread.join()


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def received(ws: WebSocket, count: int) -> list[bytes]:
    """The next so many messages, or those before the end."""
    messages: list[bytes] = []
    while len(messages) < count:
        writers = [ws] if ws.wants_write else []
        ready = select.select([ws], writers, [], 20)
        assert any(ready), "nothing came"
        ws.flush()
        messages += ws.receive()
    return messages


def test_messages_go_and_come_whole_and_in_order() -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20]
    with server(echo) as address:
        ws = WebSocket(address, "/terminal")
        said = [os.urandom(size) for size in sizes]
        for message in said:
            ws.send(message)
        assert received(ws, len(said)) == said
        ws.close()


def test_what_the_socket_does_not_take_is_kept_and_sent_later() -> None:
    is_read = threading.Event()

    def slow(connection: ServerConnection) -> None:
        is_read.wait(20)
        total = sum(len(connection.recv()) for _ in range(64))
        connection.send(str(total).encode())

    with server(slow) as address:
        ws = WebSocket(address, "/")
        for _ in range(64):
            ws.send(bytes(1 << 20))
        assert ws.wants_write
        assert ws.unsent_bytes > 1 << 20
        is_read.set()
        assert received(ws, 1) == [str(64 << 20).encode()]
        ws.close()


def test_receiving_does_not_wait() -> None:
    with server(echo) as address:
        ws = WebSocket(address, "/")
        assert ws.receive() == []
        ws.close()


@pytest.mark.parametrize(
    ("token", "path", "error", "text"),
    [
        ("wrong", "/", Refused, "who are you"),
        ("secret", "/nowhere", NotFound, "no such session"),
    ],
)
def test_what_the_server_answers_instead_is_told(
    token: str, path: str, error: type[Exception], text: str
) -> None:
    with server(echo) as address, pytest.raises(error, match=text):
        WebSocket(address._replace(token=token), path)


def test_nobody_listens_there() -> None:
    with server(echo) as address:
        pass
    with pytest.raises(Unreachable, match="refused"):
        WebSocket(address, "/")


def test_the_end_comes_after_the_last_message_with_its_reason() -> None:
    def last_words(connection: ServerConnection) -> None:
        connection.send(b"one")
        connection.send(b"two")
        connection.close(1012, "the server restarts")

    with server(last_words) as address:
        ws = WebSocket(address, "/")
        assert received(ws, 2) == [b"one", b"two"]
        with pytest.raises(Unreachable, match="the server restarts") as caught:
            received(ws, 1)
        assert caught.value.facts["code"] == 1012
        with pytest.raises(Unreachable):
            ws.send(b"too late")
        ws.close()
        ws.close()


def test_a_connection_that_breaks_is_told() -> None:
    def vanish(connection: ServerConnection) -> None:
        connection.socket.shutdown(2)

    with server(vanish) as address:
        ws = WebSocket(address, "/")
        with pytest.raises(Unreachable, match="broke"):
            received(ws, 1)
        ws.close()


def test_a_message_beyond_the_limit_ends_the_connection() -> None:
    def shout(connection: ServerConnection) -> None:
        connection.send(bytes(MAX_MESSAGE_BYTES + 1))
        connection.recv()

    with server(shout) as address:
        ws = WebSocket(address, "/")
        with pytest.raises(Unreachable):
            received(ws, 1)
        ws.close()


def test_a_message_in_pieces_is_put_together() -> None:
    def pieces(connection: ServerConnection) -> None:
        connection.send(iter([b"a", b"b", b"c"]))
        connection.recv()

    with server(pieces) as address:
        ws = WebSocket(address, "/")
        assert received(ws, 1) == [b"abc"]
        ws.close()


def test_over_tls_what_lies_decrypted_is_not_forgotten(tmp_path: Path) -> None:
    """`select` sees the socket, and not what TLS has taken from it already."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(cert, key)
    ours = ssl.create_default_context(cafile=cert)
    ours.check_hostname = False

    def burst(connection: ServerConnection) -> None:
        for n in range(2000):
            connection.send(str(n).encode())
        connection.recv()

    with server(burst, theirs) as address:
        ws = WebSocket(address, "/", tls=ours)
        assert received(ws, 2000) == [str(n).encode() for n in range(2000)]
        ws.close()
