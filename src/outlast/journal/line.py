"""The bytes of a record: one JSON object on one line, with its own checksum.

    {"k":"m","n":"loss","v":0.5,"crc":"02a5aef5"}\\n
    ^------- head ------------^^----- tail -----^

    head   the object as JSON, without its closing brace; no newline in it
    tail   `,"crc":"` + crc32 of the head as 8 lower-case hex digits + `"}` (18 bytes) + newline

A line is valid JSON, so that any tool reads it; bytes after the last newline aren't a record yet.
This file touches no disk (see `writer`, `cursor`) and knows no kind of record (see `run.events`).
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple
from zlib import crc32

from outlast.errors import Corrupt, Invalid

# A reader must hold a line in memory; what is larger belongs in a file of its own.
MAX_LINE_BYTES = 16 << 20

_TAIL = b',"crc":"%08x"}'
_TAIL_BYTES = 18
_HEAD_BEGINS = b'{"'

# Where a whole record may hide at the end of a damaged line: bounds the work on a hostile file.
_RESCUE_WINDOW_BYTES = 64 << 10
_RESCUE_TRIES = 64


class Split(NamedTuple):
    """What `split` found in a chunk; all offsets count from the chunk's first byte."""

    bodies: List[bytes]  # each a JSON object without "crc", its checksum verified
    ends: List[int]  # for each body, the offset after its newline
    corrupt: List[Tuple[int, int]]  # [start, end) of damaged lines, neighbours joined
    consumed: int  # the offset after the last newline; what follows isn't a record yet


def pack(record: Mapping[str, Any]) -> bytes:
    """The line for `record`, newline included.

    Raises Invalid when the record is empty, has a key "crc" of its own, holds NaN, an infinity or
    half a surrogate pair, isn't JSON, or is longer than MAX_LINE_BYTES.
    """
    if not record:
        raise Invalid.field("record", record, "a record has at least one key")
    if "crc" in record:
        raise Invalid.field("record", record, 'rename the key "crc": it is the checksum\'s')
    try:
        text = _encode(record if isinstance(record, dict) else dict(record))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid.field(
            "record", record, f"only finite JSON values are allowed ({error})"
        ) from error
    if "\\ud" in text:
        _refuse_half_surrogates(text)
    return _sealed(text.encode("ascii"))


def pack_json(body: bytes) -> bytes:
    """The line for an object that is JSON already, as `{"...}` without a newline.

    Raises Invalid when `body` doesn't look like that; it isn't parsed, so what is inside the braces
    is the caller's word.
    """
    if body[:2] != _HEAD_BEGINS or body[-1:] != b"}" or b"\n" in body:
        raise Invalid.field("record", body, 'give one JSON object on one line that begins with {"')
    return _sealed(body)


def body_of(line: bytes) -> bytes:
    """The JSON object of a line (with or without its newline) whose checksum is right.

    Raises Corrupt when it isn't a whole record. That it is JSON is only the writer's word.
    """
    if line[-1:] == b"\n":
        line = line[:-1]
    head = line[:-_TAIL_BYTES]
    if line[-_TAIL_BYTES:] != _TAIL % crc32(head) or head[:2] != _HEAD_BEGINS:
        raise Corrupt()
    return head + b"}"


def unpack(line: bytes) -> Dict[str, Any]:
    """The record of a line; raises Corrupt when the checksum is wrong or it isn't JSON."""
    return parse(body_of(line))


def parse(body: bytes) -> Dict[str, Any]:
    """The record of a body that `body_of` or `split` gave; raises Corrupt when it isn't JSON."""
    try:
        record: Dict[str, Any] = _decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"a record's checksum is right, but it isn't JSON: {error}") from error
    return record


def line_bytes(body: bytes) -> int:
    """How long the line of a body is, newline included."""
    return len(body) + _TAIL_BYTES


def split(chunk: bytes) -> Split:
    """Every whole record of a chunk that begins at the start of a line.

    Never raises: a damaged line is reported in `corrupt`, and its neighbours are read.
    """
    bodies: List[bytes] = []
    ends: List[int] = []
    corrupt: List[Tuple[int, int]] = []
    start = 0
    lines = chunk.split(b"\n")
    lines.pop()
    # As few steps a line as can be: the server reads all metrics of all runs through this loop.
    for line in lines:
        end = start + len(line) + 1
        head = line[:-_TAIL_BYTES]
        if line[-_TAIL_BYTES:] == _TAIL % crc32(head) and head[:2] == _HEAD_BEGINS:
            bodies.append(head + b"}")
            ends.append(end)
        else:
            rescued = _whole_record_within(line)
            add_range(corrupt, start, start + rescued if rescued else end)
            if rescued:
                bodies.append(line[rescued:-_TAIL_BYTES] + b"}")
                ends.append(end)
        start = end
    return Split(bodies, ends, corrupt, start)


def _sealed(body: bytes) -> bytes:
    if len(body) > MAX_LINE_BYTES - _TAIL_BYTES:
        raise Invalid(
            f"record of {len(body)} bytes: at most {MAX_LINE_BYTES} fit a journal's line; "
            "put large values into a file"
        )
    head = body[:-1]
    return b'%b,"crc":"%08x"}\n' % (head, crc32(head))


def _whole_record_within(line: bytes) -> int:
    """Where the last record of a damaged line begins; 0 when it holds none.

    Two records share a line when the newline between them was damaged, or when a torn write was
    followed by a whole one. The second is sound and must not go with the first.
    """
    earliest = max(0, len(line) - _RESCUE_WINDOW_BYTES)
    at = len(line)
    for _ in range(_RESCUE_TRIES):
        at = line.rfind(_HEAD_BEGINS, earliest, at + 1)
        if at <= 0:
            return 0
        if line[-_TAIL_BYTES:] == _TAIL % crc32(line[at:-_TAIL_BYTES]):
            return at
    return 0


def add_range(ranges: List[Tuple[int, int]], start: int, end: int) -> None:
    """Add [start, end) at the end of a list of ranges, joined with a neighbour."""
    if ranges and ranges[-1][1] == start:
        start = ranges.pop()[0]
    ranges.append((start, end))


def _refuse_half_surrogates(text: str) -> None:
    """Raise Invalid when a string can't be written as UTF-8: strict readers refuse the line."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Invalid.field("record", text, "a string holds half a surrogate pair") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ASCII only: whatever a record holds, a terminal that shows the file gets no control characters.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
