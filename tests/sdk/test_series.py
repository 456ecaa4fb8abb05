"""The binary form of a series."""

from __future__ import annotations

import math
import struct

import pytest

from outlast.errors import OutlastError
from outlast.sdk.series import decode, number


def packed(steps: list[int], values: list[float]) -> bytes:
    count = len(steps)
    times = range(count)
    return struct.pack(f"<4sQ{count}q{count}q{count}d", b"OLS1", count, *steps, *times, *values)


def test_columns_come_back_with_extremes_and_nan() -> None:
    columns = decode(packed([-(1 << 63), 0, (1 << 63) - 1], [math.nan, -math.inf, 5e-324]))
    assert columns["steps"].tolist() == [-(1 << 63), 0, (1 << 63) - 1]
    assert columns["times_ns"].tolist() == [0, 1, 2]
    assert math.isnan(columns["values"][0])
    assert columns["values"].tolist()[1:] == [-math.inf, 5e-324]
    assert decode(packed([], []))["steps"].tolist() == []


@pytest.mark.parametrize("data", [b"", b"OLS1", b"XXXX" + bytes(8), packed([1], [1.0])[:-1]])
def test_anything_else_is_an_error(data: bytes) -> None:
    with pytest.raises(OutlastError, match="can't be read"):
        decode(data)


def test_numbers_that_json_lacks_are_numbers_again() -> None:
    assert math.isnan(number("nan"))
    assert [number(value) for value in ("inf", "-inf", 1.5, None, "text")] == [
        math.inf, -math.inf, 1.5, None, "text",
    ]  # fmt: skip
