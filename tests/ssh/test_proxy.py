"""The client's end: what it does when no tunnel comes about."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from outlast.errors import NotFound, Unreachable
from outlast.ssh import proxy
from outlast.ssh.proxy import Opened, Proxy


@pytest.fixture
def pipes() -> Iterator[tuple[int, int]]:
    """An ssh that says nothing: what the proxy reads from and writes to."""
    stdin, ssh_writes = os.pipe()
    ssh_reads, stdout = os.pipe()
    yield stdin, stdout
    for fd in (stdin, ssh_writes, ssh_reads, stdout):
        os.close(fd)


def test_a_first_connection_that_never_succeeds_is_an_error(
    pipes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "FIRST_S", 1.0)
    tries: list[float] = []

    def connect(_path: str, offline_s: float) -> None:
        tries.append(offline_s)
        raise Unreachable("connection refused")

    told: list[str] = []
    tunnel = Proxy(Opened("r1", "a" * 64), connect, told.append, stdin=pipes[0], stdout=pipes[1])  # type: ignore[arg-type]
    with pytest.raises(Unreachable, match="connection refused"):
        tunnel.run()
    assert tries[0] < 0.5
    assert len(tries) > 3


def test_a_refusal_of_the_first_connection_is_final(pipes: tuple[int, int]) -> None:
    def connect(_path: str, _offline_s: float) -> None:
        raise NotFound("nothing is at this path")

    tunnel = Proxy(Opened("r1", "a" * 64), connect, print, stdin=pipes[0], stdout=pipes[1])  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        tunnel.run()
    assert os.get_blocking(pipes[0])
    assert os.get_blocking(pipes[1])
