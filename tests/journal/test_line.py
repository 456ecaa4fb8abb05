"""The bytes of a record: what is packed is read back, and nothing damaged is."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.errors import Corrupt, Invalid
from outlast.journal.line import (
    MAX_LINE_BYTES,
    body_of,
    line_bytes,
    pack,
    pack_json,
    parse,
    split,
    unpack,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(TEXT.filter(lambda key: key != "crc"), JSON, min_size=1, max_size=5)


@given(RECORDS)
def test_what_is_packed_is_unpacked(record: dict[str, Any]) -> None:
    line = pack(record)
    assert unpack(line) == record
    assert json.loads(line) == {**record, "crc": line[-11:-3].decode()}
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert line_bytes(body_of(line)) == len(line)


@given(st.lists(RECORDS, max_size=6), st.integers(0, 200))
def test_a_chunk_cut_anywhere_gives_only_whole_records(
    records: list[dict[str, Any]], cut: int
) -> None:
    lines = [pack(record) for record in records]
    chunk = b"".join(lines)[:cut]
    found = split(chunk)
    whole = chunk.count(b"\n")
    assert [parse(body) for body in found.bodies] == records[:whole]
    assert found.ends == [len(b"".join(lines[: n + 1])) for n in range(whole)]
    assert found.corrupt == []
    assert found.consumed == chunk.rfind(b"\n") + 1


def test_a_line_is_read_with_and_without_its_newline() -> None:
    line = pack({"k": "m"})
    assert unpack(line) == unpack(line[:-1]) == {"k": "m"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [{"deep": math.nan}]])
def test_a_number_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(Invalid, match="finite"):
        pack({"v": value})


def test_half_a_surrogate_pair_is_refused_but_a_whole_character_is_not() -> None:
    with pytest.raises(Invalid, match="surrogate"):
        pack({"v": "\ud83d"})
    with pytest.raises(Invalid, match="surrogate"):
        pack({"\udc00": 1})
    assert unpack(pack({"v": "\U0001f600", "w": "\\ud83d"})) == {"v": "\U0001f600", "w": "\\ud83d"}


def test_what_is_not_a_record_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    records: list[Any] = [{}, {"crc": 1}, {"v": object()}, {"v": {1, 2}}, {("a",): 1}, ring]
    for record in records:
        with pytest.raises(Invalid):
            pack(record)


def test_a_record_too_long_to_read_is_refused() -> None:
    longest = MAX_LINE_BYTES - len(pack({"v": ""}))
    assert len(pack({"v": "x" * longest})) == MAX_LINE_BYTES
    with pytest.raises(Invalid, match="file"):
        pack({"v": "x" * (longest + 1)})


def test_json_made_elsewhere_becomes_the_same_line() -> None:
    assert pack_json(b'{"k":"m","v":1.5}') == pack({"k": "m", "v": 1.5})
    for body in (b"", b"{}", b"[1]", b'{"a":1', b'"a"}', b'{"a":\n1}', b'{ "a":1}'):
        with pytest.raises(Invalid):
            pack_json(body)


def test_every_flipped_bit_of_a_line_is_noticed() -> None:
    line = pack({"k": "m", "n": "loss", "v": 0.5})
    for at in range(len(line) - 1):
        for bit in range(8):
            damaged = line[:at] + bytes([line[at] ^ (1 << bit)]) + line[at + 1 :]
            with pytest.raises(Corrupt):
                unpack(damaged)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"garbage\n",
        b',"crc":"00000000"}\n',  # the checksum of nothing
        b'{,"crc":"15d54739"}\n',  # an empty object
        pack({"k": "m"}).upper(),
        pack({"k": "m"}) + b" ",
        pack({"k": "m"})[1:],
    ],
)
def test_what_was_never_packed_is_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        body_of(line)


@pytest.mark.parametrize(
    "body", [b'{"a":NaN}', b'{"a" 1}', b'{"a":"\xff"}', b'{"a":' + b"[" * 100_000 + b"}"]
)
def test_a_right_checksum_on_what_is_not_json_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt, match="isn't JSON"):
        unpack(pack_json(body))


def test_a_damaged_line_takes_no_neighbour_with_it() -> None:
    lines = [pack({"n": n}) for n in range(4)]
    starts = [sum(map(len, lines[:n])) for n in range(5)]
    chunk = b"".join(lines)
    at = starts[1] + 3
    found = split(chunk[:at] + b"?" + chunk[at + 1 :])
    assert [parse(body)["n"] for body in found.bodies] == [0, 2, 3]
    assert found.ends == [starts[1], starts[3], starts[4]]
    assert found.corrupt == [(starts[1], starts[2])]


def test_a_damaged_newline_costs_one_record_and_not_two() -> None:
    lines = [pack({"n": n, "inner": {"a": {"b": n}}}) for n in range(3)]
    found = split(lines[0] + lines[1][:-1] + b"?" + lines[2])
    assert [parse(body)["n"] for body in found.bodies] == [0, 2]
    assert found.corrupt == [(len(lines[0]), len(lines[0] + lines[1]))]


def test_a_record_after_a_torn_one_on_the_same_line_is_read() -> None:
    torn, whole = pack({"n": 1, "s": {"x": 1}})[:14], pack({"n": 2})
    found = split(torn + whole)
    assert [parse(body) for body in found.bodies] == [{"n": 2}]
    assert found.corrupt == [(0, len(torn))]


def test_neighbouring_damage_is_reported_as_one_range() -> None:
    line = pack({"n": 1})
    found = split(b"bad\nworse\n" + line + b"bad\n")
    assert found.corrupt == [(0, 10), (10 + len(line), 14 + len(line))]
    assert found.ends == [10 + len(line)]


@given(st.binary(max_size=300))
def test_no_bytes_make_split_raise(garbage: bytes) -> None:
    found = split(garbage + pack({"k": 1}))
    assert found.bodies[-1:] == [b'{"k":1}'] or b"\n" not in garbage
    covered = sum(right - left for left, right in found.corrupt)
    covered += sum(line_bytes(body) for body in found.bodies)
    assert covered == found.consumed
