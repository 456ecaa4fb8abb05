"""Metric points as bytes: every bit comes back, and damage is noticed."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.errors import Corrupt
from outlast.store.chunks import (
    MAGIC,
    PLAIN,
    PLANES,
    Points,
    decode,
    encode,
    joined,
    to_binary,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "metrics"
INT64 = st.integers(-(2**63), 2**63 - 1)
CODECS = pytest.mark.parametrize("codec", [PLAIN, PLANES])


def points_of(steps: list[int], times_ns: list[int], bits: list[int]) -> Points:
    return Points(
        np.array(steps, np.int64),
        np.array(times_ns, np.int64),
        np.array(bits, np.uint64).view(np.float64),
    )


def assert_same(found: Points, expected: Points) -> None:
    assert found.steps.tolist() == expected.steps.tolist()
    whole_us = [max(time // 1000, -(2**63 // 1000)) * 1000 for time in expected.times_ns.tolist()]
    assert found.times_ns.tolist() == whole_us
    assert found.values.view(np.uint64).tolist() == expected.values.view(np.uint64).tolist()


@CODECS
@given(rows=st.lists(st.tuples(INT64, INT64, st.integers(0, 2**64 - 1)), max_size=40))
def test_any_points_come_back_bit_for_bit(codec: int, rows: list[tuple[int, int, int]]) -> None:
    steps, times, bits = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    points = points_of(steps, times, bits)
    assert_same(decode(encode(points, codec)), points)


@CODECS
@pytest.mark.parametrize(
    "bits",
    [
        0x7FF8000000000000,  # NaN
        0x7FF0000000000001,  # a signalling NaN
        0xFFFFDEADBEEF1234,  # a NaN with sign and payload
        0x7FF0000000000000,  # infinity
        0xFFF0000000000000,
        0x8000000000000000,  # -0.0
        0x0000000000000001,  # the least number above 0
        0x7FEFFFFFFFFFFFFF,  # the greatest number
    ],
)
def test_unusual_values_keep_every_bit_among_usual_ones(codec: int, bits: int) -> None:
    usual = np.linspace(1.0, 2.0, 9).view(np.uint64).tolist()
    points = points_of(list(range(10)), [0] * 10, [*usual[:5], bits, *usual[5:]])
    assert_same(decode(encode(points, codec)), points)


@CODECS
@pytest.mark.parametrize("width_bits", [0, 1, 8, 9, 16, 17, 32, 33, 63, 64])
def test_differences_of_every_width_come_back(codec: int, width_bits: int) -> None:
    random = np.random.default_rng(width_bits)
    jumps = random.integers(0, 2**width_bits, 9000, np.uint64, endpoint=False)
    if width_bits == 64:
        jumps = random.integers(0, 2**64 - 1, 9000, np.uint64, endpoint=True)
    steps = np.cumsum(jumps).view(np.int64)
    points = Points(steps, steps[::-1].copy(), random.normal(size=9000))
    assert_same(decode(encode(points, codec)), points)


def test_a_noisy_curve_takes_less_than_ten_bytes_a_point() -> None:
    random = np.random.default_rng(0)
    n = 8192
    steps = np.arange(n, dtype=np.int64) * 10
    times = 1_700_000_000_000_000_000 + np.cumsum(random.integers(9_000_000, 11_000_000, n))
    loss = 2 * np.exp(-steps / 30_000) + random.normal(0, 0.05, n)
    assert len(encode(Points(steps, times, loss), PLANES)) / n < 9


def test_evenly_counted_points_take_next_to_nothing() -> None:
    count = np.arange(8192, dtype=np.int64)
    assert len(encode(Points(count, count * 10**9, np.linspace(0.0, 4095.5, 8192)), PLANES)) < 600


@CODECS
def test_each_changed_byte_is_noticed(codec: int) -> None:
    whole = encode(points_of([1, 5, 2], [10**18, 3, 4], [7, 8, 9]), codec)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        with pytest.raises(Corrupt):
            decode(damaged)


@CODECS
def test_a_cut_block_is_noticed(codec: int) -> None:
    whole = encode(points_of([1, 5, 2], [10**18, 3, 4], [7, 8, 9]), codec)
    for size in range(len(whole)):
        with pytest.raises(Corrupt):
            decode(whole[:size])


def test_an_unknown_codec_is_named() -> None:
    data = bytearray(encode(points_of([1], [2], [3]), PLAIN))
    data[0] = 9
    with pytest.raises(Corrupt, match="codec 9, this Outlast knows 1 and 2") as caught:
        decode(data)
    assert caught.value.facts == {"codec": 9}


def test_the_answer_on_the_wire_is_what_formats_md_says() -> None:
    """Read with struct alone, as a client in another language would."""
    times = [5_000_999, -1, 2**63 - 1]
    answer = to_binary(np.array([3, 4, -6]), np.array(times), np.array([0.5, -np.inf, -0.0]))
    assert struct.unpack_from("<4sQ", answer) == (MAGIC, 3) == (b"OLS1", 3)
    assert struct.unpack_from("<3q", answer, 12) == (3, 4, -6)
    assert struct.unpack_from("<3q", answer, 36) == tuple(times)
    assert answer[60:] == struct.pack("<3d", 0.5, float("-inf"), -0.0)


def test_the_answer_without_a_point_has_a_head_alone() -> None:
    assert to_binary(*joined([])) == b"OLS1" + bytes(8)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_blocks_of_earlier_releases_are_read(path: Path) -> None:
    vector = json.loads(path.read_text())
    expected = points_of(
        vector["steps"], vector["times_ns"], [int(bits, 16) for bits in vector["bits"]]
    )
    data = bytes.fromhex("".join(vector["blob"]))
    assert_same(decode(data), expected)
    assert data[0] == vector["codec"]
