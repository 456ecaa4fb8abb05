"""One stored file as an answer, as fast as the client takes it, whole or one range of it.

It comes as an attachment in a sandbox: what a job made must not run as a page of this server.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from outlast.errors import NotFound
from outlast.server.answers import SANDBOX_POLICY
from outlast.server.call import Call
from outlast.server.errors import HttpError
from outlast.server.route import BYTES

PIECE_BYTES = 1 << 20
MAX_RANGES = 8


def ranged(header: str, size_bytes: int) -> tuple[int, int] | None:
    """Start and stop of the one range asked for; None = the whole file.

    Several ranges are answered with the whole, which the standard allows; more than MAX_RANGES,
    and one that is beyond the file, are refused with 416.
    """
    if not header:
        return None
    unit, _, text = header.partition("=")
    ranges = [part.strip() for part in text.split(",")]
    if len(ranges) > MAX_RANGES:
        raise _beyond(size_bytes)
    found = re.fullmatch(r"(\d{0,18})-(\d{0,18})", ranges[0])
    if unit.strip() != "bytes" or len(ranges) > 1 or found is None or found[0] == "-":
        return None
    if not found[1]:  # the last so many bytes
        start, stop = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start = int(found[1])
        stop = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    if start >= stop:
        raise _beyond(size_bytes)
    return start, stop


def _beyond(size_bytes: int) -> HttpError:
    headers = {"Content-Range": f"bytes */{size_bytes}"}
    return HttpError(416, "range", f"the file has {size_bytes} bytes", headers=headers)


def shown(name: str) -> str:
    """A file's name as JSON can hold it: bytes that aren't UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class StoredFile(Response):
    """A file, sent as fast as the client takes it; gives the descriptor back in the end."""

    def __init__(self, call: Call, fd: int, path: bytes, sha256: str) -> None:
        self.call = call
        self.fd = fd
        try:
            size = os.fstat(fd).st_size
            part = ranged(call.headers.get("range", ""), size)
        except BaseException:
            os.close(fd)
            raise
        self.at, self.stop = part or (0, size)
        name = quote(path.rpartition(b"/")[2], safe="")
        headers = {
            "Content-Length": str(self.stop - self.at),
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "Content-Security-Policy": SANDBOX_POLICY,
            "Accept-Ranges": "bytes",
            "ETag": f'"{sha256}"',
        }
        if part:
            headers["Content-Range"] = f"bytes {self.at}-{self.stop - 1}/{size}"
        super().__init__(None, 206 if part else 200, headers, BYTES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            while self.at < self.stop and scope["method"] != "HEAD":
                count = min(PIECE_BYTES, self.stop - self.at)
                data = await self.call.parts.in_thread(os.pread, self.fd, count, self.at)
                if not data:
                    raise NotFound("the stored file was cut while it was read")
                self.at += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(self.fd)
