"""What a request's body may be, decided before it is decoded.

Bytes are counted while they arrive; brackets, keys and commas are counted on the raw text, so that
no small body can become a large object; then the decoded value is walked once for what both
databases must answer alike (NUL, lone surrogates, numbers beyond 64 bits, repeated keys).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from outlast.errors import Invalid
from outlast.server.errors import HttpError, too_large

MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_VALUES = 100_000
MAX_STRING_CHARS = 1 << 20
MAX_DIGITS = 64
INT64 = 1 << 63

Receive = Callable[[], Awaitable[Any]]

# Never backtracks, and takes an unfinished string whole: else a body of quotes costs minutes.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.S)
_BRACKETS = re.compile(rb"[\[\]{}]")
_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d,}" % (MAX_DIGITS + 1))


async def read_body(
    receive: Receive, headers: Mapping[str, str], limit_bytes: int, idle_timeout_s: float
) -> bytes:
    """The whole body. Raises HttpError 413 once it is known to be too large, 408 when it stops.

    What was received is dropped then, and the connection will be closed.
    """
    if int(headers.get("content-length") or 0) > limit_bytes:
        raise too_large(limit_bytes)
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        try:
            async with asyncio.timeout(idle_timeout_s):
                message = await receive()
        except TimeoutError:
            raise HttpError(
                408, "timeout", f"no byte of the body came for {idle_timeout_s:g} s",
                headers={"Connection": "close"},
            ) from None  # fmt: skip
        if message["type"] == "http.disconnect":
            raise HttpError(400, "disconnected", "the body broke off")
        piece = message.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise too_large(limit_bytes)
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def check_content_type(headers: Mapping[str, str], expected: str) -> None:
    """Raise HttpError 415 unless the body is said to be `expected`, uncompressed."""
    kind, _, options = headers.get("content-type", "").partition(";")
    is_utf8 = options.strip().lower().replace('"', "") in ("", "charset=utf-8")
    if kind.strip().lower() != expected or not is_utf8:
        raise HttpError(
            415, "unsupported_type", f"send the body as Content-Type: {expected}",
            headers={"Connection": "close"},
        )  # fmt: skip
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError(
            415, "unsupported_type", "send the body without Content-Encoding",
            headers={"Connection": "close"},
        )  # fmt: skip


def decode_json(body: bytes) -> Any:
    """The value of a JSON text within the limits. Raises Invalid."""
    keys = _check_shape(body)
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body isn't JSON: {error}", field="body") from None
    if _walk(value) != keys:
        raise Invalid("the body isn't allowed: an object names a key twice", field="body")
    return value


def _check_shape(body: bytes) -> int:
    """Refuse by counting; returns the number of keys that the text holds."""
    bare = _STRINGS.sub(b'""', body)
    keys = bare.count(b":")
    if keys > MAX_KEYS:
        raise Invalid(f"the body isn't allowed: more than {MAX_KEYS} keys", field="body")
    values = bare.count(b",") + bare.count(b"[") + bare.count(b"{")
    if values > MAX_VALUES:
        raise Invalid(f"the body isn't allowed: more than {MAX_VALUES} values", field="body")
    if _LONG_NUMBER.search(bare):
        raise Invalid(
            f"the body isn't allowed: a number has more than {MAX_DIGITS} digits", field="body"
        )
    depth = 0
    for found in _BRACKETS.finditer(bare):
        depth += 1 if found[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise Invalid(f"the body isn't allowed: nested deeper than {MAX_DEPTH}", field="body")
    return keys


def _walk(value: Any) -> int:
    """The number of keys in a decoded value; raises Invalid for what is out of bounds."""
    keys = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            keys += len(item)
            for key in item:
                check_text("a key of the body", key)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, str):
            check_text("a string of the body", item)
        elif isinstance(item, int) and not -INT64 <= item < INT64:
            raise Invalid("the body isn't allowed: a whole number beyond 64 bits", field="body")
        elif isinstance(item, float) and item in (float("inf"), float("-inf")):
            raise Invalid("the body isn't allowed: a number is too large", field="body")
    return keys


def check_text(what: str, text: str, *, field: str = "body") -> None:
    """Raise Invalid for text that one of the databases couldn't keep, or that is too long."""
    if len(text) > MAX_STRING_CHARS:
        raise Invalid(f"{what} is longer than {MAX_STRING_CHARS} characters", field=field)
    if "\0" in text:
        raise Invalid(f"{what} holds a NUL character", field=field)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise Invalid(f"{what} holds a lone surrogate", field=field)
