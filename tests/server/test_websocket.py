"""Frames of a client are counted before they are parsed, however the network cut them up."""

from __future__ import annotations

import random

import pytest

from outlast.server.websocket import Begun
from tests.server.test_floods import BINARY, CONTINUED, PING, masked

LONG = masked(BINARY, b"x" * 125) + masked(BINARY, b"x" * 126) + masked(BINARY, b"x" * 65_535)
HUGE = bytes([0x82, 128 | 127]) + (70_000).to_bytes(8, "big") + bytes(4) + b"\x82\x80" * 35_000
FRAMES = (masked(PING) + LONG + HUGE + masked(CONTINUED, b"", is_last=False)) * 3
COUNT = 6 * 3


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_counted_however_they_are_cut_up(seed: int) -> None:
    chance = random.Random(seed)
    begun, at, counted = Begun(), 0, 0
    while at < len(FRAMES):
        piece = FRAMES[at : at + chance.choice([1, 2, 3, 5, 13, 1_000, 100_000])]
        counted += begun.count(piece, 1_000)
        at += len(piece)
    assert counted == COUNT


def test_counting_stops_where_it_is_too_many() -> None:
    assert Begun().count(masked(PING) * 50_000, 10_000) == 10_000
