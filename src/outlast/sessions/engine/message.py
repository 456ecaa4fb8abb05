"""What the server and its drawing process say to each other over a socket.

    header length u32 | data length u32 | header: a JSON object | data         little-endian

Each question {"id", "op", …} gets one answer with its id; `data` is a picture's bytes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
LENGTHS_BYTES = _LENGTHS.size


def pack(header: dict[str, Any], data: bytes = b"") -> bytes:
    """One message."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(text), len(data)) + text + data


def lengths(prefix: bytes) -> tuple[int, int]:
    """The lengths of header and data, told by the first LENGTHS_BYTES."""
    header, data = _LENGTHS.unpack(prefix)
    return header, data


def header(text: bytes) -> dict[str, Any]:
    """The header of a message."""
    found: dict[str, Any] = json.loads(text)
    return found
