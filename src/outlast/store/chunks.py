"""Metric points as bytes: `encode` and `decode` for the database, `to_binary` for the wire.

    offset  bytes
    0       1      codec: 1 plain, 2 planes
    1       1      width of a step's remainder: 0, 1, 2, 4 or 8 bytes
    2       1      width of a time's remainder: the same
    3       1      1 = values are differences of their bits (codec 2 only), 0 = as they are
    4       4      n, how many points
    8       4      crc32 of bytes 0-7 and of all from 12 on
    12      4      0
    16      16     steps: the first, and the least difference between neighbours
    32      16     times: the same, in microseconds
    48      …      plain:  n values of 8 bytes; n - 1 remainders of steps; n - 1 of times;
                           each column filled up to 8 bytes with zeros
                   planes: the size of each plane as 4 bytes, then the planes: byte 0 of every
                           value, byte 1 of every value …, then of the steps', then of the times'
                           remainders. The top bit of a size: this plane is a zstd frame

Everything is little-endian. A remainder is a difference to the neighbour minus the least one:
steps that count evenly take no bytes at all. Integers wrap around at 64 bits, so that every int64
goes through. A value comes back bit for bit, a time in whole microseconds, floored. Planes stand
apart because most bytes of a measured number are noise that no compressor can shrink.
Nothing here knows a database; who writes which blob is in series.py.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from outlast.errors import Corrupt

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bytes = bytes | bytearray | memoryview

PLAIN = 1  # cheap to write: points as they come
PLANES = 2  # small: what is kept

MAGIC = b"OLS1"  # of an answer on the wire; the digit is its version

_HEADER = struct.Struct("<BBBBIIIqqqq")
_CRC_AT = 8
_ZSTD_LEVEL = 3
_IS_ZSTD = 1 << 31
FIRST_US = -(2**63 // 1000)  # the least microsecond whose nanoseconds fit 64 bits


class Points(NamedTuple):
    """Columns of equal length: int64 steps, int64 wall-clock nanoseconds, float64 values."""

    steps: Int64s
    times_ns: Int64s
    values: Float64s

    def part(self, chosen: slice | Int64s) -> Points:
        """The points at these positions."""
        return Points(self.steps[chosen], self.times_ns[chosen], self.values[chosen])

    def by_step(self) -> Points:
        """Sorted by step; points of one step keep their order."""
        if bool(np.all(self.steps[1:] >= self.steps[:-1])):
            return self
        return self.part(np.argsort(self.steps, kind="stable"))

    def within(self, first_step: int, last_step: int) -> Points:
        """Those of sorted points whose step is between the two, both included."""
        start = int(np.searchsorted(self.steps, first_step, "left"))
        return self.part(slice(start, int(np.searchsorted(self.steps, last_step, "right"))))


def joined(pieces: Sequence[Points]) -> Points:
    """One after the other."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    steps, times_ns, values = zip(*pieces, strict=True)
    return Points(np.concatenate(steps), np.concatenate(times_ns), np.concatenate(values))


