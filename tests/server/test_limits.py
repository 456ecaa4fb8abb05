"""Bodies: what is refused before and after decoding, with the reason."""

from __future__ import annotations

import json
import time

import pytest

from outlast.errors import Invalid
from outlast.server import limits


@pytest.mark.parametrize(
    "body",
    [
        b"NaN", b"[Infinity]", b"[-Infinity]", b'{"a":1,"a":2}', b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65, b"9" * 65, b"9223372036854775808", b"1e999",
        b'"a\\u0000b"', b'"\\ud800"', b'{"\\u0000":1}', b'"\xff"', b"", b"{", b"[1,]", b"{'a':1}",
        b"[" + b"[]," * 100_001 + b"1]", b'"' + b"x" * ((1 << 20) + 1) + b'"', b"[" * 1_000_000,
        json.dumps({str(n): 1 for n in range(10_001)}).encode(), b'{"a":1} {"b":2}', b'"\\x41"',
    ],
)  # fmt: skip
def test_hostile_json_is_refused_at_once(body: bytes) -> None:
    begin = time.perf_counter()
    with pytest.raises(Invalid):
        limits.decode_json(body)
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    "value",
    [
        {}, [], "x", 1.5, None, {"a": {"b": [1, -(2**63), 2**63 - 1, 1e308]}},
        {"text": 'with "quotes" : , [ { and \\ and é and 🎉'}, {str(n): n for n in range(9_999)},
        "x" * (1 << 20),
    ],
)  # fmt: skip
def test_what_is_within_the_limits_comes_through_unchanged(value: object) -> None:
    assert limits.decode_json(json.dumps(value).encode()) == value
    assert limits.decode_json(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_colon_in_a_string_is_no_key() -> None:
    assert limits.decode_json(b'{"a:b":"c:\\"d:e"}') == {"a:b": 'c:"d:e'}


def test_a_long_run_of_quotes_costs_no_more_than_reading_it() -> None:
    begin = time.perf_counter()
    with pytest.raises(Invalid):
        limits.decode_json(b'"\\' * (2 << 20))
    assert time.perf_counter() - begin < 2
