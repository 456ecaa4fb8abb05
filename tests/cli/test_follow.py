"""Following over a trimmed journal and through an outage, without a real server's help."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from outlast.cli.follow import Following, Presses, tail_offset
from outlast.sdk.handle import RunHandle
from outlast.transport.address import Address
from outlast.transport.connection import Connection
from tests.transport.standin import Play, StandIn, answer, failure, reply, standing_in

STATE = answer(json.dumps({"version": 1, "state": {"status": "Running", "stage": ""}}).encode())


def piece(data: bytes, start: int, *, size: int = 0, end: bool = False) -> bytes:
    following = start + len(data)
    headers = {"outlast_from": str(start), "outlast_next": str(following)}
    headers["outlast_size"] = str(size or following)
    return answer(data, **headers, **({"outlast_end": "1"} if end else {}))


@pytest.fixture
def handles() -> Iterator[list[RunHandle]]:
    made: list[RunHandle] = []
    yield made
    for handle in made:
        handle.connection.close()


def handle_on(server: StandIn, handles: list[RunHandle]) -> RunHandle:
    handles.append(RunHandle(Connection(Address(server.url, "")), "abc"))
    return handles[-1]


def followed(
    handles: list[RunHandle], capsys: pytest.CaptureFixture[str], *plays: Play
) -> tuple[str, str]:
    with standing_in(*plays) as server:
        Following(handle_on(server, handles)).to_the_end()
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_bytes_that_were_trimmed_away_are_told_and_the_rest_follows(
    handles: list[RunHandle], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = failure("410 Gone", "trimmed", "gone", asked=0, first=4096)
    out, err = followed(
        handles, capsys, reply(STATE, gone, piece(b"rest\n", 4096), piece(b"", 4101, end=True))
    )
    assert out == "rest\n"
    assert err == "outlast: 4.1 KB of the output were trimmed away; it goes on at offset 4096\n"


def test_a_character_cut_by_a_piece_is_one_character(
    handles: list[RunHandle], capsys: pytest.CaptureFixture[str]
) -> None:
    e_acute = "é".encode()
    first, last = piece(e_acute[:1], 0), piece(e_acute[1:], 1, end=True)
    assert followed(handles, capsys, reply(STATE, first, last))[0] == "é"


def test_a_tail_is_counted_in_lines_that_end_and_reads_no_more_than_it_needs(
    handles: list[RunHandle],
) -> None:
    data = b"".join(b"%05d\n" % number for number in range(50_000))
    last = data[-65536:]
    with standing_in(
        reply(piece(b"0", 0, size=len(data)), piece(last, len(data) - 65536))
    ) as server:
        start = tail_offset(handle_on(server, handles), 3)
    assert data[start:] == b"49997\n49998\n49999\n"
    assert len(server.requests) == 1


def test_a_tail_begins_where_retention_has_left_something(handles: list[RunHandle]) -> None:
    gone = failure("410 Gone", "trimmed", "gone", asked=0, first=4096)
    with standing_in(
        reply(piece(b"0", 0, size=5000), gone, piece(b"x" * 900 + b"\nend\n", 4096))
    ) as server:
        assert tail_offset(handle_on(server, handles), 3) == 4096


def test_presses_that_come_while_the_first_is_answered_are_counted() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Presses() as presses:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # what answers the first goes on
        assert presses.come_twice()
        signal.raise_signal(signal.SIGINT)  # so does what answers the second
        presses.hear()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