def encode(points: Points, codec: int) -> bytes:
    """Points as a blob, with PLAIN or PLANES."""
    n = len(points.values)
    bits = np.ascontiguousarray(points.values, "<f8").view("<u8")
    steps = _Column.fold(points.steps)
    times = _Column.fold(np.maximum(points.times_ns // 1000, FIRST_US))
    is_difference = False
    if codec == PLAIN:
        payload = bits.tobytes() + _filled(steps.remainders) + _filled(times.remainders)
    else:
        planes, is_difference = _value_planes(bits)
        planes += _planes(steps.remainders) + _planes(times.remainders)
        sizes = struct.pack(f"<{len(planes)}I", *(size for size, _plane in planes))
        payload = sizes + b"".join(plane for _size, plane in planes)
    head = [codec, steps.width, times.width, int(is_difference), n, 0, 0]
    columns = (steps.first, steps.least, times.first, times.least)
    packed = _HEADER.pack(*head, *columns)
    head[5] = _crc(packed, payload)
    return _HEADER.pack(*head, *columns) + payload


def decode(data: Bytes) -> Points:
    """The points of a blob.

    Raises Corrupt when its bytes aren't those that were written, or its codec isn't known here.
    """
    view = memoryview(data)
    if len(view) < _HEADER.size:
        raise Corrupt(f"a block of metric points has {len(view)} bytes: it was cut off")
    codec, step_width, time_width, is_difference, n, crc, _zero, *columns = _HEADER.unpack_from(
        view
    )
    if codec not in (PLAIN, PLANES):
        raise Corrupt(
            f"a block of metric points has codec {codec}, this Outlast knows 1 and 2",
            hint="a newer Outlast has written it, or the database is damaged",
            codec=codec,
        )
    payload = view[_HEADER.size :]
    if _crc(view[: _HEADER.size], payload) != crc:
        raise Corrupt("a block of metric points doesn't match its checksum", codec=codec)
    read = _plain_columns if codec == PLAIN else _plane_columns
    try:
        bits, step_remainders, time_remainders = read(payload, n, (step_width, time_width))
    except (ValueError, struct.error, zstd.ZstdError) as error:
        raise Corrupt(f"a block of metric points can't be unpacked: {error}") from error
    if is_difference:
        bits = np.cumsum(bits, dtype="<u8")
    return Points(
        _Column(columns[0], columns[1], step_width, step_remainders).unfold(n),
        _Column(columns[2], columns[3], time_width, time_remainders).unfold(n) * 1000,
        bits.view("<f8"),
    )


def to_binary(steps: Int64s, times_ns: Int64s, values: Float64s) -> bytes:
    """The answer to a client that asks for points as bytes: MAGIC, n as 8 bytes, the columns.

    Nothing is packed, so that any language reads it in a few lines.
    """
    columns = ((steps, "<i8"), (times_ns, "<i8"), (values, "<f8"))
    blocks = [np.ascontiguousarray(column, kind).tobytes() for column, kind in columns]
    return b"".join([MAGIC, struct.pack("<Q", len(values)), *blocks])


# --- columns of integers ---


class _Column(NamedTuple):
    first: int
    least: int  # difference between neighbours
    width: int  # bytes of a remainder
    remainders: npt.NDArray[np.unsignedinteger]

    @classmethod
    def fold(cls, column: Int64s) -> _Column:
        if len(column) < 2:
            return cls(int(column[0]) if len(column) else 0, 0, 0, _NONE)
        differences = column[1:] - column[:-1]
        least = differences.min()
        spread = int(differences.max()) - int(least)
        if spread == 0:
            return cls(int(column[0]), int(least), 0, _NONE)
        width = next(width for width in (1, 2, 4, 8) if spread >> 8 * width == 0)
        return cls(
            int(column[0]),
            int(least),
            width,
            (differences - least).view(np.uint64).astype(f"<u{width}"),
        )

    def unfold(self, n: int) -> Int64s:
        if self.width == 0:
            return np.arange(n, dtype=np.int64) * np.int64(self.least) + np.int64(self.first)
        column = np.empty(n, np.int64)
        column[0] = self.first
        column[1:] = self.remainders.astype(np.uint64).view(np.int64)
        column[1:] += np.int64(self.least)
        return np.cumsum(column, out=column)


_NONE = np.empty(0, np.uint8)


def _plain_columns(
    payload: memoryview, n: int, widths: tuple[int, int]
) -> list[npt.NDArray[np.unsignedinteger]]:
    columns = []
    at = 0
    for width, count in ((8, n), (widths[0], n - 1), (widths[1], n - 1)):
        if width == 0:
            columns.append(_NONE)
            continue
        columns.append(np.frombuffer(payload, f"<u{width}", count, at))
        at += -(-width * count // 8) * 8
    if at != len(payload):
        raise ValueError(f"{at} bytes of columns, {len(payload)} of payload")
    return columns


def _filled(remainders: npt.NDArray[np.unsignedinteger]) -> bytes:
    data = remainders.tobytes()
    return data + bytes(-len(data) % 8)


# --- planes of bytes ---

_Sized = tuple[int, bytes]  # what stands in the table of sizes, and the plane


def _value_planes(bits: npt.NDArray[np.unsignedinteger]) -> tuple[list[_Sized], bool]:
    """As they are, or as differences: smooth and counting values shrink to nothing by these."""
    differences = bits.copy()
    differences[1:] -= bits[:-1]
    choices = (_planes(bits), _planes(differences))
    sizes = [sum(len(plane) for _size, plane in planes) for planes in choices]
    is_difference = sizes[1] < sizes[0]
    return choices[is_difference], is_difference


def _planes(column: npt.NDArray[np.unsignedinteger]) -> list[_Sized]:
    if not len(column):
        return []
    compressor = zstd.ZstdCompressor(_ZSTD_LEVEL)  # one for all: making it costs more than a plane
    width = column.dtype.itemsize
    planes = []
    for plane in np.ascontiguousarray(column.view(np.uint8).reshape(-1, width).T):
        small = compressor.compress(plane, compressor.FLUSH_FRAME)
        if len(small) < len(plane):
            planes.append((len(small) | _IS_ZSTD, small))
        else:
            planes.append((len(plane), plane.tobytes()))
    return planes


def _plane_columns(
    payload: memoryview, n: int, widths: tuple[int, int]
) -> list[npt.NDArray[np.unsignedinteger]]:
    shapes = [(8 * (n > 0), n), (widths[0], n - 1), (widths[1], n - 1)]
    count = sum(width for width, _length in shapes)
    sizes = iter(struct.unpack_from(f"<{count}I", payload))
    at = 4 * count
    columns = []
    for width, length in shapes:
        column = np.empty((length if width else 0, width or 1), np.uint8)
        for byte in range(width):
            size = next(sizes)
            plane = payload[at : at + (size & ~_IS_ZSTD)]
            at += len(plane)
            data = zstd.decompress(plane) if size & _IS_ZSTD else plane
            column[:, byte] = np.frombuffer(data, np.uint8, length)
        columns.append(column.reshape(-1).view(f"<u{width or 1}"))
    if at != len(payload):
        raise ValueError(f"{at} bytes of planes, {len(payload)} of payload")
    return columns


def _crc(head: Bytes, payload: Bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head[_CRC_AT + 4 :], zlib.crc32(head[:_CRC_AT])))
