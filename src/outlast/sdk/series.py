"""The points of a metric as they come from the server: `GET …/series?format=binary`.

Little-endian: b"OLS1", the number of points (u64), then steps (i64), times in ns (i64) and values
(f64), each as one block. No NumPy here: it would cost every `import outlast.sdk` 80 ms.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Any

from outlast.errors import OutlastError

MAGIC = b"OLS1"
_HEAD = struct.Struct("<4sQ")
_BLOCKS = (("steps", "q"), ("times_ns", "q"), ("values", "d"))


def decode(data: bytes) -> dict[str, array[Any]]:
    """The columns steps, times_ns and values. Raises OutlastError for anything else."""
    magic, count = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (b"", 0)
    if magic != MAGIC or len(data) != _HEAD.size + 24 * count:
        raise OutlastError(f"the server sent a series that can't be read ({len(data)} bytes)")
    columns: dict[str, array[Any]] = {}
    at = _HEAD.size
    for name, kind in _BLOCKS:
        column = array(kind, data[at : at + 8 * count])
        if sys.byteorder == "big":
            column.byteswap()
        columns[name] = column
        at += 8 * count
    return columns


def number(value: Any) -> Any:
    """A number as JSON carries it: "nan", "inf" and "-inf" are texts there."""
    return float(value) if value in ("nan", "inf", "-inf") else value
