"""What every answer looks like: the headers that keep browsers safe, and JSON made by msgspec.

NaN and infinities are the strings "nan", "inf" and "-inf" (`number`), since JSON has none.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.responses import Response

# No answer of the API is a page: nothing may be loaded, framed, sniffed or kept by a cache.
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
CONTENT_SECURITY_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
# What a job made may be anything: even when a browser shows it, it runs in an origin of its own.
SANDBOX_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"

_encode = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """The JSON bytes of a value; floats that JSON can't hold must have passed `number` before."""
    return _encode(value)


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(value), status, headers, "application/json")


def number(value: float) -> float | str:
    """A float as JSON can hold it."""
    if math.isfinite(value):
        return value
    return "nan" if value != value else "inf" if value > 0 else "-inf"


def secured(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """These headers with the security headers that they don't set themselves."""
    present = {name.lower() for name, _ in headers}
    added = [pair for pair in SECURITY_HEADERS if pair[0] not in present]
    if b"content-security-policy" not in present:
        added.append((b"content-security-policy", CONTENT_SECURITY_POLICY))
    return [*headers, *added]
